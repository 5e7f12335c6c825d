"""Filters and feature maps: what is kept is what the network computes, for every registered network."""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from limelight.errors import LimelightError
from limelight.evaluation.layers import Layers, feature_maps, filters, read_layers, write_layers
from limelight.figures.layers import LAYER_FIGURES, chosen_layers
from limelight.figures.style import save
from limelight.networks import REGISTRY, build

SHAPE = (16, 16, 6)
MAP = {"index": 0, "lightcone": 3, "subfield": 1, "draw": 2, "line_model": "li_full"}
OPTIONS = {"cnn2d": {"layers": 3, "filters": 4}, "cnn3d": {"layers": 5, "filters": 4}, "resnet3d": {"filters": 4}}


def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    return build(name, {"filters": 4, **OPTIONS.get(name, {})}, SHAPE, 7).eval()


def one_map() -> torch.Tensor:
    return torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(2))


def layers_of(module: nn.Module, name: str = "a_network") -> Layers:
    x = one_map()
    plane, mean = x[0, 0, :, :, 3].numpy(), x[0, 0].mean(dim=2).numpy()
    return Layers(name, "clean", MAP, {"pixels": 16}, "asinh", plane, mean, filters(module), feature_maps(module, x))


@pytest.mark.parametrize("name", list(REGISTRY))
def test_every_network_shows_its_layers(name, tmp_path, recwarn):
    module = network(name)
    layers = layers_of(module)
    assert len(layers.layers) >= 3
    assert len(layers.filters) == 2
    assert not [hook for part in module.modules() for hook in part._forward_hooks.values()], "no hook stays behind"
    write_layers(tmp_path / "l.h5", layers, {})
    again = read_layers(tmp_path / "l.h5")
    for one, other in zip(layers.layers, again.layers, strict=True):
        assert (one.name, one.kind, one.shape, one.silent) == (other.name, other.kind, other.shape, other.silent)
        assert other.middle == pytest.approx(one.middle.astype(np.float32))
        assert other.projected == pytest.approx(one.projected.astype(np.float32))
    for figure in LAYER_FIGURES:
        save(LAYER_FIGURES[figure](again), tmp_path / f"{figure}.pdf")
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


def test_the_figure_says_which_map():
    layers = layers_of(network("cnn2d"))
    assert LAYER_FIGURES["feature_maps"](layers).get_suptitle() == (
        "a network on test clean: li full, light-cone 3, subfield 1, draw 2"
    )


def test_deep_networks_show_the_last_layer_of_each_shape():
    layers = feature_maps(network("resnet3d"), one_map())
    assert len(layers) == 18
    shapes = [layer.shape for layer in chosen_layers(layers)]
    assert len(shapes) == len({tuple(shape) for shape in shapes}) < 10
    assert shapes[-1] == layers[-1].shape


def test_what_cannot_be_shown_is_refused(tmp_path):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(SHAPE)), 7))
    with pytest.raises(LimelightError, match="no layer with a sky"):
        feature_maps(dense, one_map())
    with pytest.raises(LimelightError, match="one map"):
        feature_maps(network("cnn3d"), torch.zeros(2, 1, *SHAPE))
    layers = layers_of(network("cnn3d"))
    layers.layers[0].middle[0, 0, 0] = np.nan
    with pytest.raises(LimelightError, match="NaN"):
        write_layers(tmp_path / "bad.h5", layers, {})
    write_layers(tmp_path / "l.h5", layers_of(network("cnn3d")), {})
    with h5py.File(tmp_path / "l.h5", "a") as file:
        del file["layers/000/middle"]
    with pytest.raises(LimelightError, match="a part missing"):
        read_layers(tmp_path / "l.h5")
