"""All that must be known of one real map before its luminosity function is believed.

Is it like the training maps, statistic by statistic; what the posterior answers where no light can be (maps of random signs,
differences of splits); and whether halos that are added to this very map are found again.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from limelight.data.shard import read_shards
from limelight.errors import problem
from limelight.evaluation.audit import response
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.predict import check_geometry
from limelight.evaluation.verdicts import READS, REMEMBERS, Audit, warning
from limelight.files import read_csv
from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
from limelight.inference.posteriors.posterior import Posterior
from limelight.probes.line_intensity.apply import TOLERANCE, posterior_table, trained
from limelight.probes.line_intensity.apply_survey import as_cube, flipped, half_difference, prepare_survey
from limelight.probes.line_intensity.columns import COLUMNS, QUANTILE_COLUMNS
from limelight.probes.line_intensity.doubts import beside_training, doubts
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.maps.config import Filter
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.pipeline import make_pipeline, weights_of
from limelight.probes.line_intensity.shards import grid_of

FLIPS = 6  # maps of random signs
INJECTIONS = 12
FOUND_AGAIN = (0.5, 1.5)  # slopes of recovered against injected counts, without the prior, that call a bin read
CLEARED = (0.9, 1.1)  # the same slopes, of bins that the audit calls read
WEIGHT_LEAST = 0.5  # of the map in its answer: below, the prior decides more of the answer than the map
SOURCES_LEAST = 10  # added on average, for a slope without the prior: what the audit asks for as well
STATISTICS = {
    "mean": "mean of all voxels",
    "channel_mean": "mean of each channel",
    "channel_spread": "spread of each channel",
    "channel_noise": "noise of each channel (differences of neighbours)",
    "channel_zeros": "share of zeros in each channel",
    "quantiles": "quantiles of all voxels",
    "sky_power": "power on the sky, five steps of |k|",
    "power_slope": "the same, over that of the smallest scale",
    "relative_spread": "channels' spreads beside one another",
    "spectrum_spread": "spread of the means along frequency",
}


@dataclass(frozen=True)
class Reading:
    """What the posterior answers for one map."""

    name: str
    table: dict[str, np.ndarray]  # of apply.posterior_table
    p: float  # of the check whether it is like the training maps


@dataclass(frozen=True)
class Injections:
    """Halos added to the user's map; n maps, k bins."""

    added: np.ndarray  # (n, k) sources added in each bin
    found: np.ndarray  # (n, k) by how much the median answer rose
    # (k,) of found against added, both in dex of 1 + counts, through zero; NaN where nothing was added
    slope: np.ndarray
    weight: np.ndarray  # (k,) of the map in its answer, `weight_of_map`: the slope that a calibrated answer has
    # (k,) slope of what the map alone says, `without_prior`; NaN where it weighs less than WEIGHT_LEAST or little was added
    data_slope: np.ndarray
    # (2, k) the same if the map held fewer or more sources before by one σ: what it holds is known from itself alone
    data_range: np.ndarray


@dataclass(frozen=True)
class MapReport:
    """The report of one map."""

    survey: SurveyMap
    reading: Reading
    doubts: list[str]
    statistics: list[tuple[str, int, int, float, float, float]]  # name, outside, of, found, lowest, highest
    nulls: list[Reading]
    splits: list[Reading]
    prior: np.ndarray  # (5, k) percentiles 2.5, 16, 50, 84, 97.5 of the training maps' counts
    injections: Injections
    audit: Audit | None
    empty_share: float = 0.0  # of what the posterior's head was shown in training
    rivals: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # tables of run_rival.py, by name

    @property
    def loud_nulls(self) -> list[str]:
        """Maps without light that look like training, and in which the posterior sees more sources than the prior has."""
        return [null.name for null in self.nulls if null.p >= UNLIKE and sees_light(null.table, self.prior)]

    @property
    def cleared(self) -> np.ndarray:
        """Bins (k,) bool that the audit calls read and in which a slope without the prior is given."""
        given = np.isfinite(self.injections.data_slope)
        return given & (self.audit.verdict == READS) if self.audit is not None else np.zeros_like(given)

    @property
    def found_again(self) -> str:
        """Whether halos are found again in the bins that the audit clears, in one line."""
        if self.audit is None:
            return "The network was not audited: no bin is cleared."
        if not self.cleared.any():
            read = int((self.audit.verdict == READS).sum())
            return f"The audit clears {read} bins, none of which has a slope without the prior."
        slopes, (low, high) = self.injections.data_slope[self.cleared], CLEARED
        held = int(((slopes >= low) & (slopes <= high)).sum())
        return (
            f"In {len(slopes)} bins the audit at this noise calls the network's answers read and the map weighs enough:"
            f" there the slope without the prior is {slopes.min():.2f} to {slopes.max():.2f}, and 1 ± 0.1 in {held} of them."
        )

    @property
    def unlike_nulls(self) -> list[str]:
        """Maps without light that are unlike any of training: what the posterior answers there tells nothing of it."""
        return [null.name for null in self.nulls if null.p < UNLIKE]

    @property
    def faults(self) -> list[str]:
        """Reasons not to believe the result; none: it passed."""
        words = []
        if self.reading.p < UNLIKE:
            words.append(f"the map is {how_unlike(self.reading.p)}")
        words += self.doubts
        if self.loud_nulls:
            words.append(f"the posterior sees light where there is none: {', '.join(self.loud_nulls)}")
        if self.unlike_nulls:
            words.append(f"maps without light are unlike training and test nothing: {', '.join(self.unlike_nulls)}")
        read = np.isfinite(self.injections.data_slope)
        low, high = FOUND_AGAIN
        lost = read & ((self.injections.data_range.max(axis=0) < low) | (self.injections.data_range.min(axis=0) > high))
        if lost.any():
            words.append(
                f"halos added to the map are not found again in {lost.sum()} of {read.sum()} bins (slope without the prior"
                f" outside {low:g} to {high:g}): there the answer does not follow the map"
            )
        if not read.any():
            words.append(
                "the prior weighs more than the map in every bin: whether added halos are found cannot be tested"
            )
        if self.audit is not None and (self.audit.verdict == REMEMBERS).any():
            bins = int((self.audit.verdict == REMEMBERS).sum())
            words.append(
                f"the audit says that the network answers from memory in {bins} of {len(self.audit.verdict)} bins"
            )
        return words


def sees_light(table: dict[str, np.ndarray], prior: np.ndarray) -> bool:
    """Whether the lower end of a 95 % interval lies above the prior's median anywhere, as without light it must not."""
    return bool((table["dn_q2.5"] > np.maximum(prior[2], 1)).any())


def make_report(
    posterior: Posterior,
    survey: SurveyMap,
    injections: Path,
    splits: tuple[SurveyMap, SurveyMap] | None = None,
    audit: Path | None = None,
    where: object = "the map",
    rivals: dict[str, Path] | None = None,
) -> MapReport:
    """The report of a survey's map on the voxels of a posterior's training maps.

    injections: a shard of clean maps whose halos are added; splits: two halves of the data on the same voxels; rivals:
    tables of the same map by scripts/run_rival.py, by name.
    """
    info = posterior.info
    if info["entry"]["target"]["quantity"] != "dn":
        raise problem("the posterior", "a network that answers no counts", "one of target dn", "use another posterior")
    cube, noise = prepare_survey(survey, info, where)
    nulls = [(f"random signs {i + 1}", flipped(survey, i)) for i in range(FLIPS)]
    halves = []
    if splits:
        nulls.append(("half the difference of the splits", half_difference(*splits)))
        halves = [_read(posterior, one, f"split {i}", where) for i, one in enumerate(splits)]
    checked_audit = None if audit is None else read_audit(audit)
    if checked_audit is not None:
        warning(checked_audit, info, audit)  # refuses that of another network
    return MapReport(
        survey=survey,
        reading=_read(posterior, survey, "the map", where),
        doubts=doubts(as_cube(survey), cube, info, noise),
        statistics=_statistics(cube, info, noise),
        nulls=[_read(posterior, one, name, where) for name, one in nulls],
        splits=halves,
        prior=np.asarray(info["label_statistics"]["percentiles"], np.float64),
        injections=inject(posterior, survey, injections, where),
        audit=checked_audit,
        empty_share=posterior.content["training"].get("empty_share", 0.0),  # files of earlier versions do not say
        rivals={name: read_rival(path, posterior.target.edges) for name, path in (rivals or {}).items()},
    )


def read_rival(path: Path, edges: np.ndarray) -> dict[str, np.ndarray]:
    """The table of a rival on one map; one of other luminosity bins than edges (bins + 1,) of log10 L is refused."""
    table = read_csv(path, "a table of scripts/run_rival.py (CSV)")
    columns = (*COLUMNS, *QUANTILE_COLUMNS)
    if any(name not in table or table[name].dtype.kind != "f" for name in columns):
        raise problem(path, f"columns {', '.join(table)}", "the columns of run_rival.py's table", "make it again")
    if len(table["dn"]) != len(edges) - 1 or np.abs(table["log10_lum_lower"] - edges[:-1]).max() > 1e-5:
        expected = f"the {len(edges) - 1} of the posterior"
        raise problem(path, f"{len(table['dn'])} luminosity bins", expected, "give the rival of the same study")
    return table


def _read(posterior: Posterior, survey: SurveyMap, name: str, where: object) -> Reading:
    cube, noise = prepare_survey(survey, posterior.info, where)
    return Reading(name, *posterior_table(posterior, cube, noise=noise))


def _statistics(cube: np.ndarray, info: dict, noise) -> list[tuple[str, int, int, float, float, float]]:
    """Of each statistic: in how many of its numbers the map lies outside training, and the number that is farthest out."""
    rows = []
    for name, one in beside_training(cube, info, noise).items():
        off = one.below | one.above
        width = np.maximum(one.most - one.least, 1e-30)
        i = int(np.argmax(np.maximum(one.least - one.found, one.found - one.most) / width))
        rows.append((STATISTICS.get(name, name), int(off.sum()), len(off), one.found[i], one.least[i], one.most[i]))
    return rows


def inject(posterior: Posterior, survey: SurveyMap, shard: Path, where: object) -> Injections:
    """Light of known halos, filtered as the pipeline filters, added to the user's own map; shard: of clean maps."""
    known, rows = trained(posterior.info), read_shards([shard])
    check_geometry(rows.header.geometry, known.header.geometry, shard, TOLERANCE)
    labels = rows.header.truths["labels"]
    edges = log10_lum_edges(labels)
    dn = quantity(rows.y["n_above"][:, : labels["bins"] + 1], edges, 1.0, "dn")
    order = np.argsort(dn.sum(axis=1), kind="stable")
    chosen = np.sort(order[np.linspace(0, len(order) - 1, min(INJECTIONS, len(order))).astype(int)])
    light = torch.as_tensor(rows.x[chosen][:, 0])
    setting = posterior.info["observation"].get("filter")
    if setting:
        quiet = Filter.model_validate(setting).model_copy(update={"calibration_error": 0.0, "ripple_uk": 0.0})
        grid, _ = grid_of(known.header.geometry)
        pipeline = make_pipeline(quiet, grid, known.header)
        light = pipeline.before_noise(light, torch.Generator().manual_seed(0))
        light = pipeline.damped(light, weights_of(survey))
    n = known.header.geometry["pool_pixels"] ** 2 * known.header.geometry["pool_channels"]
    prior = np.asarray(posterior.info["label_statistics"]["percentiles"], np.float64)
    before = _read(posterior, survey, "", where).table
    lit = [
        replace(survey, temperature_uk=np.where(survey.mask, survey.temperature_uk + one, 0).astype(np.float32))
        for one in light.numpy() / n
    ]
    return injections_of(before, [_read(posterior, one, "", where).table for one in lit], dn[chosen], prior)


def injections_of(before: dict, after: list[dict], added: np.ndarray, prior: np.ndarray) -> Injections:
    """What tables of a map before and after say of sources added (n, k); prior: (5, k) percentiles of counts."""
    found = np.array([table["dn"] - before["dn"] for table in after])
    rise = [np.log10(1 + np.maximum(before["dn"] + more, 0)) - np.log10(1 + before["dn"]) for more in (found, added)]
    weights = np.array([weight_of_map(table, prior) for table in (before, *after)])
    base, alone = without_prior(before, prior), np.array([without_prior(table, prior) for table in after])
    read = (weights.min(axis=0) >= WEIGHT_LEAST) & (added.mean(axis=0) >= SOURCES_LEAST)
    error = half_width(prior[1], prior[3]) * np.sqrt(1 / np.where(read, weights[0], 1) - 1)  # of `base`
    slopes = []
    for off in (0, -1, 1):
        own = np.maximum(base + off * error, 0)
        expected = np.log10(10**own + added) - own
        of_data = response(np.where(read, alone - base, 0), np.where(read, expected, 0), smallest=0.02)
        slopes.append(np.where(read, of_data, np.nan))
    return Injections(
        added, found, response(*rise, smallest=0.02), weights[1:].mean(axis=0), slopes[0], np.array(slopes[1:])
    )


def weight_of_map(table: dict[str, np.ndarray], prior: np.ndarray) -> np.ndarray:
    """By how much of the truth's distance from the prior the answer moves, (k,): 1 − (σ/σ_prior)² in dex of 1 + counts.

    Of Gaussian prior and noise it is exact: an answer is the mean of the two, weighted by their inverse variances, and a
    calibrated posterior therefore follows added light with this slope, not with 1. σ: half of the middle 68 %.
    """
    own, wide = half_width(table["dn_q16"], table["dn_q84"]), half_width(prior[1], prior[3])
    return 1 - np.minimum(np.divide(own, wide, out=np.ones_like(own), where=wide > 0), 1) ** 2


def without_prior(table: dict[str, np.ndarray], prior: np.ndarray) -> np.ndarray:
    """log10(1 + counts) (k,) that the map alone says: the answer's distance from the prior's median, over its weight."""
    weight, middle = weight_of_map(table, prior), _dex(prior[2])
    return middle + np.divide(_dex(table["dn"]) - middle, weight, out=np.full_like(weight, np.nan), where=weight > 0)


def half_width(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Half of an interval of counts, in dex of 1 + counts."""
    return (_dex(high) - _dex(low)) / 2


def _dex(counts: np.ndarray) -> np.ndarray:
    return np.log10(1 + counts)
