"""Small maps files and their shards for tests, painted from random halos."""

from pathlib import Path

import numpy as np

from limelight.files import provenance
from limelight.halos.subfields import SubfieldHalos, Subfields
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.maps.files import write_maps
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.shards import pool_maps

GRID = Grid(1.4, 16, 8, 26.0, 34.0, 115.27, "uK", 4, 2)
LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
LI10 = MapDataset(model="li", prior="10%", draws=3)


def subfields(lightcone: int) -> tuple[Subfields, list]:
    """Two neighbouring fields, their table and their (index, halos)."""
    center = np.array([[-0.7, 0.7], [0.7, 0.7]])
    zeros = np.zeros(2)
    table = Subfields(
        zeros, zeros > 0, zeros.astype(int), np.arange(2), center, np.eye(2) > 0, 1.4, lightcone=lightcone
    )
    halos = []
    for i in range(2):
        rng = np.random.default_rng(100 * lightcone + i)
        z = rng.uniform(*GRID.redshift_range, 2000).astype(np.float32)
        mass = (10 ** rng.uniform(10.4, 12.5, 2000)).astype(np.float32)
        halos.append((i, SubfieldHalos(center[i] + rng.uniform(-0.7, 0.7, (2000, 2)), z, z, mass)))
    return table, halos


def make_files(
    folder: Path,
    lightcone: int = 3,
    grid: Grid = GRID,
    settings: MapDataset = LI10,
    name: str = "li10",
    beam: float = 0.0,
) -> tuple[Path, Path]:
    """Write a maps file of one light-cone and its shard; return their paths."""
    table, halos = subfields(lightcone)
    maps, shard = folder / f"maps_{name}_{lightcone}.h5", folder / f"shard_{name}_{lightcone}.h5"
    dataset = MapDataset.model_validate(settings)
    painted = paint_subfields(table, halos, name, dataset, LABELS, grid, study_seed=5)
    write_maps(maps, painted, table, grid, name, dataset, LABELS, provenance({}, 5))
    pool_maps(shard, maps, grid, beam, provenance({}, 5))
    return maps, shard
