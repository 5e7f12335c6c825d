"""Make docs/results/galaxy_field/limit.csv: how much of the perfect catalogue's information an image of it holds.

example: OMP_NUM_THREADS=1 python -m tools.make_field_limit
"""

from pathlib import Path

import numpy as np

from limelight.files import ROOT, write_csv
from limelight.probes.galaxy_field.blended import image_fisher, scores_of_fields
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import catalogue_fisher, isolated_fisher
from limelight.probes.galaxy_field.simulations import all_of, limits
from limelight.seeds import generator

OUTPUT = ROOT / "docs" / "results" / "galaxy_field" / "limit.csv"
NOISES = (0.02, 0.05)
FIELDS, STEPS, SEED, RESAMPLED = 50, 60_000, 20190524, 400


def main(output: Path = OUTPUT) -> None:
    data, rows = GalaxyField(), []
    for noise in NOISES:
        scores = scores_of_fields(data, noise, FIELDS, STEPS, SEED)
        rows += [row(*scores, data, noise, parameters) for parameters in (2, 3)]
        write_csv(output, rows, 4)


def row(means: np.ndarray, covariances: np.ndarray, data: GalaxyField, noise: float, parameters: int) -> dict:
    """det F of images over the catalogue's, its bootstrap error, and how far the two chains of a field are apart."""
    most = catalogue_fisher(all_of(limits(data).mean(axis=1), data), data.l_min)[:parameters, :parameters]
    rng, n = generator(SEED, "resampled fields"), len(means)

    def share(fields: np.ndarray) -> float:
        return float(np.linalg.det(image_fisher(means[fields], covariances[fields], most)) / np.linalg.det(most))

    error = np.std([share(rng.integers(0, n, n)) for _ in range(RESAMPLED)])
    apart = np.sqrt(np.square(means[:, 0] - means[:, 1]).mean(axis=0)[:parameters] / np.diag(most))
    found = {"noise": noise, "parameters": parameters, "fields": n, "share_of_information": share(np.arange(n))}
    found |= {"error": float(error), "chains_apart": float(apart.max())}
    return found | {"share_without_overlap": share_without_overlap(data, noise, parameters)}


def share_without_overlap(data: GalaxyField, noise: float, parameters: int) -> float:
    """The same share if galaxies did not overlap: each flux has the error of a PSF that is fitted to all bands."""
    theta, area = all_of(limits(data).mean(axis=1), data), 4 * np.pi * data.psf_sigma**2
    sigma = noise * np.sqrt(area / np.exp(2 * data.colour * np.arange(data.bands)).sum())
    found = isolated_fisher(theta, data.l_min, sigma, data.pixels**2 / area)
    most = catalogue_fisher(theta, data.l_min)
    return float(np.divide(*(np.linalg.det(one[:parameters, :parameters]) for one in (found, most))))


if __name__ == "__main__":
    main()
