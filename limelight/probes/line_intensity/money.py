"""The money plot's table: 95 % intervals of every method on the same maps with the same noise, bin by bin.

Every method comes as Intervals. Two are made here: a network's point prediction with the notes' 2σ band, and the ideal, what
would remain unknown if the halos and the line model's parameters were known and the scatter alone were not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.calibration import LEVELS, coverage, ranks, spread_out
from limelight.inference.intervals import Intervals, quantiles_of
from limelight.probes.line_intensity.labels import count_above, from_target, log10_lum_edges
from limelight.probes.line_intensity.lines.models import LineModel, get_model
from limelight.probes.line_intensity.maps.paint import cut_luminosities
from limelight.probes.line_intensity.published import MCMC, MCMC_NOISE_UK, paper_sigma, published_table
from limelight.probes.line_intensity.rival.shapes import SHAPES, log10_luminosity
from limelight.probes.line_intensity.settings import ShardSettings
from limelight.probes.line_intensity.targets import line_axis
from limelight.section import plain
from limelight.seeds import generator

ROWS = ("group", "subfield", "draw")  # which map is which, whatever the method
SIGMAS = (-1.959964, -0.994458, 0.0, 0.994458, 1.959964)  # of a Gaussian at the quantiles' levels
IDEAL, PUBLISHED = "ideal", "published MCMC"
COLUMNS = (
    "line_model",
    "noise_sigma_uk",
    "noise_uk_per_paper_voxel",
    "test",
    "method",
    "luminosity_lsun",
    "mean_count",
    "maps",
    "lower_95",
    "upper_95",
    "width_95",
    "bias",
    "covered_68",
    "error_68",
    "covered_95",
    "error_95",
    "rank_covered_68",
    "rank_covered_95",
    "shared_maps",
    "shared_width_95",
    "shared_bias",
    "seconds",
)


def point_intervals(evaluation: Evaluation) -> Intervals:
    """A network's point prediction with the notes' 2σ band as intervals: predicted target ± its root mean square error.

    A map's band is read off the test maps of the other light-cones, so that no map helps to cover itself; with a single
    test light-cone off all of them (settings say so). Bias is not taken out: the notes' band is not either.
    """
    e = evaluation
    if e.target["quantity"] != "dn":
        where, fix = f"network {e.network}", "leave it out"
        raise problem(where, f"{e.target['quantity']} predicted", "dn: intervals are of counts per bin", fix)
    square, cones = np.square(e.predicted_target - e.truth_target), np.asarray(e.rows["group"])
    several = len(set(cones.tolist())) > 1
    sigma = np.stack([np.sqrt(square[cones != c if several else slice(None)].mean(axis=0)) for c in cones])
    band = e.predicted_target[..., None] + sigma[..., None] * np.array(SIGMAS)
    return Intervals(
        method="network, point ± 2σ",
        test=e.test,
        settings={**e.settings, "network": e.network, "band": "other light-cones" if several else "the same maps"},
        axis=e.axis,
        truth=e.truth,
        quantiles=np.maximum(from_target(band, e.target["transform"]), 0.0),
        rows={name: e.rows[name] for name in ROWS},
        seconds=np.zeros(len(e.truth)),
    )


def ideal_intervals(
    subfield_paths: Sequence[str | Path], found: Rows, settings: ShardSettings, maps: int, draws: int
) -> Intervals:
    """What scatter alone leaves: counts of a map's own halos under its own parameters, with the scatter drawn anew.

    Halos at or above the dataset's log10_lum_cut are not counted.

    Parameters
    ----------
    subfield_paths
        Subfields files.
    found
        Rows of one dataset on their light-cones.
    settings
        Of that dataset.
    maps
        At most so many maps, evenly picked.
    draws
        Of the scatter per map.
    """
    dataset, seed, edges = settings.maps.dataset, settings.maps.seed, log10_lum_edges(plain(settings.maps.labels))
    model = get_model(dataset.model, dataset.parameters)
    picked = np.arange(len(found))[:: max(1, -(-len(found) // maps))]
    rows = {name: values[picked] for name, values in {"group": found.group, **found.rows}.items() if name in ROWS}
    samples = np.zeros((len(picked), draws, len(edges) - 1), np.float32)
    for path in subfield_paths:
        subfields = read_subfields(path)
        for index, halos in read_subfield_halos(path):
            here = (rows["group"] == subfields.lightcone) & (rows["subfield"] == index)
            if not here.any():
                continue
            freq = settings.grid.observed_freq_ghz(halos.redshift_observed)
            center = subfields.center_deg[index]
            voxel = settings.grid.voxel_index(halos.sky_deg[:, 0], halos.sky_deg[:, 1], freq, center)
            inside = voxel < settings.grid.voxels
            mass, redshift = halos.mass_msun[inside], halos.redshift[inside]
            for row in np.flatnonzero(here):
                values = dict(zip(found.parameter_names, found.theta[picked[row]].tolist(), strict=True))
                values = {name: values[name] for name in model.parameters}
                rng = generator(seed, "ideal", subfields.lightcone, index, rows["draw"][row])
                again = _scatterer(model, mass, redshift, values, edges[0])
                for s in range(draws):
                    samples[row, s] = -np.diff(count_above(cut_luminosities(again(rng), dataset), edges))
    name = settings.maps.name
    return Intervals(
        method=IDEAL,
        test=name,
        settings={"line_model": {"name": name, **plain(dataset)}, "noise_sigma_uk": 0.0, "noise": {}},
        axis=line_axis(edges),
        truth=-np.diff(found.y["n_above"][picked, : len(edges)], axis=1),
        quantiles=quantiles_of(samples),
        rows={name: rows[name] for name in ROWS},
        seconds=np.zeros(len(picked)),
        samples=samples,
    )


def _scatterer(
    model: LineModel, mass_msun: np.ndarray, redshift: np.ndarray, values: dict[str, float], lowest: float
) -> Callable[[np.random.Generator], np.ndarray]:
    """rng -> log10 luminosities of the halos with their scatter drawn anew, without those that cannot reach `lowest`.

    Where the model has a Shape, a median and one normal number per halo, the medians are computed once, and halos more than
    8 σ below `lowest` are left out. Other models are asked as they are.
    """
    if model.name not in SHAPES:
        return lambda rng: model.log10_luminosity(mass_msun, redshift, values, rng)
    shape = SHAPES[model.name]
    (amplitude,), (own,) = shape.split(np.array([list(values.values())]))
    scatter = shape.scatter(own)
    median = log10_luminosity(shape, shape.feature(mass_msun, redshift), amplitude, own, 0.0)
    median = median[median >= lowest - 8 * scatter]
    return lambda rng: median + scatter * rng.standard_normal(len(median))


def without_draws(result: Intervals) -> Intervals:
    """The result with the ranks of the truths among its draws (extra["rank"]) in place of the draws, which are large."""
    if result.samples is None:
        return result
    rng = generator(0, f"ranks of {result.method} on {result.test}")
    rank = ranks(spread_out(result.samples, rng), spread_out(result.truth, rng))
    return replace(result, samples=None, extra={**result.extra, "rank": rank})


def interval_rows(result: Intervals, geometry: Mapping | None = None) -> list[dict]:
    """One row per luminosity bin: how wide and how honest the intervals of one method on one test are.

    lower_95, upper_95, bias: medians, over the maps whose bin holds a source, of q/truth − 1 for the 2.5th and 97.5th
    percentile and the median; width_95: of (q97.5 − q2.5)/truth. covered_*: of these maps, edges included; error_*:
    binomial. rank_covered_*: of all maps, by the ranks of `without_draws`, where few sources are no excuse.
    """
    truth = np.asarray(result.truth, np.float64)
    used = truth > 0
    sigma = result.settings.get("noise_sigma_uk", 0.0)
    rank = result.extra.get("rank")
    by_rank = {f"rank_covered_{100 * p:.0f}": coverage(rank, p)[0] for p in LEVELS if rank is not None}
    rows = []
    for i, luminosity in enumerate(result.axis.centers):
        row = {
            **{name: share[i] for name, share in by_rank.items()},
            "line_model": result.settings["line_model"]["name"],
            "noise_sigma_uk": sigma if np.ndim(sigma) == 0 else max(sigma),
            "noise_uk_per_paper_voxel": None if geometry is None else paper_sigma(sigma, geometry),
            "test": result.test,
            "method": result.method,
            "luminosity_lsun": luminosity,
            "mean_count": truth[:, i].mean(),
            "maps": int(used[:, i].sum()),
            "seconds": float(np.median(result.seconds)) or None,
        }
        if used[:, i].any():
            t, q = truth[used[:, i], i], result.quantiles[used[:, i], i]
            row |= dict(
                zip(("lower_95", "bias", "upper_95"), np.median(q[:, (0, 2, 4)] / t[:, None] - 1, axis=0), strict=True)
            )
            row["width_95"] = np.median((q[:, 4] - q[:, 0]) / t)
            for level, (low, high) in zip(LEVELS, ((1, 3), (0, 4)), strict=True):
                percent = f"{100 * level:.0f}"
                row[f"covered_{percent}"] = np.mean((q[:, low] <= t) & (t <= q[:, high]))
                row[f"error_{percent}"] = np.sqrt(level * (1 - level) / len(t))
        rows.append(row)
    return rows


def published_rows() -> list[dict]:
    """The digitised interval of arXiv:1808.07487: fiducial Li, 11 µK per COMAP voxel, a 1.5° field."""
    table = published_table(MCMC)[""]
    columns = (table[name].tolist() for name in ("luminosity_lsun", "frac_err_lower95", "frac_err_upper95"))
    return [
        {
            "method": PUBLISHED,
            "noise_uk_per_paper_voxel": MCMC_NOISE_UK,
            "luminosity_lsun": luminosity,
            "lower_95": lower,
            "upper_95": upper,
            "width_95": upper - lower,
        }
        for luminosity, lower, upper in zip(*columns, strict=True)
    ]


def money_table(results: Sequence[Intervals], geometry: Mapping) -> list[dict]:
    """All rows: the methods test by test, then the ideals and the published interval. geometry: of the study's maps.

    shared_*: the same over those maps alone that every method of the test has, for comparisons of like with like.
    """
    groups: dict[str, list[Intervals]] = {}
    for result in results:
        groups.setdefault(result.test, []).append(result)
    rows = []
    for test, members in groups.items():
        maps = [maps_of(r) for r in members]
        if any(not some <= max(maps, key=len) for some in maps):
            found, expected = "methods on different maps", "the same maps for all, or some of them"
            raise problem(f"test {test}", found, expected, "make the intervals again")
        shared = set.intersection(*maps)
        for result in members:
            same = interval_rows(of_maps(result, shared))
            for row, alike in zip(interval_rows(result, geometry), same, strict=True):
                rows.append(row | {f"shared_{name}": alike.get(name) for name in ("maps", "width_95", "bias")})
    return rows + published_rows()


def maps_of(result: Intervals) -> set[tuple[int, ...]]:
    """Which maps a method answers: (light-cone, subfield, draw) of each."""
    return set(zip(*(result.rows[name].tolist() for name in ROWS), strict=True))


def of_maps(result: Intervals, wanted: set[tuple[int, ...]]) -> Intervals:
    """The result for some maps alone, by (light-cone, subfield, draw)."""
    keys = zip(*(result.rows[name].tolist() for name in ROWS), strict=True)
    kept = np.array([key in wanted for key in keys])
    rows = {name: values[kept] for name, values in result.rows.items()}
    arrays = {name: getattr(result, name)[kept] for name in ("truth", "quantiles", "seconds")}
    return replace(result, rows=rows, **arrays, samples=None, extra={})


def verdicts(rows: list[dict], least_count: float = 10.0) -> list[str]:
    """In words, test by test: in how many well-filled bins each method covers and is narrower than the rival; its bias.

    Covered is by ranks over all maps where a method has draws, narrower than the narrowest rival on the maps of both.
    """
    lines = []
    tests = dict.fromkeys(row["test"] for row in rows if row.get("test") and row["method"] != IDEAL)
    for test in tests:
        here = [
            row for row in rows if row.get("test") == test and row["mean_count"] >= least_count and "width_95" in row
        ]
        rivals: dict[float, float] = {}
        for row in here:
            if "rival" in row["method"] and row["shared_width_95"] is not None:
                width = min(row["shared_width_95"], rivals.get(row["luminosity_lsun"], np.inf))
                rivals[row["luminosity_lsun"]] = width
        for method in dict.fromkeys(row["method"] for row in here):
            mine = [row for row in here if row["method"] == method]
            shares = [(row.get("rank_covered_95", row["covered_95"]), row["error_95"]) for row in mine]
            covers = sum(abs(share - 0.95) <= 0.01 + 2 * error for share, error in shares)
            bias = max(mine, key=lambda row: abs(row["bias"]))
            words = f"{test}: {method}: {covers} of {len(mine)} bins cover 95 ± 1 % (± 2 binomial errors)"
            words += f"; largest bias {100 * bias['bias']:+.0f} % at {bias['luminosity_lsun']:.2g} Lsun"
            if rivals and "rival" not in method:
                both = [row for row in mine if row["luminosity_lsun"] in rivals and row["shared_width_95"] is not None]
                narrower = sum(row["shared_width_95"] < rivals[row["luminosity_lsun"]] for row in both)
                words += f"; narrower than the rival in {narrower} of {len(both)}"
            lines.append(words)
    return lines
