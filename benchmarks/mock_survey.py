#!/usr/bin/env python3
"""A mock COMAP level-3 map of limelight's halos, made without limelight's painting and observation.

Halos of a light-cone shine with the Li model at fiducial parameters (--parameters NAME=VALUE changes them). What follows
is this file's own: light into pixels of 1′, a Gaussian beam, 2′ pixels of 4° × 4°, 256 channels; σ that is lowest in the
middle and grows outwards and from channel to channel; NaN where nothing was seen; modes common to all pixels; a high-pass
across the sky; means of channels and principal components taken off; RA and two sidebands stored downwards, in kelvin.

--depth season2: 25 to 50 µK in the deep part (arXiv:2406.07510); future: ten times deeper. The table --truth counts the
sources in the middle square --field-deg over the whole band.

example: python -m benchmarks.mock_survey --lightcone results/demo/lightcones/9.h5 --depth future --output mock.h5 \\
    --truth truth.csv --field-deg 2
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
from scipy import constants
from scipy.ndimage import gaussian_filter

from limelight.cosmology import Cosmology
from limelight.errors import plain_errors, problem
from limelight.files import atomic_path, write_csv
from limelight.halos.catalogue import HaloCatalogue, read_catalogue, tangent_plane_deg
from limelight.probes.line_intensity.lines.models import get_model

N, SIDEBANDS, CHANNELS = 120, 4, 64
PIXEL_DEG, BAND_GHZ, REST_GHZ = 2 / 60, (26.0, 34.0), 115.27
BEAM_ARCMIN, CENTER_DEG = 4.5, (170.0, 52.3)
DEPTH_UK = {"season2": (25.0, 50.0), "future": (2.5, 5.0)}
SCAN_DEG, SEEN_DEG = 0.75, 1.9  # σ grows as exp(r²/2 SCAN²); nothing is seen beyond SEEN
HIGH_PASS_DEG, MODES = 0.245, 5  # half of an amplitude is left at k = 0.04/Mpc
LOG10_LUM = 3.5, 7, 50  # of the truth's edges: first, last, how many
LSUN_W, MPC_M = 3.828e26, 3.0856775814913673e22


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lightcone", type=Path, required=True)
    parser.add_argument("--depth", choices=tuple(DEPTH_UK), default="season2")
    parser.add_argument("--names", choices=("old", "new"), default="new", help="old: with a split `half` too")
    parser.add_argument("--parameters", nargs="*", default=[], metavar="NAME=VALUE", help="of the Li model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layout", type=int, help="seed of σ and mask alone (default: drawn with the rest)")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--field-deg", type=float, default=2.0)
    parser.add_argument(
        "--transfer", type=Path, metavar="T.csv", help="write what the high-pass leaves, for scripts/plan.py"
    )
    args = parser.parse_args()
    model = {name: mean for name, (mean, _) in get_model("li").parameters.items()}
    for one in args.parameters:
        name, _, value = one.partition("=")
        if name not in model:
            raise problem("--parameters", one, f"NAME=VALUE with one of {', '.join(model)}", "mend it")
        model[name] = float(value)
    if args.transfer:
        write_csv(args.transfer, transfer(), digits=6)
    halos, rng = read_catalogue(args.lightcone), np.random.default_rng(args.seed)
    splits = args.names == "old"
    counts = mock(args.output, halos, model, args.depth, rng, args.field_deg, splits=splits, layout=args.layout)
    edges = np.linspace(*LOG10_LUM)
    write_csv(args.truth, {"log10_lum_lower": edges[:-1], "log10_lum_upper": edges[1:], "dn": counts}, digits=8)


def mock(
    path: Path,
    halos: HaloCatalogue,
    parameters: dict[str, float],
    depth: str,
    rng: np.random.Generator,
    field_deg: float,
    center_deg: tuple[float, float] = (0.0, 0.0),
    splits: bool = False,
    layout: int | None = None,
) -> np.ndarray:
    """Write a mock file about a place of a light-cone; sources in bins of log10 L within its middle square.

    parameters: of the Li model; splits: older names with a split in two halves, else newer ones; layout: seed of σ and
    mask, so that several maps are of one survey; each has ripples of its own.
    """
    sky, counts = sky_of(halos, parameters, rng, field_deg, center_deg)
    record(path, sky, depth, rng, splits, layout)
    return counts


def sky_of(
    halos: HaloCatalogue,
    parameters: dict[str, float],
    rng: np.random.Generator,
    field_deg: float,
    center_deg: tuple[float, float] = (0.0, 0.0),
    middle_deg: tuple[float, float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """(the smoothed sky (x, y, channel) in µK, sources in bins of log10 L within a square about middle_deg of the map)."""
    x, y, freq, log10_lum, light = sources(halos, parameters, center_deg, rng)
    within = np.maximum(np.abs(x - middle_deg[0]), np.abs(y - middle_deg[1])) < field_deg / 2
    return painted(x, y, freq, light), np.histogram(log10_lum[within], np.linspace(*LOG10_LUM))[0]


def record(path: Path, sky: np.ndarray, depth: str, rng: np.random.Generator, splits: bool, layout: int | None) -> None:
    """Write the file of a survey that saw this sky; see `mock`."""
    of_survey = rng if layout is None else np.random.default_rng(layout)
    sigma, seen = scan(depth, of_survey)
    sky = sky + standing_modes(sigma[seen].min(), rng)
    halves = [sky + np.sqrt(2) * sigma * rng.standard_normal(sky.shape) for _ in range(2)] if splits else []
    data = (halves[0] + halves[1]) / 2 if splits else sky + sigma * rng.standard_normal(sky.shape)
    made = [(pipeline(half, np.sqrt(2) * sigma, seen), np.sqrt(2) * sigma) for half in halves]
    with atomic_path(path) as part, h5py.File(part, "w") as file:
        write(file, (pipeline(data, sigma, seen), sigma), made, seen, "old" if splits else "new")


def sources(
    halos: HaloCatalogue, parameters: dict[str, float], center_deg: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """(x, y, observed frequency, log10 L, µK that it adds to a pixel of 1′ in a channel) of halos in the map."""
    x, y = (one - middle for one, middle in zip(tangent_plane_deg(halos.position_mpc), center_deg, strict=True))
    freq = REST_GHZ / (1 + halos.redshift_observed.astype(np.float64))
    half = N * PIXEL_DEG / 2
    inside = (np.abs(x) < half) & (np.abs(y) < half) & (freq >= BAND_GHZ[0]) & (freq < BAND_GHZ[1])
    log10_lum = get_model("li").log10_luminosity(halos.mass_msun[inside], halos.redshift[inside], parameters, rng)
    distance_m = MPC_M * np.linalg.norm(halos.position_mpc[inside].astype(np.float64), axis=1)
    luminosity_distance = distance_m * (1 + halos.redshift[inside])
    width_hz = 1e9 * (BAND_GHZ[1] - BAND_GHZ[0]) / (SIDEBANDS * CHANNELS)
    solid_angle = np.radians(PIXEL_DEG / 2) ** 2
    intensity = 10.0**log10_lum * LSUN_W / (4 * np.pi * luminosity_distance**2 * width_hz * solid_angle)
    kelvin = intensity * constants.c**2 / (2 * constants.k * (1e9 * freq[inside]) ** 2)
    return x[inside], y[inside], freq[inside], log10_lum, 1e6 * kelvin


def painted(x: np.ndarray, y: np.ndarray, freq: np.ndarray, light: np.ndarray) -> np.ndarray:
    """The beam-smoothed sky (x, y, channel) in µK, in pixels of 2′."""
    half, fine = N * PIXEL_DEG / 2, 2 * N
    sky, _ = np.histogramdd(
        (x, y, freq),
        (np.linspace(-half, half, fine + 1), np.linspace(-half, half, fine + 1), np.linspace(*BAND_GHZ, 257)),
        weights=light,
    )
    sigma = BEAM_ARCMIN / np.sqrt(8 * np.log(2))  # in pixels of 1′
    sky = gaussian_filter(sky, (sigma, sigma, 0), mode="constant")
    return sky.reshape(N, 2, N, 2, -1).mean(axis=(1, 3))


def scan(depth: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(σ, seen) (x, y, channel): a Gaussian of observing time over the sky, and channels that differ; some are masked."""
    low, high = DEPTH_UK[depth]
    place = (np.arange(N) - (N - 1) / 2) * PIXEL_DEG
    r2 = place[:, None] ** 2 + place**2
    of_channel = low + (high - low) * rng.beta(2, 3, SIDEBANDS * CHANNELS)
    sigma = np.exp(r2 / (2 * SCAN_DEG**2))[..., None] * of_channel * rng.uniform(0.95, 1.05, (N, N, 1))
    seen = np.broadcast_to((r2 < SEEN_DEG**2)[..., None], sigma.shape).copy()
    edges = np.arange(SIDEBANDS * CHANNELS) % CHANNELS
    seen[..., (edges < 1) | (edges > CHANNELS - 2) | (rng.random(len(edges)) < 0.03)] = False
    return sigma, seen


def standing_modes(depth_uk: float, rng: np.random.Generator) -> np.ndarray:
    """Ripples along frequency whose strength differs over the sky: three modes, each of the depth or more."""
    nu, place = np.linspace(0, 1, SIDEBANDS * CHANNELS), np.linspace(-1, 1, N)
    total = 0.0
    for waves in (2, 3.5, 5):
        shape = np.add.outer(rng.normal() * place, rng.normal() * place) + rng.normal()
        total = total + 2 * depth_uk * shape[..., None] * np.sin(2 * np.pi * (waves * nu + rng.random()))
    return total


def pipeline(data: np.ndarray, sigma: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """High-pass across the sky, means of channels off, MODES principal components off, all weighted by 1/σ²."""
    weight = np.where(seen, 1 / sigma**2, 0)
    width = HIGH_PASS_DEG / PIXEL_DEG
    smooth = gaussian_filter(weight * data, (width, width, 0)) / np.maximum(
        gaussian_filter(weight, (width, width, 0)), 1e-30
    )
    data = np.where(seen, data - smooth, 0)
    data -= (weight * data).sum(axis=(0, 1)) / np.maximum(weight.sum(axis=(0, 1)), 1e-30)
    root = np.sqrt(weight).reshape(-1, weight.shape[2])
    scaled = root * data.reshape(root.shape)
    _, vectors = np.linalg.eigh(scaled.T @ scaled)
    modes = vectors[:, len(vectors) - MODES :]
    scaled -= (scaled @ modes) @ modes.T
    return np.divide(scaled, root, out=np.zeros_like(root), where=root > 0).reshape(data.shape)


def transfer() -> list[dict]:
    """What the high-pass leaves of amplitudes: 1 less the Gaussian's transform, at the distance of the band's middle."""
    scale_mpc = np.radians(HIGH_PASS_DEG) * Cosmology().comoving_distance(REST_GHZ / np.mean(BAND_GHZ) - 1)
    return [
        {"k_perp_per_mpc": k, "k_par_per_mpc": along, "transfer": 1 - np.exp(-((k * scale_mpc) ** 2) / 2)}
        for k in np.arange(0, 0.3, 0.005)
        for along in (0.0, 10.0)
    ]


def stored(array: np.ndarray) -> np.ndarray:
    """(x, y, channel) as COMAP stores it: (sideband, channel, y, x), RA and sidebands 0 and 2 downwards."""
    array = array.transpose(2, 1, 0).reshape(SIDEBANDS, CHANNELS, N, N)[..., ::-1].copy()
    array[[0, 2]] = array[[0, 2], ::-1]
    return array


def write(
    file: h5py.File,
    whole: tuple[np.ndarray, np.ndarray],
    halves: list[tuple[np.ndarray, np.ndarray]],
    seen: np.ndarray,
    names: str,
) -> None:
    """One level-3 file, in kelvin, NaN where nothing was seen."""
    new = names == "new"
    noise = "sigma_wn" if new else "rms"

    def kelvin(array: np.ndarray) -> np.ndarray:
        return stored(np.where(seen, 1e-6 * array, np.nan).astype(np.float32))

    file["map_coadd"], file[f"{noise}_coadd"] = (kelvin(one) for one in whole)
    place = (np.arange(N) - (N - 1) / 2) * PIXEL_DEG
    width = (BAND_GHZ[1] - BAND_GHZ[0]) / (SIDEBANDS * CHANNELS)
    freq = (BAND_GHZ[0] + width * (np.arange(SIDEBANDS * CHANNELS) + 0.5)).reshape(SIDEBANDS, CHANNELS)
    freq[[0, 2]] = freq[[0, 2], ::-1]
    file["ra_centers" if new else "x"] = (CENTER_DEG[0] + place / np.cos(np.radians(CENTER_DEG[1])))[::-1]
    file["dec_centers" if new else "y"] = CENTER_DEG[1] + place
    file["freq_centers" if new else "freq"] = freq
    file["patch_center"] = np.array(CENTER_DEG)
    if new:
        file["is_pca_subtr"], file["n_pca"], file["pca_norm"] = True, MODES, "sigma_wn"
        return
    file["n_x"], file["n_y"] = N, N
    for name, which in (("map", 0), (noise, 1)):
        file[f"jackknives/{name}_half"] = np.stack([kelvin(half[which]) for half in halves])


if __name__ == "__main__":
    with plain_errors():
        main()
