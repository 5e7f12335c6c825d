"""A painter from its file to light-cones by the script: what is read of it, what is refused, and a study that names it."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
import yaml

from limelight.data.shard import Rows
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance
from limelight.halos.painter import band_tables
from limelight.halos.validation import square_solid_angle
from limelight.probes.halo_field.probe import PROBE
from limelight.probes.line_intensity.settings import lightcone_settings
from limelight.probes.line_intensity.simulate import lightcone_halos
from limelight.study.config import resolve_study
from limelight.study.settings import network_settings
from limelight.training import loop
from limelight.training.checkpoint import load_torch, save_model, save_torch
from limelight.training.painter import load_painter

CELLS = 8
EDGES = [8e11, 2e12, 1e16]
NEAR = {"side_mpc": 32, "particles": 32, "cells": CELLS, "redshift": 2.35, "steps": 4, "lpt_waves": "cells"}


def painters(**network):
    """A study of halo fields with one painter."""
    near = {**NEAR, "mass_edges_msun": EDGES}
    painter = {"architecture": "inception", "options": {"filters": 2, "blocks": 1}, "data": ["near", "far"]}
    painter |= {"redshift": True, "target": {"halos": "bands"}, **network}
    return resolve_study(
        {
            "study": "tiny",
            "probe": "halo_field",
            "realisations": {"train": [0, 1], "validation": [2], "test": [3]},
            "data": {"near": near, "far": {**near, "redshift": 3.5}},
            "networks": {"painter": painter},
            "tests": {"t": {"data": "near"}},
            "training": {"loss": "negative_binomial_field", "batch_size": 1, "epochs": 2, "learning_rate": 1e-2},
            "audit": {"networks": "none"},
            "resources": {"training_threads": 1},
        },
        "tiny.yaml",
    )


def mock_rows(study, numbers) -> Rows:
    """Boxes of both redshifts whose halos are Poisson about (1 + δ)² of a lognormal δ."""
    x, counts, redshifts, names = [], [], [], []
    for n in numbers:
        for name in ("near", "far"):
            rng = np.random.default_rng([n, len(name)])
            density = np.exp(0.8 * rng.standard_normal((CELLS,) * 3) - 0.32)
            redshifts.append(study.data[name].redshift)
            x.append([density - 1, density - 1, np.full_like(density, redshifts[-1])])
            counts.append([rng.poisson(0.05 * density**2), rng.poisson(0.02 * density**3)])
            names.append(name)
    counts = np.array(counts, np.float32)
    return Rows(
        PROBE.header(PROBE.dataset_settings(study, "near")),
        np.array(x, np.float32),
        {"total": counts.sum(axis=1, keepdims=True), "bands": counts},
        np.array([[0.82, z] for z in redshifts]),
        ["sigma8", "redshift"],
        np.repeat(numbers, 2),
        np.array(names),
        {
            "halos": np.zeros((len(x), 4, 7), np.float32),
            "velocity_kms": np.zeros((len(x), 3, *[CELLS] * 3), np.float32),
        },
    )


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """A trained painter's file."""
    torch.set_num_threads(1)
    folder, study = tmp_path_factory.mktemp("painter"), painters()
    settings = network_settings(study, "painter")
    content, _ = loop.train(settings, PROBE, mock_rows(study, [0, 1]), mock_rows(study, [2]), folder / "checkpoints")
    save_model(folder / "model.pt", content, provenance(settings, study.seed))
    return folder / "model.pt"


def line_study(path, **lightcones):
    """The tiny study of line maps on a narrow painted light-cone."""
    tiny = yaml.safe_load((ROOT / "tests" / "pipeline" / "tiny.yaml").read_text())
    tiny["subfields"] = {"size_deg": 0.4, "per_side": 1}
    tiny["lightcones"] |= {"field_deg": 0.4, "cell_mpc": 4.0, "mass_min_msun": 4e11, "source": "painted"}
    tiny["lightcones"] |= {"painter": str(path), **lightcones}
    return {**tiny, "lightcones": {key: value for key, value in tiny["lightcones"].items() if value is not None}}


def test_the_script_paints_a_light_cone_of_the_mass_function_twice_the_same(painter, tmp_path):
    study = line_study(painter)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study))
    made = [tmp_path / "a.h5", tmp_path / "b.h5"]
    script = [
        sys.executable,
        ROOT / "scripts" / "paint_lightcone.py",
        "--config",
        tmp_path / "s.yaml",
        "--lightcone",
        "3",
    ]
    for output in made:
        said = subprocess.run([*script, "--output", output], capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
    assert made[0].read_bytes() == made[1].read_bytes()
    settings = lightcone_settings(resolve_study(study, "s.yaml"))
    inside = lightcone_halos(settings, 3)
    with h5py.File(made[0]) as file:
        mass = file["mass_msun"][:]
        np.testing.assert_array_equal(mass, inside.mass_msun)
        assert file.attrs["source"] == "painted"
        assert file.attrs["below_painted"] == "the generator's (contrast)"
        assert json.loads(file.attrs["painted_msun"]) == EDGES
        assert json.loads(file.attrs["geometry"])["painted_from_msun"] == EDGES[0]
    cosmology, low, high = settings.cosmology, inside.redshift.min(), inside.redshift.max()
    z = np.linspace(low, high, 9)
    density = band_tables(load_painter(painter), z, cosmology, "tinker08")[1][..., -1]
    shell = cosmology.comoving_distance(z) ** 2 * 299792.458 / cosmology.hubble(z) * square_solid_angle(0.4)
    expected = np.trapezoid(shell[:, None] * density, z, axis=0)
    found = np.histogram(mass, EDGES)[0]
    assert (np.abs(found - expected) < 4 * np.sqrt(expected) + 0.1 * expected).all(), (found, expected)


@pytest.mark.parametrize(
    ("lightcones", "words"),
    [
        ({"cell_mpc": 5.0}, r"lightcones\.painter: .*cells of 4 Mpc; expected 5 Mpc"),
        ({"mass_min_msun": 3e12}, r"last mass band from 2e\+12 Msun; expected several bands above 3e\+12"),
        ({"painter": None}, r"lightcones\.painter: found nothing; expected model\.pt of a painter"),
        ({"source": "generate"}, r"lightcones\.painter: found a painter beside source: generate"),
        ({"method": "exclusion"}, r"lightcones\.method: found exclusion beside source: painted"),
        ({"painter": "none.pt"}, r"lightcones\.painter: none\.pt: .*no such file"),
    ],
)
def test_a_study_says_in_one_line_why_its_painter_does_not_fit(painter, lightcones, words):
    with pytest.raises(LimelightError, match=words) as error:
        resolve_study(line_study(painter, **lightcones), "s.yaml")
    assert "\n" not in str(error.value)


def test_a_band_beyond_the_painters_redshifts_is_refused_on_both_sides(painter):
    for band in ({"freq_max_ghz": 40.0}, {"freq_min_ghz": 22.0}):
        study = line_study(painter)
        study["grid"] |= band
        with pytest.raises(LimelightError, match=r"a painter of redshifts 2\.35 to 3\.5; expected \d"):
            resolve_study(study, "s.yaml")


def changed(content, path):
    """The file's content with a change deep within it."""
    *place, (key, value) = path
    inner = content
    for name in place:
        inner = inner[name]
    inner[key] = value
    return content


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("entry", ("noise_channels", 2)), "a painter with noise_channels: 2; expected 0"),
        (("entry", ("density", "evolved")), "a painter with density: evolved; expected lpt"),
        (("entry", ("shear", True)), "a painter with shear: True"),
        (("entry", "target", ("halos", "total")), "all halos together; expected one of mass bands"),
        (("header", "geometry", ("lpt_waves", "particles")), "learnt from all waves of the particles"),
        (("target", ("outputs", "target")), "answers target; expected a painter"),
        (
            ("target", ("outputs", "log10_bernoulli_counts")),
            "log10_bernoulli_counts; expected a painter: .* Poisson or",
        ),
        (("entry", ("redshift", False)), "2 redshifts that is not told which"),
        (("provenance", ("settings", "{}")), "a network without them; expected the settings of the boxes"),
    ],
)
def test_a_network_that_is_no_painter_of_light_cones_is_refused(painter, tmp_path, path, words):
    content = changed(load_torch(painter, "network"), path)
    if path[-1] == ("outputs", "target"):  # of which a network has no dispersions
        content["state_dict"]["output.weight"] = content["state_dict"]["output.weight"][:2].clone()
        content["state_dict"]["output.bias"] = content["state_dict"]["output.bias"][:2].clone()
    save_torch(tmp_path / "other.pt", "network", content)
    with pytest.raises(LimelightError, match=words) as error:
        load_painter(tmp_path / "other.pt")
    assert "\n" not in str(error.value)
