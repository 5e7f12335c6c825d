"""Networks that answer images: shapes, what they start from, symmetries of the pixel grid, and options that are refused."""

import math

import pytest
import torch

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.networks.layers import Conv2d

SMALL = {"resunet": {"filters": 4, "levels": 2, "dropout": 0.0}, "gated": {"filters": 6, "blocks": 2}}


def network(name: str, channels: int = 3, outputs: int = 2, pixels: int = 24, **options):
    torch.manual_seed(1)
    return build(name, {**SMALL[name], **options}, (channels, pixels, pixels), (outputs, pixels, pixels))


def maps(channels: int = 3, pixels: int = 24, count: int = 2) -> torch.Tensor:
    return torch.randn(count, channels, pixels, pixels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("branches", ["joint", "separate"])
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("gated", {}),
        ("gated", {"fold": 1}),
        ("gated", {"filtered": 3}),
        ("resunet", {}),
        ("resunet", {"down": "flat"}),
        ("resunet", {"down": "blur"}),
    ],
)
def test_images_come_out_of_images(name, more, padding, branches):
    module = network(name, branches=branches, padding=padding, **more)
    answer = module(maps())
    assert answer.shape == (2, 2, 24, 24)
    with torch.no_grad():  # some gains start at 0, and what comes before them has no part until they have moved
        for weights in module.parameters():
            weights += 0.01 * torch.randn_like(weights)
    module(maps()).square().mean().backward()
    assert all(0 < p.grad.abs().sum() < math.inf for p in module.parameters() if p.numel()), "each has a part"
    assert len(module.trunks) == (2 if branches == "separate" else 1)


@pytest.mark.parametrize("branches", ["joint", "separate"])
@pytest.mark.parametrize(("name", "more"), [("gated", {}), ("gated", {"filtered": 3}), ("resunet", {})])
def test_an_answer_starts_from_the_input_that_it_corrects(name, more, branches):
    module, x = network(name, start_from=[-1, 2], branches=branches, **more).eval(), maps()
    answer = module(x)
    assert torch.equal(answer[:, 1], x[:, 2])
    assert answer[:, 0].std() > 0
    answer[:, 1].square().sum().backward()
    assert module.gain.grad.abs().item() > 0
    assert module.trunks[-1].output.weight.grad.abs().sum() > 0, "the correction can be learnt"


@pytest.mark.parametrize("down", ["stride", "flat", "blur"])
def test_the_residual_u_net_takes_cubes(down):
    torch.manual_seed(1)
    module = build(
        "resunet", {**SMALL["resunet"], "levels": 1, "kernel": 3, "down": down}, (2, 12, 12, 12), (1, 12, 12, 12)
    )
    x = torch.randn(2, 2, 12, 12, 12)
    answer = module(x)
    assert answer.shape == (2, 1, 12, 12, 12)
    with torch.no_grad():
        module.eval()
        before = module(x)
        x[0, 0, 6, 6, 6] += 1
        changed = (module(x) - before)[0, 0].abs() > 1e-7
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        assert changed.any(dim=others[1]).any(dim=others[0]).sum() > 3, "it looks along every axis"
    with pytest.raises(LimelightError, match="cubes"):
        build("resunet", {}, (2, 12), (1, 12))
    with pytest.raises(LimelightError):
        build("gated", {}, (2, 12, 12, 12), (1, 12, 12, 12))


def test_a_filter_of_waves_is_linear_and_moves_with_its_maps():
    module, x = network("resunet", waves=True, padding="circular", down="flat"), maps()
    with torch.no_grad():
        module.waves.weight.normal_(generator=torch.Generator().manual_seed(2))
        answer = module.waves(x)
        torch.testing.assert_close(module.waves(2 * x), 2 * answer, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(module.waves(x.roll(5, dims=2)), answer.roll(5, dims=2), rtol=1e-4, atol=1e-3)
        assert torch.equal(module(x) - module.trunks[0](x), (module.trunks[0](x) + answer) - module.trunks[0](x))


@pytest.mark.parametrize(("kernel", "shape"), [(3, (8, 6)), (5, (5, 4)), (1, (4, 4)), (7, (3, 5))])
def test_periodic_convolutions_are_torchs_own_with_their_gradients(kernel, shape):
    torch.manual_seed(0)
    own = Conv2d(2, 3, kernel, padding=kernel // 2, padding_mode="circular").double()
    torchs = torch.nn.Conv2d(2, 3, kernel, padding=kernel // 2, padding_mode="circular").double()
    torchs.load_state_dict(own.state_dict())
    found = []
    for layer in (own, torchs):
        x = maps(2, 8)[:, :, : shape[0], : shape[1]].double().to(memory_format=torch.channels_last).requires_grad_()
        answer = layer(x)
        answer.pow(3).sum().backward()
        found.append((answer.detach(), x.grad, layer.weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(own, maps(2, 8)[:1, :, : shape[0], : shape[1]].double().requires_grad_())


def test_filtered_answers_have_a_gain_on_each_scale_and_reach_across_the_map():
    module, x = network("gated", outputs=1, filtered=2, padding="circular", blocks=1).eval(), maps()
    waves = module.trunks[0].waves
    across = torch.hypot(torch.fft.fftfreq(24, 1 / 24)[:, None], torch.arange(13.0)).round()
    with torch.no_grad():
        plain = torch.fft.rfft2(module(x))
        waves.weight[0, 0, 5:] = (
            -1 / waves.RATE
        )  # takes all off the answer itself that is shorter than five waves a map
        found = torch.fft.rfft2(module(x))
        torch.testing.assert_close(found, torch.where(across < 5, plain, 0), rtol=1e-4, atol=1e-3)
        waves.weight[0, 1, :3] = 1 / waves.RATE
        before = module(x)
        x[:, :, 2, 2] += 1
        assert (module(x) - before)[:, 0, 14, 14].abs().min() > 1e-5, "twelve pixels away along both axes"


def moved(module, x: torch.Tensor, pixels: int) -> float:
    """How far the answer to moved maps is from the moved answer, over its own spread."""
    with torch.no_grad():
        answer, of_moved = module.eval()(x), module(x.roll((pixels, pixels), dims=(2, 3)))
    return ((of_moved - answer.roll((pixels, pixels), dims=(2, 3))).std() / answer.std()).item()


def test_strides_break_shifts_by_a_pixel_and_flat_networks_do_not():
    x = maps()
    flat, strided, blurred = (network("resunet", padding="circular", down=d) for d in ("flat", "stride", "blur"))
    assert moved(flat, x, 1) < 1e-5
    assert moved(strided, x, 1) > 0.1
    assert moved(strided, x, 4) < 1e-5
    assert moved(blurred, x, 1) < 0.5 * moved(strided, x, 1)
    assert moved(network("gated", padding="circular"), x, 2) < 1e-5
    assert moved(network("gated", padding="circular", fold=1), x, 1) < 1e-5
    assert moved(network("resunet", down="flat"), x, 1) > 1e-3, "an edge of zeros is a place"


def test_the_published_network_has_some_five_million_weights():
    with torch.device("meta"):
        module = build("resunet", {"filters": 64, "levels": 2}, (2, 128, 128), (1, 128, 128))
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(5.2e6, rel=0.03)


def test_a_gated_block_sees_products_from_the_first_layer():
    """The answer to −x is not minus the answer to x, as that of a linear network would be."""
    module, x = network("gated").eval(), maps()
    with torch.no_grad():
        even = module(x) + module(-x) - 2 * module(torch.zeros_like(x))
        assert even.std() > 1e-3 * module(x).std()


def test_dropout_in_tests_is_the_same_for_the_same_draw():
    module, x = network("resunet", dropout=0.3, test_dropout=True).eval(), maps()
    with torch.no_grad():
        first, again = module(x), module(x)
        for part in module.modules():
            if hasattr(part, "draw"):
                part.draw = 1
        other = module(x)
        certain = network("resunet", dropout=0.3).eval()
        assert torch.equal(certain(x), certain(x))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_batch_norm_forgets_as_it_is_told():
    for memory in (0.9, 0.5):
        module, x = network("resunet", batch_norm_memory=memory), maps()
        before = module.trunks[0].first[3].running_mean.clone()
        module(x)
        hidden = module.trunks[0].first[:3](x).mean(dim=(0, 2, 3))
        found = module.trunks[0].first[3].running_mean
        torch.testing.assert_close(found, memory * before + (1 - memory) * hidden)


@pytest.mark.parametrize(
    ("name", "shapes", "options", "expected"),
    [
        ("resunet", ((2, 22, 24), (1, 22, 24)), {}, "22 × 24 pixels .* multiples of 4 and at least 20"),
        ("resunet", ((2, 16, 16), (1, 16, 16)), {}, "multiples of 4 and at least 20"),
        ("gated", ((2, 25, 25), (1, 25, 25)), {}, "multiples of 2"),
        ("gated", ((2, 24, 24), (1, 12, 12)), {}, "as many pixels out as in"),
        ("gated", ((2, 24, 24), (5,)), {}, "images: .channels, x, y. both"),
        ("resunet", ((1, 8, 8, 8), (1, 8, 8, 8)), {}, "8 × 8 × 8 pixels"),
        ("gated", ((1, 8, 8, 8), (1, 8, 8, 8)), {}, "images: .channels, x, y. both"),
        ("resunet", ((2, 24, 24), (1, 24, 24)), {"down": "pool"}, "one of stride, flat, blur"),
        ("resunet", ((2, 24, 24), (1, 24, 24)), {"batch_norm_memory": 1}, "from 0 to below 1"),
        ("gated", ((2, 24, 24), (1, 24, 24)), {"start_from": [2]}, "from 0 to 1, or -1"),
        ("gated", ((2, 24, 24), (1, 24, 24)), {"start_from": [0, 1]}, "each of 1 answers"),
        ("gated", ((2, 24, 24), (1, 24, 24)), {"branches": "two"}, "joint, separate"),
        ("gated", ((2, 24, 24), (1, 24, 24)), {"filtered": True}, "filtered"),
    ],
)
def test_what_a_network_cannot_take_is_refused_in_one_line(name, shapes, options, expected):
    with pytest.raises(LimelightError, match=expected) as error:
        build(name, {**SMALL[name], **options}, *shapes)
    assert "\n" not in str(error.value)


def test_odd_sizes_are_taken_where_nothing_is_halved():
    flat = build("resunet", {"filters": 2, "down": "flat"}, (2, 15, 17), (1, 15, 17))
    assert flat.eval()(torch.zeros(1, 2, 15, 17)).shape == (1, 1, 15, 17)
    whole = build("gated", {"filters": 2, "fold": 1}, (2, 15, 17), (1, 15, 17))
    assert whole(torch.zeros(1, 2, 15, 17)).shape == (1, 1, 15, 17)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        *(("resunet", {"filters": 2, "levels": 1, "down": d}) for d in ("stride", "flat", "blur")),
        ("gated", {"filters": 2}),
        ("gated", {"filters": 2, "filtered": 2}),
    ],
)
def test_weights_alone_make_the_network_again(architecture, options):
    """As model files do it: built without memory, filled from the file."""
    shapes = (2, 16, 16), (1, 16, 16)
    first = build(architecture, options, *shapes).eval()
    with torch.device("meta"):
        second = build(architecture, options, *shapes)
    second.load_state_dict(first.state_dict(), assign=True)
    x = torch.randn(1, 2, 16, 16)
    torch.testing.assert_close(second.to("cpu").eval()(x), first(x))
