"""Targets: truths to what a network is trained on and back, in numpy and torch alike; an image that a network learns."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import EDGES, HEADER, LABELS, PROBE, settings

from limelight.data.axes import Axis, OutputAxis, axis_from
from limelight.data.shard import Header, Rows
from limelight.data.targets import DATASET, ClassTarget, FieldTarget, VectorTarget
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import read_evaluation, write_evaluation
from limelight.evaluation.predict import evaluate
from limelight.networks import REGISTRY
from limelight.probe import Probe
from limelight.probes.line_intensity.labels import QUANTITIES, TRANSFORMS
from limelight.probes.line_intensity.targets import LuminosityTarget, line_target
from limelight.study.sections import Network, NetworkTest
from limelight.study.settings import EvaluationSettings, NetworkSettings
from limelight.training import presentation
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train
from limelight.training.presentation import PlainPresentation, label_statistics, on_device

KINDS = {"numpy": np.asarray, "torch": torch.as_tensor}
WHICH = OutputAxis("line model", names=("li", "breysse", "comap"))


def through(target, y: dict, kind: str) -> tuple:
    """(truth, encoded, decoded) of a target, checked to be of the kind that went in, float64, and of its shape."""
    y = {name: KINDS[kind](values) for name, values in y.items()}
    truth = target.truth(y)
    encoded = target.encode(truth, y)
    found = truth, encoded, target.decode(encoded, y)
    for values in found:
        assert isinstance(values, torch.Tensor) == (kind == "torch")
        assert np.asarray(values).dtype == np.float64
        assert tuple(values.shape[1:]) == tuple(target.shape)
    return tuple(np.asarray(values) for values in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_is_what_stands_in_the_shard(kind):
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    target = VectorTarget("parameters", OutputAxis("parameter", names=("a", "b")), (2,))
    for found in through(target, {"parameters": values, "others": np.ones(3)}, kind):
        np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(target.comparable(values, {}), values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_is_an_image(kind):
    values = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    target = FieldTarget(("image",), OutputAxis("density"), (2, 5, 4))
    for found in through(target, {"image": values}, kind):
        np.testing.assert_array_equal(found, values)
    both = FieldTarget(("image", "other"), OutputAxis("density"), (3, 5, 4))
    for found in through(both, {"image": values, "other": values[:, :1] + 1}, kind):
        np.testing.assert_array_equal(found, np.concatenate([values, values[:, :1] + 1], axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_zeros_and_a_one(kind):
    target = ClassTarget(WHICH.names, label="line model")
    expected = [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    for found in through(target, {"dataset": np.array([2, 0, 2])}, kind):
        np.testing.assert_array_equal(found, expected)
    assert (target.axis, target.shape, target.classes) == (WHICH, (3,), True)
    own = replace(target, truth_name="particle")
    assert through(own, {"dataset": np.zeros(1), "particle": np.array([1.0])}, kind)[0].tolist() == [[0, 1, 0]]


def test_axes_come_back_from_their_plain_form_and_know_their_middles():
    logs = OutputAxis("luminosity", "Lsun", log10=True, edges=(4.0, 5.0, 7.0))
    assert logs.centers == pytest.approx([10**4.5, 1e6])
    assert OutputAxis("z", edges=(0.0, 1.0, 3.0)).centers == pytest.approx([0.5, 2.0])
    for axis in (logs, WHICH):
        assert axis_from(asdict(axis)) == axis


# Luminosity functions

COUNTS = np.array([[9, 0, 999, 1, 0, 0, 20, 3, 0, 0], [0, 5, 0, 0, 0, 0, 0, 0, 0, 1]])  # of 10 bins
LUM = 10 ** EDGES[:11]
VOLUMES = np.array([1e6, 3e6])


def line_truths() -> dict:
    above = np.zeros((2, len(EDGES)))
    above[:, :10] = np.cumsum(COUNTS[:, ::-1], axis=1)[:, ::-1]
    return {"n_above": above, "volume_mpc3": VOLUMES}


def by_hand(quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """(the quantity, what one source is of it), (2, 10) each."""
    density = 1 / (np.diff(LUM) * VOLUMES[:, None])
    one = {
        "dn": np.ones((2, 10)),
        "n_above": np.ones((2, 10)),
        "phi": density,
        "l_phi": density * np.sqrt(LUM[1:] * LUM[:-1]),
    }[quantity]
    return one * (line_truths()["n_above"][:, :10] if quantity == "n_above" else COUNTS), one


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_luminosity_functions_there_and_back(quantity, transform, kind):
    target = line_target(quantity, transform, (), HEADER)
    truth, encoded, decoded = through(target, line_truths(), kind)
    expected, one = by_hand(quantity)
    np.testing.assert_allclose(truth, expected, rtol=1e-12)
    logs = {"none": expected, "log10": np.log10(np.maximum(expected, one)), "log10_1p": np.log10(expected + one)}
    np.testing.assert_allclose(encoded, logs[transform], rtol=1e-12, atol=1e-12)
    back = np.maximum(expected, one) if transform == "log10" else expected  # log10 takes an empty bin for one source
    np.testing.assert_allclose(decoded, back, rtol=1e-9, atol=1e-9 * one.max())
    assert target.counts == ((quantity, transform) == ("dn", "log10_1p"))
    y = line_truths()
    np.testing.assert_allclose(target.comparable(encoded, y), np.log10(1 + back / one), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_answers_below_nothing_are_nothing(quantity, kind):
    y = {name: KINDS[kind](values) for name, values in line_truths().items()}
    for transform in ("none", "log10_1p"):
        target = line_target(quantity, transform, (), HEADER)
        found = target.decode(KINDS[kind](np.full((2, 10), -30.0)), y)
        assert (np.asarray(found) == 0).all()


def test_the_axis_of_a_luminosity_function_is_its_bins():
    target = line_target("dn", "log10_1p", (), HEADER)
    assert isinstance(target, LuminosityTarget)
    assert target.axis.edges == pytest.approx(np.linspace(4.0, 6.0, LABELS["bins"] + 1))
    assert (target.axis.log10, target.axis.unit, target.shape) == (True, "Lsun", (10,))
    assert line_target("line_model", "none", ("li", "comap"), HEADER) == ClassTarget(
        ("li", "comap"), label="line model"
    )


def test_a_posterior_answers_counts_whatever_its_network_does():
    network = settings(network={"target": {"quantity": "l_phi", "transform": "log10"}}).network
    assert PROBE.target(network, HEADER).quantity == "l_phi"
    assert PROBE.posterior_target(network, HEADER) == line_target("dn", "log10_1p", (), HEADER)


# Images, from a probe and a network of the test's own

PIXELS = 8
IMAGES = Header(
    "images",
    (Axis("x", "pixel", 0.0, 8.0, PIXELS), Axis("y", "pixel", 0.0, 8.0, PIXELS)),
    ("field",),
    "1",
    {"pixels": PIXELS},
    {},
)


class ImageNetwork(Network):
    @property
    def datasets(self) -> list[str]:
        return ["squares"]


class ImageTest(NetworkTest):
    @property
    def dataset(self) -> str:
        return "squares"


class Images(Probe):
    """Fields whose squares, smoothed over neighbours, are asked for."""

    name = "images"

    def target(self, network, header):
        return FieldTarget(("square",), OutputAxis("square"), (1, PIXELS, PIXELS))

    def presentation(self, network, observation, header):
        return PlainPresentation(self.target(network, header))


def image_rows(count: int, group: int) -> Rows:
    x = np.random.default_rng(group).normal(size=(count, 1, PIXELS, PIXELS)).astype(np.float32)
    square = (x**2 + np.roll(x**2, 1, axis=2)).astype(np.float64)
    empty = np.zeros((count, 0))
    return Rows(IMAGES, x, {"square": square}, empty, [], np.full(count, group), np.repeat(["squares"], count))


def fully_convolutional(input_shape: tuple[int, ...], output_shape: tuple[int, ...], width: int = 16) -> nn.Module:
    assert input_shape[1:] == output_shape[1:]
    return nn.Sequential(
        nn.Conv2d(input_shape[0], width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, output_shape[0], 1)
    )


def test_a_network_learns_an_image_and_is_judged_by_its_correlation(monkeypatch, tmp_path):
    monkeypatch.setitem(REGISTRY._entries, "fully_convolutional", f"{__name__}:fully_convolutional")
    training = {"epochs": 15, "batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0}
    entry = ImageNetwork.model_validate({"architecture": "fully_convolutional", "training": training})
    splits = {"train": [0], "validation": [1]}
    trained, probe = NetworkSettings(3, "painter", entry, splits, {}, None, threads=1, start=None), Images()
    content, history = train(trained, probe, image_rows(48, 0), image_rows(8, 1), tmp_path / "checkpoints")
    assert content["target"]["shape"] == [1, PIXELS, PIXELS]
    assert history[-1]["validation_mse"] < 0.6 * history[-1]["mean_predictor_mse"]
    save_model(tmp_path / "model.pt", content, {"seed": 3})
    module, info = load_model(tmp_path / "model.pt")
    asked = EvaluationSettings(trained, "same", ImageTest(), None, {**splits, "test": [2]}, None, (0, 1))
    test = image_rows(10, 2)
    write_evaluation(tmp_path / "e.h5", evaluate(module, info, asked, probe, test, {"epoch": np.arange(1)}), {})
    found = read_evaluation(tmp_path / "e.h5")
    assert found.predicted.shape == found.truth.shape == (4, 1, PIXELS, PIXELS), "the first rows alone are kept"
    np.testing.assert_array_equal(found.truth, test.y["square"][:4])
    with torch.no_grad():
        standard = module(torch.from_numpy(test.x)).double().numpy()
    mean, std = (info["target"][key].numpy() for key in ("mean", "std"))
    assert (std == std.flat[0]).all(), "one scale for a channel"
    predicted, truth = standard * std + mean, test.y["square"]
    each = [np.corrcoef(p.ravel(), t.ravel())[0, 1] for p, t in zip(predicted, truth, strict=True)]
    assert found.totals["correlation"] == pytest.approx(np.mean(each))
    assert found.totals["correlation"] > 0.6
    assert found.totals["mse_target"] == pytest.approx(np.mean((predicted - truth) ** 2))
    assert found.totals["n_rows"] == len(found.rows["group"]) == 10
    assert found.spectra["cross"].shape == (10, 1, 8)
    power = [np.abs(np.fft.fft2(maps)) ** 2 for maps in (predicted[:, 0], truth[:, 0])]
    nyquist = np.abs(np.fft.fftfreq(PIXELS)) == 0.5
    inside = np.hypot(*np.meshgrid(*[2 * np.pi * np.fft.fftfreq(PIXELS)] * 2)) < found.scales.edges[-1] - 1e-9
    assert not (inside & nyquist).any()
    total = [np.nansum(found.spectra[name][:, 0] * found.spectra["modes"], axis=1) for name in ("predicted", "truth")]
    for ours, theirs in zip(total, power, strict=True):
        some = inside & (np.hypot(*np.meshgrid(*[np.fft.fftfreq(PIXELS)] * 2)) > 0)
        np.testing.assert_allclose(ours, theirs[:, some].sum(axis=1) / PIXELS**2, rtol=1e-6)
    assert found.blank["noisy"].shape[1:] == (1, PIXELS, PIXELS)


def test_statistics_of_images_larger_than_torch_sorts_at_once(monkeypatch):
    data = on_device(image_rows(40, 0), ["squares"], torch.device("cpu"))
    target = Images().target(None, IMAGES)
    whole = label_statistics(data, target)["percentiles"]
    monkeypatch.setattr(presentation, "SORTED_AT_ONCE", 40 * 7)
    parts = label_statistics(data, target)["percentiles"]
    assert torch.equal(parts, whole)
    expected = np.percentile(image_rows(40, 0).y["square"], [2.5, 16, 50, 84, 97.5], axis=0)
    np.testing.assert_allclose(parts, expected, rtol=1e-12)


def test_a_row_of_no_class_is_refused():
    target = ClassTarget(("a", "b"))
    with pytest.raises(LimelightError, match="none of the classes"):
        target.truth({DATASET: np.array([0, -1])})
