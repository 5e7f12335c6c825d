"""Damaged files of every kind that limelight reads: an answer, or one line that names the file; never anything else.

Bits are flipped and ends cut off with fixed seeds. Where a format has checksums (.npz and .pt) an answer is the right one.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from audit_toys import of_lines
from catalogue_files import (
    DATA,
    box_halos,
    cone_halos,
    write_peakpatch,
    write_pksc,
    write_rockstar,
    write_subfind,
)
from damaged_files import SEEDS, damaged, one_line_or
from evaluation_toys import sample
from map_files import make_files
from training_toys import PROBE, settings, toys

from limelight.cosmology import Cosmology
from limelight.data.shard import read_shards
from limelight.describe import describe
from limelight.evaluation.audit_file import read_audit, write_audit
from limelight.evaluation.evaluation_file import read_evaluation, read_history, write_evaluation
from limelight.files import provenance
from limelight.halos.catalogue import HaloCatalogue, read_catalogue, write_catalogue
from limelight.halos.config import Catalogue
from limelight.halos.formats import FORMATS
from limelight.halos.formats.common import check
from limelight.probes.line_intensity.maps.files import open_maps, read_map
from limelight.probes.line_intensity.maps.fits import export_map, read_cube
from limelight.study.config import ROOT, load_study
from limelight.training.checkpoint import load_checkpoint, load_model, save_checkpoint, save_model
from limelight.training.loop import history_csv, train

TABLE = {"columns": {"x": "x", "y": "y", "z": "z", "mass": "m"}, "box_mpc": 100.0, "redshift": 3.0}


def catalogue(source: str, **options):
    return lambda path: check(FORMATS[source](path, Catalogue(**options), Cosmology()), path)


def read_maps(path: Path):
    with open_maps(path) as (file, grid):
        return [read_map(file, index) for index in range(len(file["maps"]))], grid


def columns() -> dict:
    position, _, mass = box_halos()
    return {**dict(zip("xyz", position.T, strict=True)), "m": mass}


def light_cone(path: Path) -> None:
    position, velocity, mass = cone_halos(500)
    z = Cosmology().redshift_at(np.linalg.norm(position, axis=1))
    write_catalogue(path, HaloCatalogue(position, velocity, mass, z, z, Cosmology(), {}), provenance({}, 5))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, tuple[Path, object]]:
    """{kind: (a sound file, its reader)}."""
    folder = tmp_path_factory.mktemp("sound")
    maps, shard = make_files(folder)
    export_map(maps, 0, folder / "cube.fits")
    light_cone(folder / "cone.h5")
    write_evaluation(folder / "evaluation.h5", sample("clean", 0.0, 0.05, maps=8), provenance({}, 5))
    write_audit(folder / "audit.h5", of_lines(), provenance({}, 5))
    content, history = train(settings(epochs=1), PROBE, toys(8), toys(4, 1), folder / "training")
    save_model(folder / "model.pt", content, {"seed": 7})
    (folder / "history.csv").write_text(history_csv(history))
    save_checkpoint(folder, "recipe", {"epoch": 0, "step": 0, "model": content["state_dict"]})
    (folder / "study.yaml").write_bytes((ROOT / "config" / "demo.yaml").read_bytes())
    write_peakpatch(folder / "0.npz", *cone_halos(200))
    write_pksc(folder / "0.pksc", *cone_halos(200))
    write_rockstar(folder / "out_1.list", *box_halos())
    write_subfind(folder / "fof.0.hdf5", *box_halos())
    np.savez_compressed(folder / "packed.npz", **columns())
    pyarrow.parquet.write_table(pyarrow.table(columns()), folder / "table.parquet")
    rows = np.column_stack(list(columns().values()))
    np.savetxt(folder / "table.csv", rows, delimiter=",", header="x,y,z,m", comments="", fmt="%.5g")
    for name in ("abacus_lc_halo_info_z2.250.asdf", "um_sfr_catalog_0.506185.txt"):
        (folder / name).write_bytes((DATA / name).read_bytes())
    read = {
        maps.name: read_maps,
        shard.name: lambda path: read_shards([path]),
        "cone.h5": read_catalogue,
        "evaluation.h5": read_evaluation,
        "audit.h5": read_audit,
        "cube.fits": read_cube,
        "model.pt": load_model,
        "epoch-000000-step-000000.pt": lambda path: load_checkpoint(path.parent, "recipe"),
        "history.csv": read_history,
        "study.yaml": load_study,
        "0.npz": catalogue("peakpatch"),
        "0.pksc": catalogue("peakpatch"),
        "out_1.list": catalogue("rockstar"),
        "fof.0.hdf5": catalogue("subfind"),
        "packed.npz": catalogue("table", **TABLE),
        "table.parquet": catalogue("table", **TABLE),
        "table.csv": catalogue("table", **TABLE),
        "abacus_lc_halo_info_z2.250.asdf": catalogue("abacus"),
        "um_sfr_catalog_0.506185.txt": lambda path: FORMATS["universemachine"](
            path, Catalogue(box_mpc=360), Cosmology()
        ),
    }
    return {name: (folder / name, reader) for name, reader in read.items()}


NAMES = (
    *("maps_li10_3.h5", "shard_li10_3.h5", "cone.h5", "evaluation.h5", "audit.h5", "cube.fits", "model.pt"),
    *("epoch-000000-step-000000.pt", "history.csv", "study.yaml", "0.npz", "0.pksc", "out_1.list", "fof.0.hdf5"),
    *("packed.npz", "table.parquet", "table.csv", "abacus_lc_halo_info_z2.250.asdf", "um_sfr_catalog_0.506185.txt"),
)
DESCRIBED = tuple(name for name in NAMES[:9] if name != "cube.fits")


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_one_line_or_leaves_the_answer(name, files, tmp_path):
    sound, read = files[name]
    data, answers = sound.read_bytes(), []
    assert one_line_or(read, sound) is not None, "the file is sound before"
    for seed in SEEDS:
        path = tmp_path / name
        path.write_bytes(damaged(data, seed))
        answers.append(one_line_or(read, path))
        if name in DESCRIBED:
            one_line_or(describe, path)
    assert None in answers
    if name == "model.pt":
        right = read(sound)[0].state_dict()
        for module, _ in filter(None, answers):
            assert all(torch.equal(value, right[key]) for key, value in module.state_dict().items())
    if name.endswith(".npz"):
        right = read(sound)
        for found in filter(None, answers):
            assert np.array_equal(found.position_mpc, right.position_mpc)
            assert np.array_equal(found.mass_msun, right.mass_msun)
