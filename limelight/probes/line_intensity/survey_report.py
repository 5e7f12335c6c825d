"""All that must be known of one real map before its luminosity function is believed.

Is it like the training maps, statistic by statistic; what the posterior answers where no light can be (maps of random signs,
differences of splits); and whether halos that are added to this very map are found again.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.verdicts import READS, REMEMBERS, Audit, warning
from limelight.files import read_csv
from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
from limelight.inference.posteriors.posterior import Posterior
from limelight.probes.line_intensity.apply import posterior_table
from limelight.probes.line_intensity.apply_survey import as_cube, flipped, half_difference, prepare_survey
from limelight.probes.line_intensity.columns import COLUMNS, QUANTILE_COLUMNS
from limelight.probes.line_intensity.doubts import beside_training, doubts
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.survey_injections import Injections, inject

FLIPS = 6  # maps of random signs
# of the slope that simulated maps have: by so much, and three of their scatters, a map's own may differ
FOUND_AGAIN = 0.5
CLEARED = 0.1  # about 1, of simulated maps' slopes and of the map's own
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
        """Bins (k,) bool that the audit calls read and in which answers to simulated maps rise by 1 ± 0.1 of what was added.

        An answer leans on the prior, and on what the other bins say of this one: even a perfect posterior need not follow
        light of other skies by 1. Simulated maps say where it does.
        """
        expected = self.injections.expected
        follows = np.isfinite(self.injections.slope) & (np.abs(np.nan_to_num(expected) - 1) <= CLEARED)
        return follows & (self.audit.verdict == READS) if self.audit is not None else np.zeros_like(follows)

    @property
    def found_again(self) -> str:
        """Whether halos are found again in the bins that the audit clears, in one line."""
        if self.audit is None:
            return "The network was not audited: no bin is cleared."
        read, slope, expected = self.audit.verdict == READS, self.injections.slope, self.injections.expected
        as_simulated = (read & (np.abs(slope - expected) <= CLEARED)).sum()
        both = (
            f"The audit at this noise calls {read.sum()} bins read; in {as_simulated} of them the slope is within"
            f" {CLEARED:g} of that of simulated maps."
        )
        if not self.cleared.any():
            return f"{both} Simulated maps have a slope of 1 ± {CLEARED:g} in none of them: no bin is cleared."
        slopes = slope[self.cleared]
        held = int((np.abs(slopes - 1) <= CLEARED).sum())
        return (
            f"{both} In {len(slopes)} bins of these simulated maps have a slope of 1 ± {CLEARED:g}: there this map's is"
            f" {slopes.min():.2f} to {slopes.max():.2f}, and 1 ± {CLEARED:g} in {held} of them."
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
        injected = self.injections
        given = np.isfinite(injected.slope) & np.isfinite(injected.scatter)
        off = np.abs(injected.slope - injected.expected)
        lost = given & (off > np.maximum(FOUND_AGAIN * injected.expected, 3 * injected.scatter))
        if lost.any():
            words.append(
                f"halos added to the map are not found again in {lost.sum()} of {given.sum()} bins (slope more than"
                f" {FOUND_AGAIN:.0%} away from that of simulated maps): there the answer does not follow the map"
            )
        if not (injected.expected >= FOUND_AGAIN).any():
            words.append(
                "answers to simulated maps follow added light by less than half in every bin: whether it is found in this"
                " map cannot be tested"
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
