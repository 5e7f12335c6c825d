"""Methods of saliency against what they must give: linear networks, sums that add up, checks that condemn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.networks import build
from limelight.saliency.checks import faults
from limelight.saliency.methods import RECIPES, CannotExplain, Method, Shown
from limelight.saliency.randomise import cascade
from limelight.saliency.sanity import (
    Trial,
    area,
    attribution,
    behind_a_shift,
    completeness,
    curve,
    likeness,
    orders,
    random_orders,
    rank_correlation,
)
from limelight.saliency.separate import CannotSeparate, Separated
from limelight.saliency.shares import by_value, normalised
from limelight.study.saliency import SaliencyRun

OPTIONS = SaliencyRun(network="toy", steps=64, smooth_samples=4)
ONE = torch.ones(1)


def lognormal(rows: int, seed: int = 0, n: int = 16) -> Tensor:
    """Skewed correlated fields (rows, 1, n, n), as convergence maps are."""
    white = torch.randn(rows, 1, n, n, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.pad(white, (1, 1, 1, 1), "circular"), 3, 1) * 3
    return torch.expm1(0.7 * smooth)


def shown(rows: int = 6, seed: int = 0) -> Shown:
    x = lognormal(rows, seed)
    return Shown(x, torch.zeros_like(x))


def method(name: str, module: nn.Module, seen: Shown, options: SaliencyRun = OPTIONS) -> Method:
    return Method(name, module.eval(), None, options, seen.inputs[:2])


def saliency(name: str, module: nn.Module, seen: Shown) -> Tensor:
    return method(name, module, seen).saliency(seen, ONE.expand(len(seen), 1))


def convolutions(seed: int, width: int = 16, depth: int = 3) -> nn.Module:
    """A ReLU network of convolutions without strides, then the mean; its weights as torch begins with them."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before in [1, *[width] * (depth - 1)]:
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1)).eval()


class Linear(nn.Module):
    """y = Σ w x + b."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x).flatten(1).sum(dim=1, keepdim=True) + self.bias


class OneReLU(nn.Module):
    """A single module of ReLU used twice, once beside a shortcut."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu, self.last = nn.ReLU(inplace=inplace), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = F.silu(self.relu(self.second(x)) + x)
        return self.last(x.square().mean(dim=(2, 3)).add(1e-3).log())


class Spoilt(OneReLU):
    """Works in place and uses the changed input again: no copy can do without that."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last((x.relu_() + self.second(x)).mean(dim=(2, 3)))


class Late(OneReLU):
    """Changes its input in place and never looks at what the call gives back."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x.relu_()
        return self.last(x.mean(dim=(2, 3)))


class Doubled(nn.Module):
    """Multiplies what it read by itself: the rescale rule of single numbers does not hold."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.first, self.second, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last((self.first(x) * self.second(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["gradient", "smoothgrad", "guided_backprop", "deconvolution"])
def test_the_gradient_of_a_linear_network_equals_its_weights(name):
    weight = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1))
    seen = shown()
    if name in ("guided_backprop", "deconvolution"):
        with pytest.raises(CannotExplain, match="no ReLU"):
            saliency(name, Linear(weight), seen)
        return
    assert saliency(name, Linear(weight), seen).numpy() == pytest.approx(weight.expand(6, 1, 16, 16).numpy(), abs=1e-5)


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients", "deeplift"])
def test_of_a_linear_network_they_are_weights_times_the_distance_from_the_baseline(name):
    weight = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1))
    seen = shown()
    expected = (weight * seen.inputs).numpy()
    assert saliency(name, Linear(weight), seen).numpy() == pytest.approx(expected, abs=1e-5)
    if name != "input_x_gradient":
        seen = Shown(seen.inputs, torch.full_like(seen.inputs, 0.5))
        expected = (weight * (seen.inputs - 0.5)).numpy()
        assert saliency(name, Linear(weight), seen).numpy() == pytest.approx(expected, abs=1e-5)


def test_occlusion_and_ablation_of_a_linear_network_are_the_windows_share_of_the_answer():
    weight, seen = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1)), shown()
    change = (weight * seen.inputs)[:, :, :2, :2].sum(dim=(1, 2, 3))  # windows of 2 × 2: an eighth of the sides
    found = saliency("ablation", Linear(weight), seen)
    assert found[:, 0, :2, :2].numpy() == pytest.approx((change / 4)[:, None, None].expand(6, 2, 2).numpy(), abs=1e-4)
    found = saliency("occlusion", Linear(weight), seen)
    assert found[:, 0, 0, 0].numpy() == pytest.approx(change.numpy(), abs=1e-4), "the corner is in one window alone"


NETWORKS = {
    "modules": lambda: convolutions(2),
    "used_twice": OneReLU,
    "in_place": lambda: OneReLU(inplace=True),
    "pooled": lambda: nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.LeakyReLU(0.2), nn.MaxPool2d(2), nn.SELU(inplace=True), nn.Flatten(), nn.Linear(392, 1)
    ),
    "convnet": lambda: build("convnet", {"filters": 4, "dense": 16}, (1, 16, 16), (1,)),
}


@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.parametrize("name", ["integrated_gradients", "deeplift"])
def test_methods_that_promise_it_add_up_to_the_change_of_the_answer(network, name):
    """Functions, modules used twice and activations in place make no difference to DeepLIFT."""
    torch.manual_seed(5)
    module, seen = NETWORKS[network](), shown()
    seen = Shown(seen.inputs, torch.full_like(seen.inputs, 0.3))
    one, weights = method(name, module, seen), ONE.expand(len(seen), 1)
    error = completeness(one, one.saliency(seen, weights), seen, weights)
    assert error < (2e-3 if name == "deeplift" else 0.02)


def test_deeplift_that_does_not_add_up_is_measured_and_condemned():
    seen, weights = shown(), ONE.expand(6, 1)
    trial = Trial(Doubled().eval(), None, OPTIONS, seen, {"all": weights}, seed=1)
    tried, _ = trial.run("deeplift")
    assert tried["all"].checks["completeness"] > 0.2
    assert "is not complete" in faults(tried["all"].checks, OPTIONS.thresholds)


@pytest.mark.parametrize("network", ["used_twice", "in_place", "pooled", "convnet"])
def test_a_copy_with_separate_activations_answers_as_the_network_does(network):
    torch.manual_seed(5)
    module, x = NETWORKS[network]().eval(), lognormal(4)
    copy = Separated(module, x[:2])
    assert torch.allclose(copy(x), module(x), atol=1e-6)
    assert not [part for part in copy.network.modules() if isinstance(part, nn.ReLU | nn.MaxPool2d)]
    assert copy.relus == {"used_twice": 2, "in_place": 2, "pooled": 0, "convnet": 0}[network]


@pytest.mark.parametrize("kind", [Spoilt, Late])
def test_a_network_that_needs_its_activations_in_place_is_refused_by_these_methods_alone(kind):
    seen = shown()
    with pytest.raises(CannotSeparate, match="in place"):
        Separated(kind().eval(), seen.inputs)
    with pytest.raises(CannotExplain, match="in place"):
        saliency("deeplift", kind(), seen)
    assert torch.isfinite(saliency("gradient", kind(), seen)).all()


def test_guided_backprop_and_deconvolution_follow_their_rules_through_functions():
    """One ReLU between two linear layers, by hand."""
    torch.manual_seed(6)

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(256, 12), nn.Linear(12, 1)

        def forward(self, x):
            return self.last(F.relu(self.first(x.flatten(1))))

    module, seen = Two().eval(), shown()
    into = module.first(seen.inputs.flatten(1)).detach() > 0
    down, back = module.first.weight.detach(), module.last.weight.detach()
    guided = (into * back.clamp(min=0)) @ down
    deconvolved = back.clamp(min=0).expand(6, -1) @ down
    assert saliency("guided_backprop", module, seen).flatten(1).numpy() == pytest.approx(guided.numpy(), abs=1e-5)
    assert saliency("deconvolution", module, seen).flatten(1).numpy() == pytest.approx(deconvolved.numpy(), abs=1e-5)


def correlation_with_random_weights(name: str) -> float:
    module, seen = convolutions(7, width=64), shown(4)
    *_, (_, altered) = cascade(module, seen.inputs[:2], seed=3)
    return rank_correlation(attribution(saliency(name, module, seen)), attribution(saliency(name, altered, seen)))


def test_guided_backprop_is_condemned_where_it_ignores_the_weights_and_the_gradient_is_not():
    """Nie et al. (arXiv:1805.07039): with many filters guided backprop recovers the input, whatever the weights are."""
    limit = OPTIONS.thresholds.randomised
    assert correlation_with_random_weights("guided_backprop") > limit
    assert abs(correlation_with_random_weights("gradient")) < limit / 2


def test_at_a_place_it_is_not_enough_to_look_near_it():
    """Any convolutional network's gradient falls with distance; what a picture shows of the data does not go with it."""
    torch.manual_seed(5)
    layers = [nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 16, 5, padding=2), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Conv2d(16, 1, 5, padding=2)).eval()
    x, place = lognormal(6, n=24), np.array([12.0, 12.0])
    *_, (_, altered) = cascade(module, x[:2], seed=3)
    found = []
    for network in (module, altered):
        shown_to = x.clone().requires_grad_()
        network(shown_to)[:, 0, 12, 12].sum().backward()
        found.append(attribution(shown_to.grad))
    limit = OPTIONS.thresholds.randomised
    assert rank_correlation(*found) > 2 * limit, "both look near the pixel"
    assert abs(likeness(*found, place)) < limit / 2
    away = np.hypot(*(np.indices((24, 24)) - 12))
    echoes = [x.numpy() ** 2 * np.exp(-(away**2) / width) for width in (20, 40)]
    assert likeness(*echoes, place) > 0.9
    assert likeness(*echoes, None) == rank_correlation(*echoes)


def test_methods_that_multiply_by_the_input_echo_it():
    module, seen = convolutions(7, width=64), shown(4)
    found = attribution(saliency("input_x_gradient", module, seen))
    plain = attribution(saliency("gradient", module, seen))
    values = np.abs(seen.inputs.numpy())
    assert rank_correlation(found, values) > 0.4 > 2 * abs(rank_correlation(plain, values))


def test_deconvolution_shares_attribution_as_pixels_are_shared():
    """It goes back through no gate that the data closed, so that it knows nothing of the pixels' values."""
    seen = shown(40)
    module = convolutions(8)
    for name, informed in (("deconvolution", False), ("gradient", True)):
        found, pixels = by_value(normalised(attribution(saliency(name, module, seen))), seen.inputs.numpy())
        apart = 0.5 * np.abs(found - pixels).sum()
        assert (apart > 0.05) == informed, (name, apart)


def test_the_cascade_draws_layer_after_layer_from_the_top_and_leaves_the_network_alone():
    module, x = convolutions(9), lognormal(2)
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    stages = []
    for name, altered in cascade(module, x, seed=1):
        same = [key for key, weight in altered.state_dict().items() if torch.equal(weight, before[key])]
        stages.append((name, len(same)))
    assert stages == [("8", 6), ("4", 4), ("2", 2), ("0", 0)]
    assert all(torch.equal(weight, before[name]) for name, weight in module.state_dict().items())
    again = [altered.state_dict()["8.weight"].clone() for _, altered in cascade(module, x, seed=1)]
    assert torch.equal(again[0], again[-1])


def test_networks_whose_weights_belong_to_no_layer_are_drawn_afresh_too():
    weight = torch.full((1, 16, 16), 2.0)
    ((name, altered),) = cascade(Linear(weight), lognormal(2), seed=1)
    assert name == "all"
    assert float(altered.weight.detach().std()) == pytest.approx(2.0, rel=0.2)


def test_a_constant_shift_moves_what_multiplies_by_the_input_and_leaves_the_gradient():
    module, seen = convolutions(7), shown(4)
    there, spread = behind_a_shift(module, seen.inputs)
    moved = Shown(seen.inputs + spread, seen.baselines)
    assert torch.allclose(there(moved.inputs), module(seen.inputs), atol=1e-5), "the answers are the same"
    for name, low, high in (("gradient", 0.99, 1.0), ("input_x_gradient", -1.0, 0.9)):
        pair = [attribution(saliency(name, *one)) for one in ((module, seen), (there, moved))]
        assert low <= rank_correlation(*pair) <= high, name


def test_deletion_in_the_order_of_what_counts_beats_chance_and_that_of_another_network_does_not():
    """One pixel in sixteen counts. A randomised network's picture does not know which."""
    weight = torch.zeros(1, 16, 16)
    weight[0, ::4, ::4] = 1.0
    seen, weights = shown(8), ONE.expand(8, 1)
    one = method("gradient", Linear(weight), seen)
    own = orders(attribution(one.saliency(seen, weights)))
    *_, (_, altered) = cascade(Linear(weight), seen.inputs[:2], seed=2)
    foreign = orders(attribution(saliency("gradient", altered, seen)))
    chance = random_orders(8, 256, seed=1)
    for insert in (False, True):
        areas = [area(curve(one, seen, weights, order, insert)) for order in (own, foreign, chance)]
        assert areas[0] > 0.9
        assert areas[0] > 1.3 * areas[2]
        assert areas[1] < 1.1 * areas[2]
    assert area(np.array([0, 1, 3, 2, 1, 1, 1, 1, 1.0])) == area(np.array([0, 1, 1, 1, 1, 1, 1, 1, 1.0]))
    ends = curve(one, seen, weights, own, insert=False)
    assert ends[[0, -1]] == pytest.approx([0, 1])
    assert ends[3] == pytest.approx(1, abs=0.1), "the tenth of the pixels that counts is gone"


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_method_explains_the_default_network_of_lines(name):
    torch.manual_seed(1)
    module = build("limelight", {"filters": 4}, (1, 16, 16, 6), (5,)).eval()
    x = torch.rand(2, 1, 16, 16, 6)
    seen = Shown(x, torch.full_like(x, 0.01))
    options = OPTIONS.model_copy(update={"window": 4})
    found = Method(name, module, torch.ones(5), options, x).saliency(seen, torch.ones(2, 5))
    assert found.shape == x.shape
    assert torch.isfinite(found).all()
    assert found.abs().max() > 0
