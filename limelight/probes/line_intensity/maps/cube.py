"""A cube as a file holds it, in memory, and the same cube on the grid of a network's training maps."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limelight.errors import problem
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import FWHM_PER_SIGMA
from limelight.probes.line_intensity.maps.pooling import pool

if TYPE_CHECKING:  # half a second to import, and most files of limelight's own have no sky
    from astropy.wcs import WCS

SQUARE = 1e-3  # relative: by how much the sides of a pixel, or the widths of channels, may differ
CURVED = 0.02  # relative: by how much pixels may differ in size over the field
SAME_BEAM = (
    0.2  # of the pooled pixel's own variance, and of the beam's: a smaller difference in variance changes little
)


@dataclass(frozen=True)
class Cube:
    """A cube (x, y, frequency), whatever file it came from."""

    values: np.ndarray  # (x, y, f) float32, in `unit`; finite, or missing
    missing: np.ndarray | None  # (x, y, f) True where there are no data; None: nowhere
    unit: str  # uK or Jy/sr
    pixel_deg: tuple[float, float]  # sides of a pixel of the file, as measured on the sky or, for TAN, on its plane
    freq_edges_ghz: np.ndarray  # (f + 1,) of the channels as stored: they rise, fall, and need not be equal
    rest_freq_ghz: float | None = None  # None: the file does not say
    beam_arcmin: tuple[float, float] | None = None  # FWHM, long and short axis; (0, 0): none; None: it does not say
    pool_pixels: int = 1  # fine pixels that a pixel of the file sums, along each axis of the sky
    pool_channels: int = 1
    sky: "WCS | None" = None  # of the axes x and y, until `upright`
    source: str = ""  # which part of the file, in words

    @property
    def freq_ghz(self) -> np.ndarray:
        """Middle of each channel (f,)."""
        return (self.freq_edges_ghz[1:] + self.freq_edges_ghz[:-1]) / 2

    @property
    def geometry(self) -> dict:
        """As in the header of a network's training maps: pixels and channels count fine ones.

        rest_freq_ghz and beam_fwhm_arcmin are there where the file says so.
        """
        nx, _, nf = self.values.shape
        known = {"rest_freq_ghz": self.rest_freq_ghz}
        if self.beam_arcmin is not None:
            known["beam_fwhm_arcmin"] = float(np.sqrt(np.prod(self.beam_arcmin)))
        return {
            "size_deg": float(np.sqrt(np.prod(self.pixel_deg))) * nx,
            "pixels": nx * self.pool_pixels,
            "channels": nf * self.pool_channels,
            "freq_min_ghz": float(self.freq_edges_ghz.min()),
            "freq_max_ghz": float(self.freq_edges_ghz.max()),
            "unit": self.unit,
            "pool_pixels": self.pool_pixels,
            "pool_channels": self.pool_channels,
            **{key: value for key, value in known.items() if value is not None},
        }


def cube_of(values: np.ndarray, grid: Grid, beam_fwhm_arcmin: float, source: str = "") -> Cube:
    """A map of limelight's own: fine, or pooled as the grid says."""
    n = values.shape[0]
    edges = np.linspace(grid.freq_min_ghz, grid.freq_max_ghz, values.shape[2] + 1)
    beam = (beam_fwhm_arcmin, beam_fwhm_arcmin)
    pooling = grid.pool_pixels, grid.pool_channels
    pixel = grid.size_deg / n
    return Cube(values, None, grid.unit, (pixel, pixel), edges, grid.rest_freq_ghz, beam, *pooling, source=source)


def jacobian(sky: "WCS", x: float, y: float) -> np.ndarray:
    """How a step of one pixel along x and along y moves on the sky about a pixel: (east and north, x and y), degrees."""
    lon, lat = sky.wcs_pix2world([x - 0.5, x + 0.5, x, x], [y, y, y - 0.5, y + 0.5], 0)
    d_lon = (np.diff(lon)[[0, 2]] + 180) % 360 - 180
    return np.array([d_lon * np.cos(np.radians(sky.wcs_pix2world(x, y, 0)[1])), np.diff(lat)[[0, 2]]])


def steps_on_sky(cube: Cube, where: object) -> tuple[np.ndarray, np.ndarray]:
    """(how a pixel's step along x and y moves east and north in degrees (2, 2), the sides of nine pixels over that (9, 2)).

    In the tangent plane (TAN) the plane's own steps are taken. Raises LimelightError unless x and y run along right
    ascension and declination.
    """
    sky, (nx, ny, _) = cube.sky, cube.values.shape
    places = [(x, y) for x in (0, (nx - 1) / 2, nx - 1) for y in (0, (ny - 1) / 2, ny - 1)]
    local = np.array([jacobian(sky, *place) for place in places])
    if not np.isfinite(local).all():
        raise problem(where, "pixels that lie nowhere on the sky", "a field on the sky", "cut the cube")
    in_plane = sky.wcs.ctype[0].endswith("---TAN") and sky.sip is None
    steps = sky.pixel_scale_matrix if in_plane else local[4]
    sides = np.sqrt((steps**2).sum(axis=0))
    if np.abs(steps - np.diag(np.diag(steps))).max() > SQUARE * sides.min():
        turn = np.degrees(np.arctan2(steps[1, 0], steps[0, 0]))
        fix_turned = "turn or regrid the cube, or use predict.py --reproject"
        raise problem(where, f"axes turned against RA and Dec (x by {turn:.3g}°)", "axes along them", fix_turned)
    return steps, np.sqrt((local**2).sum(axis=1)) / sides


def upright(cube: Cube, where: object) -> Cube:
    """The cube with x along right ascension, y along declination and channel 0 at the lowest frequency.

    Raises LimelightError unless it is a square of square pixels along these axes, of one size all over the field, and of
    channels of one width: pixels are measured on the sky. In the tangent plane (TAN) the plane's own are taken, as those
    of the training maps are.
    """
    fix = "cut or regrid the cube, or use predict.py --reproject"
    values, missing, edges = cube.values, cube.missing, cube.freq_edges_ghz
    nx, ny, nf = values.shape
    steps, over_field = steps_on_sky(cube, where)
    sides = np.sqrt((steps**2).sum(axis=0))
    if nx != ny or abs(sides[0] - sides[1]) > SQUARE * sides[0]:
        found = f"{nx} × {ny} pixels of {sides[0]:.5g}° × {sides[1]:.5g}° on the sky"
        raise problem(where, found, "a square of square pixels", fix)
    if np.abs(over_field - 1).max() > CURVED:
        found = f"pixels of {over_field.min():.3f} to {over_field.max():.3f} times {sides[0]:.4g}° over the field"
        raise problem(where, found, "pixels of one size", fix)
    widths = np.diff(edges)
    if np.abs(widths / widths.mean() - 1).max() > SQUARE:
        found = f"channels of {np.abs(widths).min():.5g} to {np.abs(widths).max():.5g} GHz"
        raise problem(where, found, "channels of one width in frequency", fix)
    flips = tuple(np.flatnonzero([steps[0, 0] < 0, steps[1, 1] < 0, widths[0] < 0]))
    values, missing = (None if one is None else np.ascontiguousarray(np.flip(one, flips)) for one in (values, missing))
    pixel_deg = (float(sides[0]), float(sides[1]))
    return replace(cube, values=values, missing=missing, pixel_deg=pixel_deg, freq_edges_ghz=np.sort(edges), sky=None)


def pool_as_trained(cube: Cube, trained: dict) -> tuple[np.ndarray, dict, str]:
    """(values, geometry, what was done beyond summing) of a cube on the grid of a network's training maps.

    Training maps are sums of fine voxels, and a fine cube is summed likewise. A cube of other voxels, of which whole numbers
    fill a pooled one, has their mean in place of the fine voxels: temperature and intensity do not depend on the voxel.
    Nothing else is made to fit (evaluation.predict.check_geometry judges the result), and what the file is silent about is
    taken from the network. A beam is never applied: a measured cube has had its own.
    """
    values, geometry, factor = cube.values, cube.geometry, 1.0
    silent = ("rest_freq_ghz", "beam_fwhm_arcmin", "survey")
    geometry |= {key: trained[key] for key in silent if key not in geometry and key in trained}
    for name, n, axes in (("pixels", values.shape[0], 2), ("channels", values.shape[2], 1)):
        pooled = trained[name] // trained[f"pool_{name}"]
        if n % pooled or values.shape[0] != values.shape[1]:
            continue
        values = pool(values, n // pooled, 1) if axes == 2 else pool(values, 1, n // pooled)
        factor *= (trained[name] / geometry[name]) ** axes
        geometry |= {name: trained[name], f"pool_{name}": trained[f"pool_{name}"]}
    if factor == 1:
        return values, geometry, ""
    shape, fine = " × ".join(map(str, cube.values.shape)), f"{trained['pixels']}² × {trained['channels']}"
    done = f"voxels {shape} are not the training maps' {fine}: each pooled voxel is their sum, taken times {factor:.6g}"
    return values * np.float32(factor), geometry, done


def whole(cube: Cube, where: object) -> Cube:
    """Refuse a cube with voxels that are missing: a network reads all of them."""
    if cube.missing is None or not cube.missing.any():
        return cube
    missing, gone = cube.missing, cube.missing.all(axis=(0, 1))
    found = f"{int(missing.sum())} of {missing.size} voxels missing (NaN, BLANK or MASK)"
    if gone.any():
        found += f", channels {in_words(gone)} of {len(gone)} whole"
    fix = "cut the cube to what was observed and use a network of that field and band; zeros or means in place of gaps would"
    raise problem(where, found, "a value in every voxel", f"{fix} change the answer")


def in_words(chosen: np.ndarray) -> str:
    """Numbers, from 1, of what is chosen (n,) bool: "3, 5-7"."""
    numbers = np.flatnonzero(chosen) + 1
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run))


def judge_beam(beam_arcmin: tuple[float, float] | None, trained: dict, where: object) -> None:
    """Refuse a cube whose beam differs from that of the training maps by more than their pooled pixels would notice."""
    if beam_arcmin is None:
        return
    pixel = 60 * trained["size_deg"] / trained["pixels"] * trained["pool_pixels"]
    own = trained["beam_fwhm_arcmin"] / FWHM_PER_SIGMA
    allowed = SAME_BEAM * (own**2 + pixel**2 / 12)
    if max(abs((fwhm / FWHM_PER_SIGMA) ** 2 - own**2) for fwhm in beam_arcmin) <= allowed:
        return
    long, short = beam_arcmin
    words = f"a beam of {long:.4g}′" + (f" × {short:.4g}′" if long != short else "") if long else "no beam"
    known = f"{trained['beam_fwhm_arcmin']:.4g}′, the beam" if own else "none"
    fix = "train a network on maps of this beam (observation.beam)"
    if long**2 < (own * FWHM_PER_SIGMA) ** 2:
        fix = f"smooth the cube to {trained['beam_fwhm_arcmin']:.4g}′, or {fix}"
    raise problem(f"{where}: beam_fwhm_arcmin", words, f"{known} of the network's training maps", fix)
