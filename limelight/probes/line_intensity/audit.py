"""The audit's interventions on line maps: dimming, another map laid over, sources painted on. Truths change exactly."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.evaluation.audit import Intervention, Question, pick, response
from limelight.probes.line_intensity.interventions import allowed_extra, count_extra, dim, light_of_extra, undimmed
from limelight.probes.line_intensity.presentation import LinePresentation, dim_steps
from limelight.seeds import generator

MIN_CHANGE = 0.03  # dex: where dimming changes a bin's truth by less, the bin cannot be asked


def line_interventions() -> dict[str, Callable[[Question], Intervention]]:
    """By name; the audit's table has a column `<name>_response` for each."""
    return {"dimming": dimming, "superposing": superposing, "adding": adding}


def line_invariances(presentation: LinePresentation) -> dict[str, Callable[[Question], np.ndarray]]:
    """A constant, for networks that need no zero level; and what stands in masked voxels, for those shown masked maps."""
    found = {}
    if not presentation.uses_zero_level:
        found["zero_level"] = moved_zero_level
    if any(mask is not None for mask in presentation.masks):
        found["masked"] = filled_mask
    return found


def moved_zero_level(question: Question) -> np.ndarray:
    """Change of the answers (m, k) when a constant of ten times the map's own spread is added to every recorded voxel."""
    return _changed(question, added_uk=10 * _spread(question))


def filled_mask(question: Question) -> np.ndarray:
    """Change of the answers (m, k) when masked voxels hold a hundred times the map's own spread."""
    return _changed(question, unseen_uk=100 * _spread(question))


def _spread(question: Question) -> float:
    """Standard deviation of recorded voxels, noise and all."""
    random = torch.Generator().manual_seed(0)
    maps = question.presentation.record(torch.as_tensor(question.few.x[:4, 0]), random).maps
    return float(maps.std())


def _changed(question: Question, **change: float) -> np.ndarray:
    return question.ask(question.few.x, replace(question.presentation, **change)) - question.before


def dimming(question: Question) -> Intervention:
    """Every source is dimmed by some whole bins.

    response (k,): of all steps together; details: bins_down (s,) and response (s, k) of each step.
    """
    few, presentation, options = question.few, question.presentation, question.settings.options
    start = question.truth({**few.y, "n_above": undimmed(few.y["n_above"])})
    steps = sorted({min(k, dim_steps(presentation.bin_width)) for k in options.dim_bins})
    changes = []
    for k in steps:
        maps, n_above = dim(few.x[:, 0], few.y["n_above"], k, presentation.bin_width)
        after = question.truth({**few.y, "n_above": n_above})
        changes.append((question.ask(maps[:, None]) - question.before, after - start))
    smallest = MIN_CHANGE if presentation.target.transform != "none" else 0.0
    each = np.array([response(*change, smallest) for change in changes])
    together = response(*(np.concatenate(column) for column in zip(*changes, strict=True)), smallest)
    return Intervention(together, {"bins_down": np.array(steps), "response": each})


def superposing(question: Question) -> Intervention:
    """Another test map is laid over each: its light and its counts are added, and both stay exact."""
    own = question.rows
    rows = pick(len(own), question.settings.options.response_maps)
    few, over = own[rows], own[(rows + len(own) // 2) % len(own)]
    after = question.truth({**few.y, "n_above": few.y["n_above"] + over.y["n_above"]})
    change = question.ask(few.x + over.x) - question.before
    return Intervention(response(change, after - question.truth(few.y)))


def adding(question: Question) -> Intervention:
    """More sources of one bin at random places, add_fraction of its mean count; none that the dataset's cut leaves out.

    response (k,): of the bin that was painted; details: response (bin painted, bin asked), for one dex of sources.
    """
    few, presentation, seed = question.few, question.presentation, question.settings.evaluation.trained.seed
    n_above = few.y["n_above"]
    all_edges = presentation.target.edges[0] + presentation.bin_width * np.arange(n_above.shape[1])
    cosmology = Cosmology(**question.simulation["cosmology"])
    dn = np.asarray(n_above[:, :-1] - n_above[:, 1:])
    start, bins = question.truth(few.y), presentation.target.bins
    every = [settings.maps.dataset for settings in question.settings.datasets.values()]
    line_models = [every[number] for number in few.dataset]
    name = question.settings.evaluation.trained.name
    found = np.empty((bins, bins))
    for j in range(bins):
        extra = np.zeros(dn.shape, np.int64)
        extra[:, j] = max(1, round(question.settings.options.add_fraction * dn[:, j].mean()))
        extra = np.array([allowed_extra(row, all_edges, own) for row, own in zip(extra, line_models, strict=True)])
        light = []
        for i, (more, own) in enumerate(zip(extra, line_models, strict=True)):
            rng, center = generator(seed, f"added sources, audit of {name}", j, i), few.rows["center_deg"][i]
            beam = presentation.beam_fwhm_arcmin
            light.append(light_of_extra(more, all_edges, presentation.grid, beam, center, cosmology, rng, own))
        after = question.truth({**few.y, "n_above": count_extra(n_above, extra)})
        change = question.ask(few.x + np.array(light)[:, None]) - question.before
        found[j] = response(change, np.repeat((after - start)[:, j : j + 1], bins, axis=1))
    return Intervention(np.diagonal(found).copy(), {"response": found})
