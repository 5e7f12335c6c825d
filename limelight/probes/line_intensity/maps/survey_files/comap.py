"""COMAP's level-3 maps (HDF5), older and newer names: coadded, of single feeds, and of splits.

Arrays are (sideband, channel, y, x) in kelvin, those of feeds and splits with these numbers before. Layouts as in public
readers and writers of them: `map`, `rms`, `nhit`, `x`, `y`, `freq`, `jackknives/map_NAME` of the older ones;
`map`, `sigma_wn`, `ra_centers`, `dec_centers`, `freq_centers`, `multisplits/PARENT/map_NAME` of the newer.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from limelight.errors import problem, reading
from limelight.files import open_hdf5, refuse_unbounded
from limelight.probes.line_intensity.maps.survey import SurveyMap
from limelight.probes.line_intensity.maps.survey_files.raw import MOST_VOXELS, Raw, Told, assemble

BEAM_ARCMIN = 4.5
BAND_GHZ = (26.0, 34.0)
FEEDS = 10  # at least: fewer maps before (sideband, channel, y, x) are the parts of a split
COADDED = (("map_coadd", "sigma_wn_coadd"), ("map_coadd", "rms_coadd"), ("map_beam", "rms_beam"))
SINGLE = (("map", "sigma_wn"), ("map", "rms"))
AXES = {"x": ("ra_centers", "x"), "y": ("dec_centers", "y"), "freq": ("freq_centers", "freq")}


def is_comap(path: str | Path) -> bool:
    """Whether an HDF5 file has the names of a COMAP map."""
    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return any(name in file for name in ("map_coadd", "map_beam", "map")) and "limelight_kind" not in file.attrs


def read_comap(path: str | Path, told: Told) -> SurveyMap:
    """One map of a COMAP file. The efficiency must be told: products differ in whether it was applied."""
    if told.efficiency is None:
        fix = "say --efficiency 1 if the file's values are divided by it already, else its value (0.72, say)"
        raise problem(path, "no main-beam efficiency", "to be told it: COMAP's products differ", fix)
    with open_hdf5(path, "COMAP level-3 map") as file, reading(path, "a COMAP level-3 map"):
        file.visititems(refuse_unbounded)
        values_k, sigma_k, hits, words = _chosen(file, told, path)
        x, y = (_axis(file, name, path) for name in ("x", "y"))
        frequency, notes = _frequencies(file, values_k.shape[0] * values_k.shape[1], path)
        modes = int(np.asarray(file["n_pca"])) if _flag(file, "is_pca_subtr") and "n_pca" in file else 0
    ny, nx = values_k.shape[2:]
    if (len(x), len(y)) != (nx, ny):
        found = f"{len(x)} × {len(y)} centres for maps of {nx} × {ny} pixels"
        raise problem(path, found, "a centre for each pixel", "copy or make the file again")
    x = np.unwrap(x, period=360)
    ra, dec = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
    values, sigma, hits = (None if one is None else one.reshape(-1, ny, nx).T for one in (values_k, sigma_k, hits))
    if told.beam_arcmin is None:
        notes.append(f"beam {BEAM_ARCMIN}′, COMAP's (--beam changes it)")
    raw = Raw(
        values_uk=values.astype(np.float32) * np.float32(1e6),
        sigma_uk=None if sigma is None else sigma.astype(np.float32) * np.float32(1e6),
        x_deg=(x - ra) * np.cos(np.radians(dec)),
        y_deg=y - dec,
        frequency_ghz=frequency,
        source=words,
        hits=hits,
        beam_arcmin=BEAM_ARCMIN,
        modes=modes,
        means_removed=True,  # the pipeline's filters leave no zero level
        center_deg=(float(ra % 360), float(dec)),
        notes=notes,
    )
    return assemble(raw, told, path)


def _chosen(file: h5py.File, told: Told, path: object) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, str]:
    """(map, σ, hits (sideband, channel, y, x), which in words) that the user asks for."""
    if told.split is not None:
        return _split(file, told, path)
    pairs = COADDED if told.feed is None else SINGLE
    names = next((pair for pair in (*pairs, *SINGLE) if all(name in file for name in pair)), None)
    names = names or next(((pair[0], None) for pair in (*pairs, *SINGLE) if pair[0] in file), None)
    if names is None:
        expected = "map_coadd with sigma_wn_coadd or rms_coadd"
        raise problem(path, f"only {', '.join(list(file)[:12])}", expected, "give a COMAP level-3 map")
    values = file[names[0]]
    hits = names[0].replace("map", "nhit")
    return _read(values, names[1] and file[names[1]], file.get(hits), told.feed, None, path)


def _read(
    values: h5py.Dataset,
    sigma: h5py.Dataset | None,
    hits: h5py.Dataset | None,
    feed: int | None,
    part: int | None,
    path: object,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, str]:
    """One map (sideband, channel, y, x) of datasets that may have parts of a split and feeds before; feeds are coadded."""
    where, shape = f"{path}: {values.name[1:]}", values.shape
    if not 4 <= len(shape) <= 6 or values.dtype.kind not in "fiu" or np.prod(shape[-4:], dtype=float) > MOST_VOXELS:
        raise problem(where, f"shape {shape} of {values.dtype}", "(sideband, channel, y, x)", "give a level-3 map")
    for other in (sigma, hits):
        if other is not None and other.shape != shape:
            found = f"{other.name[1:]} of shape {other.shape} for a map of {shape}"
            raise problem(where, found, "one shape", "copy or make the file again")
    lead, index, words = list(shape[:-4]), [], [values.name[1:]]
    if lead and (len(lead) == 2 or lead[0] < FEEDS):
        parts = lead.pop(0)
        if part is None or not 0 <= part < parts:
            fix = f"say --split NAME:0 to NAME:{parts - 1}"
            raise problem(where, f"{parts} parts, {'none chosen' if part is None else f'part {part}'}", "one", fix)
        index.append(part)
        words.append(f"part {part}")
    elif part:
        raise problem(where, f"part {part} of a map without parts", "no number", "leave it out")
    if lead and feed is not None:
        if not 1 <= feed <= lead[0]:
            raise problem("--feed", str(feed), f"1 to {lead[0]}", "choose one of them")
        index.append(feed - 1)
        words.append(f"feed {feed}")
        lead = []
    elif feed is not None:
        raise problem("--feed", f"{feed} for {values.name[1:]}, which has no feeds", "a map with feeds", "leave it out")
    arrays = [None if one is None else np.asarray(one[tuple(index)]) for one in (values, sigma, hits)]
    if lead:
        arrays = _coadded(arrays, where)
        words.append(f"{lead[0]} feeds coadded")
    words.append("without σ" if sigma is None else f"σ from {sigma.name[1:]}")
    return *arrays, ", ".join(words)


def _coadded(arrays: list[np.ndarray | None], where: object) -> list[np.ndarray | None]:
    """The inverse-variance mean over feeds, the first axis."""
    values, sigma, hits = arrays
    if sigma is None:
        raise problem(where, "feeds without σ", "σ to weigh them by", "choose one with --feed")
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1 / sigma.astype(np.float64) ** 2
        weight[~np.isfinite(weight) | ~np.isfinite(values)] = 0
        total = weight.sum(axis=0)
        mean = (weight * np.where(weight > 0, values, 0)).sum(axis=0) / total
        return [mean, 1 / np.sqrt(total), None if hits is None else hits.sum(axis=0)]


def _split(file: h5py.File, told: Told, path: object) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, str]:
    """The map of a split, found by its name wherever it stands."""
    name, _, number = told.split.rpartition(":") if told.split.rpartition(":")[2].isdigit() else (told.split, "", "")
    found = {one.rpartition("map_")[2]: one for one in split_names(file)}
    if name not in found:
        listed = ", ".join(sorted(found)) or "none"
        raise problem(f"{path}: --split", f"'{name}'", f"a split of the file ({listed})", "choose one of them")
    place = found[name]
    folder, _, base = place.rpartition("/")
    sigma = next(
        (s for s in (f"{folder}/{kind}{base.removeprefix('map')}" for kind in ("sigma_wn", "rms")) if s in file), None
    )
    hits = f"{folder}/nhit{base.removeprefix('map')}"
    part = int(number) if number else None
    return _read(file[place], sigma and file[sigma], file.get(hits), told.feed, part, path)


def split_names(file: h5py.File) -> list[str]:
    """Datasets of a file that are maps of a split."""

    def walk(group: h5py.Group, place: str, depth: int) -> Iterator[str]:
        for name, item in group.items():
            if isinstance(item, h5py.Group) and depth < 3:
                yield from walk(item, f"{place}{name}/", depth + 1)
            elif place and isinstance(item, h5py.Dataset) and name.startswith("map_") and item.ndim >= 4:
                yield f"{place}{name}"

    return list(walk(file, "", 0))


def _flag(file: h5py.File, name: str) -> bool:
    return name in file and bool(np.asarray(file[name]).all())


def _axis(file: h5py.File, axis: str, path: object) -> np.ndarray:
    """Centres along right ascension or declination, degrees."""
    name = next((one for one in AXES[axis] if one in file), None)
    if name is None:
        raise problem(path, f"neither {' nor '.join(AXES[axis])}", "centres of pixels in degrees", "give a whole file")
    values = np.asarray(file[name], np.float64).ravel()
    if len(values) < 2 or not np.isfinite(values).all():
        raise problem(f"{path}: {name}", "values that are not finite, or one", "centres in degrees", "mend the file")
    return values


def _frequencies(file: h5py.File, channels: int, path: object) -> tuple[np.ndarray, list[str]]:
    """(middles of channels in GHz as they lie in the file, what was assumed)."""
    name = next((one for one in AXES["freq"] if one in file), None)
    values = np.zeros(channels) if name is None else np.asarray(file[name], np.float64).ravel()
    if not values.any():
        low, high = BAND_GHZ
        width = (high - low) / channels
        words = (
            f"the file's frequencies are {'absent' if name is None else '0'}: taken as {low:g} to {high:g} GHz in equal"
        )
        return low + width * (np.arange(channels) + 0.5), [f"{words} steps upwards"]
    if len(values) != channels or not np.isfinite(values).all() or not 1 < values.min() <= values.max() < 2000:
        found = f"{len(values)} from {values.min():.4g} to {values.max():.4g}"
        raise problem(f"{path}: {name}", found, f"{channels} frequencies in GHz", "mend the file")
    if len(np.unique(values)) < channels:
        raise problem(f"{path}: {name}", "equal frequencies", "one of its own for each channel", "mend the file")
    return values, []
