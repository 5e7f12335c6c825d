"""Published error bars of luminosity functions, which stand beside our own, and the noise that they belong to.

They were obtained on other simulations: scales compare, digits do not.
"""

import functools
import math
from collections.abc import Mapping

import numpy as np

from limelight.evaluation.evaluation_file import Evaluation
from limelight.files import read_csv, resource_path

CNN, MCMC = "published_cnn_errors.csv", "ihle2018_interval.csv"  # arXiv:1905.10376 and arXiv:1808.07487
MCMC_NOISE_UK = 60.6  # of arXiv:1808.07487 per fine voxel of arXiv:1905.10376: 11 µK per COMAP voxel

# Fine voxel of arXiv:1905.10376, whose noise figures the published errors belong to: 1.4° / 256, 8 GHz / 100
PAPER_VOXEL_DEG2_GHZ = (1.4 / 256) ** 2 * 0.08

Band = tuple[str, np.ndarray, np.ndarray, np.ndarray]  # label, luminosity in Lsun, lower and upper end of 95 %


@functools.lru_cache(maxsize=2)
def published_table(name: str) -> dict[str, dict[str, np.ndarray]]:
    """A table of resources/ as {scenario: {column: values}}; the scenario is '' where the table has one only."""
    columns = read_csv(resource_path(name), "a published table")
    if "scenario" not in columns:
        return {"": columns}
    scenario = columns.pop("scenario")
    return {
        one: {c: values[scenario == one] for c, values in columns.items()} for one in dict.fromkeys(scenario.tolist())
    }


def paper_sigma(sigma_uk: float | list[float], geometry: Mapping) -> float:
    """The (largest) σ per fine voxel of a geometry as σ per fine voxel of arXiv:1905.10376, µK.

    White noise averages down as 1/√(voxel volume).
    """
    width_ghz = (geometry["freq_max_ghz"] - geometry["freq_min_ghz"]) / geometry["channels"]
    voxel = (geometry["size_deg"] / geometry["pixels"]) ** 2 * width_ghz
    return float(np.max(sigma_uk)) * math.sqrt(voxel / PAPER_VOXEL_DEG2_GHZ)


def paper_sigma_uk(evaluation: Evaluation) -> float:
    """`paper_sigma` of a test."""
    return paper_sigma(evaluation.settings["noise_sigma_uk"], evaluation.header.geometry)


def published_bands(evaluation: Evaluation) -> list[Band]:
    """Published 95 % bands of the fractional error in the scenario nearest to a test.

    The label states the published noise and geometry, for these are never quite ours. None for line models other than Li,
    other draws of its parameters, or noise more than a factor 4 away.
    """
    model, noise = evaluation.settings["line_model"], paper_sigma_uk(evaluation)
    draws = {"fiducial": "li_fiducial", "10%": "li_10pct", 0.1: "li_10pct", 0: "li_fiducial"}.get(model["prior"])
    if model["model"] != "li" or draws is None or evaluation.header.geometry["unit"] != "uK":
        return []
    ranged = np.ndim(evaluation.settings["noise_sigma_uk"]) > 0
    bands = []
    if ranged or evaluation.settings["foregrounds"] != "none":
        scenario, words = "random_noise_and_foregrounds", "random noise and foregrounds"
    elif noise == 0:
        scenario, words = "no_noise", "no noise"
    elif 3.47 / 4 < noise < 3.47 * 4:
        scenario, words = "noise_3.47uK", "3.47 µK on 256 × 256 × 100"
    else:
        scenario = ""
    if scenario:
        table = published_table(CNN)[f"{scenario}__{draws}"]
        lower, upper = table["frac_err_p2.5"], table["frac_err_p97.5"]
        bands.append((f"published CNN (1905.10376), {words}", table["luminosity_lsun"], lower, upper))
    if not ranged and MCMC_NOISE_UK / 2 < noise < MCMC_NOISE_UK * 2:
        bands.append(published_mcmc())
    return bands


def published_mcmc() -> Band:
    """The 95 % interval of the MCMC on power spectrum and voxel intensities."""
    table = published_table(MCMC)[""]
    label = "published MCMC (1808.07487), 11 µK per COMAP voxel"
    return label, table["luminosity_lsun"], table["frac_err_lower95"], table["frac_err_upper95"]
