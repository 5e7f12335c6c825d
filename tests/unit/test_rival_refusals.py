"""What run_rival.py refuses of an observed rival's --data and --survey: each in one line, and nothing is written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from observed_toys import shard_file, study_of
from survey_files import sky, write_new
from test_ancestry import run

from limelight.files import provenance
from limelight.probes.line_intensity.maps.survey import load_survey, save_survey
from limelight.probes.line_intensity.rival.observed import write_observed
from limelight.probes.line_intensity.rival.observed_stage import observed_emulator
from limelight.probes.line_intensity.settings import emulator_settings

RUN = "--rival li --test season --emulator e.h5 --chains chains --output out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A study, its emulator, a shard of test and one of training, and survey maps of which none can be taken."""
    root = tmp_path_factory.mktemp("rival")
    study = study_of(root, neighbours=50, simulations=150)
    (subfields, train), (_, _) = shard_file(root, study, 0, 60), shard_file(root, study, 7, 2)
    settings = emulator_settings(study, "li")
    emulator = observed_emulator(settings, [subfields], [train])
    write_observed(root / "e.h5", emulator, provenance(settings, study.seed))
    (root / "text.h5").write_text("a letter\n")
    write_new(root / "comap.h5", sky())
    map_of = load_survey(root / "season.h5")
    sigma = np.where(map_of.mask, 0.02 * map_of.sigma_uk, np.inf).astype(np.float32)
    sound = replace(map_of, sigma_uk=sigma, means_removed=True)
    half = sound.mask & (sound.x_deg[:, None, None] > 0)
    unlike = {
        "band": {"frequency_ghz": sound.frequency_ghz * 1.01},
        "field": {"x_deg": 1.2 * sound.x_deg, "y_deg": 1.2 * sound.y_deg},
        "silent": {"sigma_uk": np.where(sound.mask, 0, np.inf).astype(np.float32)},
        "loud": {"sigma_uk": 1.4142 * sigma},
        "even": {"sigma_uk": np.where(sound.mask, np.median(sigma[sound.mask]), np.inf).astype(np.float32)},
        "half": {"mask": half, "sigma_uk": np.where(half, sigma, np.inf).astype(np.float32)},
        "beam": {"beam_fwhm_arcmin": 30.0},
    }
    for name, changes in unlike.items():
        values = np.where(changes.get("mask", sound.mask), sound.temperature_uk, 0)
        save_survey(root / f"{name}.h5", replace(sound, **changes, temperature_uk=values))
    cut = {name: getattr(sound, name)[:, :, :-1] for name in ("temperature_uk", "sigma_uk", "mask")}
    save_survey(root / "grid.h5", replace(sound, **cut, frequency_ghz=sound.frequency_ghz[:-1]))
    raw = yaml.safe_load((root / "toy.yaml").read_text())
    raw["line_models"]["li_full"]["mean_temperature_uk"] = [0.1, 30.0]
    (root / "other.yaml").write_text(yaml.safe_dump(raw))
    return root


SURVEYS = {
    "none.h5": "none.h5: found no such file",
    "text.h5": "text.h5: found ",
    "comap.h5": "comap.h5: found ",
    "shard7.h5": "shard7.h5: found kind 'shard'; expected kind 'survey'",
    "e.h5": "e.h5: found kind 'observed_rival'",
    "grid.h5": "grid.h5: found 16 × 16 × 4 voxels; expected 16 × 16 × 5",
    "band.h5": "band.h5: freq_min_ghz: found 26.26; expected 26",
    "field.h5": "field.h5: size_deg: found ",
    "silent.h5": "silent.h5: sigma_uk: found no σ of the noise; expected the σ of every voxel",
    "loud.h5": "loud.h5: sigma_uk: found 0.9",
    "even.h5": "even.h5: sigma_uk: found voxels whose σ differs from it by ",
    "half.h5": "half.h5: mask: found 4",
    "beam.h5": "beam.h5: beam_fwhm_arcmin: found a beam of 30′; expected none",
}
DATA = {
    "none.h5": "none.h5: found no such file",
    "text.h5": "text.h5: found ",
    "season.h5": "season.h5: found kind 'survey'; expected kind 'shard'",
    "shard0.h5": "--data: found [0, 7] missing or not of them",
    "shard7.h5 shard7.h5": "shard7.h5",
}


def refused(folder: Path, words: str, line: str, config: str = "toy.yaml") -> None:
    status, said = run("run_rival", folder / config, *RUN.split(), *words.split())
    lines = [one for one in said.splitlines() if one.startswith("limelight: error: ")]
    assert status == 1, said
    assert len(lines) == 1, said
    assert lines[0].startswith(f"limelight: error: {line}"), said
    assert "Traceback" not in said
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", SURVEYS)
def test_a_map_that_it_cannot_take_is_refused(folder, name):
    refused(folder, f"--survey {name}", SURVEYS[name])


@pytest.mark.parametrize("names", DATA)
def test_data_that_are_not_the_test_s_are_refused(folder, names):
    refused(folder, f"--data {names}", DATA[names])


def test_what_does_not_go_together_is_refused(folder):
    refused(folder, "--subfields 7.h5", "--subfields: found those of a test; expected --data")
    refused(folder, "--data shard7.h5", "e.h5: found a file of another study", config="other.yaml")
    refused(folder, "--survey loud.h5 --test any", "--test: found 'any'; expected one of those it takes: season")
    refused(folder, "--survey loud.h5 --rival no", "--rival: found 'no'; expected one of the config's: li")
    refused(folder, "--survey loud.h5 --emulator shard7.h5", "shard7.h5: found a file of ")
    refused(folder, "--survey loud.h5 --timed", "--survey: found beside --validation or --timed")
