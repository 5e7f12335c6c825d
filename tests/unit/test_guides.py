"""What the how-to pages show can be done so: a line model, an instrument, a network, and the functions in Python."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from limelight import networks
from limelight.files import ROOT
from limelight.networks import REGISTRY, build
from limelight.probes.line_intensity import settings as line
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.instrument import load_instrument, noise_sigma, radiometer_sigma_uk
from limelight.registry import Registry
from limelight.study.config import load_study, resolve_study

DEMO = ROOT / "config" / "demo.yaml"


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, whose modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_line_model_of_its_page_has_the_mean_that_it_says(here: Path):
    (code,), (entry,) = blocks("line_models.md", "python"), blocks("line_models.md", "yaml")
    (here / "my_line.py").write_text(code)
    raw = yaml.safe_load(DEMO.read_text())
    raw["line_models"]["li10"] = yaml.safe_load(entry)["line_models"]["mine"]
    study = resolve_study(raw, "mine.yaml")
    model, mass = get_model(study.line_models["li10"].model), np.full(200_000, 1e12)
    found = model.log10_luminosity(mass, 0 * mass + 3, {"a": 6.5, "b": 1.0}, np.random.default_rng(1))
    assert np.log10(np.mean(10**found)) == pytest.approx(6.5, abs=0.005), "its scatter leaves the mean luminosity"


def test_the_instrument_of_its_page_has_the_noise_that_it_says(here: Path):
    instrument, observation = blocks("instruments.md", "yaml")
    (here / "my_telescope.yaml").write_text(instrument)
    study = resolve_study({**yaml.safe_load(DEMO.read_text()), **yaml.safe_load(observation)}, "mine.yaml")
    telescope = load_instrument("my_telescope.yaml")
    says = float(re.search(r"([\d.]+) µK for those above", (ROOT / "docs" / "instruments.md").read_text())[1])
    assert radiometer_sigma_uk(telescope) == pytest.approx(says, rel=0.01)
    grid, noise = line.pooled_grid(study, "li10"), study.observation.noise
    mine = noise_sigma(noise["mine"], telescope, grid)[0]
    assert mine == pytest.approx(10 * np.sqrt((1 / 40) ** 2 * 0.03125 / ((1.4 / 128) ** 2 * 8 / 50)), rel=0.01)
    assert noise_sigma(noise["measured"], telescope, grid)[0] == pytest.approx(0.6 * mine, rel=0.01)


def test_the_network_of_its_page_is_built_from_a_study_and_sees_means_alone(here: Path, monkeypatch):
    code, line_of_it = blocks("your_network.md", "python")
    (study_text,) = blocks("your_network.md", "yaml")
    (here / "own_network.py").write_text(code)
    name, place = re.fullmatch(r'"(\w+)": "([\w.:]+)",', line_of_it.strip()).groups()
    assert place == f"limelight.networks.mine:{name}"
    registry = Registry("networks.architecture", {**REGISTRY, name: f"own_network:{name}"})
    monkeypatch.setattr(networks, "REGISTRY", registry)
    shutil.copy(DEMO, here / "demo.yaml")
    (here / "mine.yaml").write_text(study_text)
    entry = load_study(here / "mine.yaml").networks[name]
    net = build(name, entry.options, (1, 8, 8, 5), (7,))
    x = torch.randn(3, 1, 8, 8, 5)
    assert net(x).shape == (3, 7)
    assert net.features(x).shape == (3, entry.options["width"])
    torch.testing.assert_close(net.output(net.features(x)), net(x))
    torch.testing.assert_close(net(x[:, :, torch.randperm(8)]), net(x))  # means over the sky know no places


def test_the_functions_of_the_page_on_python_take_a_study_from_simulation_to_errors(here: Path, capsys):
    (here / "config").mkdir()
    raw = yaml.safe_load((ROOT / "config" / "gaussian_field.yaml").read_text())
    raw["data"]["fields"] |= {"fields": 128, "pixels": 16}
    (here / "config" / "gaussian_field.yaml").write_text(yaml.safe_dump(raw))
    (code,) = blocks("api.md", "python")
    exec(compile(code, "api.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out) < 1, "squared errors in units of the prior's variance"
