"""Several lines in one cube: where halos' light lands, whose it is, what presentations do, and what a filter must reach."""

import numpy as np
import pytest
import torch
import yaml

from limelight.cosmology import Cosmology
from limelight.data.shard import Rows
from limelight.errors import LimelightError
from limelight.halos.subfields import SubfieldHalos
from limelight.probe import load_probe
from limelight.probes.line_intensity.mixture import simulate
from limelight.probes.line_intensity.mixture.config import Cubes
from limelight.probes.line_intensity.mixture.estimators import fit_wiener, without_modes
from limelight.probes.line_intensity.mixture.judge import judged_rows, precision_recall, voxel_shares
from limelight.probes.line_intensity.mixture.presentation import continuum
from limelight.probes.line_intensity.mixture.simulate import CubeSettings, simulate_cubes
from limelight.study.config import resolve_study
from limelight.study.settings import network_settings

PROBE = load_probe("line_mixture")
POWER = {"model": "breysse", "parameters": {"A": 2e-6, "b": 1.0}}  # L = 2e-6 M, without scatter
DATA = {
    "size_deg": 1.0,
    "pixels": 10,
    "channels": 20,
    "cuts": 2,
    "maps": {"ka": {"freq_min_ghz": 29, "freq_max_ghz": 31}, "v": {"freq_min_ghz": 58, "freq_max_ghz": 62}},
    "lines": {
        "co10": {"map": "ka", "rest_freq_ghz": 115.27, **POWER},
        "co21": {"map": "ka", "rest_freq_ghz": 230.54, **POWER, "lprime_ratio": 0.5},
        "co21_v": {"map": "v", "rest_freq_ghz": 230.54, "halos": "co10", "lprime_ratio": 0.5},
    },
    "catalogues": {"galaxies": {"line": "co10", "log10_mass_min": 11.9}},
}
CONFIG = {
    "study": "toy",
    "probe": "line_mixture",
    "realisations": {"train": [0], "validation": [1], "test": [2]},
    "data": {"cubes": DATA},
    "networks": {
        "images": {
            "architecture": "resunet",
            "options": {"filters": 4, "levels": 1, "kernel": 3, "waves": True},
            "data": ["cubes"],
            "target": {"quantity": "images", "lines": ["co10", "co21"]},
            "transforms": ["none", "asinh"],
            "noise_uk": [0.5, 1.5],
        },
        "counts": {
            "architecture": "crossing",
            "data": ["cubes"],
            "target": {"lines": ["co10"]},
            "sees": ["ka", "galaxies"],
            "noise_uk": 1.0,
        },
    },
    "tests": {"mixture": {"data": "cubes", "noise_uk": 1.0}},
}


def altered(path: str, value: object) -> dict:
    """The config with one dotted key changed."""
    raw = yaml.safe_load(yaml.safe_dump(CONFIG))
    *keys, last = path.split("/")
    place = raw
    for key in keys:
        place = place.setdefault(key, {})
    place[last] = value
    return raw


def halos_at(line: str, freq_ghz: list[float], sky: list[tuple], mass: float) -> SubfieldHalos:
    """Halos whose light in a line arrives at some frequencies."""
    z = DATA["lines"][line]["rest_freq_ghz"] / np.array(freq_ghz) - 1
    one = np.ones(len(z), np.float32)
    return SubfieldHalos(np.array(sky, float), z.astype(np.float32), z.astype(np.float32), mass * one)


@pytest.fixture
def three_halos(monkeypatch) -> Rows:
    """Two halos of CO(1-0) in one voxel of the lower part and one in the upper part; one halo of CO(2-1)."""

    def cone(data, line, seed):
        if line == "co10":
            yield 0, np.zeros(2), halos_at("co10", [29.05, 29.06, 30.55], [(-0.45, 0.05)] * 2 + [(0.25, -0.35)], 1e12)
        else:
            yield 0, np.zeros(2), halos_at("co21", [30.95], [(0.05, 0.05)], 4e12)

    monkeypatch.setattr(simulate, "light_cone", cone)
    return simulate_cubes(CubeSettings(3, Cubes.model_validate(DATA)), "cubes", 0)


def temperature(lum: float, rest_ghz: float, freq_ghz: float, width_ghz: float) -> float:
    """µK of a source of `lum` Lsun in a voxel of 0.1°: 2.6172/2 · L / (4π χ² (1+z)² Δν Ω ν²)."""
    z = rest_ghz / freq_ghz - 1
    chi = float(Cosmology().comoving_distance(z))
    return 2.6172 / 2 * lum / (4 * np.pi * chi**2 * (1 + z) ** 2 * width_ghz * np.deg2rad(0.1) ** 2 * freq_ghz**2)


def test_each_line_lands_in_its_own_voxels_with_its_own_brightness(three_halos):
    x = three_halos.x
    assert three_halos.header.channels == ("co10", "co21", "co21_v", "galaxies")
    assert x.shape == (2, 4, 10, 10, 10)
    assert x[0, 0, 0, 5, 0] == pytest.approx(2 * temperature(2e6, 115.27, 29.055, 0.1), rel=2e-3)
    assert x[1, 0, 7, 1, 5] == pytest.approx(temperature(2e6, 115.27, 30.55, 0.1), rel=2e-3)
    # CO(2-1): L = r 2³ L of the model's CO(1-0)
    assert x[1, 1, 5, 5, 9] == pytest.approx(temperature(8e6 * 0.5 * 8, 230.54, 30.95, 0.1), rel=2e-3)
    assert np.count_nonzero(x[:, :2]) == 3


def test_a_line_of_the_same_halos_has_their_voxels_and_its_ratio(three_halos):
    """In Rayleigh-Jeans temperature the ratio of L′ is that of T."""
    np.testing.assert_allclose(three_halos.x[:, 2], 0.5 * three_halos.x[:, 0], rtol=1e-6)
    assert three_halos.x[1, 2, 7, 1, 5] == pytest.approx(temperature(2e6 * 0.5 * 8, 230.54, 61.1, 0.2), rel=2e-3)


def test_labels_and_galaxies_are_those_of_each_line_and_part(three_halos):
    y = three_halos.y
    edges = np.linspace(3.5, 7, 15)
    for line, lum in (("co10", [2, 1]), ("co21", [0, 1]), ("co21_v", [2, 1])):
        bright = {"co10": 2e6, "co21": 3.2e7, "co21_v": 8e6}[line]
        np.testing.assert_array_equal(y[f"n_above_{line}"], np.outer(lum, edges <= np.log10(bright)))
    assert three_halos.x[0, 3, 0, 5, 0] == 2
    assert three_halos.x[:, 3].sum() == 3
    whole = simulate.grid_of(Cubes.model_validate(DATA), "co21").volume_mpc3(Cosmology(), np.zeros(2))
    assert y["volume_co21"].sum() == pytest.approx(whole)
    np.testing.assert_array_equal(y["co21"][:, 0], three_halos.x[:, 1])


def test_redshift_errors_move_galaxies_along_the_line_of_sight_alone(monkeypatch):
    sky = [(0.05, 0.05)] * 4000

    def cone(data, line, seed):
        yield 0, np.zeros(2), halos_at(line, [30.0 * (2 if line == "co21_v" else 1)] * 4000, sky, 1e12)

    monkeypatch.setattr(simulate, "light_cone", cone)
    told = {**DATA["catalogues"]["galaxies"], "redshift_error": 0.01, "share": 0.5}
    data = Cubes.model_validate({**DATA, "catalogues": {"galaxies": told}, "cuts": 1})
    found = simulate_cubes(CubeSettings(3, data), "cubes", 0).x[0, 3]
    assert found.sum() == found[5, 5].sum() == pytest.approx(2000, abs=5 * np.sqrt(1000))
    place = np.arange(20) - 9.5
    spread = np.sqrt((found[5, 5] * place**2).sum() / found.sum())
    assert spread == pytest.approx(0.01 * 30 / 0.1, rel=0.05)


def test_the_generated_light_cone_covers_its_lines_band():
    data = Cubes.model_validate({**DATA, "size_deg": 0.5, "per_side": 2, "cell_mpc": 10, "mass_min_msun": 1e12})
    fields = list(simulate.light_cone(data, "co10", 1))
    assert len(fields) == 4
    z = np.concatenate([halos.redshift_observed for _, _, halos in fields])
    inside = (z > 115.27 / 31 - 1) & (z < 115.27 / 29 - 1)
    assert inside.mean() > 0.9
    low, high = 115.27 / (1 + z[inside].max()), 115.27 / (1 + z[inside].min())
    assert (low, high) == pytest.approx((29, 31), abs=0.05)


# Presentations


def presentation(name: str = "images", raw: dict = CONFIG):
    settings = network_settings(resolve_study(raw, "toy.yaml"), name)
    header = PROBE.header(settings.datasets["cubes"])
    return PROBE.presentation(settings.network, settings.observation, header), header


def numbered(rows: int = 12) -> tuple[torch.Tensor, dict]:
    """Cubes whose value tells their row and channel, with truths that do so too."""
    value = 10.0 * torch.arange(rows)[:, None] + torch.arange(4)
    x = value[..., None, None, None].expand(-1, -1, 10, 10, 10).clone()
    x[:, :, 0, 0] += 1000
    y = {f"n_above_{line}": value[:, [i]] for i, line in enumerate(("co10", "co21", "co21_v"))}
    y |= {f"volume_{line}": value[:, i] for i, line in enumerate(("co10", "co21", "co21_v"))}
    y |= {line: x[:, i : i + 1] for i, line in enumerate(("co10", "co21", "co21_v"))}
    return x, {**y, "part": torch.arange(rows) % 2}


def test_light_cones_change_partners_with_their_truths_and_within_their_part_of_the_band():
    shown, _ = presentation()
    x, y = numbered()
    moved, truths = shown.augment(x, y, torch.Generator().manual_seed(1))
    for i, line in enumerate(("co10", "co21", "co21_v")):
        least = moved[:, i].flatten(1).amin(dim=1)
        assert torch.equal(least, truths[f"n_above_{line}"][:, 0])
        assert torch.equal(least, truths[f"volume_{line}"])
        assert torch.equal(truths[line][:, 0], moved[:, i])
    first = torch.arange(12)
    row = (moved[:, 1].flatten(1).amin(dim=1) - 1) / 10
    assert sorted(row.tolist()) == first.tolist()
    assert not torch.equal(row, first.float()), "other pairs"
    assert torch.equal(row % 2, (first % 2).float()), "of the same part"
    assert torch.equal(moved[:, 0].flatten(1).amin(dim=1), 10.0 * first), "the first line stays"
    bright = [(moved[:, i] > 900)[..., 0].flatten(1).int() for i in range(4)]
    assert torch.equal(bright[0], bright[2]), "lines of the same halos turn together"
    assert torch.equal(bright[0], bright[3]), "with their galaxies"
    assert not torch.equal(bright[0], bright[1])


def test_a_map_is_the_sum_of_the_lines_that_shine_in_it():
    shown, header = presentation()
    x, _ = numbered(2)
    random = torch.Generator().manual_seed(0)
    clean = shown.silent().observe(x, random)
    assert clean.shape[1] == 4, "two maps, each as it is and as asinh"
    assert torch.equal(clean[:, 0], x[:, 0] + x[:, 1])
    assert torch.equal(clean[:, 3], torch.asinh(x[:, 2]))
    alone, _ = presentation(raw=altered("networks/images/lines", ["co21"]))
    assert torch.equal(alone.silent().observe(x, random)[:, 0], x[:, 1])
    beside, _ = presentation("counts")
    seen = beside.observe(x.repeat(50, 1, 1, 1, 1), random)
    assert torch.equal(seen[:, 1], x[:, 3].repeat(50, 1, 1, 1)), "galaxies have no noise"
    assert (seen[:, 0] - (x[:, 0] + x[:, 1]).repeat(50, 1, 1, 1)).std().item() == pytest.approx(1, abs=0.02)
    assert header.shape == (4, 10, 10, 10)


def test_the_continuum_is_smooth_along_the_line_of_sight_and_has_its_rms():
    found = continuum((40, 16, 16, 20), 0.25, torch.Generator().manual_seed(2))
    assert found[..., 9:11].mean(dim=3).std(dim=(1, 2)).mean().item() == pytest.approx(1, abs=0.03)
    left = without_modes(found, 2)
    assert left.std() < 1e-3 * found.std(), "two components hold it: a level and a slope in each pixel"
    low, high = found[..., 0], found[..., -1]
    ratio = (low / high).log() / np.log(0.88125 / 1.11875)
    assert ratio.median().item() == pytest.approx(-2.7, abs=0.02)


# Estimators and judging


def test_the_wiener_filter_of_white_cubes_is_signal_over_signal_and_noise():
    random = torch.Generator().manual_seed(0)
    truth = 2 + 3 * torch.randn((300, 8, 8, 8), generator=random)
    seen = truth + 4 * torch.randn(truth.shape, generator=random)
    wiener = fit_wiener(seen, truth)
    assert wiener.gain.mean().item() == pytest.approx(9 / 25, abs=0.02)
    answer = wiener(seen)
    assert (answer - truth).square().mean().item() == pytest.approx(9 * 16 / 25, rel=0.02)
    assert answer.mean().item() == pytest.approx(2, abs=0.05)


def test_peaks_are_matched_with_their_neighbours():
    truth = np.zeros((1, 1, 16, 16, 16), np.float32)
    truth[0, 0, [3, 8, 12], [3, 8, 12], [3, 8, 12]] = [5, 6, 7]
    answer = np.zeros_like(truth)
    answer[0, 0, 4, 3, 3] = 2.0  # next to the first
    answer[0, 0, 12, 12, 12] = 2.5
    answer[0, 0, 8, 12, 2] = 1.5  # nowhere near one
    kept = judged_rows(answer, truth)
    assert kept["peaks"].tolist() == [[[3, 2, 3, 2]]]
    assert precision_recall(kept["peaks"][:, 0]) == pytest.approx((2 / 3, 2 / 3))
    shares = voxel_shares(truth[:, 0], truth[:, 0])
    assert shares.sum() == pytest.approx(1)
    assert shares[0, -8:].sum() == pytest.approx(3 / 16**3), "three voxels, many σ above the mean"


def test_a_network_of_waves_reaches_the_best_linear_answer():
    """On Gaussian cubes nothing beats the Wiener filter, and the filter of the network learns it."""
    from limelight.networks import build

    torch.manual_seed(0)
    module = build("resunet", CONFIG["networks"]["images"]["options"], (1, 12, 12, 12), (1, 12, 12, 12))
    random = torch.Generator().manual_seed(1)
    assert not module(torch.randn(2, 1, 12, 12, 12)).any(), "it begins with no answer at all"
    optimizer = torch.optim.Adam(module.waves.parameters(), 4e-3)
    for _ in range(120):
        truth = torch.randn((8, 1, 12, 12, 12), generator=random)
        seen = truth + torch.randn(truth.shape, generator=random)
        loss = (module.waves(seen) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(0.5, abs=0.03)


# Configs


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data/cubes/cuts", 3, "a divisor of 20"),
        ("data/cubes/lines/co10/map", "q", "one of ka, v"),
        ("data/cubes/lines/co10/rest_freq_ghz", 20, "more than the band's"),
        ("data/cubes/lines/co21/model", "li", ""),
        ("data/cubes/lines/co21_v/halos", "co21_v", "a line with a light-cone of its own"),
        ("data/cubes/lines/co21_v/model", "li", "lprime_ratio alone"),
        ("data/cubes/maps/v/freq_max_ghz", 63, "58 to 62 GHz"),
        ("data/cubes/lines/co10/ratio_sigma_dex", 0.1, "the model's own parameters vary"),
        ("data/cubes/lines/co10/prior", "wide", "prior"),
        ("data/cubes/catalogues/galaxies", {"line": "co10"}, "log10_mass_min or log10_lum_min"),
        ("data/cubes/catalogues/galaxies/line", "hi", "one of co10"),
        (
            "data/cubes/catalogues",
            {"co10": {"line": "co10", "log10_mass_min": 12}},
            "names that no map and no line has",
        ),
        ("data/cubes/images", False, "images: true"),
        ("networks/images/lines", ["hi"], "one of co10"),
        ("networks/counts/target/lines", ["co10", "co21"], "one line"),
        ("networks/counts/sees", ["galaxies"], "a map among them"),
        ("networks/counts/sees", ["ka", "stars"], "one of ka, v, galaxies"),
        ("networks/images/noise_uk", [2, 1], "[lowest, highest]"),
        ("tests/mixture/pca_modes", 10, "fewer than the 10 channels"),
    ],
)
def test_faults_of_a_study_are_told_in_one_line(path, value, words):
    if not words:  # li was fitted to CO(1-0): with a ratio it serves CO(2-1)
        resolve_study(altered("data/cubes/lines/co21", {**DATA["lines"]["co21"], "model": "li", "parameters": {}}), "t")
        raw = altered(
            "data/cubes/lines/co21",
            {"map": "ka", "rest_freq_ghz": 230.54, "model": "li"},
        )
        words = "lprime_ratio"
    else:
        raw = altered(path, value)
    with pytest.raises(LimelightError) as caught:
        resolve_study(raw, "toy.yaml")
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)
