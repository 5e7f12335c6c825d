"""Mixture heads and flows against problems whose posterior is known, and scores against numerical integrals."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from limelight.errors import LimelightError
from limelight.inference import calibration
from limelight.inference.posteriors import mdn, scaling
from limelight.inference.posteriors.draw import replicated
from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.learn import Learner
from limelight.inference.posteriors.npe import (
    FlowEnsemble,
    build_flow,
    flow_log_density,
    flow_loss,
    flow_sample,
    trained_flow,
)

OPTIONS = {"epochs": 10, "patience": 10, "batch_size": 256, "learning_rate": 3e-3, "weight_decay": 0.0}
A = torch.tensor([[1.0, 0.5], [0.0, 0.8], [0.3, -0.4]])  # x = A θ + noise
NOISE = 0.5


def linear_gaussian(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """θ ~ N(0, 1) in two dimensions, x = A θ + 0.5 n in three."""
    random = torch.Generator().manual_seed(seed)
    theta = torch.randn(count, 2, generator=random)
    return theta, theta @ A.T + NOISE * torch.randn(count, 3, generator=random)


def exact(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (b, 2) and covariance (2, 2) of p(θ|x)."""
    covariance = torch.linalg.inv(torch.eye(2) + A.T @ A / NOISE**2)
    return x @ A @ covariance.T / NOISE**2, covariance


def trained(module, loss, count: int = 16_000):
    torch.set_num_threads(1)
    (theta, x), (held_theta, held_x) = linear_gaussian(count, 1), linear_gaussian(4000, 2)
    fit(module, lambda rows, r: loss(module, x[rows], theta[rows]), lambda: loss(module, held_x, held_theta), count,
        OPTIONS, 5, "linear")  # fmt: skip
    return module


@pytest.mark.parametrize("loss", ["log_likelihood", "crps"])
def test_a_mixture_head_recovers_mean_and_width(loss):
    torch.manual_seed(0)
    rank = 2 if loss == "log_likelihood" else 0
    head = mdn.MixtureHead(3, 2, components=2, rank=rank, hidden=32, layers=1, dropout=0.0)
    trained(head, lambda m, x, y: mdn.LOSSES[loss](m(x), y))
    x = linear_gaussian(400, 3)[1]
    mean, covariance = exact(x)
    with torch.no_grad():
        drawn = mdn.sample(head(x), 4000, torch.Generator().manual_seed(4))
    width = covariance.diagonal().sqrt()
    gap = (drawn.mean(dim=1) - mean) / width
    assert gap.square().mean().sqrt() < 0.06  # 0.03 in the mean over dimensions, and 0.016 of it is the draws' own
    assert abs(gap.mean()) < 0.03
    ratio = drawn.std(dim=1) / width
    assert (ratio.mean(dim=0) - 1).abs().max() < 0.03
    if rank:
        found = torch.stack([torch.corrcoef(d.T)[0, 1] for d in drawn]).mean()
        assert abs(found - covariance[0, 1] / (width[0] * width[1])) < 0.03


@pytest.mark.parametrize(
    ("rows", "size", "of_mean", "of_width"),
    [
        (6000, {"transforms": 2, "hidden": 24, "embedding": 4}, 0.3, 0.15),
        pytest.param(
            60_000, {"transforms": 3, "hidden": 48, "embedding": 16}, 0.08, 0.03, marks=pytest.mark.slow, id="large"
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.triangular_solve")
def test_a_flow_recovers_mean_and_width(rows, size, of_mean, of_width):
    torch.manual_seed(0)
    flow = build_flow(3, 2, "nsf", **size, dropout=0.0)
    trained(flow, flow_loss, rows)
    x = linear_gaussian(200, 3)[1]
    mean, covariance = exact(x)
    drawn = flow_sample(flow, x, 1000, torch.Generator().manual_seed(4))
    width = covariance.diagonal().sqrt()
    assert ((drawn.mean(dim=1) - mean) / width).square().mean().sqrt() < of_mean
    assert (drawn.std(dim=1) / width).mean(dim=0).sub(1).abs().max() < of_width
    again = flow_sample(flow, x, 1000, torch.Generator().manual_seed(4))
    assert torch.equal(drawn, again)


@pytest.mark.parametrize("flow", ["nsf", "maf"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.filterwarnings("ignore:torch.triangular_solve", "ignore:In one-dimensional output space")
def test_a_trained_flow_is_read_without_sbi_and_is_the_same(flow, outputs):
    torch.manual_seed(0)
    options = (3, outputs, flow, 3, 16, 4, 0.1)
    made, read = build_flow(*options).eval(), trained_flow(*options).eval()
    assert type(made) is not type(read) or outputs == 1
    with torch.no_grad():  # sbi begins with the identity
        for weight in made.parameters():
            weight += 0.3 * torch.randn(weight.shape)
    read.load_state_dict(made.state_dict())
    x, y = torch.randn(50, 3), 2 * torch.randn(50, outputs)
    assert torch.equal(flow_log_density(read, x, y), flow_log_density(made, x, y))
    drawn = [flow_sample(one, x, 7, torch.Generator().manual_seed(4)) for one in (read, made)]
    assert torch.equal(*drawn)
    assert drawn[0].shape == (50, 7, outputs)


def mixture(seed: int, b: int = 3, k: int = 3, d: int = 4, r: int = 2) -> mdn.Mixture:
    random = torch.Generator().manual_seed(seed)
    draw = [
        torch.randn(*s, generator=random, dtype=torch.float64) for s in ((b, k), (b, k, d), (b, k, d), (b, k, d, r))
    ]
    return mdn.Mixture(draw[0].log_softmax(dim=1), 2 * draw[1], 0.2 + draw[2].abs(), 0.7 * draw[3])


def test_the_density_is_that_of_full_covariances():
    m, y = mixture(1), torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for row in range(3):
        total = 0.0
        for k in range(3):
            covariance = torch.diag(m.widths[row, k] ** 2) + m.factors[row, k] @ m.factors[row, k].T
            total += m.log_weights[row, k].exp() * stats.multivariate_normal.pdf(y[row], m.means[row, k], covariance)
        assert mdn.log_density(m, y)[row] == pytest.approx(np.log(float(total)), rel=1e-10)


def test_the_density_of_factors_that_dwarf_the_widths_is_that_of_the_full_covariance():
    factors = 100 * torch.randn(1, 1, 2, 6, generator=torch.Generator().manual_seed(2))
    m = mdn.Mixture(torch.zeros(1, 1), torch.zeros(1, 1, 2), torch.full((1, 1, 2), 1e-2), factors)
    y = torch.tensor([[30.0, -50.0]])
    flat = factors[0, 0].double().numpy()
    truth = stats.multivariate_normal(cov=1e-4 * np.eye(2) + flat @ flat.T).logpdf(y[0].numpy())
    assert mdn.log_density(m, y).item() == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("head", ["mixture", "flow"])
def test_a_run_that_diverges_ends_in_one_line(head):
    torch.manual_seed(0)
    theta, x = linear_gaussian(256, 1)
    module = build_flow(3, 2, "nsf", 2, 16, 8, 0.0) if head == "flow" else mdn.MixtureHead(3, 2, 2, 2, 16, 1, 0.0)

    def loss(rows, _):
        if head == "flow":
            return flow_loss(module, x[rows], theta[rows])
        return mdn.negative_log_likelihood(module(x[rows]), theta[rows])

    options = {**OPTIONS, "batch_size": 64, "learning_rate": 1e20}
    with pytest.raises(LimelightError, match="a loss of nan, nan; expected finite losses; lower its training.learning"):
        fit(module, loss, lambda: loss(torch.arange(256), None), 256, options, 5, "linear")


def test_the_mean_density_of_mixtures_is_that_of_each_mixture_in_turn():
    parts, y = [mixture(seed) for seed in (1, 2, 3)], torch.randn(3, 4, dtype=torch.float64)
    mean = torch.stack([mdn.log_density(m, y).exp() for m in parts]).mean(dim=0)
    torch.testing.assert_close(mdn.log_density(mdn.mean_density(parts), y).exp(), mean)


def test_the_mean_density_of_bounded_mixtures_weighs_what_is_left_of_each_alike():
    parts, limits = [], torch.tensor([[-1.0], [1.2]])
    for middle in (0.0, 3.0):  # of the second most lies beyond the limits
        parts.append(mdn.Mixture(torch.zeros(1, 1), torch.full((1, 1, 1), middle), torch.full((1, 1, 1), 0.7),
                                 torch.zeros(1, 1, 1, 0), limits))  # fmt: skip
    together = mdn.mean_density(parts)
    for y in (-0.9, 0.1, 1.1):
        each = [stats.truncnorm.pdf(y, (-1 - m) / 0.7, (1.2 - m) / 0.7, m, 0.7) for m in (0, 3)]
        assert mdn.log_density(together, torch.tensor([[y]])).exp().item() == pytest.approx(np.mean(each), rel=1e-4)
    drawn = mdn.sample(together, 20_000, torch.Generator().manual_seed(2))[0, :, 0]
    exact = np.mean([stats.truncnorm.mean((-1 - m) / 0.7, (1.2 - m) / 0.7, m, 0.7) for m in (0, 3)])
    assert drawn.mean().item() == pytest.approx(exact, abs=0.015)


@pytest.mark.filterwarnings("ignore:torch.triangular_solve")
def test_the_first_draws_of_an_ensemble_of_flows_are_of_all_its_members():
    torch.manual_seed(0)
    members = [build_flow(3, 2, "nsf", 2, 16, 4, 0.0).eval() for _ in range(2)]
    for sign, member in zip((-1, 1), members, strict=True):  # one answers about −20, one about 20
        member.log_prob, own = None, member.sample
        member.sample = lambda shape, condition, own=own, sign=sign: own(shape, condition=condition) + 20 * sign
    drawn = flow_sample(FlowEnsemble(members), torch.zeros(1, 3), 5, torch.Generator().manual_seed(1))
    assert drawn.shape == (1, 5, 2)
    assert (drawn[0, :, 0] > 0).tolist() == [False, True, True, False, False]


@pytest.mark.filterwarnings("ignore:torch.triangular_solve")
@pytest.mark.parametrize("count", [2, 3, 4])
def test_both_halves_of_the_draws_of_an_ensemble_are_of_all_its_members(count):
    """Joint coverage ranks the truth among every second draw: of members by turns these would be some members' alone."""
    torch.manual_seed(0)
    members = [build_flow(1, 2, "nsf", 1, 8, 2, 0.0).eval() for _ in range(count)]
    for i, member in enumerate(members):
        member.log_prob, own = None, member.sample
        member.sample = lambda shape, condition, own=own, i=i: own(shape, condition=condition) * 1e-3 + i
    drawn = flow_sample(FlowEnsemble(members), torch.zeros(1, 1), 12 * count, torch.Generator().manual_seed(1))
    for half in (False, True):
        some = drawn[0, calibration.halves(drawn.numpy())[0] == half, 0].round().int()
        assert some.bincount(minlength=count).tolist() == [6] * count


def test_crps_is_the_integral_it_stands_for():
    m, y = mixture(3), torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    found, widths = mdn.crps(m, y), mdn.marginal_widths(m)
    for row, d in ((0, 0), (1, 2), (2, 3)):
        weights, means, width = (v[row].numpy() for v in (m.log_weights.exp(), m.means[..., d], widths[..., d]))

        def square(t, y=float(y[row, d]), weights=weights, means=means, width=width):
            return (np.sum(weights * stats.norm.cdf((t - means) / width)) - (t >= y)) ** 2

        value = integrate.quad(square, -40, float(y[row, d]), limit=400)[0]
        value += integrate.quad(square, float(y[row, d]), 40, limit=400)[0]
        assert float(found[row, d]) == pytest.approx(value, abs=1e-6)


def test_draws_have_the_mixtures_moments():
    m = mixture(5, b=1)
    drawn = mdn.sample(m, 200_000, torch.Generator().manual_seed(6))[0].numpy()
    weights = m.log_weights.exp()[0].numpy()
    mean = weights @ m.means[0].numpy()
    second = sum(
        w * (np.diag(s**2) + f @ f.T + np.outer(mu - mean, mu - mean))
        for w, s, f, mu in zip(weights, m.widths[0].numpy(), m.factors[0].numpy(), m.means[0].numpy(), strict=True)
    )
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), second, atol=0.06)


def test_principal_components_come_back_with_the_scatter_they_leave():
    rng = torch.Generator().manual_seed(7)
    hidden = torch.randn(20_000, 2, generator=rng)
    noise = torch.where(hidden[:, :1] > 0, 0.3, 0.1) * torch.randn(20_000, 6, generator=rng)
    values = hidden @ torch.randn(2, 6, generator=rng) + noise + 3
    scale = scaling.principal(values, 2)
    answers = scaling.encode(scale, values)
    np.testing.assert_allclose(answers.std(dim=0), [1, 1], rtol=1e-3)
    back = scaling.decode(scale, answers, torch.Generator().manual_seed(8))
    np.testing.assert_allclose(back.mean(dim=0), values.mean(dim=0), atol=0.02)
    np.testing.assert_allclose(back.std(dim=0), values.std(dim=0), rtol=0.03)
    left = (back - values).square().mean().sqrt()  # the scatter that was lost and the one drawn anew, independent
    lost = (scaling.decode({**scale, "scatter": 0 * scale["scatter"]}, answers, rng) - values).square().mean().sqrt()
    assert float(left / lost) == pytest.approx(2**0.5, rel=0.05)


def test_the_linear_start_is_the_posterior_mean_of_a_linear_problem():
    (theta, x), (held, held_x) = linear_gaussian(4000, 1), linear_gaussian(1000, 2)
    rubbish = torch.randn(5000, 200, generator=torch.Generator().manual_seed(9))
    x, held_x = torch.cat([x, rubbish[:4000]], dim=1), torch.cat([held_x, rubbish[4000:]], dim=1)
    torch.manual_seed(0)
    head = mdn.MixtureHead(203, 2, components=2, rank=0, hidden=8, layers=1, dropout=0.0)
    error = mdn.linear_start(head, x, theta, held_x, held)
    assert error == pytest.approx(float(exact(x[:, :3])[1].diagonal().mean()), rel=0.1)  # the posterior's variance


def test_a_few_components_stand_for_answers_in_any_unit():
    """Answers of no counts may be as small as they like: as constants they would be lost in the scatter."""
    random = torch.Generator().manual_seed(2)
    values = torch.randn(400, 2, generator=random) @ torch.randn(2, 5, generator=random)
    large, small = (scaling.principal(values * unit, 2, any_unit=True) for unit in (1.0, 1e-5))
    torch.testing.assert_close(
        scaling.encode(large, values), scaling.encode(small, values * 1e-5), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_replicates_are_of_the_nearest_answers_in_any_unit(unit):
    """Two answers: one as small as it likes, beside one that never varies."""
    known = torch.tensor([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]) * torch.tensor([unit, 1.0])
    prior = {"answers": known, "row": torch.arange(4), "statistics": torch.arange(4.0)[:, None]}
    posterior = SimpleNamespace(content={"prior": prior}, target=SimpleNamespace(counts=False))
    drawn = torch.tensor([[2.9 * unit, 5.01], [0.2 * unit, 4.99]])
    assert replicated(posterior, drawn, torch.Generator().manual_seed(0))[:, 0].tolist() == [3.0, 0.0]


@pytest.mark.parametrize("make", [scaling.standardise, scaling.rotated])
def test_scaled_values_come_back_exactly(make):
    values = torch.randn(500, 3) @ torch.tensor([[1.0, 2, 3], [0, 1, 1], [0, 0, 0.1]]) + 5
    scale = make(values)
    answers = scaling.encode(scale, values)
    np.testing.assert_allclose(answers.std(dim=0, correction=0), 1, rtol=1e-3)
    if make is scaling.rotated:
        np.testing.assert_allclose(np.corrcoef(answers.T), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(scaling.decode(scale, answers, torch.Generator()), values, rtol=1e-3)


# Mixtures that end where the prior does


def bounded(seed: int) -> mdn.Mixture:
    """Of one number, with components within the limits, astride them, and far beyond either."""
    draw = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    means = torch.tensor([0.0, 1.1, -1.3, 4.0, -8.0, 8.0, 90.0])[None] + 0.1 * draw[1]
    weights = draw[0][None].log_softmax(dim=1)
    widths = (0.3 + draw[2].abs())[None]
    limits = torch.tensor([[-1.0], [1.2]])
    return mdn.Mixture(weights, means[..., None], widths[..., None], torch.zeros(1, 7, 1, 0), limits)


@pytest.mark.parametrize("kept", [[0], [3], [4], [5], [0, 1, 2, 3, 4, 5, 6]])
def test_a_bounded_mixture_integrates_to_one_and_is_drawn_from(kept):
    m = bounded(1)
    m = mdn.Mixture(m.log_weights[:, kept].log_softmax(1), *(part[:, kept] for part in m[1:4]), m.limits)
    at = torch.linspace(-1, 1.2, 200_001)[:, None]
    many = mdn.Mixture(*(part.double().expand(len(at), *part.shape[1:]) for part in m[:4]), m.limits.double())
    density = mdn.log_density(many, at.double()).exp()
    assert torch.trapezoid(density, at[:, 0].double()) == pytest.approx(1, abs=1e-4)
    drawn = mdn.sample(m, 4000, torch.Generator().manual_seed(2))[0, :, 0].double()
    assert drawn.min() >= -1
    assert drawn.max() <= torch.tensor(1.2)
    below = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(density, at[:, 0].double())])
    ranks = np.interp(drawn, at[:, 0].double(), below)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_nothing_lies_beyond_the_limits():
    m, at = bounded(1), torch.tensor([[-1.01], [1.21]])
    many = mdn.Mixture(*(part.expand(2, *part.shape[1:]) for part in m[:4]), m.limits)
    np.testing.assert_array_equal(mdn.log_density(many, at), mdn.RULED_OUT)


def test_a_bounded_head_learns_the_posterior_that_a_prior_cuts_off():
    """y even in [−1, 1], x = y + noise: the posterior is a Gaussian cut at ±1, whose mean and width are known."""
    torch.manual_seed(0)
    head = mdn.MixtureHead(1, 1, components=1, rank=0, hidden=16, layers=1, dropout=0.0, bounded=True)
    head.limits.copy_(torch.tensor([[-1.0], [1.0]]))
    y = 2 * torch.rand(20_000, 1) - 1
    x, optimizer = y + 0.3 * torch.randn(len(y), 1), torch.optim.Adam(head.parameters(), lr=3e-3)
    for step in range(1500):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 1500)
        rows = torch.randint(0, len(y), (512,))
        loss = mdn.negative_log_likelihood(head(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = torch.tensor([[-1.2], [-0.8], [0.0], [0.9]])
    with torch.no_grad():
        drawn = mdn.sample(head(seen), 20_000, torch.Generator().manual_seed(1))[..., 0]
    exact = [stats.truncnorm((-1 - s) / 0.3, (1 - s) / 0.3, s, 0.3) for s in seen[:, 0].tolist()]
    np.testing.assert_allclose(drawn.mean(dim=1), [one.mean() for one in exact], atol=0.02)
    np.testing.assert_allclose(drawn.std(dim=1), [one.std() for one in exact], rtol=0.06)


# A score of each output, of a mixture that answers in another basis


def test_the_marginals_of_outputs_are_those_of_turned_draws():
    values = torch.randn(3000, 4, generator=torch.Generator().manual_seed(21)) @ torch.randn(
        4, 4, generator=torch.Generator().manual_seed(22)
    )
    scale = scaling.rotated(values)
    one = mdn.Mixture(*(part.float() for part in mixture(23, b=1)[:3]), torch.zeros(1, 3, 4, 0))
    drawn = mdn.sample(one, 40_000, torch.Generator().manual_seed(24))
    outputs = (scaling.decode(scale, drawn, torch.Generator()) - scale["mean"]) / scale["std"]
    found = mdn.turned(one, scaling.of_outputs(scale))
    truth = torch.tensor([[0.3, -1.0, 2.0, 0.0]])
    scored = calibration.crps(outputs[:, :4000].double().numpy(), truth.double().numpy())
    np.testing.assert_allclose(mdn.crps(found, truth).numpy(), scored, rtol=0.05)
    mean = torch.einsum("bk,bkd->bd", found.log_weights.exp(), found.means)
    np.testing.assert_allclose(outputs.mean(dim=1), mean, atol=0.03)


def test_crps_scores_each_output_by_itself_and_not_what_is_left_of_others():
    """Two outputs that are nearly one: of their difference, a component of unit spread too, nothing can be learnt."""
    random = torch.Generator().manual_seed(25)
    shared, own = torch.randn(400, 1, generator=random), 0.01 * torch.randn(400, 2, generator=random)
    scale = scaling.rotated(shared + own)
    answers = scaling.encode(scale, shared + own)
    near = mdn.Mixture(torch.zeros(400, 1), answers[:, None] * torch.tensor([1.0, 0.0]), torch.full((400, 1, 2), 0.01),
                       torch.zeros(400, 1, 2, 0))  # fmt: skip
    learner = SimpleNamespace(
        entry=SimpleNamespace(kind="mdn"), options=SimpleNamespace(loss="crps"), scales={"target": scale}
    )
    assert mdn.mean_crps(near, answers) > 0.3  # half of it is of the noise alone
    assert Learner.head_loss(learner, lambda x: near, None, answers) < 0.02
