"""Halos that are added to a survey's own map, and whether an answer rises by them.

Light of simulated fields goes through the survey's pipeline as the sky's own does: a transfer function, and then modes that
depend on light and noise together. The same light is added to simulated maps under the same observation as well: what the
answers do there is what they should do here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limelight.data.shard import Rows, read_shards
from limelight.errors import problem
from limelight.evaluation.audit import response
from limelight.evaluation.predict import check_geometry
from limelight.inference.posteriors.posterior import Posterior
from limelight.probes.line_intensity.apply import TOLERANCE, posterior_table, trained
from limelight.probes.line_intensity.apply_survey import prepare_survey
from limelight.probes.line_intensity.inputs import CubeNoise, Recorded
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.maps.config import Filter
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.pipeline import Pipeline, make_pipeline
from limelight.probes.line_intensity.shards import grid_of
from limelight.seeds import torch_seed

INJECTIONS = 12
SIMULATED = 6  # maps, of fields whose counts are nearest to what the map is answered
WEIGHT_LEAST = 0.5  # of the map in its answer: below, the prior decides more of the answer than the map
SOURCES_LEAST = 10  # added on average, for a slope: what the audit asks for as well
SMALLEST_DEX = 0.02  # rise of the counts, root mean square, of which a slope is taken


@dataclass(frozen=True)
class Injections:
    """Halos added to the user's map; n maps, k bins."""

    added: np.ndarray  # (n, k) sources added in each bin
    found: np.ndarray  # (n, k) by how much the median answer rose
    # (k,) of found against added, both in dex of 1 + counts, through zero; NaN where nothing was added
    slope: np.ndarray
    # (k,) of the map in its answer, `weight_of_map`: what the slope is where bins know nothing of others
    weight: np.ndarray
    # (k,) slope of what the map alone says, `without_prior`; NaN where it weighs less than WEIGHT_LEAST or little was added
    data_slope: np.ndarray
    # (2, k) the same if the map held fewer or more sources before by one σ: what it holds is known from itself alone
    data_range: np.ndarray
    # (m, k) `slope` of m simulated maps that the same light was added to; none of a table of earlier answers
    simulated: np.ndarray

    @property
    def expected(self) -> np.ndarray:
        """The slope (k,) of answers to simulated maps, their mean; NaN where it is not given."""
        given = np.isfinite(self.simulated)
        total = np.where(given, self.simulated, 0).sum(axis=0)
        return np.divide(total, given.sum(axis=0), out=np.full(total.shape, np.nan), where=given.any(axis=0))

    @property
    def scatter(self) -> np.ndarray:
        """By how much simulated maps differ in it (k,): the standard deviation; NaN of fewer than two."""
        given = np.isfinite(self.simulated)
        squares = np.where(given, self.simulated - self.expected, 0) ** 2
        left = given.sum(axis=0) - 1
        return np.sqrt(np.divide(squares.sum(axis=0), left, out=np.full(left.shape, np.nan), where=left > 0))


def inject(posterior: Posterior, survey: SurveyMap, shard: Path, where: object) -> Injections:
    """Light of known halos added to the user's own map, and to simulated ones; shard: of clean maps.

    Both go through the pipeline with the light in them. The map's own modes, which were taken once, count again when
    it looks for the brightest ones, so that the map loses no others unless the light is brighter still.
    """
    known, rows = trained(posterior.info), read_shards([shard])
    check_geometry(rows.header.geometry, known.header.geometry, shard, TOLERANCE)
    refuse_learnt(rows, posterior.info, shard)
    dn = counts_of(rows)
    if len(dn) < 2:
        raise problem(
            shard, f"{len(dn)} maps", "two at least: one's light is added to the others", "give a shard of more"
        )
    order = np.argsort(dn.sum(axis=1), kind="stable")
    chosen = np.sort(order[np.linspace(0, len(order) - 1, min(INJECTIONS, len(order) - 1)).astype(int)])
    cube, noise = prepare_survey(survey, posterior.info, where)
    pipeline = pipeline_of(posterior)
    refuse_few_channels(pipeline, noise, where)
    before = posterior_table(posterior, cube, noise=noise)[0]
    light = sky_after(pipeline, torch.as_tensor(rows.x[chosen][:, 0]))
    others = np.setdiff1d(np.arange(len(dn)), chosen)
    far = np.abs(np.log10(1 + dn[others]) - np.log10(1 + before["dn"])).mean(axis=1)
    alike = sky_after(pipeline, torch.as_tensor(rows.x[others[np.argsort(far, kind="stable")[:SIMULATED]]][:, 0]))
    drawn = [torch.Generator().manual_seed(torch_seed(0, "injections", i)) for i in range(len(alike))]
    alike = alike + torch.cat([noise_of(pipeline, noise, one) for one in drawn])
    slopes = []
    for one in alike:
        tables = [_answer(posterior, lit, noise) for lit in published(pipeline, one + with_none(light), noise)]
        slopes.append(rise_slope(tables[0], tables[1:], dn[chosen]))
    own = torch.as_tensor(cube)[None]
    lost = None if pipeline is None else pipeline.lost_before(recorded(own, noise), recorded(alike, noise))
    lit = published(pipeline, own + light, noise, lost)
    prior = np.asarray(posterior.info["label_statistics"]["percentiles"], np.float64)
    return injections_of(before, [_answer(posterior, one, noise) for one in lit], dn[chosen], prior, np.array(slopes))


def refuse_learnt(rows: Rows, info: dict, shard: Path) -> None:
    """Refuse light that the network learnt from: that it knows again, and finds without seeing it."""
    splits = json.loads(info.get("provenance", {}).get("settings", "{}")).get("splits", {})
    if learnt := sorted(set(rows.group.tolist()) & set(splits.get("train", []))):
        fix = "give a shard of test light-cones"
        raise problem(shard, f"realisations {learnt}, which taught the network", "ones that it has never seen", fix)


def refuse_few_channels(pipeline: Pipeline | None, noise: CubeNoise, where: object) -> None:
    """Refuse a map of no more channels than modes that were removed: nothing is left of it, nor of light added to it."""
    modes = pipeline.setting.pca_modes if pipeline is not None else 0
    channels = int(noise.observed.any(axis=(0, 1)).sum())
    if modes and channels <= modes:
        found = f"{channels} channels with data of which {modes} modes are removed"
        raise problem(
            where, found, f"more than {modes} channels", "unmask channels: nothing is left of a map of so few"
        )


def with_none(light: Tensor) -> Tensor:
    """Light (n + 1, x, y, f) of which the first is none."""
    return torch.cat([torch.zeros_like(light[:1]), light])


def counts_of(rows: Rows) -> np.ndarray:
    """Sources of each map in each luminosity bin, (n, k)."""
    labels = rows.header.truths["labels"]
    return quantity(rows.y["n_above"][:, : labels["bins"] + 1], log10_lum_edges(labels), 1.0, "dn")


def pipeline_of(posterior: Posterior) -> Pipeline | None:
    """What the survey does to its maps, without ripples and errors of the calibration; None: nothing."""
    setting = posterior.info["observation"].get("filter")
    if not setting:
        return None
    header = trained(posterior.info).header
    return make_pipeline(Filter.model_validate(setting), grid_of(header.geometry)[0], header).silent()


def sky_after(pipeline: Pipeline | None, light: Tensor) -> Tensor:
    """Light (n, x, y, f) as it stands in a noisy map before means and modes are taken off."""
    return light if pipeline is None else pipeline.before_noise(light, torch.Generator().manual_seed(0))


def noise_of(pipeline: Pipeline | None, noise: CubeNoise, random: torch.Generator) -> Tensor:
    """A draw of the survey's noise (1, x, y, f)."""
    white = torch.randn((1, *noise.sigma.shape), generator=random)
    shaped = pipeline.shape_noise if pipeline is not None else None
    return (white if shaped is None else shaped(white)) * torch.as_tensor(noise.sigma)


def recorded(noisy: Tensor, noise: CubeNoise) -> Recorded:
    """Noisy maps (n, x, y, f) with their noise; 0 where the survey saw nothing."""
    seen = torch.as_tensor(noise.observed)[None]
    return Recorded(torch.where(seen, noisy, 0.0), torch.as_tensor(noise.sigma)[None], seen)


def published(pipeline: Pipeline | None, noisy: Tensor, noise: CubeNoise, lost: Tensor | None = None) -> Tensor:
    """What the survey publishes of noisy maps (n, x, y, f): 0 where it saw nothing, without means and modes.

    lost: of maps that have lost modes before (Pipeline.lost_before).
    """
    found = recorded(noisy, noise)
    return found.maps if pipeline is None else torch.where(found.observed, pipeline.after_noise(found, lost), 0.0)


def _answer(posterior: Posterior, cube: Tensor, noise: CubeNoise) -> dict[str, np.ndarray]:
    return posterior_table(posterior, cube.numpy(), noise=noise)[0]


def rise_slope(before: dict, after: list[dict], added: np.ndarray) -> np.ndarray:
    """Slope (k,) of what answers rise by against what was added (n, k), in dex of 1 + counts; NaN where that is little."""
    base = before["dn"]
    found, true = ([np.log10(1 + one) for one in many] for many in ([table["dn"] for table in after], base + added))
    start = np.log10(1 + base)
    slope = response(np.array(found) - start, np.array(true) - start, smallest=SMALLEST_DEX)
    return np.where(added.mean(axis=0) >= SOURCES_LEAST, slope, np.nan)


def injections_of(
    before: dict, after: list[dict], added: np.ndarray, prior: np.ndarray, simulated: np.ndarray | None = None
) -> Injections:
    """What tables of a map before and after say of sources added (n, k).

    prior: (5, k) percentiles of counts; simulated: (m, k) slopes of simulated maps.
    """
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
        of_data = response(np.where(read, alone - base, 0), np.where(read, expected, 0), smallest=SMALLEST_DEX)
        slopes.append(np.where(read, of_data, np.nan))
    return Injections(
        added,
        found,
        response(*rise, smallest=SMALLEST_DEX),
        weights[1:].mean(axis=0),
        slopes[0],
        np.array(slopes[1:]),
        np.empty((0, added.shape[1])) if simulated is None else simulated,
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
