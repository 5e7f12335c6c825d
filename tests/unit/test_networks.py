"""Networks: parameter counts against the layer arithmetic of the notes and the paper, shapes, and refused options."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from training_toys import PROBE, settings, toys

from limelight.errors import LimelightError
from limelight.networks import REGISTRY, build
from limelight.networks.layers import Conv1d, Conv2d, Conv3d
from limelight.networks.residual import GroupNorm, asinh, moments, rescaled
from limelight.training.checkpoint import load_model, save_model
from limelight.training.loop import train

PAPER_MAP = (1, 64, 64, 10)


def numbers(module: torch.nn.Module) -> tuple[int, int]:
    """(trained weights, running statistics of batch norm) of a module."""
    weights = sum(p.numel() for p in module.parameters())
    return weights, sum(b.numel() for b in module.buffers() if b.is_floating_point())


def on_paper(architecture: str, **options) -> torch.nn.Module:
    with torch.device("meta"):  # shapes only: the large networks need no memory here
        return build(architecture, options, PAPER_MAP, (49,))


def cnn_weights(dims: int, kernel: int, filters: int, layers: int, pooled: tuple[int, ...]) -> dict[str, int]:
    """The notes' CNN counted by hand: kernels, biases, batch norm and dense layers separately."""
    channels, kernels, biases, norms = (10 if dims == 2 else 1), 0, 0, 0
    for layer in range(layers):
        width = filters * 2**layer
        kernels += channels * width * kernel**dims + width * width * 2**dims
        biases += 2 * width
        norms += 2 * width
        channels = width
    cells = 1
    for n in pooled:
        cells *= n
    dense = (channels * cells * 1000 + 1000) + (1000 * 49 + 49)
    return {"kernels": kernels, "biases": biases, "norms": norms, "dense": dense}


def test_cnn3d_of_the_notes_has_120_million_convolution_weights():
    net = on_paper("cnn3d")
    kernels = sum(p.numel() for p in net.parameters() if p.dim() == 5)
    assert kernels == 120_153_792
    parts = cnn_weights(3, 3, 64, 6, (1, 1, 1))
    assert parts["kernels"] == kernels
    assert numbers(net)[0] == sum(parts.values()) == 122_267_969


@pytest.mark.parametrize(
    ("architecture", "options", "pooled"),
    [
        ("cnn2d", {}, (1, 1)),
        ("cnn2d", {"layers": 4, "kernel": 5, "filters": 32}, (4, 4)),
        ("cnn3d", {"layers": 4, "kernel": 5, "filters": 32}, (4, 4, 1)),
        ("cnn3d", {"layers": 5, "filters": 32}, (2, 2, 1)),
    ],
)
def test_cnn_counts_follow_the_layer_arithmetic(architecture, options, pooled):
    dims = int(architecture[3])
    layers, kernel, filters = options.get("layers", 6), options.get("kernel", 3), options.get("filters", 64)
    expected = cnn_weights(dims, kernel, filters, layers, pooled)
    assert numbers(on_paper(architecture, **options))[0] == sum(expected.values())
    without = on_paper(architecture, **options, batch_norm=False, first_bias=False)
    assert numbers(without)[0] == sum(expected.values()) - expected["norms"] - filters


def test_pooling_layers_have_no_weights():
    with_conv, with_max = on_paper("cnn3d", filters=8), on_paper("cnn3d", filters=8, pool="max")
    pooling = sum(8 * w * w + w for w in (8, 16, 32, 64, 128, 256))
    assert numbers(with_conv)[0] - numbers(with_max)[0] == pooling
    assert numbers(on_paper("cnn3d", filters=8, pool="avg")) == numbers(with_max)


def test_resnet_of_the_paper_has_159_6_million_numbers():
    kernels, biases, norms = 7**3 * 64, 64, 64  # the stem
    channels = 64
    for blocks, inner in ((3, 128), (4, 256), (6, 512), (3, 1024)):
        outer = 2 * inner
        for block in range(blocks):
            kernels += channels * inner + 27 * inner * inner + inner * outer
            biases += 2 * inner + outer
            norms += 2 * inner + outer
            if block == 0:
                kernels, biases, norms = kernels + channels * outer, biases + outer, norms + outer
            channels = outer
    dense = (2048 * 1000 + 1000) + (1000 * 49 + 49)
    norms += 1000
    trained, running = numbers(on_paper("resnet3d"))
    assert trained == kernels + biases + 2 * norms + dense == 159_518_929
    assert running == 2 * norms == 70_224
    assert trained + running == 159_589_153  # the paper's ~159.6 M


SMALL = {
    "limelight": {"filters": 4},
    "cnn2d": {"filters": 4, "layers": 4},
    "cnn3d": {"filters": 4, "layers": 6},
    "resnet3d": {"filters": 4},
    "convnet": {"filters": 4},
}


@pytest.mark.parametrize("architecture", sorted(SMALL))
@pytest.mark.parametrize("shape", [(1, 64, 64, 10), (1, 16, 16, 5), (1, 33, 33, 1)])
def test_shapes_and_gradients(architecture, shape):
    torch.manual_seed(0)
    net = build(architecture, SMALL[architecture], shape, (7,))
    out = net(torch.randn(2, *shape))
    assert out.shape == (2, 7)
    out.square().sum().backward()
    assert all(0 < p.grad.abs().sum() < math.inf for p in net.parameters()), "each has a part in the answer"


@pytest.mark.parametrize("pool", ["conv", "max", "avg"])
@pytest.mark.parametrize("layers", [4, 5, 6])
def test_every_pooling_halves_rounding_up(pool, layers):
    sides, depths = [40, 20, 10, 5, 3, 2, 1], [10, 5, 3, 2, 1, 1, 1]  # after each layer, by hand
    net = build("cnn3d", {"filters": 2, "layers": layers, "pool": pool}, (1, 40, 40, 10), (3,)).eval()
    x = torch.zeros(1, 1, 40, 40, 10)
    assert net.body(x).shape[2:] == (sides[layers], sides[layers], depths[layers])
    assert net(x).shape == (1, 3)


def test_average_pooling_averages_what_is_inside_the_map():
    net = build("cnn3d", {"filters": 1, "layers": 1, "pool": "avg"}, (1, 3, 3, 1), (1,))
    pooled = net.body[-1](torch.arange(9.0).reshape(1, 1, 3, 3, 1))
    assert pooled.flatten().tolist() == [2.0, 3.5, 6.5, 8.0]


def test_an_empty_map_without_bias_or_norm_reaches_the_head_empty():
    net = build("cnn3d", {"filters": 2, "layers": 1, "first_bias": False, "batch_norm": False}, (1, 8, 8, 4), (3,))
    assert torch.count_nonzero(net.body[:3](torch.zeros(1, 1, 8, 8, 4))) == 0


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_bfloat16_gradients_are_finite_and_repeatable(architecture):
    """Deep in a net axes grow shorter than the kernel, where torch's own bfloat16 gradient is uninitialised memory."""
    x = torch.randn(4, 1, 16, 16, 4, generator=torch.Generator().manual_seed(0))
    options = SMALL[architecture] | ({"dropout": 0.0} if architecture in ("cnn2d", "cnn3d", "resnet3d") else {})
    found = []
    for _ in range(6):
        junk = [torch.full((20_000,), float("nan")) for _ in range(40)]
        del junk  # what uninitialised memory will hold
        torch.manual_seed(0)
        net = build(architecture, options, (1, 16, 16, 4), (3,))
        with torch.autocast("cpu", torch.bfloat16):
            out = net(x).float()
        out.square().mean().backward()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    assert all(torch.isfinite(grad).all() and torch.equal(grad, found[0]) for grad in found)


def test_padding_written_out_changes_nothing():
    layer = Conv3d(2, 3, 3, stride=(2, 1, 1), padding=1)
    x = torch.randn(2, 2, 5, 2, 1)
    expected = torch.nn.functional.conv3d(x, layer.weight, layer.bias, (2, 1, 1), 1)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("axes", "side", "stride"), [(1, 3, 1), (3, 3, 1), (2, 4, 1), (2, 4, 4), (2, 3, 1)])
def test_periodic_maps_stay_periodic_however_small(axes, side, stride):
    layer = (Conv1d, Conv2d, Conv3d)[axes - 1](2, 3, 5, stride=stride, padding=2, padding_mode="circular")
    x = torch.randn(2, 2, *[side] * axes)
    wide = torch.nn.functional.pad(x, (2, 2) * axes, mode="circular")
    expected = getattr(torch.nn.functional, f"conv{axes}d")(wide, layer.weight, layer.bias, stride)
    torch.testing.assert_close(layer(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x).float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("shape", [(1,), (2, 1), (8, 2), (1, 8, 3), (5, 5, 1), (8, 8, 2), (8, 8, 4), (2, 2, 2)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (5, 2, 2), (3, 1, 1), (1, 2, 0), (3, 2, 0)])
def test_bfloat16_answers_of_short_axes_are_those_of_float32(shape, kernel, stride, padding):
    """Some processors leave what a stride makes of one place uninitialised, so memory is filled with NaN before."""
    shape = tuple(max(n, kernel - 2 * padding) for n in shape)
    layer = (Conv1d, Conv2d, Conv3d)[len(shape) - 1](4, 8, kernel, stride=stride, padding=padding)
    x = torch.randn(2, 4, *shape)
    expected = getattr(torch.nn.functional, f"conv{len(shape)}d")(x, layer.weight, layer.bias, stride, padding)
    torch.testing.assert_close(layer(x), expected)
    for _ in range(3):
        junk = [torch.full((20_000,), float("nan")) for _ in range(40)]
        del junk
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(layer(x).float(), expected, rtol=0.05, atol=0.03)


def test_blank_and_constant_maps_are_answered_as_they_are_alone():
    """Though they have no spread that a norm could divide by."""
    x = torch.stack([torch.zeros(1, 32, 32, 10), torch.full((1, 32, 32, 10), 1e6), torch.randn(1, 32, 32, 10)])
    for architecture, options in SMALL.items():
        net = build(architecture, options, (1, 32, 32, 10), (5,)).eval()
        answers = net(x)
        assert torch.isfinite(answers).all(), architecture
        torch.testing.assert_close(answers, torch.cat([net(row[None]) for row in x]), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(answers[0], answers[1]), "a map without light is another answer than a bright one"


def test_calibration_brings_the_moments_to_unit_spread():
    net = build("limelight", {"filters": 4}, (1, 16, 16, 4), (3,))
    x = 4 + torch.rand(50, 1, 1, 1, 1) + 0.5 * torch.randn(50, 1, 16, 16, 4)
    net.calibrate(x)
    scaled = (moments(rescaled(x, net.scales)) - net.moment_mean) / net.moment_std
    torch.testing.assert_close(scaled.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std(0), torch.ones(12), atol=1e-3, rtol=0)
    net.calibrate(torch.zeros(2, 1, 16, 16, 4))  # no spread to divide by
    assert torch.isfinite(net(x)).all()


def test_moments_are_those_of_numpy_and_scipy():
    x = torch.randn(3, 1, 5, 5, 4, generator=torch.Generator().manual_seed(0)).exp()
    flat = x.double().flatten(1).numpy()
    central = [scipy.stats.moment(flat, order, axis=1) for order in (2, 3, 4)]
    expected = np.stack([flat.mean(1), central[0] ** 0.5, np.cbrt(central[1]), central[2] ** 0.25], axis=1)
    np.testing.assert_allclose(moments(x), expected, rtol=1e-4)


def test_asinh_is_numpys_over_all_that_rescaling_asks_for():
    x = torch.cat([torch.zeros(1), torch.logspace(-20, 10, 3000)])
    np.testing.assert_allclose(asinh(x), np.arcsinh(x.double().numpy()), rtol=3e-7)


def test_group_norm_stays_float32_where_autocast_asks_for_bfloat16():
    x = 100 + torch.randn(2, 8, 4, 4, 3, generator=torch.Generator().manual_seed(0))  # bfloat16 knows 100 to 0.5
    norm = GroupNorm(2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x)
    torch.testing.assert_close(found, norm(x), rtol=0, atol=0)
    assert norm(x.bfloat16()).dtype is torch.float32


def test_the_default_network_sees_brightness_that_group_norm_divides_away():
    torch.manual_seed(1)
    net = build("limelight", {"filters": 4}, (1, 16, 16, 4), (3,)).eval()
    net.stem.bias.data.zero_()
    x = torch.rand(1, 1, 16, 16, 4)
    assert (net(x) - net(10 * x)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("architecture", "options", "names"),
    [
        ("residual", {}, "limelight, cnn2d, cnn3d, resnet3d, convnet"),
        ("cnn3d", {"filter": 3}, "filters"),
        ("cnn3d", {"layers": 7}, "layers"),
        ("cnn3d", {"kernel": 4}, "kernel"),
        ("cnn3d", {"dropout": 1.0}, "dropout"),
        ("cnn3d", {"pool": "mean"}, "conv, max, avg"),
        ("cnn3d", {"batch_norm": 1}, "batch_norm"),
        ("limelight", {"filters": 6}, "filters"),
        ("limelight", {"filters": "8"}, "filters"),
        ("resnet3d", {"input_shape": 3}, "filters, dropout"),
        ("convnet", {"layers": 0}, "layers"),
        ("convnet", {"dense": 2.5}, "dense"),
        ("convnet", {"skip": 1}, "skip"),
    ],
)
def test_a_wrong_name_or_option_is_refused_in_one_line(architecture, options, names):
    with pytest.raises(LimelightError) as caught:
        build(architecture, options, PAPER_MAP, (49,))
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("architecture", "input_shape", "output_shape", "says"),
    [
        ("limelight", (2, 16, 16), (3,), "data of 2 axes for limelight; expected three axes"),
        ("cnn2d", (1, 16, 16), (3,), "data of 2 axes"),
        ("resnet3d", (3, 16), (3,), "data of 1 axes"),
        ("convnet", (1, 4, 4, 4, 4), (3,), "data of 4 axes for convnet; expected one to three axes"),
        ("convnet", (3,), (3,), "data of 0 axes"),
        ("convnet", (1, 16), (1, 16), r"a target of shape \(1, 16\); expected a target that is a vector"),
        ("limelight", (1, 16, 16, 4), (1, 16, 16), r"a target of shape \(1, 16, 16\)"),
    ],
)
def test_data_and_targets_that_a_network_cannot_take_are_refused(architecture, input_shape, output_shape, says):
    with pytest.raises(LimelightError, match=says) as caught:
        build(architecture, SMALL[architecture], input_shape, output_shape)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", sorted(SMALL))
def test_an_answer_is_the_output_layer_of_the_features(architecture):
    """What a posterior stands on."""
    net = build(architecture, SMALL[architecture], (1, 16, 16, 5), (7,)).eval()
    x = torch.randn(3, 1, 16, 16, 5)
    with torch.no_grad():
        features = net.features(x)
        assert features.ndim == 2
        torch.testing.assert_close(net.output(features), net(x))


# convnet


@pytest.mark.parametrize("axes", [(33,), (16, 12), (9, 8, 5), (1,)])
@pytest.mark.parametrize("channels", [1, 3])
def test_convnet_reads_one_two_and_three_axes_and_any_channels(axes, channels):
    torch.manual_seed(0)
    net = build("convnet", {"filters": 4, "layers": 3, "dense": 8}, (channels, *axes), (2,))
    x = torch.randn(5, channels, *axes, requires_grad=True)
    out = net(x)
    assert out.shape == (5, 2)
    assert net.features(x).shape == (5, 8)
    out.square().sum().backward()
    assert (x.grad.abs().sum(dim=tuple(range(2, x.ndim))) > 0).all()  # every channel counts
    assert all(0 < p.grad.abs().sum() < math.inf for p in net.parameters()), "and each weight"


def test_convnet_weighs_what_its_layers_say():
    net = build("convnet", {"filters": 4, "layers": 3, "dense": 8}, (2, 16, 16), (5,))
    convolutions = (2 * 4 * 25 + 4) + (4 * 8 * 9 + 8) + (8 * 16 * 9 + 16)
    assert numbers(net)[0] == convolutions + (2 * (4 + 8 + 16) * 8 + 8) + (8 * 5 + 5)


def test_convnet_keeps_its_averages_beside_its_features_where_asked():
    """The first of them is the mean of the first map, as a layer by hand has it."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 16, 16)
    plain, skip = (
        build("convnet", {"filters": 4, "layers": 2, "dense": 8, "skip": s}, (2, 16, 16), (5,)) for s in (False, True)
    )
    assert plain.features(x).shape == (3, 8)
    found = skip.features(x)
    assert found.shape == (3, 8 + 2 * (4 + 8))
    first = torch.nn.functional.silu(skip.convolutions[0](x))
    torch.testing.assert_close(found[:, 8], first[:, 0].mean(dim=(1, 2)))
    torch.testing.assert_close(skip(x).flatten(1), skip.output(found).flatten(1))


def test_convnet_keeps_the_size_of_its_input():
    """Without normalisation the log mean square of the first layer grows as the input does."""
    net = build("convnet", {"filters": 4}, (1, 16, 16), (2,)).eval()
    kept = []
    net.dense.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    x = 1e3 * torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        net(x), net(10 * x)
    growth = (kept[1] - kept[0])[:, 4:8]  # means first, then log mean squares
    torch.testing.assert_close(growth, torch.full_like(growth, np.log(100)), atol=0.01, rtol=0)


# A network of one's own


class Linear(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, gain: float):
        super().__init__()
        self.gain, self.output = gain, torch.nn.Linear(inputs, outputs)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x.flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.features(x))


def linear(input_shape: tuple[int, ...], output_shape: tuple[int, ...], gain: float = 1.0) -> torch.nn.Module:
    return Linear(int(np.prod(input_shape)), output_shape[0], gain)


def test_a_network_needs_a_function_and_a_line_in_the_registry_and_no_more(monkeypatch, tmp_path):
    """It trains, its file is read again, and its options are checked, with nothing else told of it."""
    monkeypatch.setitem(REGISTRY._entries, "linear", f"{__name__}:linear")
    wanted = settings(network={"architecture": "linear", "options": {"gain": 0.1}}, epochs=4)
    content, history = train(wanted, PROBE, toys(12), toys(4, 1), tmp_path)
    save_model(tmp_path / "model.pt", content, {"seed": 7})
    module, info = load_model(tmp_path / "model.pt")
    assert isinstance(module, Linear)
    assert (info["architecture"], info["options"], module.gain) == ("linear", {"gain": 0.1}, 0.1)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    with pytest.raises(LimelightError, match="'loss'; expected options gain"):
        build("linear", {"loss": 1}, (1, 4), (2,))
