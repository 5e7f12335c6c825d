"""The money plot's table: 95 % intervals of every method on the same maps with the same noise, bin by bin.

Every method comes as Intervals. Two are made here: a network's point prediction with the notes' 2σ band, and the ideal, what
would remain unknown if the halos and the line model's parameters were known and the scatter alone were not.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.predict import natural
from limelight.files import read_csv, resource_path
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.calibration import LEVELS, coverage, ranks, spread_out
from limelight.inference.intervals import ROWS, Intervals, quantiles_of
from limelight.probes.line_intensity.labels import count_above
from limelight.probes.line_intensity.lines.models import LineModel, get_model
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.rival.shapes import SHAPES
from limelight.seeds import generator

PAPER_VOXEL_DEG2_GHZ = (1.4 / 256) ** 2 * 0.08  # of arXiv:1905.10376: 1.4° / 256, 8 GHz / 100
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
    square, cones = np.square(e.predicted_target - e.truth_target), np.asarray(e.rows["lightcone"])
    several = len(set(cones.tolist())) > 1
    sigma = np.stack([np.sqrt(square[cones != c if several else slice(None)].mean(axis=0)) for c in cones])
    band = e.predicted_target[..., None] + sigma[..., None] * np.array(SIGMAS)
    return Intervals(
        method="network, point ± 2σ",
        test=e.test,
        settings={**e.settings, "network": e.network, "band": "other light-cones" if several else "the same maps"},
        log10_lum_edges=e.log10_lum_edges,
        truth=e.truth,
        quantiles=natural(band, e.target["transform"]),
        rows={name: e.rows[name] for name in ("lightcone", "subfield", "draw")},
        seconds=np.zeros(len(e.truth)),
    )


def ideal_intervals(
    subfield_paths: Sequence[str | Path], data, line_model: dict, grid: Grid, seed: int, maps: int, draws: int
) -> Intervals:
    """What scatter alone leaves: counts of a map's own halos under its own parameters, with the scatter drawn anew.

    data: PooledMaps of one line model on the light-cones of subfield_paths; at most `maps` of its maps, evenly picked.
    line_model: the config's entry with its name.
    """
    model = get_model(line_model["model"], line_model["parameters"])
    picked = np.arange(len(data))[:: max(1, -(-len(data) // maps))]
    edges = np.asarray(data.log10_lum_edges)[: data.labels["bins"] + 1]
    samples = np.zeros((len(picked), draws, len(edges) - 1), np.float32)
    for path in subfield_paths:
        subfields = read_subfields(path)
        for index, halos in read_subfield_halos(path):
            here = (data.lightcone[picked] == subfields.lightcone) & (data.subfield[picked] == index)
            if not here.any():
                continue
            freq = grid.observed_freq_ghz(halos.redshift_observed)
            voxel = grid.voxel_index(halos.sky_deg[:, 0], halos.sky_deg[:, 1], freq, subfields.center_deg[index])
            inside = voxel < grid.voxels
            mass, redshift = halos.mass_msun[inside], halos.redshift[inside]
            for row in np.flatnonzero(here):
                values = dict(zip(data.parameter_names, data.parameters[picked[row]].tolist(), strict=True))
                values = {name: values[name] for name in model.parameters}
                rng = generator(seed, "ideal", subfields.lightcone, index, data.draw[picked[row]])
                again = _scatterer(model, mass, redshift, values, edges[0])
                for s in range(draws):
                    samples[row, s] = -np.diff(count_above(again(rng), edges))
    return Intervals(
        method=IDEAL,
        test=line_model["name"],
        settings={"line_model": line_model, "noise_sigma_uk": 0.0, "noise": {}},
        log10_lum_edges=edges,
        truth=-np.diff(np.asarray(data.n_above)[picked, : len(edges)], axis=1),
        quantiles=quantiles_of(samples),
        rows={name: np.asarray(getattr(data, name))[picked] for name in ("lightcone", "subfield", "draw")},
        seconds=np.zeros(len(picked)),
        samples=samples,
    )


def _scatterer(
    model: LineModel, mass_msun: np.ndarray, redshift: np.ndarray, values: dict[str, float], lowest: float
) -> Callable[[np.random.Generator], np.ndarray]:
    """rng -> log10 luminosities of the halos with their scatter drawn anew, without those that cannot reach `lowest`.

    Where the model comes apart into a mean and one normal number a halo (inference.shapes), the mean is found once, and
    halos more than 8 σ below `lowest` are left out; other models are asked as they are.
    """
    if model.name not in SHAPES:
        return lambda rng: model.log10_luminosity(mass_msun, redshift, values, rng)
    shape = SHAPES[model.name]
    (amplitude,), (own,) = shape.split(np.array([list(values.values())]))
    scatter = shape.scatter(own)
    middle = amplitude + shape.location(shape.feature(mass_msun, redshift), own)
    middle = middle[middle >= lowest - 8 * scatter]
    return lambda rng: middle + scatter * rng.standard_normal(len(middle))


def without_draws(result: Intervals) -> Intervals:
    """The result with the ranks of the truths among its draws (extra["rank"]) in place of the draws, which are large."""
    if result.samples is None:
        return result
    rng = generator(0, f"ranks of {result.method} on {result.test}")
    rank = ranks(spread_out(result.samples, rng), spread_out(result.truth, rng))
    return replace(result, samples=None, extra={**result.extra, "rank": rank})


def interval_rows(result: Intervals, grid: dict | None = None) -> list[dict]:
    """A row a luminosity bin: how wide and how honest the intervals of one method on one test are.

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
    for i, luminosity in enumerate(result.luminosity_lsun):
        row = {
            **{name: share[i] for name, share in by_rank.items()},
            "line_model": result.settings["line_model"]["name"],
            "noise_sigma_uk": sigma if np.ndim(sigma) == 0 else max(sigma),
            "noise_uk_per_paper_voxel": paper_sigma(sigma, grid),
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


def paper_sigma(sigma: float | list, grid: dict | None) -> float | None:
    """σ per fine voxel of arXiv:1905.10376 from that per voxel of a grid: white noise averages down as 1/√(voxel volume)."""
    if grid is None:
        return None
    width_ghz = (grid["freq_max_ghz"] - grid["freq_min_ghz"]) / grid["channels"]
    voxel = (grid["size_deg"] / grid["pixels"]) ** 2 * width_ghz
    return float(np.max(sigma)) * np.sqrt(voxel / PAPER_VOXEL_DEG2_GHZ)


def published_rows() -> list[dict]:
    """The digitised interval of arXiv:1808.07487: fiducial Li, 11 µK per COMAP voxel, a 1.5° field."""
    table = read_csv(resource_path("ihle2018_interval.csv"), "the published interval")
    names = ("luminosity_lsun", "frac_err_lower95", "frac_err_upper95")
    return [
        {
            "method": PUBLISHED,
            "noise_uk_per_paper_voxel": 60.6,
            "luminosity_lsun": luminosity,
            "lower_95": lower,
            "upper_95": upper,
            "width_95": upper - lower,
        }
        for luminosity, lower, upper in zip(*(table[name] for name in names), strict=True)
    ]


def money_table(results: Sequence[Intervals], grid: dict) -> list[dict]:
    """All rows: the methods test by test, then the ideals and the published interval. grid: the study's, as in map files.

    shared_*: the same over those maps alone that every method of the test has, for comparisons of like with like.
    """
    groups: dict[str, list[Intervals]] = {}
    for result in results:
        groups.setdefault(result.test, []).append(result)
    rows = []
    for test, members in groups.items():
        maps = [set(zip(*(r.rows[name].tolist() for name in ROWS), strict=True)) for r in members]
        if any(not some <= max(maps, key=len) for some in maps):
            found, expected = "methods on different maps", "the same maps for all, or some of them"
            raise problem(f"test {test}", found, expected, "make the intervals again")
        shared = set.intersection(*maps)
        for result in members:
            same = interval_rows(_of_maps(result, shared))
            for row, alike in zip(interval_rows(result, grid), same, strict=True):
                rows.append(row | {f"shared_{name}": alike.get(name) for name in ("maps", "width_95", "bias")})
    return rows + published_rows()


def _of_maps(result: Intervals, wanted: set[tuple[int, ...]]) -> Intervals:
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
