"""What a survey's map is, in words."""

from collections.abc import Iterator

import numpy as np

from limelight.probes.line_intensity.maps.cube import in_words
from limelight.probes.line_intensity.maps.survey import EQUAL, SurveyMap

DEEP_SHARE = 0.1  # of the observed voxels, the deepest: their largest σ is called the depth
DEEP_TIMES = 2.0  # the depth, up to which a pixel counts as deep
WEIGHT_WITHIN = 0.9  # of 1/σ² that a field should hold where modes were removed: what shines beyond made them, too
AS_TOLD = (0.7, 1.4)  # of differences between channels over what σ says: beyond, σ is not that of the map


def survey_words(survey: SurveyMap) -> Iterator[str]:
    """Lines about a survey's map: what was read, field, band, what was observed, σ, zero level."""
    nx, ny, nf = survey.mask.shape
    (dx, dy), (ra, dec) = survey.pixel_deg, survey.center_deg
    low, high = survey.frequency_ghz[0] - survey.channel_ghz / 2, survey.frequency_ghz[-1] + survey.channel_ghz / 2
    yield f"read: {survey.source}"
    yield f"field: {nx * dx:.3g}° × {ny * dy:.3g}° about RA {ra:.4f}°, Dec {dec:.4f}°"
    yield f"pixels: {60 * dx:.4g}′ × {60 * dy:.4g}′"
    yield f"band: {low:.6g} to {high:.6g} GHz; {nf} channels of {1000 * survey.channel_ghz:.5g} MHz"
    beam = f"{survey.beam_fwhm_arcmin:.4g}′" if survey.beam_fwhm_arcmin else "none"
    yield f"beam: {beam}; main-beam efficiency that values were divided by: {survey.efficiency:g}"
    gone = ~survey.mask.any(axis=(0, 1))
    channels = f"; channels without any: {in_words(gone)} of {nf}" if gone.any() else ""
    yield f"observed: {100 * survey.mask.mean():.3g} % of the voxels{channels}"
    if survey.has_noise:
        yield from _noise_words(survey)
    else:
        yield "σ: the file has none (--sigma, or --noise FILE, gives it)"
    taken = f"{survey.modes_removed} PCA modes" if survey.modes_removed else ""
    level = "means of channels" if survey.means_removed else ""
    both = " and ".join(filter(None, (level, taken)))
    yield f"removed by the pipeline: {both or 'nothing that the file says'}"


def _noise_words(survey: SurveyMap) -> Iterator[str]:
    sigma, depth = survey.sigma_uk[survey.mask], survey_depth(survey)
    area = (pixel_sigma(survey) <= DEEP_TIMES * depth).sum() * np.prod(survey.pixel_deg)
    yield f"σ per voxel: {depth:.4g} µK at most in the deepest tenth, median {np.median(sigma):.4g}, up to {sigma.max():.4g}"
    yield f"deep: {area:.3g} deg² with at most {DEEP_TIMES:g} times that"
    ratio = noise_ratio(survey)
    if np.isfinite(ratio):
        off = "" if AS_TOLD[0] <= ratio <= AS_TOLD[1] else ": WARNING, this is not the noise of this map"
        yield f"neighbouring channels differ {ratio:.3g} times as much as σ says{off}"


def survey_depth(survey: SurveyMap) -> float:
    """The largest σ (µK) of the deepest tenth of the observed voxels."""
    return float(np.quantile(survey.sigma_uk[survey.mask], DEEP_SHARE))


def pixel_sigma(survey: SurveyMap) -> np.ndarray:
    """The usual σ of a voxel in each pixel (x, y): the root of the mean 1/σ² over channels, inverted; inf where unseen."""
    with np.errstate(divide="ignore"):
        weight = np.where(survey.mask, 1 / np.maximum(survey.sigma_uk.astype(np.float64), 1e-30) ** 2, 0)
        return 1 / np.sqrt(weight[..., survey.mask.any(axis=(0, 1))].mean(axis=2))


def noise_ratio(survey: SurveyMap) -> float:
    """How much neighbouring channels differ over what σ says: 1 for white noise; NaN where too few were observed."""
    both = survey.mask[..., 1:] & survey.mask[..., :-1]
    if both.sum() < 100:
        return np.nan
    sigma = np.hypot(survey.sigma_uk[..., 1:][both], survey.sigma_uk[..., :-1][both])
    differences = np.diff(survey.temperature_uk, axis=2)[both] / sigma
    return float(1.4826 * np.median(np.abs(differences)))


def modes_in_words(survey: SurveyMap, made: SurveyMap, block: float) -> list[str]:
    """Where simulations do not lose quite the modes that the file lost.

    made: the map on the study's voxels; block: pixels of its own along one of these.
    """
    within, whole = (np.square(1 / one.sigma_uk[one.mask].astype(np.float64)).sum() for one in (made, survey))
    advice, words = "if single sources stand far above the noise (docs/your_map.md)", []
    if within < WEIGHT_WITHIN * whole:
        words.append(
            f"modes: {100 * (1 - within / whole):.2g} % of the weight (1/σ²) under which the file's were taken lies outside"
            f" the field, with light of its own; give a larger --size-deg {advice}"
        )
    if block > 1 + EQUAL:
        words.append(
            f"modes: the file's are of pixels {block:.3g} times smaller than the study's; give more --hours or a smaller"
            f" --size-deg {advice}"
        )
    return words


def what_was_done(survey: SurveyMap, made: SurveyMap, edges: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[str]:
    """How the map came onto the study's voxels, in words; edges: of these along x and y (degrees) and frequency (GHz)."""
    old, new = survey.temperature_uk.shape, made.temperature_uk.shape
    size = float(edges[0][-1] - edges[0][0])
    area = size**2 / (old[0] * survey.pixel_deg[0] * old[1] * survey.pixel_deg[1])
    middle = [round(float(one[0] + one[-1]) / 2, 3) + 0.0 for one in edges[:2]]
    words = [
        f"field: the middle {size:.3g}° × {size:.3g}° of the map ({100 * area:.2g} % of it), about"
        f" {middle[0]:+g}°, {middle[1]:+g}° of its centre",
    ]
    steps = *survey.pixel_deg, survey.channel_ghz
    blocks = [np.diff(one).mean() / step for one, step in zip(edges, steps, strict=True)]
    how = "whole blocks of voxels" if all(abs(b - round(b)) < 1e-6 for b in blocks) else "voxels cut at new edges"
    words.append(
        f"voxels: {' × '.join(map(str, old))} to {' × '.join(map(str, new))}, means of {how}"
        f" ({' × '.join(f'{b:.4g}' for b in blocks)}) weighted by 1/σ²"
    )
    cut = len(survey.frequency_ghz) - round(blocks[2] * new[2])
    if cut:
        words.append(f"band: {cut} of {old[2]} channels at its ends left out, unseen or beyond whole blocks")
    words.append(
        f"σ per voxel: median {np.median(survey.sigma_uk[survey.mask]):.3g} µK in the file,"
        f" {np.median(made.sigma_uk[made.mask]):.3g} µK in the study's field and voxels; {100 * made.mask.mean():.3g} % seen"
    )
    if survey.modes_removed:
        words += modes_in_words(survey, made, max(blocks[:2]))
    dec = made.center_deg[1]
    rim = np.cos(np.radians(dec + edges[1][[0, -1]])) / np.cos(np.radians(dec))
    if np.abs(rim - 1).max() > 0.005:
        words.append(
            f"pixels along RA are {rim.min():.3f} to {rim.max():.3f} times the middle's at the rims; taken as equal"
        )
    return words
