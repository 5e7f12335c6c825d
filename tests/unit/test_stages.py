"""The public functions: the same as the workflow's files, quick to import, and one line for what they cannot do."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import limelight
from limelight.data.shard import read_shards
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.halos.catalogue import read_catalogue, write_catalogue
from limelight.halos.generator import generate_lightcone
from limelight.halos.subfields import read_subfield_halos, read_subfields, write_subfields
from limelight.probes.line_intensity.maps.files import write_maps
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.settings import shard_settings
from limelight.probes.line_intensity.shards import pool_maps
from limelight.seeds import torch_seed
from limelight.study.config import load_study

SMALL = {
    "study": "small",
    "seed": 3,
    "lightcones": {
        "field_deg": 0.8,
        "mass_min_msun": 3e11,
        "cell_mpc": 8.0,
        "train": [0],
        "validation": [1],
        "test": [2],
    },
    "subfields": {"size_deg": 0.4, "per_side": 2, "rotations_deg": [0, 90], "reflections": True},
    "grid": {
        "pixels": 16,
        "channels": 8,
        "freq_min_ghz": 26.0,
        "freq_max_ghz": 34.0,
        "pool_pixels": 2,
        "pool_channels": 2,
    },
    "line_models": {"li10": {"model": "li", "prior": "10%", "draws": 2}},
    "observation": {"beam": True, "noise": {"none": {"sigma_uk": 0}}},
    "networks": {"one": {"architecture": "limelight", "options": {"filters": 4}, "line_models": ["li10"]}},
    "tests": {"clean": {"line_model": "li10"}},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def test_maps_simulated_in_memory_are_those_of_the_files(study: Path, tmp_path: Path):
    """Light-cone, subfields, maps and pooling as the workflow's four stages make them, bit for bit."""
    small = load_study(study)
    settings = shard_settings(small, "li10")
    maps, cuts = settings.maps, settings.maps.subfields
    cone, names = cuts.lightcone, {name: tmp_path / f"{name}.h5" for name in ("cone", "cut", "maps", "files")}
    seed = torch_seed(cone.seed, "light-cone", 2)
    halos = generate_lightcone(cone.lightcones, *cone.redshift_range, cone.cosmology, seed)
    write_catalogue(names["cone"], halos, {"lightcone": 2})
    write_subfields(names["cut"], read_catalogue(names["cone"]), cuts.subfields, {"lightcone": 2})
    table, parts = read_subfields(names["cut"]), read_subfield_halos(names["cut"])
    chosen = "li10", maps.dataset, maps.labels
    painted = paint_subfields(table, parts, *chosen, maps.grid, maps.seed)
    write_maps(names["maps"], painted, table, maps.grid, *chosen, {})
    pool_maps(names["files"], names["maps"], settings.grid, settings.beam_fwhm_arcmin, provenance(settings, small.seed))
    found = limelight.simulate(small, "li10", 2, tmp_path / "memory.h5")
    assert found.x.shape == (32, 1, 8, 8, 4), "4 subfields × 2 turns × 2 mirror images × 2 draws"
    assert found.x.std() > 0
    with h5py.File(tmp_path / "files.h5") as files, h5py.File(tmp_path / "memory.h5") as memory:
        assert dict(memory.attrs).keys() == dict(files.attrs).keys()
        different = [key for key in files.attrs if str(files.attrs[key]) != str(memory.attrs[key])]
        assert not [key for key in different if key not in ("created", "command")]
        names = []
        files.visit(names.append)
        for name in names:
            if isinstance(files[name], h5py.Dataset):
                assert files[name].dtype == memory[name].dtype, name
                np.testing.assert_array_equal(files[name][...], memory[name][...], err_msg=name)
    np.testing.assert_array_equal(read_shards([tmp_path / "files.h5"]).x, found.x)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("li99", 0), "dataset: found 'li99'; expected one of li10"),
        (("li10", -1), "realisation: found -1; expected"),
        (("li10", 0.5), "realisation: found 0.5; expected a whole number"),
    ],
)
def test_what_cannot_be_simulated_is_one_line(study: Path, asked: tuple, says: str):
    with pytest.raises(LimelightError, match=says) as caught:
        limelight.simulate(load_study(study), *asked)
    assert "\n" not in str(caught.value)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'limelight' has no attribute 'simulat'"):
        _ = limelight.simulat


def test_importing_the_package_loads_nothing_else():
    """Torch alone takes seconds; a name loads what it needs when it is first asked for."""
    code = "import sys, limelight; print(*(n for n in sys.modules if n.startswith(('limelight.', 'torch', 'numpy'))))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_every_public_function_is_on_the_page_and_says_what_it_takes():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in (name for name in dir(limelight) if not name.startswith("_")):
        thing = getattr(limelight, name)
        assert f"::: {thing.__module__}.{thing.__qualname__}\n" in page, name
        assert thing.__doc__, name
