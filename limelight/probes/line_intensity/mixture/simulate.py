"""Clean cubes of each line and of each catalogue: light-cones, luminosities, light in voxels, beam, parts of the band."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from limelight.cosmology import Cosmology
from limelight.data.axes import Axis
from limelight.data.shard import Header, Rows
from limelight.halos.config import Lightcones
from limelight.halos.config import Subfields as SubfieldCuts
from limelight.halos.subfields import SubfieldHalos, cut_subfields, plan_subfields
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.labels import log10_lum_edges
from limelight.probes.line_intensity.lines.models import LineModel, get_model
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.paint import Field, bin_light, drawn_light, prepare_field
from limelight.probes.line_intensity.mixture.config import Catalogue, Cubes, Line, labels_of
from limelight.section import plain
from limelight.seeds import generator, torch_seed

PROBE = "line_mixture"


@dataclass(frozen=True)
class CubeSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Cubes
    codes: dict[str, str] | None = None  # hashes of users' own line models, by line


def grid_of(data: Cubes, line: str) -> Grid:
    """The voxels of a line's whole band, each of which a map has one of."""
    band, own = data.maps[data.lines[line].map], data.lines[line]
    edges = band.freq_min_ghz, band.freq_max_ghz
    return Grid(data.size_deg, data.pixels, data.channels, *edges, own.rest_freq_ghz)


def voxel_mpc(data: Cubes, line: str) -> list[float]:
    """Sides of a voxel in the middle of a line's band, comoving Mpc: x, y, along the line of sight."""
    grid, cosmology = grid_of(data, line), Cosmology(**vars(data.cosmology))
    middle = (grid.freq_min_ghz + grid.freq_max_ghz) / 2
    near, here, far = (
        float(cosmology.comoving_distance(grid.rest_freq_ghz / (middle + step * grid.channel_ghz) - 1))
        for step in (0.5, 0, -0.5)
    )
    across = here * np.deg2rad(grid.pixel_deg)
    return [float(across), float(across), far - near]


def cubes_header(settings: CubeSettings) -> Header:
    """What all shards of a dataset have in common: one channel a line, then one a catalogue."""
    data = settings.data
    half, channels = data.size_deg / 2, data.channels // data.cuts
    first = next(iter(data.lines))
    width = 1000 * channels * grid_of(data, first).channel_ghz
    sky = tuple(Axis(name, "deg", -half, half, data.pixels) for name in ("x", "y"))
    lines = {name: {"map": one.map, "source": data.source_of(name)} for name, one in data.lines.items()}
    geometry = {
        "size_deg": data.size_deg,
        "beam_fwhm_arcmin": data.beam_fwhm_arcmin,
        "maps": {name: {**plain(band), "channels": data.channels} for name, band in data.maps.items()},
        "lines": lines,
        "catalogues": {name: data.source_of(one.line) for name, one in data.catalogues.items()},
        "part": 1 / data.cuts,
        "voxel_mpc": voxel_mpc(data, first),
    }
    truths = {"labels": {name: labels_of(one) for name, one in data.lines.items()}, "images": data.images}
    return Header(
        PROBE,
        (*sky, Axis("frequency in the part", "MHz", 0.0, width, channels)),
        (*data.lines, *data.catalogues),
        "uK",
        geometry,
        truths,
        {"seed": settings.seed, "data": plain(data)},
    )


def light_cone(data: Cubes, line: str, seed: int) -> Iterator[tuple[int, np.ndarray, SubfieldHalos]]:
    """(number, centre (2,), halos) of each field of a light-cone over a line's whole band."""
    from limelight.halos.generator import generate_lightcone  # torch, which headers are made without

    side = data.size_deg * data.per_side
    cones = Lightcones(  # the generator reads no splits
        field_deg=side,
        mass_min_msun=data.lines[line].mass_min_msun or data.mass_min_msun,
        mass_function=data.mass_function,
        cell_mpc=data.cell_mpc,
        train=[0],
        validation=[1],
        test=[2],
    )
    halos = generate_lightcone(cones, *grid_of(data, line).redshift_range, Cosmology(**vars(data.cosmology)), seed)
    plan = plan_subfields(side, SubfieldCuts(size_deg=data.size_deg, per_side=data.per_side))
    for number, part in cut_subfields(halos, plan):
        yield number, plan.center_deg[number], part


def ratio_dex(line: Line, fitted_ghz: float | None) -> float:
    """log10 of the L (Lsun) of a line over that of the line that a model, or another line, is of: r (ν/ν₀)³."""
    if line.lprime_ratio is None:
        return 0.0
    return float(np.log10(line.lprime_ratio) + 3 * np.log10(line.rest_freq_ghz / (fitted_ghz or line.rest_freq_ghz)))


def model_of(line: Line) -> LineModel:
    """The model of a line with a light-cone of its own, brighter by its ratio."""
    model = get_model(line.model or "", line.parameters)
    shift = ratio_dex(line, model.rest_freq_ghz)

    def luminosity(mass, redshift, parameters, rng):
        return model.log10_luminosity(mass, redshift, parameters, rng) + shift

    return replace(model, log10_luminosity=luminosity) if shift else model


@dataclass
class Shining:
    """The halos of one line in one field, in one draw."""

    field: Field
    per_halo: np.ndarray  # (n,) µK that each adds to its voxel
    log10_lum: np.ndarray  # (n,)

    @property
    def channel(self) -> np.ndarray:
        """(n,) of the whole band."""
        return self.field.index % self.field.channels


def shine(data: Cubes, line: str, field: Field, rng: np.random.Generator, where: str) -> tuple[Shining, dict]:
    """One draw of a line with a light-cone of its own, and the model's parameters."""
    own = data.lines[line]
    settings = MapDataset(
        model=own.model, prior=own.prior, parameters=own.parameters, mean_temperature_uk=own.mean_temperature_uk
    )
    light, parameters = drawn_light(field, model_of(own), settings, rng, where)
    return Shining(field, light.per_halo, light.log10_lum), parameters


def shine_along(data: Cubes, line: str, of: Shining, rng: np.random.Generator) -> tuple[Shining, float]:
    """A second line of the same halos, and log10 of its ratio of L′: its voxels are those of the first.

    Its band is the first line's times the ratio f of the rest frequencies (checked), so that 1 Lsun makes f⁻³ of the first
    line's temperature: 1/Δν of intensity, and 1/ν² of Rayleigh-Jeans.
    """
    own, first = data.lines[line], data.lines[data.lines[line].halos]
    factor = own.rest_freq_ghz / first.rest_freq_ghz
    drawn = own.ratio_sigma_dex * rng.standard_normal()
    dex = ratio_dex(own, first.rest_freq_ghz) + drawn
    log10_lum = of.log10_lum + dex
    return Shining(of.field, of.per_halo * 10**dex / factor**3, log10_lum), np.log10(own.lprime_ratio) + drawn


def counted(catalogue: Catalogue, of: Shining, rng: np.random.Generator) -> np.ndarray:
    """Galaxies in each voxel, (pixels, pixels, channels) float32; redshift errors move them along the line of sight."""
    field, grid = of.field, of.field.grid
    mass = field.properties[0]
    chosen = rng.random(len(mass)) < catalogue.share
    if catalogue.log10_mass_min is not None:
        chosen &= mass >= 10**catalogue.log10_mass_min
    if catalogue.log10_lum_min is not None:
        chosen &= of.log10_lum >= catalogue.log10_lum_min
    channel = of.channel + rng.random(len(mass))
    sigma = catalogue.redshift_error * (grid.freq_min_ghz + grid.freq_max_ghz) / 2 / grid.channel_ghz
    channel = np.floor(channel + sigma * rng.standard_normal(len(mass))).astype(np.int64)
    slab = np.repeat(np.arange(grid.pixels), np.diff(field.starts))
    pixel = slab * grid.pixels + field.index // field.channels
    chosen &= (channel >= 0) & (channel < field.channels)
    place = (pixel * field.channels + channel)[chosen]
    return np.bincount(place, minlength=grid.voxels).reshape(grid.shape).astype(np.float32)


def counts_above(of: Shining, edges: np.ndarray, cuts: int) -> np.ndarray:
    """Halos at or above each edge (log10 Lsun) in each part of the band, (cuts, edges)."""
    part = of.channel // (of.field.channels // cuts)
    table = np.zeros((cuts, len(edges) + 1), np.int64)
    np.add.at(table, (part, np.searchsorted(edges, of.log10_lum, side="right")), 1)
    return table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def volumes(data: Cubes, line: str, center_deg: np.ndarray) -> np.ndarray:
    """Comoving volume of each part of a line's band, Mpc³ (cuts,)."""
    grid, cosmology = grid_of(data, line), Cosmology(**vars(data.cosmology))
    edges = np.linspace(grid.freq_min_ghz, grid.freq_max_ghz, data.cuts + 1)
    parts = (
        replace(grid, freq_min_ghz=low, freq_max_ghz=high) for low, high in zip(edges[:-1], edges[1:], strict=True)
    )
    return np.array([part.volume_mpc3(cosmology, center_deg) for part in parts])


def in_parts(cube: np.ndarray, cuts: int) -> np.ndarray:
    """(cuts, x, y, channels / cuts) of a whole band (x, y, channels)."""
    return np.moveaxis(cube.reshape(*cube.shape[:2], cuts, -1), 2, 0)


def simulate_cubes(settings: CubeSettings, dataset: str, realisation: int) -> Rows:
    """The rows of a shard: fields × draws × parts of the band, in this order."""
    data, seed = settings.data, settings.seed
    fields: dict[str, list] = {}
    for line in data.sources:
        cone = light_cone(data, line, torch_seed(seed, f"light-cone of {line}", realisation))
        grid, cosmology = grid_of(data, line), Cosmology(**vars(data.cosmology))
        fields[line] = [
            (center, prepare_field(halos, grid, center, cosmology, precision=np.float64)) for _, center, halos in cone
        ]
    made = [
        _one(data, {line: each[number] for line, each in fields.items()}, seed, dataset, realisation, number, draw)
        for number in range(data.per_side**2)
        for draw in range(data.draws)
    ]
    x, y, theta = zip(*made, strict=True)
    where = np.indices((data.per_side**2, data.draws, data.cuts)).reshape(3, -1)
    n = data.rows
    cubes = np.concatenate(x)
    truths = {name: np.concatenate([one[name] for one in y]) for name in y[0]}
    if data.images:
        truths |= {name: cubes[:, i : i + 1] for i, name in enumerate(data.lines)}
    names = list(theta[0])
    table = np.array([[one[name] for name in names] for one in theta], np.float64).reshape(len(theta), len(names))
    return Rows(
        header=cubes_header(settings),
        x=cubes,
        y={**truths, "part": where[2].astype(np.float64)},
        theta=np.repeat(table, data.cuts, axis=0),
        parameter_names=names,
        group=np.full(n, realisation),
        dataset=np.repeat([dataset], n),
        rows={"field": where[0], "draw": where[1]},
    )


def _one(
    data: Cubes, fields: dict, seed: int, dataset: str, realisation: int, number: int, draw: int
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, float]]:
    """(cubes (cuts, channels, x, y, f), truths (cuts, …), parameters) of one draw on one field."""
    shining, parameters, truths, cubes = {}, {}, {}, []

    def stream(name: str) -> np.random.Generator:
        return generator(seed, f"mixture/{dataset}/{name}", realisation, number, draw)

    for line in sorted(data.lines, key=lambda name: data.lines[name].halos is not None):
        center, field = fields[data.source_of(line)]
        if data.lines[line].halos is None:
            where = f"line {line} of {dataset}, light-cone {realisation}, field {number}"
            shining[line], drawn = shine(data, line, field, stream(line), where)
            parameters |= {f"{line}_{name}": value for name, value in drawn.items()}
        else:
            shining[line], ratio = shine_along(data, line, shining[data.source_of(line)], stream(line))
            parameters[f"{line}_log10_ratio"] = ratio
        edges = log10_lum_edges(labels_of(data.lines[line]))
        truths[f"n_above_{line}"] = counts_above(shining[line], edges, data.cuts)
        truths[f"volume_{line}"] = volumes(data, line, center)
    for line in data.lines:
        cube = bin_light(shining[line].field, shining[line].per_halo)
        cubes.append(in_parts(smooth(cube, data.beam_fwhm_arcmin, data.size_deg / data.pixels), data.cuts))
    for name, catalogue in data.catalogues.items():
        cubes.append(in_parts(counted(catalogue, shining[catalogue.line], stream(name)), data.cuts))
    return np.stack(cubes, axis=1).astype(np.float32), truths, parameters
