"""A survey's map in four panels: the map, its σ, what was observed, and σ along the band."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from limelight.figures.style import COLOURS, GUIDE, MAP_COLOURS, PAGE_IN, style
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.survey_words import pixel_sigma

PERCENTILES = (16, 50, 84)


def survey_figure(survey: SurveyMap, name: str) -> Figure:
    """Of one map. Means over channels are weighted by 1/σ²; voxels count alike where no σ is known."""
    with style():
        figure = Figure(figsize=(PAGE_IN, 5.6))
        top, bottom = figure.subplots(2, 2)
        image, unit = _mean(survey)
        reach = np.nanpercentile(np.abs(image), 99) or 1.0
        _sky(top[0], survey, image, unit, cmap="RdBu_r", vmin=-reach, vmax=reach)
        top[0].set_title("mean over channels")
        if survey.has_noise:
            sigma = pixel_sigma(survey)
            seen = sigma[np.isfinite(sigma)]
            norm = LogNorm(seen.min(), max(np.percentile(seen, 99.5), 1.01 * seen.min()))
            _sky(
                top[1],
                survey,
                np.where(np.isfinite(sigma), sigma, np.nan),
                "σ per voxel [µK]",
                cmap=MAP_COLOURS,
                norm=norm,
            )
            top[1].set_title("noise")
        else:
            top[1].text(0.5, 0.5, "no σ in the file", ha="center", va="center")
            top[1].set_axis_off()
        _sky(bottom[0], survey, survey.mask.mean(axis=2), "share of channels", cmap="Greys", vmin=0, vmax=1)
        bottom[0].set_title("observed")
        _spectrum(bottom[1], survey)
        figure.suptitle(name)
    return figure


def _mean(survey: SurveyMap) -> tuple[np.ndarray, str]:
    """(mean over channels (x, y), its label): over its own error where σ is known, for the rim would hide all else."""
    sigma = survey.sigma_uk if survey.has_noise else np.where(survey.mask, 1, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(survey.mask, 1 / sigma.astype(np.float64) ** 2, 0)
        total = weight.sum(axis=2)
        mean = (weight * survey.temperature_uk).sum(axis=2) / total
        return (mean * np.sqrt(total), "mean / its error") if survey.has_noise else (mean, "T [µK]")


def _sky(axes, survey: SurveyMap, image: np.ndarray, label: str, **look) -> None:
    (dx, dy), x, y = survey.pixel_deg, survey.x_deg, survey.y_deg
    extent = (x[-1] + dx / 2, x[0] - dx / 2, y[0] - dy / 2, y[-1] + dy / 2)  # right ascension grows to the left
    drawn = axes.imshow(image.T[:, ::-1], extent=extent, aspect="equal", **look)
    axes.figure.colorbar(drawn, ax=axes, label=label)
    axes.set_xlabel(r"$\Delta$RA [deg]")
    axes.set_ylabel(r"$\Delta$Dec [deg]")


def _spectrum(axes, survey: SurveyMap) -> None:
    """σ along the band: its percentiles over pixels, and the spread of T."""
    frequency = survey.frequency_ghz
    spread = [survey.temperature_uk[..., i][survey.mask[..., i]] for i in range(len(frequency))]
    if survey.has_noise:
        each = [survey.sigma_uk[..., i][survey.mask[..., i]] for i in range(len(frequency))]
        low, middle, high = np.array([np.percentile(s, PERCENTILES) if len(s) else [np.nan] * 3 for s in each]).T
        axes.fill_between(frequency, low, high, color=COLOURS[0], alpha=0.25, lw=0, label="σ, 68 % of the pixels")
        axes.plot(frequency, middle, color=COLOURS[0], label="σ, median")
    half = [np.subtract(*np.percentile(s, (84, 16))) / 2 if len(s) else np.nan for s in spread]
    axes.plot(frequency, half, color=GUIDE, lw=0.8, ls="--", label="T, half of the middle 68 %")
    axes.set_xlabel("frequency [GHz]")
    axes.set_ylabel("µK")
    axes.set_yscale("log" if np.nanmin(half) > 0 else "linear")
    axes.legend(fontsize=7.5)
