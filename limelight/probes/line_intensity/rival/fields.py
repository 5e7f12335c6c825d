"""The rival's summaries, and the halo fields that it paints repeatedly with fixed random numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.probes.line_intensity.maps.comoving import voxel_size_mpc
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.paint import Field, bin_light, halo_light, prepare_field
from limelight.probes.line_intensity.rival.config import RivalOptions
from limelight.probes.line_intensity.rival.shapes import Shape, log10_luminosity
from limelight.seeds import generator
from limelight.summaries.power import PowerBins, power_bins, power_spectrum, shell_means
from limelight.summaries.vid import temperature_edges, voxel_histogram


@dataclass(frozen=True)
class Measure:
    """The rival's voxels and its bins. A map of it holds mean brightness temperatures, µK (x, y, f)."""

    grid: Grid  # the rival's voxels as fine ones
    voxel_mpc: tuple[float, float, float]
    shells: PowerBins
    keep: np.ndarray  # (shells,) bool: those with modes enough
    edges_uk: np.ndarray  # (temperature bins + 1,)
    beam_fwhm_arcmin: float
    multipoles: tuple[int, ...] = (0,)  # of P(k)

    @property
    def modes(self) -> np.ndarray:
        """Modes of each kept shell, k and −k both counted."""
        return self.shells.modes[self.keep]

    @property
    def powers(self) -> int:
        """How many of the summaries are of P(k): its shells, multipole by multipole."""
        return len(self.multipoles) * len(self.modes)

    def power(self, maps: torch.Tensor) -> np.ndarray:
        """P(k) of the kept shells of maps (b, x, y, f), multipole by multipole; (b, powers), unit² Mpc³."""
        found = power_spectrum(maps, self.shells, self.multipoles).cpu().numpy()
        return found[..., self.keep].reshape(len(maps), -1)

    @cached_property
    def white(self) -> np.ndarray:
        """What a power of 1 at every mode gives the multipoles, (powers,): with few modes some of it leaks into ℓ = 2."""
        even = torch.ones_like(self.shells.weight)[None] * math.prod(self.shells.shape) / math.prod(self.voxel_mpc)
        means = [shell_means(even, self.shells, ell)[0].cpu().numpy()[self.keep] for ell in self.multipoles]
        return np.concatenate(means)

    def __call__(self, maps: torch.Tensor) -> np.ndarray:
        """P(k), µK² Mpc³, and then voxels per temperature bin, of maps (b, x, y, f); float64 (b, d)."""
        return np.hstack([self.power(maps), voxel_histogram(maps, self.edges_uk).cpu().numpy()])


def make_measure(settings: RivalOptions, grid: Grid, cosmology: Cosmology, beam_fwhm_arcmin: float) -> Measure:
    """The Measure of a config entry `rival.NAME` on a study's fine grid; refuses maps in Jy/sr."""
    if grid.unit != "uK":
        raise problem("grid.unit", grid.unit, "uK: the rival bins temperatures", "paint the study in µK")
    blocks = settings.pool_pixels, settings.pool_channels
    for axis, n, block in zip(("pixels", "channels"), (grid.pixels, grid.channels), blocks, strict=True):
        if n % block:
            raise problem(f"rival: pool_{axis}", f"{n} {axis} in blocks of {block}", f"a divisor of {n}", "choose one")
    sides = {"pixels": grid.pixels // blocks[0], "channels": grid.channels // blocks[1]}
    coarse = replace(grid, **sides, pool_pixels=1, pool_channels=1)
    voxel = voxel_size_mpc(coarse, cosmology)
    shells = power_bins(coarse.shape, voxel, np.logspace(*settings.log10_k, settings.k_bins + 1))
    keep = shells.modes >= settings.min_modes
    if not keep.any():
        expected = f"shells of {settings.min_modes} modes or more"
        raise problem("rival: log10_k", f"{settings.log10_k}: none", expected, "choose wave numbers that maps hold")
    edges = temperature_edges(*settings.temperature_uk, settings.temperature_bins, settings.spacing)
    return Measure(coarse, voxel, shells, keep, edges, beam_fwhm_arcmin, (0, 2) if settings.quadrupole else (0,))


@dataclass
class RivalField:
    """The halos of one subfield in the rival's voxels, ready to be painted with any shape; n of them have a line."""

    key: tuple[int, int]  # light-cone, subfield
    halos: Field  # of float32 precision; its property is x
    volume_mpc3: float

    @property
    def x(self) -> np.ndarray:
        """The feature of each halo that the line model's Shape uses, float32 (n,)."""
        return self.halos.properties[0]

    def normals(self, seed: int, draw: int = 0) -> np.ndarray:
        """The unit normals of the halos' scatter in realisation `draw`, float32 (n,): the same at every call."""
        rng = generator(seed, "rival scatter", *self.key, draw)
        return rng.standard_normal(len(self.halos), dtype=np.float32)


def prepare_fields(subfields, halos, shape: Shape, grid: Grid) -> Iterator[RivalField]:
    """A RivalField of each subfield of a light-cone. halos: (index, SubfieldHalos) pairs, as read_subfield_halos yields."""
    for index, part in halos:
        center = subfields.center_deg[index]
        yield RivalField(
            key=(int(subfields.lightcone), int(index)),
            halos=prepare_field(part, grid, center, subfields.cosmology, shape, np.float32),
            volume_mpc3=grid.volume_mpc3(subfields.cosmology, center),
        )


def paint_shape(
    field: RivalField, shape: Shape, values: np.ndarray, normals: np.ndarray, measure: Measure
) -> tuple[np.ndarray, float]:
    """(map, offset): the field's map at amplitude 0 is map · 10^offset µK; float32 (x, y, f).

    The offset keeps steep models within float32. With the same normals a map changes smoothly with the shape. No luminosity
    is cut: a cut does not scale with the amplitude, and a study whose rival would need one is refused.
    """
    log10_lum = log10_luminosity(shape, field.x, 0.0, values, normals)
    offset = float(log10_lum.max(initial=-300.0))
    log10_lum -= np.float32(offset)
    cube = bin_light(field.halos, halo_light(field.halos, log10_lum).per_halo)
    return smooth(cube, measure.beam_fwhm_arcmin, measure.grid.pixel_deg), offset


def noisy_summaries(
    cube: np.ndarray, sigma_uk: float, measure: Measure, seed: int, stage: str, *index: int
) -> np.ndarray:
    """Summaries (d,) of one map (µK) with white noise of σ per rival voxel from the stream of (seed, stage, index)."""
    if sigma_uk:
        noise = generator(seed, stage, *index).standard_normal(cube.shape, dtype=np.float32)
        cube = cube + np.float32(sigma_uk) * noise
    return measure(torch.from_numpy(cube)[None])[0]
