"""Whether a picture of saliency can be trusted: what a method does when the network, or its data, are not what they were.

Attribution is the squared saliency (Zorrilla Matilla et al., arXiv:2007.06529). Pictures are compared by Spearman's rank
correlation over the pixels of one row, averaged over rows.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from limelight.saliency.checks import CHECKS, FRACTIONS, Tried
from limelight.saliency.methods import COMPLETE, CannotExplain, Method, Shown
from limelight.saliency.randomise import cascade
from limelight.saliency.shares import distances, normalised, radii
from limelight.seeds import generator, torch_seed
from limelight.study.saliency import SaliencyRun


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of pixels, the mean over rows (n, …); a picture without contrast has 0."""
    found = []
    for a, b in zip(one.reshape(len(one), -1), other.reshape(len(other), -1), strict=True):
        a, b = rankdata(a), rankdata(b)
        spread = a.std() * b.std()
        found.append(((a - a.mean()) * (b - b.mean())).mean() / spread if spread > 0 else 0.0)
    return float(np.mean(found))


def likeness(own: np.ndarray, other: np.ndarray, place: np.ndarray | None) -> float:
    """Rank correlation of two attributions (n, channels, *axes) of an answer, which may be at a place (axes,).

    Every local network, trained or not, looks near the place: of such an answer what is compared is attribution over its
    mean at the same distance, as far out as `own` has 95 % of its own.
    """
    if place is None:
        return rank_correlation(own, other)
    near = distances(own.shape[2:], place) <= radii(normalised(own), place)["reach_95"]
    return rank_correlation(*(_over_rings(found, place)[..., near] for found in (own, other)))


def _over_rings(found: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Attribution over the mean of the pixels about as far from a place; 0 where these have none."""
    ring = np.round(distances(found.shape[2:], place)).astype(int)
    mean = np.bincount(ring.ravel(), found.mean(axis=(0, 1)).ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    return found / np.where(mean > 0, mean, 1.0)[ring]


def attribution(saliency: Tensor) -> np.ndarray:
    """Squared saliency, float64 numpy."""
    return saliency.double().square().cpu().numpy()


def completeness(method: Method, saliency: Tensor, shown: Shown, weights: Tensor) -> float:
    """Median over rows of the error of the sum of saliency, relative to the change of the answer from the baseline."""
    change = method.value(shown.inputs, weights) - method.value(shown.baselines, weights)
    error = (saliency.double().flatten(1).sum(dim=1) - change).abs()
    return float((error / change.abs().clamp(min=1e-12)).median())


class _Behind(nn.Module):
    """A network behind a shift of its data that it undoes: the same answers to data that are all larger."""

    def __init__(self, module: nn.Module, shift: Tensor):
        super().__init__()
        self.module = module
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x - self.shift)


def behind_a_shift(module: nn.Module, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """(network for data that are larger by one standard deviation of each channel, that shift)."""
    spread = inputs.transpose(0, 1).flatten(1).std(dim=1).view(1, -1, *[1] * (inputs.ndim - 2))
    return _Behind(module, spread), spread


def orders(found: np.ndarray) -> np.ndarray:
    """Pixels of each row by falling attribution, (n, pixels)."""
    return np.argsort(-found.reshape(len(found), -1), axis=1, kind="stable")


def curve(method: Method, shown: Shown, weights: Tensor, order: np.ndarray, insert: bool) -> np.ndarray:
    """How far the answer has come (FRACTIONS,) when pixels are replaced in an order, rms over rows; the whole way is 1.

    Deletion goes from the data to the baseline, insertion from the baseline to the data.
    """
    start, end = (shown.baselines, shown.inputs) if insert else (shown.inputs, shown.baselines)
    first = method.value(start, weights)
    whole = (method.value(end, weights) - first).square().mean().sqrt()
    places, found = torch.as_tensor(order, device=start.device), []
    for fraction in FRACTIONS:
        changed = start.flatten(1).clone()
        picked = places[:, : round(fraction * order.shape[1])]
        changed.scatter_(1, picked, end.flatten(1).gather(1, picked))
        way = (method.value(changed.view(start.shape), weights) - first).square().mean().sqrt()
        found.append(float(way / whole) if whole > 0 else 0.0)
    return np.array(found)


def random_orders(rows: int, pixels: int, seed: int) -> np.ndarray:
    """Pixels of each row in random order."""
    rng = generator(seed, "random order of pixels")
    return np.stack([rng.permutation(pixels) for _ in range(rows)])


def area(found: np.ndarray) -> float:
    """Below a curve over FRACTIONS; beyond the whole way counts as the whole way.

    Holes all over the data can move an answer farther than data that are gone: random orders would win by that.
    """
    return float(np.trapezoid(np.minimum(found, 1.0), FRACTIONS))


@dataclass
class Trial:
    """All that the methods are tried with: a network, its control, and rows for the answers."""

    module: nn.Module
    std: Tensor | None
    options: SaliencyRun
    shown: Shown
    weights: dict[str, Tensor]  # by answer, (rows, *shape)
    seed: int
    control: tuple[nn.Module, Tensor | None] | None = None
    places: dict[str, np.ndarray] = field(default_factory=dict)  # of the answers that are at one, (axes,)

    @functools.cached_property
    def distance(self) -> np.ndarray:
        """How far each pixel is from the baseline, (rows, channels, *axes)."""
        return (self.shown.inputs - self.shown.baselines).abs().cpu().numpy()

    @functools.cached_property
    def by_chance(self) -> dict[str, dict[str, np.ndarray]]:
        """Curves of deletion and insertion in random order, by answer: what every method is held against."""
        method = self.method("gradient", self.module, self.std)
        order = random_orders(len(self.shown), self.shown.inputs[0].numel(), self.seed)
        return {
            kind: {
                name: curve(method, self.shown, one, order, kind == "insertion") for name, one in self.weights.items()
            }
            for kind in ("deletion", "insertion")
        }

    def method(self, name: str, module: nn.Module, std: Tensor | None) -> Method:
        return Method(name, module, std, self.options, self.shown.inputs[:2])

    def run(self, name: str) -> tuple[dict[str, Tried], list[str]]:
        """({answer: what came of a method}, the stages of the randomisation). Raises CannotExplain."""
        method = self.method(name, self.module, self.std)
        own = {answer: method.saliency(self.shown, weights) for answer, weights in self.weights.items()}
        tried = {answer: Tried(self._checks(method, own[answer], answer)) for answer in own}
        stages = self._randomise(name, own, tried)
        for answer, result in tried.items():
            result.checks["randomised"] = float(result.cascade[-1])
            self._curves(method, own[answer], answer, result)
        return tried, stages

    def _checks(self, method: Method, saliency: Tensor, answer: str) -> dict[str, float]:
        weights, found, place = self.weights[answer], attribution(saliency), self.places.get(answer)
        checks = dict.fromkeys(CHECKS, np.nan)
        checks["echo"] = rank_correlation(found, self.distance)
        if method.name in COMPLETE:
            checks["completeness"] = completeness(method, saliency, self.shown, weights)
        if self.control:
            other = self.method(method.name, *self.control).saliency(self.shown, weights)
            checks["control"] = likeness(found, attribution(other), place)
        shifted, spread = behind_a_shift(self.module, self.shown.inputs)
        there = Shown(self.shown.inputs + spread, self.shown.baselines)
        moved = self.method(method.name, shifted, self.std)
        checks["shift"] = rank_correlation(found, attribution(moved.saliency(there, weights)))
        return checks

    def _randomise(self, name: str, own: dict[str, Tensor], tried: dict[str, Tried]) -> list[str]:
        stages = []
        seed = torch_seed(self.seed, "randomised network")
        for stage, altered in cascade(self.module, self.shown.inputs[:2], seed):
            stages.append(stage)
            for answer, weights in self.weights.items():
                try:
                    found = attribution(self.method(name, altered, self.std).saliency(self.shown, weights))
                    like = likeness(attribution(own[answer]), found, self.places.get(answer))
                    pair = like, rank_correlation(found, self.distance)
                except CannotExplain:  # weights drawn afresh may overflow: nothing is left of the picture
                    pair = 0.0, 0.0
                tried[answer].cascade = np.append(tried[answer].cascade, pair[0])
                tried[answer].cascade_echo = np.append(tried[answer].cascade_echo, pair[1])
        return stages

    def _curves(self, method: Method, saliency: Tensor, answer: str, result: Tried) -> None:
        order = orders(attribution(saliency))
        for name, insert in (("deletion", False), ("insertion", True)):
            found = curve(method, self.shown, self.weights[answer], order, insert)
            setattr(result, name, found)
            chance = area(self.by_chance[name][answer])
            result.checks[f"{name}_gain"] = area(found) / chance if chance > 0 else np.nan
