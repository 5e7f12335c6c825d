"""A trained network on a user's own cube: the luminosity function as a table."""

import json

import numpy as np
import torch
from torch import nn

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.evaluation.predict import check_geometry, counts, natural, predict_targets
from limelight.inference.intervals import quantiles_of
from limelight.inference.posteriors.draw import draw
from limelight.inference.posteriors.misspecification import p_values
from limelight.inference.posteriors.posterior import Posterior, views
from limelight.probes.line_intensity.labels import one_source, quantity
from limelight.probes.line_intensity.maps.fits import pool_as_trained
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS, transform

TOLERANCE = 1e-3  # of lengths and frequencies: less than half a fine voxel at one end of 256
COLUMNS = {
    "log10_lum_lower": "lower edge of the bin, log10 Lsun",
    "log10_lum_upper": "upper edge of the bin, log10 Lsun",
    "luminosity_lsun": "middle of the bin in log, Lsun",
    "dn": "sources in the bin",
    "n_above": "sources above the lower edge; up to the last upper edge unless N(>L) itself was predicted",
    "phi": "dN/dL per volume, Lsun^-1 Mpc^-3",
    "l_phi": "L dN/dL per volume, Mpc^-3",
    "volume_mpc3": "comoving volume of the cube, Mpc^3",
}


def prepare_cube(cube: np.ndarray, geometry: dict, info: dict, where: object) -> np.ndarray:
    """A cube as read by maps.fits.read_cube, brought to the form of the network's training maps: (x, y, f).

    A fine cube is summed in blocks; a simulated one, whose file says that it has no beam, is smoothed first where training
    maps were. Whatever then differs from the training geometry raises LimelightError.
    """
    trained = info["geometry"]
    beam = trained["beam_fwhm_arcmin"]
    if beam > 0 and geometry.get("beam_fwhm_arcmin") == 0 and geometry["pool_pixels"] == 1:
        cube = smooth(cube, beam, geometry["size_deg"] / geometry["pixels"])
        geometry = {**geometry, "beam_fwhm_arcmin": beam}
    cube, geometry = pool_as_trained(cube, geometry, trained)
    check_geometry(geometry, trained, where, TOLERANCE)
    if tuple(cube.shape) != tuple(info["input_shape"]):
        expected = f"{tuple(info['input_shape'])}, as the network was trained"
        raise problem(where, f"a cube of shape {cube.shape}", expected, "regrid it")
    name = info["preprocessing"]["transform"]
    if cube.min() < 0 and not TRANSFORMS[name].negative:
        fix = "use a network trained with asinh or signed_log"
        raise problem(where, "negative values", f"none: the network reads {name} of its maps", fix)
    return cube


@torch.no_grad()
def luminosity_function(module: nn.Module, info: dict, cube: np.ndarray, device: str = "cpu") -> dict[str, np.ndarray]:
    """The luminosity function that a network reads off a prepared cube (x, y, f): the columns of COLUMNS, (bins,) each.

    The cube is taken as it is, noise and all. dn is NaN where it does not follow: in the last bin of a predicted N(>L).
    """
    edges = np.asarray(info["log10_lum_edges"], np.float64)
    name, how = info["target"]["quantity"], info["preprocessing"]
    inputs = transform(torch.as_tensor(cube, dtype=torch.float32), how["transform"], how["scale_uk"])
    target = predict_targets(module, info, iter([inputs[None, None]]), device)
    if not np.isfinite(target).all():
        raise problem("the network", "a prediction that is not finite", "numbers", "check the cube's unit and values")
    volume = cube_volume_mpc3(info)
    found = counts(
        natural(target, info["target"]["transform"], one_source(target, edges, volume, name)), edges, volume, name
    )[0]
    if name == "n_above":
        n_above, dn = found, np.append(found[:-1] - found[1:], np.nan)
    else:
        n_above, dn = np.cumsum(found[::-1])[::-1], found
    one_each = np.arange(len(dn), -1, -1.0)[None]
    phi, l_phi = (dn * quantity(one_each, edges, volume, key)[0] for key in ("phi", "l_phi"))
    values = [edges[:-1], edges[1:], 10 ** (0.5 * (edges[1:] + edges[:-1])), dn, n_above, phi, l_phi]
    return dict(zip(COLUMNS, [*values, np.full(len(dn), volume)], strict=True))


QUANTILE_COLUMNS = {
    "dn_q2.5": "sources in the bin: lower end of the 95 % interval",
    "dn_q16": "lower end of the 68 % interval",
    "dn_q84": "upper end of the 68 % interval",
    "dn_q97.5": "upper end of the 95 % interval",
}
POSTERIOR_DRAWS = 1000


@torch.no_grad()
def posterior_table(posterior: Posterior, cube: np.ndarray, seed: int = 0) -> tuple[dict[str, np.ndarray], float]:
    """(luminosity function of a prepared cube with its intervals, p-value of the misspecification check).

    The columns of COLUMNS, dn and n_above as medians of the posterior's draws, and of QUANTILE_COLUMNS; (bins,) each. seed:
    of the draws; the same cube and seed give the same table.
    """
    how, edges = posterior.info["preprocessing"], posterior.edges
    inputs = transform(torch.as_tensor(cube, dtype=torch.float32), how["transform"], how["scale_uk"])
    seen = views(posterior, inputs[None, None])
    counts = draw(posterior, seen["features"], POSTERIOR_DRAWS, seed, "a user's cube")[0][0].double().numpy()
    if not np.isfinite(counts).all():
        raise problem("the posterior", "draws that are not finite", "numbers", "check the cube's unit and values")
    low, lower, dn, upper, high = quantiles_of(counts[None])[0].T
    n_above = np.median(np.cumsum(counts[:, ::-1], axis=1)[:, ::-1], axis=0)
    volume = cube_volume_mpc3(posterior.info)
    one_each = np.arange(len(dn), -1, -1.0)[None]
    phi, l_phi = (dn * quantity(one_each, edges, volume, key)[0] for key in ("phi", "l_phi"))
    values = [edges[:-1], edges[1:], 10 ** (0.5 * (edges[1:] + edges[:-1])), dn, n_above, phi, l_phi]
    table = dict(zip(COLUMNS, [*values, np.full(len(dn), volume)], strict=True))
    table |= dict(zip(QUANTILE_COLUMNS, [low, lower, upper, high], strict=True))
    return table, float(p_values(posterior.content["check"], seen)[0])


def in_lines(table: dict[str, np.ndarray]) -> str:
    """The median and the 68 and 95 % intervals of every second bin, a line each: what a terminal has room for."""
    lines = ["     L [Lsun]        dN   68 %                95 %"]
    for i in range(0, len(table["dn"]), 2):
        low, lower, upper, high = (f"{table[name][i]:.4g}" for name in QUANTILE_COLUMNS)
        pairs = f"{lower} to {upper}".ljust(20) + f"{low} to {high}"
        lines.append(f"{table['luminosity_lsun'][i]:13.3g} {table['dn'][i]:9.4g}   {pairs}")
    return "\n".join(lines)


def cube_volume_mpc3(info: dict) -> float:
    """Comoving volume of a cube of the network's geometry about its own axis, in the cosmology it was trained in.

    That of its maps, which differs from the study's where foreign halos brought their own (cosmology: adopt).
    """
    grid = Grid(**{key: value for key, value in info["geometry"].items() if key != "beam_fwhm_arcmin"})
    cosmology = Cosmology(**info.get("cosmology") or json.loads(info["provenance"]["settings"])["cosmology"])
    return grid.volume_mpc3(cosmology, (0.0, 0.0))


def bins_outside_training(table: dict[str, np.ndarray], info: dict) -> int:
    """In how many bins the prediction lies outside the middle 95 % of the training labels: one in twenty is usual."""
    predicted = table[info["target"]["quantity"]]
    percentiles = np.asarray(info["label_statistics"]["percentiles"])
    return int(np.sum((predicted < percentiles[0]) | (predicted > percentiles[-1])))
