"""A trained network on a user's own cube: the luminosity function as a table.

All that is known of the network stands in its model file; the study it was trained in is not needed.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from limelight.cosmology import Cosmology
from limelight.data.shard import Header, header_from
from limelight.errors import problem
from limelight.evaluation.predict import check_geometry
from limelight.inference.intervals import quantiles_of
from limelight.inference.posteriors.draw import draw_answers, quantile_answers
from limelight.inference.posteriors.misspecification import p_values
from limelight.inference.posteriors.posterior import Posterior, views
from limelight.inference.posteriors.tables import finished
from limelight.kept import kept
from limelight.probes.line_intensity.columns import COLUMNS, QUANTILE_COLUMNS, incomplete
from limelight.probes.line_intensity.config import LineNetwork
from limelight.probes.line_intensity.inputs import CubeNoise, network_inputs, recorded
from limelight.probes.line_intensity.labels import quantity
from limelight.probes.line_intensity.lines.completeness import complete_from_plain
from limelight.probes.line_intensity.maps.cube import Cube, judge_beam, pool_as_trained, whole
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS
from limelight.probes.line_intensity.probe import PROBE
from limelight.probes.line_intensity.shards import grid_of
from limelight.probes.line_intensity.targets import LuminosityTarget
from limelight.training.losses import decoded_outputs

TOLERANCE = 1e-3  # of lengths and frequencies: less than half a fine voxel at one end of 256


@dataclass(frozen=True)
class Trained:
    """What a model file says of the maps that its network reads, and of its answer."""

    name: str
    network: LineNetwork
    header: Header  # of the training maps

    @property
    def target(self) -> LuminosityTarget:
        """Refuses a network that answers no luminosity function."""
        target = PROBE.target(self.network, self.header)
        if not isinstance(target, LuminosityTarget):
            where, fix = f"network {self.name}", "give a network of another target"
            raise problem(
                where, f"one that answers the {target.axis.label}", "one that answers a luminosity function", fix
            )
        return target

    @property
    def volume_mpc3(self) -> float:
        """Comoving volume of a cube of the training maps' geometry about its own axis, in their cosmology.

        That cosmology differs from the study's where foreign halos brought their own (cosmology: adopt).
        """
        grid, _ = grid_of(self.header.geometry)
        cosmology = Cosmology(**self.header.simulation["cosmology"])
        return kept(("volume", grid, cosmology), lambda: grid.volume_mpc3(cosmology, (0.0, 0.0)))

    @property
    def uses_zero_level(self) -> bool:
        """Whether a constant that is added to a map changes the answer."""
        return not self.network.preprocessing.remove_means

    def inputs(self, cube: np.ndarray, noise: CubeNoise | None = None) -> Tensor:
        """Network inputs (1, channels, x, y, f) of a prepared cube, taken as it is, noise and all.

        Raises LimelightError where the network sees the σ of its maps and none is given.
        """
        asked = self.network.preprocessing.inputs or []
        if noise is None and {"snr", "weight"} & set(asked):
            expected = "the σ of every voxel, which the network sees as well"
            raise problem(f"network {self.name}", "a cube without it", expected, "give a survey's map, which has it")
        return network_inputs(recorded(cube, noise), self.network.preprocessing)


def trained(info: dict) -> Trained:
    """From the info of load_model; refuses networks of other probes."""
    if info["probe"] != PROBE.name:
        where, fix = f"network {info['network']}", "give another model.pt"
        raise problem(where, f"one of the probe {info['probe']}", f"one of {PROBE.name}", fix)
    return Trained(info["network"], PROBE.network(info["entry"]), header_from(info["header"]))


def prepare_cube(cube: Cube, info: dict, where: object) -> tuple[np.ndarray, str]:
    """A cube as read by maps.fits.read_cube, brought to the form of the network's training maps: ((x, y, f), note).

    A fine cube is summed in blocks; a simulated one, whose file says that it has no beam, is smoothed first where training
    maps were. Whatever then differs from the training geometry raises LimelightError, missing voxels too. The note says
    what else was done to the values, or nothing.
    """
    known = trained(info)
    expected, shape = known.header.geometry, known.header.shape[1:]
    beam = expected["beam_fwhm_arcmin"]
    cube = whole(cube, where)
    if beam > 0 and cube.beam_arcmin == (0, 0) and cube.pool_pixels == 1:
        smoothed = smooth(cube.values, beam, cube.pixel_deg[0])
        cube = replace(cube, values=smoothed, beam_arcmin=(beam, beam))
    values, geometry, note = pool_as_trained(cube, expected)
    check_geometry({**geometry, "beam_fwhm_arcmin": beam}, expected, where, TOLERANCE)
    judge_beam(cube.beam_arcmin, expected, where)
    if values.shape != shape:
        raise problem(where, f"a cube of shape {values.shape}", f"{shape}, as the network was trained", "regrid it")
    name = known.network.preprocessing.transform
    if values.min() < 0 and not TRANSFORMS[name].negative:
        fix = "use a network trained with asinh or signed_log"
        raise problem(where, "negative values", f"none: the network reads {name} of its maps", fix)
    return values, note


@torch.no_grad()
def luminosity_function(
    module: nn.Module, info: dict, cube: np.ndarray, device: str = "cpu", noise: CubeNoise | None = None
) -> dict[str, np.ndarray]:
    """The luminosity function that a network reads off a prepared cube (x, y, f): the columns of COLUMNS, (bins,) each.

    dn is NaN where it does not follow: in the last bin of a predicted N(>L). noise: of a survey's map, for networks that see
    it, or that take means off.
    """
    known = trained(info)
    target, volume = known.target, known.volume_mpc3
    encoded = decoded_outputs(module(known.inputs(cube, noise).to(device)).double().cpu().numpy(), info["target"])
    if not np.isfinite(encoded).all():
        raise problem("the network", "a prediction that is not finite", "numbers", "check the cube's unit and values")
    y = {"volume_mpc3": np.array([volume])}
    found = target.sources(target.decode(encoded, y), y)[0]
    if target.quantity == "n_above":
        dn, n_above = np.append(found[:-1] - found[1:], np.nan), found
    else:
        dn, n_above = found, np.cumsum(found[::-1])[::-1]
    return _table(dn, n_above, target.edges, volume, complete_at_means(info, target.edges))


def complete_at_means(info: dict, edges: np.ndarray) -> np.ndarray | None:
    """1 or 0 (bins,): whether a network's training catalogues are complete in each bin, at its line models' mean parameters.

    The strictest of its line models counts. A network does not tell parameters, so it cannot say more of a map. None where
    its file does not say what made the maps.
    """
    made = json.loads(info.get("provenance", {}).get("settings", "{}")).get("datasets") or {}
    limits = [complete_from_plain(one["maps"]) for one in made.values()]
    if not limits or None in limits:
        return None
    return (edges[:-1] >= max(limits)).astype(np.float64)


def _table(
    dn: np.ndarray, n_above: np.ndarray, edges: np.ndarray, volume_mpc3: float, complete: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The columns of COLUMNS from counts (bins,) in and above the bins between edges (bins + 1,)."""
    complete = np.full(len(dn), np.nan) if complete is None else complete
    one_each = np.arange(len(dn), -1, -1.0)[None]
    phi, l_phi = (dn * quantity(one_each, edges, volume_mpc3, key)[0] for key in ("phi", "l_phi"))
    values = [edges[:-1], edges[1:], 10 ** (0.5 * (edges[1:] + edges[:-1])), dn, n_above, phi, l_phi]
    return dict(zip(COLUMNS, [*values, np.full(len(dn), volume_mpc3), complete], strict=True))


POSTERIOR_DRAWS = 1000


@torch.no_grad()
def posterior_table(
    posterior: Posterior, cube: np.ndarray, seed: int = 0, noise: CubeNoise | None = None
) -> tuple[dict[str, np.ndarray], float]:
    """(luminosity function of a prepared cube with its intervals, p-value of the misspecification check).

    The columns of COLUMNS, dn and n_above as medians of the posterior's draws, and of QUANTILE_COLUMNS; (bins,) each. Of
    kind quantiles n_above is NaN: it does not follow from quantiles of each bin. seed: of the draws; the same cube and seed
    give the same table.
    """
    known, edges = trained(posterior.info), posterior.target.edges
    seen = views(posterior, known.inputs(cube, noise))
    if posterior.content["kind"] == "quantiles":
        counts = finished(quantile_answers(posterior, seen["features"]), posterior.target)[0].double().numpy().T
        of_bins, n_above = counts.T, np.full(len(edges) - 1, np.nan)
    else:
        counts = (
            draw_answers(posterior, seen["features"], POSTERIOR_DRAWS, seed, "a user's cube")[0][0].double().numpy()
        )
        of_bins, n_above = _of_draws(counts)
    if not np.isfinite(counts).all():
        raise problem("the posterior", "draws that are not finite", "numbers", "check the cube's unit and values")
    complete = posterior.complete(seen["features"])
    table = _table_of_quantiles(of_bins, n_above, edges, known.volume_mpc3, None if complete is None else complete[0])
    return table, float(p_values(posterior.content["check"], seen)[0])


def table_of_draws(counts: np.ndarray, edges: np.ndarray, volume_mpc3: float) -> dict[str, np.ndarray]:
    """The columns of `posterior_table` from draws (s, bins) of counts between edges (bins + 1,) of log10 L."""
    return _table_of_quantiles(*_of_draws(counts), edges, volume_mpc3)


def _of_draws(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(quantiles (bins, 5), median number above each bin (bins,)) of draws (s, bins)."""
    return quantiles_of(counts[None])[0], np.median(np.cumsum(counts[:, ::-1], axis=1)[:, ::-1], axis=0)


def _table_of_quantiles(
    of_bins: np.ndarray, n_above: np.ndarray, edges: np.ndarray, volume_mpc3: float, complete: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    low, lower, dn, upper, high = of_bins.T
    table = _table(dn, n_above, edges, volume_mpc3, complete)
    return table | dict(zip(QUANTILE_COLUMNS, [low, lower, upper, high], strict=True))


def in_lines(table: dict[str, np.ndarray]) -> str:
    """The median and the 68 and 95 % intervals of every second bin, one line each: what a terminal has room for.

    Of a bin in which the training catalogues miss sources, the low end of the 95 % alone: how many there are is not known.
    """
    lines = ["     L [Lsun]        dN   68 %                95 %"]
    unknown = incomplete(table)
    for i in range(0, len(table["dn"]), 2):
        low, lower, upper, high = (f"{table[name][i]:.4g}" for name in QUANTILE_COLUMNS)
        if unknown[i]:
            lines.append(f"{table['luminosity_lsun'][i]:13.3g}   unknown   at least {low}")
            continue
        pairs = f"{lower} to {upper}".ljust(19) + f" {low} to {high}"
        lines.append(f"{table['luminosity_lsun'][i]:13.3g} {table['dn'][i]:9.4g}   {pairs}")
    return "\n".join(lines)


def incomplete_in_words(table: dict[str, np.ndarray]) -> str:
    """What is to be said of such bins; empty where there are none."""
    bins = incomplete(table)
    if not bins.any():
        return ""
    last = table["log10_lum_upper"][np.flatnonzero(bins)[-1]]
    return (
        f"below {10**last:.2g} Lsun ({bins.sum()} of {len(bins)} bins) the halo catalogues of training miss sources: counts"
        " there are lower limits, of halos above the catalogues' least mass"
    )


def bins_outside_training(table: dict[str, np.ndarray], info: dict) -> int:
    """In how many bins the prediction lies outside the middle 95 % of the training labels: one in twenty is usual."""
    predicted = table[trained(info).target.quantity]
    percentiles = np.asarray(info["label_statistics"]["percentiles"])
    return int(np.sum((predicted < percentiles[0]) | (predicted > percentiles[-1])))
