"""The zoo of image networks: what of each reference is kept, on images and cubes; the autoencoder that doubts a map."""

import math

import numpy as np
import pytest
import torch

from benchmarks import detectors, zoo
from limelight.errors import LimelightError
from limelight.inference.posteriors.autoencoder import train_detector
from limelight.networks import build
from limelight.study.config import resolve_study

ZOO = ("lenet", "alexnet", "vgg", "googlenet", "resnet")
SHAPES = {"image": (3, 45, 45), "cube": (1, 16, 16, 10), "line": (1, 7, 5, 1)}


def convolutions(module: torch.nn.Module) -> list[int]:
    """The kernels' widths, in the order of the layers."""
    kinds = torch.nn.Conv2d | torch.nn.Conv3d
    return [one.kernel_size[0] for one in module.modules() if isinstance(one, kinds)]


@pytest.mark.parametrize("architecture", ZOO)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_same_function_answers_images_and_cubes(architecture, shape):
    torch.manual_seed(0)
    module = build(architecture, {}, shape, (5,))
    x = torch.randn(4, *shape)
    answer = module(x)
    assert answer.shape == (4, 5)
    assert torch.equal(module.eval()(x), module.output(module.features(x)))
    module.train()(x).square().sum().backward()
    assert all(0 < one.grad.abs().sum() < math.inf for one in module.parameters()), "each has a part in the answer"


def test_the_layers_are_those_of_the_papers():
    image = SHAPES["image"]
    nets = {name: build(name, {}, image, (5,)) for name in ZOO}
    assert convolutions(nets["lenet"]) == [5, 5]
    widths = [one.out_features for one in nets["lenet"].modules() if isinstance(one, torch.nn.Linear)]
    assert widths == [120, 84, 5]
    assert [one.out_channels for one in nets["lenet"].modules() if isinstance(one, torch.nn.Conv2d)] == [6, 16]
    assert convolutions(nets["alexnet"]) == [7, 5, 3, 3, 3]
    assert convolutions(nets["vgg"]) == [3] * 6
    assert convolutions(nets["googlenet"]) == [7, 3] + 5 * [1, 1, 3, 1, 5, 1]  # of each module the 3 and 5 after a 1
    assert convolutions(nets["resnet"]) == [3, 3, 3] + 3 * [3, 3, 1]
    assert (
        convolutions(build("resnet", {"blocks": 2}, image, (5,))).count(3) == 17
    )  # ResNet-18: these and its dense layer


def test_lenet_has_the_weights_that_its_layers_count():
    module = build("lenet", {"filters": 6}, (1, 32, 32), (10,))
    layers = (25 * 6 + 12) + (25 * 6 * 16 + 32)  # kernels, and the norm's two numbers a channel
    dense = (16 * 8 * 8 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
    assert sum(one.numel() for one in module.parameters()) == layers + dense


@pytest.mark.parametrize("architecture", ZOO)
def test_data_without_two_or_three_axes_are_refused(architecture):
    with pytest.raises(LimelightError, match=f"found data of 1 axes for {architecture}; expected two axes or three"):
        build(architecture, {}, (1, 64), (5,))
    with pytest.raises(LimelightError, match="networks.options.filters: found 0"):
        build(architecture, {"filters": 0}, (1, 16, 16), (5,))


OPTIONS = {"filters": 4, "code": 4, "epochs": 25, "learning_rate": 6e-3}


def maps(count: int, seed: int) -> torch.Tensor:
    """Two smooth patterns of random strength, with noise, (count, 1, 12, 12, 6)."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.arange(n) for n in (12, 12, 6)), indexing="ij")
    patterns = np.stack([np.sin(0.5 * x), np.cos(0.4 * y + 0.3 * z)])
    strength = rng.uniform(-1.5, 1.5, (count, 2))
    found = np.einsum("nk,kxyz->nxyz", strength, patterns) + 0.5 * rng.standard_normal((count, *x.shape))
    return torch.from_numpy(found[:, None]).float()


def test_an_autoencoder_doubts_what_it_cannot_repeat_and_little_else():
    torch.set_num_threads(1)
    detector = train_detector(maps(300, 1), maps(200, 2), seed=3, **OPTIONS)
    whole = maps(300, 4)
    assert detector.error(maps(300, 1)).mean() == pytest.approx(1, abs=1e-3)  # by construction
    p = detector.p_values(whole)
    assert 0.02 < (p < 0.1).float().mean() < 0.2  # calibrated on maps of the same prior, learnt from others
    broken = whole.clone()
    broken[..., 2] += 2 * torch.randn(broken.shape[:-1], generator=torch.Generator().manual_seed(5))
    assert (detector.p_values(broken) < 0.01).float().mean() > 0.95
    strange = whole + 2 * torch.sin(1.9 * torch.arange(12.0))[:, None, None]  # a pattern that none of them has
    assert (detector.p_values(strange) < 0.01).float().mean() > 0.95
    again = train_detector(maps(300, 1), maps(200, 2), seed=3, **OPTIONS)
    assert torch.equal(again.p_values(whole), p)


def test_maps_that_teach_nothing_are_refused():
    with pytest.raises(LimelightError, match="all the same"):
        train_detector(torch.ones(8, 1, 8, 8), torch.ones(8, 1, 8, 8), seed=1)
    with pytest.raises(LimelightError, match=r"maps of shape \(1, 8, 8\) and \(1, 8, 9\)"):
        train_detector(torch.ones(8, 1, 8, 8), torch.ones(8, 1, 8, 9), seed=1)


def test_the_benchmark_trains_every_network_and_tells_what_it_cost(tmp_path):
    study = resolve_study(
        {
            **{"study": "tiny", "probe": "gaussian_field", "data": {"fields": {"pixels": 12, "fields": 80}}},
            "realisations": {"train": [0, 1], "validation": [2], "test": [3]},
            "training": {"epochs": 1, "batch_size": 16, "learning_rate": 4e-3},
            "networks": {
                "lenet_1": {"architecture": "lenet", "data": ["fields"], "training": {"steps_per_epoch": 40}},
                "lenet_2": {"like": "lenet_1"},
            },
            "tests": {"t": {"data": "fields"}},
            "audit": {"networks": "none"},
        },
        "tiny.yaml",
    )
    first, second = zoo.rows(study, tmp_path)
    assert [first[key] for key in ("network", "start", "steps", "test")] == ["lenet", "1", 40, "t"]
    assert second["start"] == "2"
    assert first["error_over_mean"] != second["error_over_mean"]
    assert 0.1 < first["error_over_mean"] < 1
    assert first["training_s"] == pytest.approx(first["ms_per_row"] * 40 * 16 / 1e3)
    (quick, _) = zoo.rows(study, tmp_path, steps=2)
    assert quick["steps"] == 2
    assert quick["error_over_mean"] > first["error_over_mean"]
    table = {key: np.array([row[key] for row in (first, second)]) for key in zoo.COLUMNS}
    drawn = zoo.figure({"one": table, "another": table})
    assert [panel.get_title() for panel in drawn.axes] == ["one", "another"]


def test_planted_faults_have_their_size():
    clean, random = torch.zeros(400, 1, 8, 8, 10), torch.Generator().manual_seed(1)
    noisy = detectors.bad_channel(2.0, 0.5)(clean, random)
    touched = noisy.square().mean(dim=(1, 2, 3))
    assert ((touched > 0).sum(dim=1) == 1).all()
    assert noisy.square().sum().item() / (400 * 64) == pytest.approx(1.0, rel=0.05)  # (2 · 0.5)² in one channel
    wave = detectors.ripple(0.4, 0.5)(clean, random)
    assert (wave == wave[:, :, :1, :1]).all()
    assert wave.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.05)
