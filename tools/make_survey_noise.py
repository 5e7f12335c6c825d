"""Make the noise that config/survey.yaml observes with: shaped like that of COMAP's second season (arXiv:2406.07511).

Deep in the middle, 25 to 50 µK in a voxel of 2′ × 2′ × 31.25 MHz, and growing as the scan thins out towards the edges;
nothing is observed where it would exceed MOST times the middle. Louder at the ends of the band; one channel is lost.

example: python -m tools.make_survey_noise --output resources/surveys/season2_like.h5
"""

from pathlib import Path

import numpy as np

from limelight.arguments import Arguments
from limelight.errors import plain_errors
from limelight.probes.line_intensity.maps.survey import SurveyMap, save_survey

SIZE_DEG, PIXELS, CHANNELS = 1.4, 24, 20
LOW_GHZ, HIGH_GHZ = 26.0, 34.0
OWN_VOXEL = 2.0**2 * 0.03125  # arcmin² GHz, that the survey's σ is told in
DEEP_UK = (25.0, 50.0)  # over the channels
WIDTH_DEG = 0.42  # σ grows as exp((r / width)²)
MOST = 12.0


def season2_like() -> SurveyMap:
    """The survey's map, empty, with its σ and mask."""
    centers = ((np.arange(PIXELS) + 0.5) / PIXELS - 0.5) * SIZE_DEG
    width = (HIGH_GHZ - LOW_GHZ) / CHANNELS
    rng = np.random.default_rng(7)
    edge = np.abs(np.linspace(-1, 1, CHANNELS)) ** 4
    deep = DEEP_UK[0] + (DEEP_UK[1] - DEEP_UK[0]) * np.clip(
        0.25 + 0.75 * edge + 0.15 * rng.standard_normal(CHANNELS), 0, 1
    )
    radius2 = (centers[:, None] ** 2 + centers**2) / WIDTH_DEG**2
    growth = np.exp(radius2 + 0.1 * rng.standard_normal(radius2.shape))  # hits are not smooth
    mask = np.broadcast_to((growth < MOST)[..., None], (PIXELS, PIXELS, CHANNELS)).copy()
    mask[..., 11] = False
    voxel = (60 * SIZE_DEG / PIXELS) ** 2 * width
    sigma = growth[..., None] * deep * np.sqrt(OWN_VOXEL / voxel)
    return SurveyMap(
        temperature_uk=np.zeros(mask.shape, np.float32),
        sigma_uk=np.where(mask, np.round(sigma, 1), np.inf).astype(np.float32),
        mask=mask,
        x_deg=centers,
        y_deg=centers,
        frequency_ghz=LOW_GHZ + (np.arange(CHANNELS) + 0.5) * width,
        beam_fwhm_arcmin=4.0,
        efficiency=1.0,
        modes_removed=0,
        means_removed=False,
        source="noise alone, made by tools/make_survey_noise.py",
    )


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_output("--output", metavar="SURVEY.h5", help="the survey's map, to be written")
    args = parser.parse_args()
    survey = season2_like()
    save_survey(args.output, survey)
    seen = survey.sigma_uk[survey.mask]
    even = np.sqrt(survey.mask.size / np.sum(1 / seen.astype(np.float64) ** 2))
    print(f"{Path(args.output)}: {100 * survey.mask.mean():.0f} % observed, σ {seen.min():.3g} to {seen.max():.3g} µK;")
    print(f"the same time evenly over all of it: {even:.4g} µK")


if __name__ == "__main__":
    with plain_errors():
        main()
