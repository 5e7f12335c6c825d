"""The stages of an observed rival: simulations from training shards, posteriors of a test's maps and of a real one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limelight.cosmology import Cosmology
from limelight.data.shard import Header, Rows, read_shards
from limelight.errors import problem
from limelight.evaluation.observe import noise_of_test
from limelight.files import settings_hash
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.inference.intervals import Intervals, evenly, quantiles_of, read_intervals
from limelight.inference.posteriors.tables import dequantised, whole_counts
from limelight.inference.recalibration import learnt_from, recalibrated
from limelight.probes.line_intensity.apply import table_of_draws
from limelight.probes.line_intensity.apply_survey import survey_cube
from limelight.probes.line_intensity.config import LineNetwork, Preprocessing
from limelight.probes.line_intensity.inputs import Recorded, recorded
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.presentation import LinePresentation, line_presentation
from limelight.probes.line_intensity.rival.emulator import feature_histogram
from limelight.probes.line_intensity.rival.fields import prepare_fields
from limelight.probes.line_intensity.rival.observed import (
    ObservedEmulator,
    ObservedMeasure,
    ObservedRival,
    make_observed_rival,
    observed_measure,
)
from limelight.probes.line_intensity.rival.rival import LIKELIHOOD, luminosity_functions, sample_posterior
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.probes.line_intensity.rival.stage import EMULATOR_ERROR, UNDERLYING
from limelight.probes.line_intensity.settings import LineObservation, ObservedEmulatorSettings, ObservedRivalSettings
from limelight.probes.line_intensity.shards import line_header
from limelight.probes.line_intensity.targets import line_axis, line_target
from limelight.progress import progress
from limelight.section import plain, without
from limelight.seeds import generator, torch_seed
from limelight.training.symmetries import draw_symmetry, symmetry

BATCH = 16  # maps that are observed together
KEPT = ("underlying", "sigma_uk", "chi2", "rhat", "ess", "autocorrelation", "acceptance")
SAME_DEPTH = 0.04  # dex: how far a map's σ may lie outside the simulations'
SAME_LAYOUT = 0.1  # dex: by how much its pattern may differ from theirs
SAME_MASK = 0.05  # of the voxels: share that only one of map and simulations has seen


def recorder(observation: LineObservation, header: Header) -> LinePresentation:
    """What records maps as tests have them, for what is no network."""
    bare = LineNetwork.model_construct(preprocessing=Preprocessing(transform="none", scale_uk=1.0))
    return line_presentation(bare, observation, header, line_target("dn", "log10_1p", (), header))


def measure_of(settings: ObservedEmulatorSettings, observation: str, header: Header) -> ObservedMeasure:
    """The rival's summaries under one of its observations."""
    pipeline = settings.observations[observation].filter
    means_of = "map" if pipeline is None or pipeline.means == "kept" else "channels"
    cosmology = Cosmology(**header.simulation["cosmology"])
    return observed_measure(settings.options, settings.shards.grid, cosmology, means_of)


def observed_emulator(
    settings: ObservedEmulatorSettings, subfields: Sequence[str | Path], shards: Sequence[str | Path]
) -> ObservedEmulator:
    """Summaries of the training maps under each observation; subfields and shards: of the training light-cones."""
    rows, dataset = read_shards(shards), settings.shards.maps.dataset
    if strange := sorted(set(rows.group.tolist()) - set(settings.train)):
        expected = f"training light-cones {settings.train}"
        raise problem("--data", f"light-cones {strange}", expected, "give those: the test must stay unseen")
    count = settings.options.simulations
    chosen = evenly(len(rows), count) if count < len(rows) else np.arange(count) % len(rows)
    data, depths = {}, {}
    for name in settings.observations:
        records = recorder(settings.observations[name], rows.header)
        measure, parts, sigmas = measure_of(settings, name, rows.header), [], []
        for first in progress(range(0, len(chosen), BATCH), f"observe: {name}"):
            random = torch.Generator().manual_seed(torch_seed(settings.seed, "observed rival", first))
            clean = torch.as_tensor(rows.x[chosen[first : first + BATCH], 0])
            if not settings.shards.grid.survey:  # by which light counts where it was painted
                clean = symmetry(clean, *draw_symmetry(len(clean), True, True, random))
            found = records.record(clean, random)
            parts.append(measure(found))
            sigmas.append(measure.depth(found))
        data[name], depths[name] = np.concatenate(parts), np.concatenate(sigmas)
    counts, weight, edges, volumes = _features(settings, subfields, measure)
    return ObservedEmulator(dataset.model, rows.theta[chosen], data, depths, counts, weight, edges, volumes)


def _features(
    settings: ObservedEmulatorSettings, paths: Sequence[str | Path], measure: ObservedMeasure
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(counts, weight, edges) of emulator.feature_histogram, weight for a map's mean; volumes (r,)."""
    shape, fields = get_shape(settings.shards.maps.dataset.model), []
    pooled = measure.grid
    sides = {"pixels": pooled.pixels // pooled.pool_pixels, "channels": pooled.channels // pooled.pool_channels}
    coarse = replace(pooled, **sides, pool_pixels=1, pool_channels=1)
    for path in progress(paths, "read light-cones"):
        table = read_subfields(path)
        if table.lightcone not in settings.train:
            expected = f"training light-cones {settings.train}"
            raise problem(path, f"light-cone {table.lightcone}", expected, "give those: the test must stay unseen")
        fields += prepare_fields(table, read_subfield_halos(path), shape, coarse)
    counts, weight, edges = feature_histogram(fields)
    return counts, weight / coarse.voxels, edges, np.array([field.volume_mpc3 for field in fields])


@dataclass(frozen=True)
class Sampler:
    """Draws posteriors of recorded maps under one observation, chain files in a folder of their own."""

    settings: ObservedRivalSettings
    rival: ObservedRival
    folder: Path
    key: str
    recalibration: tuple[Tensor, Tensor] | None = None  # of inference.recalibration, learnt from validation maps

    def draw(self, found: Recorded, volume_mpc3: float, edges: np.ndarray, *index: int) -> dict[str, np.ndarray]:
        """The posterior of one recorded map: its counts (s, bins), mean counts, parameters (s, p), σ, diagnostics.

        index: keys the random streams and the chains.
        """
        seed, measure = self.settings.emulator.seed, self.rival.measure
        (data,), (depth,) = measure(found), measure.depth(found)
        rival = self.rival if self.rival.depth is None else replace(self.rival, depth=depth)
        samples, checks = sample_posterior(rival, data, self.settings.options, self.folder, self.key, seed, *index)
        rng = generator(seed, "rival luminosity functions", *index)
        counts, means = luminosity_functions(rival, samples, edges, volume_mpc3, rng)
        if self.recalibration is not None:
            counts = self._recalibrated(counts, torch_seed(seed, "recalibrated rival", *index))
        fit, _, places = rival.predict(samples.astype(np.float64))
        chi2 = rival.hartlap * rival.chi2(fit, places, data)[0].min()
        underlying = np.quantile(means, UNDERLYING, axis=0).T
        made = {"counts": counts, "samples": samples, "underlying": underlying, "sigma_uk": 10.0**depth, "chi2": chi2}
        return {**made, "numbers": np.array(len(data)), **checks}

    def _recalibrated(self, counts: np.ndarray, seed: int) -> np.ndarray:
        """Counts (s, bins) at even ranks, as far as the validation maps tell."""
        y = dequantised(torch.from_numpy(counts), torch.Generator().manual_seed(seed))
        return whole_counts(recalibrated(y[None], *self.recalibration)[0]).numpy()


def make_sampler(
    settings: ObservedRivalSettings,
    emulator: ObservedEmulator,
    header: Header,
    chains: str | Path,
    calibration: str | Path | None = None,
) -> Sampler:
    """Of one test's observation; chains are kept below `chains`, keyed by settings and simulations.

    calibration: intervals of the validation maps under this observation, which recalibrate the counts.
    """
    name, dataset = settings.observed_as, settings.emulator.shards.maps.dataset
    if name not in emulator.data:
        expected = f"one of {', '.join(emulator.data)}"
        raise problem("rival", f"no simulations of '{name}'", expected, "make its emulator again")
    model, shape = get_model(dataset.model, dataset.parameters), get_shape(dataset.model)
    measure = measure_of(settings.emulator, name, header)
    rival = make_observed_rival(emulator, model, shape, dataset, settings.options, measure, name)
    options = without(settings.options, "maps", "validation_maps")
    decides = [replace(settings, options=options), float(emulator.data[name].sum())]
    key = settings_hash([*decides, LIKELIHOOD])
    return Sampler(settings, rival, Path(chains) / key, key, learnt_from_validation(settings, calibration))


def learnt_from_validation(settings: ObservedRivalSettings, path: str | Path | None) -> tuple[Tensor, Tensor] | None:
    """How a rival's counts must move, by those of maps of known truth in an intervals file; None: they stay."""
    asked = settings.options.validation_maps and not settings.validation
    if bool(asked) != (path is not None):
        found = "no intervals of validation maps" if asked else f"{path}, of a rival without validation_maps"
        raise problem("--calibration", found, "them where the rival has validation_maps, and there alone", "mend it")
    if path is None:
        return None
    known = read_intervals(path)
    own = known.settings.get("rival"), known.settings.get("validation_of")
    if own != (settings.emulator.name, settings.observed_as):
        expected = f"those of rival {settings.emulator.name} on validation maps observed as test {settings.test} is"
        raise problem(
            path, f"intervals of {known.method} on {known.test}", expected, "run_rival.py --validation makes them"
        )
    random = torch.Generator().manual_seed(torch_seed(settings.emulator.seed, "truths of validation maps"))
    return learnt_from(
        *(dequantised(torch.as_tensor(one, dtype=torch.float64), random) for one in (known.samples, known.truth))
    )


def observed_intervals(
    settings: ObservedRivalSettings,
    emulator: ObservedEmulator,
    shards: Sequence[str | Path],
    chains: str | Path,
    timed: bool = False,
    calibration: str | Path | None = None,
) -> Intervals:
    """Posteriors of the chosen maps of one test, with the very noise that networks see; shards: of the test.

    `timed`: whether to keep the seconds; calibration: as of `make_sampler`.
    """
    rows, which = read_shards(shards), "validation" if settings.validation else "test"
    if strange := sorted(set(rows.group.tolist()) ^ set(settings.lightcones)):
        expected = f"the {which} light-cones {settings.lightcones}, each once"
        raise problem("--data", f"{strange} missing or not of them", expected, "give those")
    sampler = make_sampler(settings, emulator, rows.header, chains, calibration)
    records = recorder(settings.emulator.observations[settings.observed_as], rows.header)
    edges, seed = log10_lum_edges(rows.header.truths["labels"]), settings.emulator.seed
    chosen, found = evenly(len(rows), settings.options.maps), []
    for row in progress(chosen.tolist(), "rival"):
        start = time.perf_counter()
        noise = f"validation maps as {settings.test}" if settings.validation else noise_of_test(settings.test)
        random = torch.Generator().manual_seed(torch_seed(seed, noise, row))
        one = records.record(torch.as_tensor(rows.x[row])[:1, :], random)
        found.append(sampler.draw(one, float(rows.y["volume_mpc3"][row]), edges, row))
        found[-1]["seconds"] = (time.perf_counter() - start) * timed
    drawn = {name: np.array([one[name] for one in found]) for name in found[0]}
    return _as_intervals(settings, sampler, rows, chosen, drawn)


def _as_intervals(
    settings: ObservedRivalSettings, sampler: Sampler, rows: Rows, chosen: np.ndarray, drawn: dict[str, np.ndarray]
) -> Intervals:
    """The intervals file's content from the posteriors of m maps; drawn: (m, ...) each."""
    rival, is_recalibrated = sampler.rival, sampler.recalibration is not None
    emulator, dataset = settings.emulator, settings.shards.maps.dataset
    observation = emulator.observations[settings.observed_as]
    edges = log10_lum_edges(rows.header.truths["labels"])
    records = recorder(observation, rows.header)
    (noise,), ((low, high),) = observation.noise.values(), records.noise
    error = np.sqrt(
        rival.leverage
    )  # the mean has h times a map's covariance: √h of its σ is what a parameter is shifted by
    own = emulator.shards.maps.dataset
    return Intervals(
        method=f"rival {emulator.name}: weighted P(k) + VID" + (", recalibrated" if is_recalibrated else ""),
        test=settings.test,
        settings={
            "dataset": settings.shards.maps.name,
            "line_model": {"name": settings.shards.maps.name, **plain(dataset)},
            "noise": plain(noise),
            "noise_sigma_uk": low if low == high else [low, high],
            "foregrounds": plain(observation.foregrounds) if observation.foregrounds else "none",
            **({"filter": plain(observation.filter)} if observation.filter else {}),
            "rival": emulator.name,
            **({"validation_of": settings.observed_as} if settings.validation else {}),
            "prior": own.prior,
            "emulator_error_sigma": np.quantile(error, EMULATOR_ERROR).tolist(),
        },
        axis=line_axis(edges),
        truth=quantity(rows.y["n_above"][chosen][:, : len(edges)], edges, 1.0, "dn"),
        quantiles=quantiles_of(drawn["counts"]),
        rows={key: values[chosen] for key, values in rows.identifiers.items()},
        seconds=drawn["seconds"],
        samples=drawn["counts"],
        parameter_samples=drawn["samples"],
        parameters=rows.theta[chosen] if dataset.model == own.model else None,
        parameter_names=list(get_model(own.model, own.parameters).parameters),
        extra={
            "row": chosen,
            **{name: drawn[name] for name in KEPT},
        },
    )


def map_posterior(
    settings: ObservedRivalSettings,
    emulator: ObservedEmulator,
    survey: SurveyMap,
    chains: str | Path,
    where: object,
    calibration: str | Path | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(luminosity function of one real map on the study's voxels as apply.posterior_table has it, diagnostics).

    The map is taken to be observed as the settings' test is; another σ, mask or pattern of σ is refused.
    """
    return one_map(make_sampler(settings, emulator, header_of(settings), chains, calibration), survey, where)


def one_map(sampler: Sampler, survey: SurveyMap, where: object) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What `map_posterior` gives, of a sampler that several maps share."""
    header, shards = header_of(sampler.settings), sampler.settings.shards
    found = recorded(*survey_cube(survey, header, where))
    measure = sampler.rival.measure
    _check_survey(survey, measure, where)
    _check_noise(found, sampler, header, where)
    key = settings_hash([sampler.key, measure(found).tolist()])  # the chains of no other map are resumed
    volume, edges = (
        shards.grid.volume_mpc3(shards.maps.cosmology, (0.0, 0.0)),
        log10_lum_edges(plain(shards.maps.labels)),
    )
    drawn = replace(sampler, folder=sampler.folder.parent / key, key=key).draw(found, volume, edges, 0)
    return table_of_draws(drawn["counts"], edges, volume), drawn


def header_of(settings: ObservedRivalSettings) -> Header:
    """The header of maps on the study's voxels."""
    shards = settings.shards
    return line_header(shards.grid, shards.beam_fwhm_arcmin, plain(shards.maps.labels), plain(shards.maps.cosmology))


def _check_survey(survey: SurveyMap, measure: ObservedMeasure, where: object) -> None:
    """Refuse a map without σ, and one without means of channels which simulations have."""
    if not survey.has_noise:
        fix = "plan the study of a map with it (scripts/plan.py)"
        raise problem(f"{where}: sigma_uk", "no σ of the noise", "the σ of every voxel", fix)
    if survey.means_removed and measure.means_of != "channels":
        fix = "name a test whose filter takes them off"
        raise problem(where, "a map without the means of its channels", "one with them, as the test's are", fix)


def _check_noise(found: Recorded, sampler: Sampler, header: Header, where: object) -> None:
    """Refuse a recorded map whose mask, pattern of σ or depth is not that of the simulations: they know no other."""
    settings, rival, fix = sampler.settings, sampler.rival, "make a study for this map (scripts/plan.py)"
    test, name = settings.test, settings.observed_as
    records = recorder(settings.emulator.observations[name], header)
    simulated = records.record(torch.zeros(1, *header.shape[1:]), torch.Generator().manual_seed(0)).weights.double()
    weights = found.weights.double()
    both = (weights > 0) & (simulated > 0)
    differ = float(((weights > 0) != (simulated > 0)).double().mean())
    if differ > SAME_MASK or not both.any():
        raise problem(f"{where}: mask", f"{differ:.0%} of the voxels unlike it", f"the mask of the test {test}", fix)
    ratio, count = -0.5 * torch.log10(weights[both] / simulated[both]), weights[both]
    spread = float(((ratio - (count * ratio).sum() / count.sum()).square() * count).sum() / count.sum()) ** 0.5
    if spread > SAME_LAYOUT:
        words = f"voxels whose σ differs from it by {10**spread - 1:.0%}"
        raise problem(f"{where}: sigma_uk", words, f"a σ that varies as that of the test {test}", fix)
    (depth,), depths = rival.measure.depth(found), rival.emulator.depths[name]
    low, high = depths.min() - SAME_DEPTH, depths.max() + SAME_DEPTH
    if not low <= depth <= high:
        expected = f"{10**low:.3g} to {10**high:.3g} µK, as in the test {test}"
        fix = "name a test whose noise has a sigma_factor that holds it: [low, high]"
        raise problem(f"{where}: sigma_uk", f"{10**depth:.3g} µK", expected, fix)
