"""From fine maps to the shard: each map smoothed by the beam, summed in blocks, and kept with its counts."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from limelight.data.axes import Axis
from limelight.data.shard import Header, Rows, write_shard
from limelight.errors import problem
from limelight.files import attribute
from limelight.probes.line_intensity.maps.files import open_maps, read_map
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.pooling import pool
from limelight.section import plain

PROBE = "line_intensity"
EXAMPLES = 4  # maps of which a shard keeps one fine channel, for figures
ROWS = ("subfield", "draw", "rotation_deg", "reflected", "center_deg")


def line_header(grid: Grid, beam_fwhm_arcmin: float, labels: dict, cosmology: dict) -> Header:
    """What all shards of one pooled geometry have in common.

    A network is bound to the grid with its pooling and unit, and to the beam. Axes count pooled voxels; places on the sky
    are degrees of the tangent plane from the centre of the field.
    """
    half = grid.size_deg / 2
    pixels, _, channels = grid.pooled_shape
    return Header(
        probe=PROBE,
        axes=(
            Axis("x", "deg", -half, half, pixels),
            Axis("y", "deg", -half, half, pixels),
            Axis("frequency", "GHz", grid.freq_min_ghz, grid.freq_max_ghz, channels),
        ),
        channels=("line",),
        unit=f"{grid.unit}, summed over {grid.pool_pixels}² × {grid.pool_channels} voxels",
        geometry={**plain(grid), "beam_fwhm_arcmin": float(beam_fwhm_arcmin)},
        truths={"labels": dict(labels)},
        simulation={"cosmology": dict(cosmology)},
    )


def grid_of(geometry: dict) -> tuple[Grid, float]:
    """The grid and the beam (FWHM in arcmin) in a header's geometry."""
    return Grid(**{key: value for key, value in geometry.items() if key != "beam_fwhm_arcmin"}), geometry[
        "beam_fwhm_arcmin"
    ]


def pool_map(cube: np.ndarray, grid: Grid, beam_fwhm_arcmin: float) -> np.ndarray:
    """A map of fine pixels smoothed by the beam (0: none) and summed in blocks; its channels are fine or pooled already.

    Channels are pooled first: the beam is the same in all of them, and fewer are left to smooth. In a part of a survey's
    map, what the beam carries over a rim comes in at the opposite one.
    """
    cube = pool(cube, 1, cube.shape[-1] // grid.pooled_shape[-1])
    cube = smooth(cube, beam_fwhm_arcmin, grid.pixel_deg, wraps=grid.survey is not None)
    return pool(cube, grid.pool_pixels, 1)


def pool_maps(
    path: str | Path,
    maps_path: str | Path,
    grid: Grid,
    beam_fwhm_arcmin: float,
    attributes: dict[str, object],
    show: Callable = iter,
) -> int:
    """Pool every map of a maps file into a shard.

    Parameters
    ----------
    grid
        The study's, with its pooling.
    attributes
        Provenance.
    show
        Wraps the loop over maps (a progress bar).

    Returns the number of maps. Raises LimelightError when the file's grid is not the study's.
    """
    with open_maps(maps_path) as (fine, made):
        unpooled = replace(grid, pool_pixels=1, pool_channels=1)
        if made != unpooled:
            ours, theirs = asdict(unpooled), asdict(made)
            differ = ", ".join(f"{key} {theirs[key]}" for key in ours if ours[key] != theirs[key])
            expected = ", ".join(f"{key} {ours[key]}" for key in ours if ours[key] != theirs[key])
            raise problem(maps_path, f"maps with {differ}", f"the config's {expected}", "paint the maps again")
        n, examples = len(fine["maps"]), []
        x = np.empty((n, 1, *grid.pooled_shape), np.float32)
        for i in show(range(n)):
            cube = read_map(fine, i)
            x[i, 0] = pool_map(cube, grid, beam_fwhm_arcmin)
            if i < EXAMPLES:
                examples.append(cube[:, :, grid.channels // 2])
        line_model = attribute(fine, "line_model")
        found = Rows(
            header=line_header(grid, beam_fwhm_arcmin, attribute(fine, "labels"), attribute(fine, "cosmology")),
            x=x,
            y={name: fine[name][...] for name in ("n_above", "volume_mpc3")},
            theta=fine["parameters"][...],
            parameter_names=list(attribute(fine, "parameter_names")),
            group=np.full(n, attribute(fine, "lightcone"), np.int64),
            dataset=np.repeat([line_model["name"]], n),
            rows={name: fine[name][...] for name in ROWS},
            examples={"fine": np.stack(examples)},
        )
    write_shard(path, found, attributes, {"line_model": line_model})
    return n
