"""Fields that are transformed axis by axis, some rows and planes at a time, against numpy's transforms of whole boxes."""

import numpy as np
import pytest
import torch

from limelight.cosmology import Cosmology
from limelight.matter import fourier, initial
from limelight.matter.chunks import chunk_runner, together
from limelight.matter.initial import Box, LinearField, displacements, linear_field
from limelight.matter.smoothing import smoothed

BOX = Box((24, 20, 16), 3.0)
SLAB = (3, 11), (2, 17), (5, 16)


def drawn(long_waves: bool, monkeypatch) -> LinearField:
    if long_waves:
        monkeypatch.setattr(initial, "LONG_BOX_MPC", 80.0)  # this narrow a box would ask for very many coarse cells
        with chunk_runner() as run:
            return linear_field(BOX, Cosmology(), 5, "cpu", run)
    white = np.random.default_rng(3).standard_normal(BOX.shape)
    return LinearField(BOX, torch.from_numpy(np.fft.rfftn(white).astype(np.complex64)))


def interpolated(field: LinearField, coarse: np.ndarray) -> np.ndarray:
    """Values on the coarse grid at the cells of the box."""
    weights = [one.numpy().astype(float) for one in field.weights]
    return np.einsum("zc,yd,xe,cde->zyx", *weights, coarse[field.spans], optimize=True)


def k_of(box: Box) -> list[np.ndarray]:
    return [k.reshape(shape) for k, shape in zip(box.wavenumbers(), ((-1, 1, 1), (-1, 1), (-1,)), strict=True)]


@pytest.mark.parametrize("cache", [1, 1000, 1 << 17])
@pytest.mark.parametrize("radius", [0.8, 9.0])
@pytest.mark.parametrize("long_waves", [True, False])
def test_blocks_are_cut_out_of_the_smoothed_field(long_waves, radius, cache, monkeypatch):
    """Also where smoothing leaves nothing of the shorter waves, which are not transformed then."""
    monkeypatch.setattr(fourier, "CACHE", cache)
    field = drawn(long_waves, monkeypatch)

    def filtered(modes: torch.Tensor, box: Box) -> np.ndarray:
        k2 = sum(k**2 for k in k_of(box))
        return np.fft.irfftn(
            modes.numpy() * np.exp(-0.5 * k2 * radius**2) * (1 + 0.7 * k2), s=box.shape, axes=(0, 1, 2)
        )

    expected = filtered(field.modes, BOX)
    if long_waves:
        expected = expected + interpolated(field, filtered(field.long_modes, field.long_box))
    memory = torch.full_like(field.modes, torch.nan)
    with chunk_runner() as run:
        found, works = smoothed(field, radius, 0.7, memory)
        together(run, *works)
    cut = tuple(slice(*span) for span in SLAB)
    np.testing.assert_allclose(found.block(*SLAB).numpy(), expected[cut], atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("cache", [1, 1000, 1 << 17])
@pytest.mark.parametrize("long_waves", [True, False])
def test_displacements_are_those_of_whole_transforms(long_waves, cache, monkeypatch):
    monkeypatch.setattr(fourier, "CACHE", cache)
    field = drawn(long_waves, monkeypatch)

    def derived(modes: np.ndarray, box: Box, *axes: int) -> np.ndarray:
        """i k modes along each of the axes, none of the Nyquist mode of one that stands there once."""
        k, modes = k_of(box), modes / np.maximum(sum(k**2 for k in k_of(box)), 1e-9)
        for axis in axes:
            nyquist = np.abs(k[axis]) == np.abs(k[axis]).max()
            modes = modes * 1j * np.where(nyquist & (axes.count(axis) == 1), 0, k[axis])
        modes[0, 0, 0] = 0
        return np.fft.irfftn(modes, s=box.shape, axes=(0, 1, 2))

    modes = field.modes.numpy().astype(complex)
    long_modes = field.long_modes.numpy().astype(complex) if long_waves else None

    def both(*axes: int) -> np.ndarray:
        short = derived(modes, BOX, *axes)
        return short + interpolated(field, derived(long_modes, field.long_box, *axes)) if long_waves else short

    bends = {(i, j): both(i, j) for i in range(3) for j in range(i, 3)}
    source = sum(bends[i, i] * bends[j, j] - bends[i, j] ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))
    expected = [both(2), both(1), both(0), *(derived(np.fft.rfftn(source), BOX, axis) for axis in (2, 1, 0))]
    with chunk_runner() as run:
        found = displacements(field, run).numpy()
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, wanted, atol=1e-5 * np.abs(wanted).max())
