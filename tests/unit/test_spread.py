"""Networks of images that answer a mean and its variance: their loss, their calibration, and how well both cover."""

import copy

import numpy as np
import pytest
import torch

from limelight.data.axes import Axis
from limelight.errors import LimelightError
from limelight.evaluation.images import calibrated_spread, coverage
from limelight.files import ROOT
from limelight.saliency.answers import Explained
from limelight.study.config import resolve_study
from limelight.study.yaml import read_yaml
from limelight.summaries.scales import scales_of
from limelight.training.losses import Loss, decoded_outputs, decoded_spread
from limelight.training.spread import calibrated

SIDE = 16
MEAN, STD = (torch.full((2, SIDE, SIDE), value, dtype=torch.float64) for value in (3.0, 0.5))


def outputs_and_truths(rows: int, seed: int, claimed: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers that are wrong by 0.2 (first channel) and by 0.7 (second), and claim `claimed` times less."""
    random = torch.Generator().manual_seed(seed)
    sigma = torch.tensor([0.2, 0.7]).view(2, 1, 1)
    mean = torch.randn(rows, 2, SIDE, SIDE, generator=random)
    wrong = sigma * torch.randn(rows, 2, SIDE, SIDE, generator=random)
    log_variance = 2 * (sigma / 0.5 / claimed).log().expand(rows, 2, SIDE, SIDE)
    return torch.cat([mean, log_variance], dim=1), 3.0 + 0.5 * mean.double() + wrong.double()


def test_the_loss_is_that_of_a_gaussian_in_units_of_the_spread():
    outputs, truth = outputs_and_truths(3, 0)
    loss = Loss("gaussian", MEAN, STD)
    mean, log_variance = outputs.chunk(2, dim=1)
    exact = -torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(((truth - 3) / 0.5).float())
    assert loss(outputs, truth).item() == pytest.approx(exact.mean().item() - 0.5 * np.log(2 * np.pi), rel=1e-5)
    torch.testing.assert_close(loss.targets(outputs), 3 + 0.5 * mean.double())
    torch.testing.assert_close(loss.spread(outputs)[0, :, 0, 0], torch.tensor([0.2, 0.7]).double())
    wider = torch.cat([mean, log_variance + 0.3], dim=1)
    narrower = torch.cat([mean, log_variance - 0.3], dim=1)
    assert loss(outputs, truth) < min(loss(wider, truth), loss(narrower, truth)), (
        "the right variance is the best answer"
    )
    words = {"outputs": "gaussian", "mean": MEAN, "std": STD}
    np.testing.assert_allclose(decoded_outputs(outputs.double().numpy(), words), loss.targets(outputs).numpy())
    np.testing.assert_allclose(decoded_spread(outputs.double().numpy(), words), loss.spread(outputs).numpy())


def test_the_constant_answer_has_the_spread_of_the_labels():
    loss = Loss("gaussian", MEAN, STD)
    constant = loss.constant(MEAN)
    assert constant.shape == (4, SIDE, SIDE)
    truth = MEAN + STD * torch.randn(50, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    assert loss(constant.expand(50, *constant.shape), truth).item() == pytest.approx(0.5, abs=0.02)


def test_calibrated_errors_cover_whatever_was_claimed():
    """Claims three times too small: the factor mends pixels, and white errors have the same power in every shell."""
    loss, scales = Loss("gaussian", MEAN, STD), scales_of((Axis("y", "pixel", 0, SIDE, SIDE),) * 2)
    pairs = (outputs_and_truths(20, seed, claimed=3.0) for seed in (1, 2))
    spread = calibrated(pairs, loss, scales)
    assert spread["factor"] == pytest.approx([3, 3], rel=0.02)
    assert np.mean(spread["power"], axis=1) == pytest.approx([0.04, 0.49], rel=0.05)
    info = {"target": {"outputs": "gaussian", "mean": MEAN, "std": STD}, "spread": spread}
    outputs, truth = (part.double().numpy() for part in outputs_and_truths(40, 3, claimed=3.0))
    found = coverage(decoded_outputs(outputs, info["target"]) - truth, calibrated_spread(outputs, info), scales.bins)
    assert found["covered_68"].mean(axis=0) == pytest.approx([0.683, 0.683], abs=0.01)
    assert found["covered_95"].mean(axis=0) == pytest.approx([0.95, 0.95], abs=0.01)
    assert found["error_power"].mean(axis=0) == pytest.approx(np.array(spread["power"]), rel=0.2)
    assert coverage(truth, calibrated_spread(outputs, {"target": {"outputs": "target"}}), scales.bins) == {}


def test_saliency_is_of_the_mean_and_not_of_its_variance():
    """A network of two answers and their variances, each its own input: the gradient of an answer is one where it is."""

    class Four(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, 7 * x], dim=1)

    weights = torch.zeros(1, 2, 4, 4)
    weights[0, 1, 2, 3] = 1.0
    x = torch.randn(1, 2, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(Explained(Four(), torch.full((2, 4, 4), 0.5))(x, weights).sum(), x)
    torch.testing.assert_close(gradient, 0.5 * weights)


def test_vectors_have_posteriors_instead():
    raw = copy.deepcopy(read_yaml(ROOT / "config" / "gaussian_field.yaml"))
    raw["networks"]["reader"]["training"] = {"loss": "gaussian"}
    with pytest.raises(LimelightError, match="training.loss: found gaussian for a vector"):
        resolve_study(raw, "mine.yaml")
