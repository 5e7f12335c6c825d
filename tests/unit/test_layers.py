"""Filters and feature maps: what is kept is what the network computes, for every registered network and number of axes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from damaged_files import edited
from evaluation_toys import ANOTHER, HEADER
from torch import nn

from limelight import figures
from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import VectorTarget
from limelight.errors import LimelightError
from limelight.evaluation import layers as engine
from limelight.evaluation.layers import feature_maps, filters, layers_of, planes
from limelight.evaluation.layers_file import Layers, read_layers, write_layers
from limelight.evaluation.predict import observed
from limelight.figures.layers import chosen_layers
from limelight.figures.style import save
from limelight.networks import build
from limelight.training.presentation import PlainPresentation

SHAPE = (16, 16, 6)
ROW = {"number": 0, "dataset": "li_full", "group": 3, "subfield": 1, "draw": 2}
OPTIONS = {"cnn2d": {"layers": 3, "filters": 4}, "cnn3d": {"layers": 5, "filters": 4}, "resnet3d": {"filters": 4}}


def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    return build(name, {"filters": 4, **OPTIONS.get(name, {})}, (1, *SHAPE), (7,)).eval()


def one_map() -> torch.Tensor:
    return torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(2))


def shown(module: nn.Module, x: torch.Tensor, header: Header = HEADER) -> Layers:
    return Layers("a_network", "clean", ROW, header, *planes(x[0]), filters(module), feature_maps(module, x))


@pytest.mark.parametrize("name", ["limelight", "cnn2d", "cnn3d", "resnet3d", "convnet"])
def test_every_network_shows_its_layers(name, tmp_path, recwarn):
    module = network(name)
    layers = shown(module, one_map())
    assert len(layers.layers) >= 3
    assert len(layers.filters) == 2
    assert not [hook for part in module.modules() for hook in part._forward_hooks.values()], "no hook stays behind"
    write_layers(tmp_path / "l.h5", layers, {})
    again = read_layers(tmp_path / "l.h5")
    for one, other in zip(layers.layers, again.layers, strict=True):
        assert (one.name, one.kind, one.shape, one.silent) == (other.name, other.kind, other.shape, other.silent)
        assert other.middle == pytest.approx(one.middle.astype(np.float32))
        assert other.projected == pytest.approx(one.projected.astype(np.float32))
    for figure in ("filters", "feature_maps"):
        save(figures.draw_figure(figure, [again]), tmp_path / f"{figure}.pdf")
        assert (tmp_path / f"{figure}.png").stat().st_size > 5000
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]


def test_a_layer_is_the_convolution_with_its_norm_and_activation():
    module, x = network("cnn3d"), one_map()
    first = feature_maps(module, x)[0]
    expected = module.body[:4](x)[0].detach().double().numpy()  # convolution, norm, ReLU, dropout (asleep)
    assert (first.name, first.kind, first.shape) == ("body.0", "Conv3d", [4, *SHAPE])
    assert first.channel[0] == expected.std(axis=(1, 2, 3)).argmax()
    assert first.middle == pytest.approx(expected[first.channel][..., 3])
    assert first.projected == pytest.approx(expected[first.channel].mean(axis=3))
    halved = feature_maps(module, x)[1]
    assert halved.projected == pytest.approx(
        module.body[:5](x)[0].detach().double().numpy()[halved.channel].mean(axis=3)
    )


def test_filters_are_the_weights():
    module = network("cnn3d")
    first, second = filters(module)
    weight = module.body[0].weight.detach().numpy()
    assert first.middle == pytest.approx(weight[:, 0, :, :, 1])
    assert first.projected == pytest.approx(weight[:, 0].mean(axis=3))
    assert (second.name, second.shape) == ("body.4.convolution", [4, 4, 2, 2, 2])
    flat = filters(network("cnn2d"))[0]
    weight = network("cnn2d").body[0].weight.detach().double().numpy()
    assert flat.projected == pytest.approx(weight.mean(axis=1))


def test_dead_channels_are_counted():
    module = network("cnn3d")
    with torch.no_grad():
        module.body[1].weight[:] = 0  # batch norm of the first layer: nothing but its bias is left
        module.body[1].bias[:] = torch.tensor([-1.0, -1.0, -1.0, 2.0])
    first = feature_maps(module, one_map())[0]
    assert first.silent == 3


def test_the_figure_says_which_row():
    layers = shown(network("cnn2d"), one_map())
    assert figures.draw_figure("feature_maps", [layers]).get_suptitle() == (
        "a network on test clean: li full, group 3, subfield 1, draw 2"
    )
    with pytest.raises(LimelightError, match="2 files; expected one layers file"):
        figures.draw_figure("feature_maps", [layers, layers])


def test_deep_networks_show_the_last_layer_of_each_shape():
    module = network("resnet3d")
    layers = feature_maps(module, one_map())
    assert {layer.name for layer in layers} >= {f"blocks.{i}" for i in range(len(module.blocks))}, "every block"
    shapes = [layer.shape for layer in chosen_layers(layers)]
    assert len(shapes) == len({tuple(shape) for shape in shapes}) < 10
    assert shapes[-1] == layers[-1].shape


def test_what_cannot_be_shown_is_refused(tmp_path):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(SHAPE)), 7))
    with pytest.raises(LimelightError, match="no layer with an image"):
        feature_maps(dense, one_map())
    with pytest.raises(LimelightError, match="one row"):
        feature_maps(network("cnn3d"), torch.zeros(2, 1, *SHAPE))
    layers = shown(network("cnn3d"), one_map())
    layers.layers[0].middle[0, 0, 0] = np.nan
    with pytest.raises(LimelightError, match="NaN"):
        write_layers(tmp_path / "bad.h5", layers, {})
    write_layers(tmp_path / "l.h5", shown(network("cnn3d"), one_map()), {})
    with edited(tmp_path / "l.h5") as file:
        del file["layers/000/middle"]
    with pytest.raises(LimelightError, match="a part missing"):
        read_layers(tmp_path / "l.h5")


def small(axes: int) -> nn.Module:
    """A convolutional network for two channels and any number of axes."""
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    torch.manual_seed(4)
    return nn.Sequential(convolution(2, 6, 3), nn.ReLU(), convolution(6, 5, 3), nn.Flatten(), nn.LazyLinear(2)).eval()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_data_of_any_number_of_axes_are_shown(axes, tmp_path):
    header = Header("gaussian_field", tuple(Axis(name, "", 0, 1, 8) for name in "xyz"[:axes]), ("a", "b"), "", {}, {})
    module, x = small(axes), torch.rand(1, 2, *(8,) * axes, generator=torch.Generator().manual_seed(2))
    layers = shown(module, x, header)
    assert [layer.kind for layer in layers.layers] == [f"Conv{axes}d"] * 2
    assert layers.middle.shape == (2, *(8,) * min(axes, 2)), "every channel of the input"
    first = torch.relu(module[0](x))[0].detach().double().numpy()[layers.layers[0].channel]
    if axes == 3:
        assert layers.layers[0].middle == pytest.approx(first[..., 3])
        assert layers.layers[0].projected == pytest.approx(first.mean(axis=3))
    else:
        assert layers.layers[0].middle == pytest.approx(first), "the image itself"
        assert layers.layers[0].projected == pytest.approx(first)
    write_layers(tmp_path / "l.h5", layers, {})
    again = read_layers(tmp_path / "l.h5")
    assert (again.header, again.row) == (layers.header, layers.row)
    for figure in ("filters", "feature_maps"):
        save(figures.draw_figure(figure, [again]), tmp_path / f"{figure}.pdf")
        assert (tmp_path / f"{figure}.png").stat().st_size > 4000


class Noisy(PlainPresentation):
    """White noise on the data."""

    def observe(self, x, random):
        return x + torch.randn(x.shape, generator=random)

    def silent(self):
        return PlainPresentation(self.target)

    def with_noise(self, level):
        return self


def test_a_row_is_shown_with_the_noise_of_its_evaluation(monkeypatch):
    monkeypatch.setattr(engine, "check_test_rows", lambda *_: None)  # what it refuses: tests of the evaluation
    rng = np.random.default_rng(1)
    found = Rows(
        header=ANOTHER,
        x=rng.random((50, 2, 16, 16), np.float32),
        y={"theta": np.zeros((50, 2))},
        theta=np.zeros((50, 0)),
        parameter_names=[],
        group=np.full(50, 7),
        dataset=np.repeat(["a"], 50),
        rows={"draw": np.arange(50), "place": np.zeros((50, 2))},
    )
    how = Noisy(VectorTarget("theta", OutputAxis("parameter", names=("a", "b")), (2,)))
    probe = SimpleNamespace(presentation=lambda *_: how)
    trained = SimpleNamespace(network=None, seed=11)
    settings = SimpleNamespace(trained=trained, observation=None, test="clean")
    layers = layers_of(small(2), {"network": "a"}, settings, probe, found, 45)
    every = torch.cat(list(observed(found.x, how, 11, "noise of test clean")))
    np.testing.assert_array_equal(layers.middle, every[45].numpy())
    assert layers.row == {"number": 45, "dataset": "a", "group": 7, "draw": 45}
    with pytest.raises(LimelightError, match="row: found 50; expected 0 to 49"):
        layers_of(small(2), {"network": "a"}, settings, probe, found, 50)
