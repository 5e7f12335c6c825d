"""The linear estimators beside networks of images: a Wiener filter of known spectra, and principal components removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from limelight.data.shard import Header
from limelight.evaluation.estimates import Estimator
from limelight.evaluation.observe import observed
from limelight.probes.line_intensity.mixture.config import Cubes
from limelight.probes.line_intensity.mixture.presentation import MixturePresentation
from limelight.probes.line_intensity.mixture.simulate import CubeSettings, simulate_cubes
from limelight.summaries.power import wave_cells_of

FIRST_CONE = 1_000_000  # light-cones that no split has


def estimators(
    names: Sequence[str], pca_modes: int, spectra_cones: int, recorder: MixturePresentation, header: Header
) -> dict[str, Estimator]:
    """Those of some names, for each line whose cubes are truths: <name>_<line>."""
    lines, maps = header.geometry["lines"], list(header.geometry["maps"])
    number = {line: maps.index(one["map"]) for line, one in lines.items()}
    found = {}
    if "wiener" in names:
        for line, wiener in zip(lines, wieners(header, recorder, spectra_cones, number), strict=True):
            found[f"wiener_{line}"] = Estimator(line, partial(_of_map, wiener, number[line]))
    if "pca" in names:
        for line in lines:
            without = partial(without_modes, modes=pca_modes)
            found[f"pca_{line}"] = Estimator(line, partial(_of_map, without, number[line]))
    return found


def _of_map(estimate, number: int, recorded: Tensor) -> Tensor:
    return estimate(recorded[:, number])


def without_modes(cubes: Tensor, modes: int) -> Tensor:
    """Cubes (b, x, y, f) less their means and their first principal components along the line of sight."""
    flat = cubes.double().flatten(1, 2)
    flat = flat - flat.mean(dim=1, keepdim=True)
    _, vectors = torch.linalg.eigh(flat.transpose(1, 2) @ flat)  # eigenvalues rise
    first = vectors[:, :, -modes:]
    return (flat - flat @ first @ first.transpose(1, 2)).view(cubes.shape)


@dataclass(frozen=True)
class Wiener:
    """⟨t d*⟩ / ⟨d d*⟩ of truths t and recorded cubes d in each cell of waves across and along the line of sight.

    Of all linear filters that treat the waves of a cell alike it has the least squared error, whatever else is in d.
    """

    gain: Tensor  # (cells,) float64
    mean_recorded: float
    mean_truth: float

    def __call__(self, recorded: Tensor) -> Tensor:
        """Estimates of cubes (b, x, y, f)."""
        shape = recorded.shape[1:]
        waves = torch.fft.rfftn(recorded.double() - self.mean_recorded, dim=(1, 2, 3))
        gain = self.gain[torch.from_numpy(wave_cells_of(tuple(shape)))].to(recorded.device).view(waves.shape[1:])
        return torch.fft.irfftn(waves * gain, s=shape, dim=(1, 2, 3)) + self.mean_truth


def fit_wiener(recorded: Tensor, truth: Tensor) -> Wiener:
    """The filter from simulated cubes (n, x, y, f)."""
    means = recorded.double().mean(), truth.double().mean()
    d, t = (
        torch.fft.rfftn(cubes.double() - mean, dim=(1, 2, 3)).flatten(1)
        for cubes, mean in zip((recorded, truth), means, strict=True)
    )
    cells = torch.from_numpy(wave_cells_of(tuple(recorded.shape[1:])))
    cross, power = torch.zeros(2, int(cells.max()) + 1, dtype=torch.float64)
    cross.index_add_(0, cells, (t * d.conj()).real.sum(0))
    power.index_add_(0, cells, d.abs().square().sum(0))
    return Wiener(cross / power.clamp(min=1e-300), float(means[0]), float(means[1]))


def wieners(header: Header, recorder: MixturePresentation, cones: int, number: dict[str, int]) -> list[Wiener]:
    """The filter of each line, from light-cones that no network and no test sees, recorded as the test is."""
    told = header.simulation
    settings = CubeSettings(told["seed"], Cubes.model_validate({**told["data"], "images": False}))
    x, recorded = [], []
    for cone in range(FIRST_CONE, FIRST_CONE + cones):
        found = simulate_cubes(settings, "spectra", cone).x
        x.append(torch.from_numpy(found))
        recorded += list(observed(found, recorder, told["seed"], f"spectra {cone}"))
    clean, seen = torch.cat(x), torch.cat(recorded)
    return [fit_wiener(seen[:, number[line]], clean[:, i]) for i, line in enumerate(number)]
