"""Recalibration against planted widths, biases and spikes: what it learns holds on truths that taught nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from limelight.errors import LimelightError
from limelight.inference.calibration import joint_coverage, joint_ranks
from limelight.inference.intervals import LEVELS
from limelight.inference.posteriors import draw, recalibrate
from limelight.inference.posteriors.contents import check_recalibration
from limelight.inference.posteriors.tables import dequantised, whole_counts
from limelight.inference.recalibration import (
    as_empty,
    empty_places,
    factors,
    frame,
    learnt_from,
    moved,
    recalibrated,
    stretches,
)


def test_counts_come_back_from_dequantised_ones():
    counts = torch.tensor([0.0, 1, 2, 17, 1234, 54321], dtype=torch.float64)
    for seed in range(20):
        assert torch.equal(whole_counts(dequantised(counts, torch.Generator().manual_seed(seed))), counts)


def test_recalibration_factors_undo_a_planted_width():
    random = torch.Generator().manual_seed(3)
    truth = torch.randn(2000, 2, generator=random)
    draws = torch.randn(2000, 300, 2, generator=random) * torch.tensor([0.5, 1.6])
    found = factors(draws, truth)
    np.testing.assert_allclose(found, [2.0, 1 / 1.6], rtol=0.06)


def test_recalibrated_draws_are_even_on_truths_that_taught_nothing():
    """Draws too high, too narrow, and smeared over a value that most truths share: even ranks on others; order kept."""
    random = torch.Generator().manual_seed(5)
    middle = torch.randn(6000, 3, generator=random)
    truth = middle + torch.randn(6000, 3, generator=random)
    truth[:, 2] = torch.where(middle[:, 2] < 1, 0.3 * torch.rand(6000, generator=random), 0.3 + truth[:, 2].abs())
    draws = middle[:, None] + torch.randn(6000, 200, 3, generator=random) * torch.tensor([0.5, 1.0, 1.0])
    draws = draws + torch.tensor([0.0, 0.8, 0.5])
    found = recalibrated(draws[3000:], *learnt_from(draws[:3000], truth[:3000]))
    for y, even in ((draws[3000:], False), (found, True)):
        rank = (y < truth[3000:, None]).float().mean(dim=1)
        share = torch.stack([(rank < level).float().mean(dim=0) for level in (0.025, 0.16, 0.5, 0.84, 0.975)])
        off = (share - torch.tensor(LEVELS)[:, None]).abs().amax(dim=0)
        assert (off < 0.025).all() if even else (off > 0.05).all()
    assert torch.equal(found.argsort(dim=1), draws[3000:].argsort(dim=1)), "what bins have in common stays"
    few = recalibrated(draws[:1], *learnt_from(draws[5:8], draws[5:8].median(dim=1).values))
    assert few.isfinite().all(), "three maps"


def test_stretches_of_quantiles_undo_planted_widths():
    random = torch.Generator().manual_seed(4)
    truth = 3 * torch.randn(4000, 2, generator=random)
    shrunk = 3 * torch.special.ndtri(torch.tensor(LEVELS)) * torch.tensor([0.5, 0.8, 1, 0.8, 0.5])
    np.testing.assert_allclose(stretches(shrunk.expand(4000, 2, 5), truth), [[2.0, 1.25]] * 2, rtol=0.04)


def test_draws_whose_bins_are_empty_by_turns_become_empty_together():
    """Truths: all eight bins of a map hold a source, or none does. Draws: each by itself, so every bin is right alone."""
    random = torch.Generator().manual_seed(6)

    def light(count: int, *more: int) -> torch.Tensor:
        some = torch.rand(count, *more, 1, generator=random) < 0.5
        return torch.where(some.expand(*some.shape[:-1], 8), 0.4, 0.1)

    truth = light(2000)
    draws = torch.where(torch.rand(2000, 200, 8, generator=random) < 0.5, 0.4, 0.1)
    which = as_empty(draws[1000:], empty_places(draws[:1000], truth[:1000], random))
    found = draws[1000:].take_along_dim(which[..., None], dim=1)
    empty = (found < 0.3).sum(dim=2).double()
    assert (draws[1000:] < 0.3).sum(dim=2).double().std() < 1.5
    assert empty.std() > 2.3, "as far apart as draws go; truths: 4"
    assert abs((found < 0.3).double().mean() - 0.5) < 0.02, "bin by bin it is right before and after"
    assert abs(empty[:, :100].mean() - 4) < 0.2, "the first draws are like the others"

    exact = light(2000, 200)
    same = exact.take_along_dim(as_empty(exact, empty_places(exact, truth, random))[..., None], dim=1)
    assert abs((same < 0.3).double().mean() - (truth < 0.3).double().mean()) < 0.03
    assert (same == exact).double().mean() > 0.9, "draws that were right stay"


def test_draws_are_stretched_along_their_own_axes_until_regions_of_all_answers_hold_their_share():
    """Of two answers the data know the sum ten times better than the difference, and the draws are too sure of the sum
    alone: their marginals are right, their regions are not. The better known combination varies from map to map."""
    random = torch.Generator().manual_seed(6)
    rows, draws = 3000, 300
    sign = torch.where(torch.rand(rows, generator=random) < 0.5, 1.0, -1.0)
    wide, thin = torch.ones(rows, 2), torch.ones(rows, 2)
    wide[:, 1], thin[:, 1] = -sign, sign
    unit = torch.tensor([0.3, 0.5])

    def answers(count: int, sure: float) -> torch.Tensor:
        a, b = torch.randn(2, rows, count, 1, generator=random)
        return (a * wide[:, None] + 0.1 * sure * b * thin[:, None]) * unit

    y, truth = answers(draws, 0.5), answers(1, 1.0)[:, 0]
    along = frame(y)
    factor = factors(along.seen(y), along.seen(truth[:, None])[:, 0])
    np.testing.assert_allclose(factor, [1.0, 2.0], rtol=0.05)
    second = np.arange(draws) % 2 == np.zeros((rows, 1))
    for drawn, even in ((y, False), (recalibrated(y, factor, None), True)):
        marginal = (drawn < truth[:, None]).float().mean(dim=1)
        assert ((marginal - 0.5).abs() < 0.34).float().mean(dim=0).numpy() == pytest.approx(0.68, abs=0.03)
        joint, _ = joint_coverage(joint_ranks(drawn.numpy(), truth.numpy(), second), 0.68)
        assert joint == pytest.approx(0.68, abs=0.03) if even else joint < 0.6
    np.testing.assert_allclose(along.stretched(along.stretched(y, factor), 1 / factor), y, rtol=1e-3, atol=1e-3)


def test_skewed_draws_are_stretched_about_the_point_that_their_factors_are_learnt_about():
    """Draws of a skewed combination, half as far from its median as the truths: medians of single answers lie elsewhere."""
    random = torch.Generator().manual_seed(8)

    def answers(count: int, width: float) -> torch.Tensor:
        skewed = torch.empty(3000, count, 1).exponential_(generator=random) - np.log(2)
        other = torch.empty(3000, count, 1).exponential_(generator=random) - np.log(2)
        return width * torch.cat([skewed + 0.3 * other, skewed - 0.3 * other], dim=-1)

    y, truth = answers(301, 0.5), answers(1, 1.0)[:, 0]
    along = frame(y)
    assert along.seen(y).median(dim=1).values.abs().max() < 1e-4
    seen = along.seen(truth[:, None])[:, 0]
    moved = along.stretched(y, factors(along.seen(y), seen))
    share = (along.seen(moved) < seen[:, None]).float().mean(dim=1)
    for level in (0.16, 0.5, 0.84):
        assert (share < level).float().mean(dim=0).numpy() == pytest.approx(level, abs=0.03)


def counted(rows: int, wide: float, thin: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts of eight bins, draws (rows, 200, 8) and truths: log10 N varies by 0.5 dex for all bins alike and by 0.05
    for each. The draws do by `wide` and `thin` times as much."""
    random = torch.Generator().manual_seed(seed)
    middle = 3 + torch.randn(rows, 1, 8, generator=random)

    def counts(number: int, wide: float, thin: float) -> torch.Tensor:
        alike = wide * 0.5 * torch.randn(rows, number, 1, generator=random)
        return (10 ** (middle + alike + thin * 0.05 * torch.randn(rows, number, 8, generator=random))).round()

    return counts(200, wide, thin), counts(1, 1.0, 1.0)[:, 0]


@pytest.mark.parametrize(("wide", "thin", "by_bin"), [(1.0, 1.0, True), (0.6, 0.6, True), (2.5, 0.85, False)])
def test_recalibration_keeps_what_bins_have_in_common_and_says_so(monkeypatch, capsys, wide, thin, by_bin):
    """Bins that are too wide one by one, in draws that are too sure of the bins' ratios: narrowing each bin would make
    regions of all of them hold less than before. Then axes are stretched first. Judged on rows that taught nothing."""
    draws, truth = counted(700, wide, thin, 3)
    monkeypatch.setattr(recalibrate, "draw_answers", lambda *_, **__: (draws[:400], None))
    table = SimpleNamespace(
        features=torch.zeros(400, 1), answers=truth[:400], of_prior=torch.ones(400, dtype=torch.bool)
    )
    posterior = SimpleNamespace(content={"posterior": "p"}, target=SimpleNamespace(counts=True))
    found = recalibrate.recalibration_of_draws(posterior, table, 1)
    random = torch.Generator().manual_seed(4)
    y, known = dequantised(draws, random), dequantised(truth, random)

    def held(by: dict) -> float:
        return float((joint_ranks(moved(y[400:], by)[0].numpy(), known[400:].numpy()) >= 0.05).mean())

    assert held(found) > 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5
    assert found["joint"]["recalibrated"] == pytest.approx(held(found), abs=0.04), "of rows that did not teach it"
    words = capsys.readouterr().err
    assert recalibrate.joint_in_words(found) is None, "nothing is left to warn of"
    assert found["axes"] != by_bin
    if by_bin:
        assert "bin_by_bin" not in found["joint"]
        assert words == ""
    else:
        one_by_one = recalibrate.by_bin(y[:400], known[:400], random)
        assert held(one_by_one) < 0.85
        assert found["joint"]["bin_by_bin"] < 0.85
        assert "p: recalibrated bin by bin" in words
        rank = (moved(y[400:], found)[0] < known[400:, None]).double().mean(dim=1)
        assert ((rank - 0.5).abs() < 0.475).double().mean() == pytest.approx(0.95, abs=0.035), "bin by bin as well"


def test_one_validation_row_teaches_nothing(monkeypatch):
    monkeypatch.setattr(recalibrate, "as_drawn", lambda table: torch.arange(1))
    posterior = SimpleNamespace(content={"posterior": "mine"}, target=None)
    with pytest.raises(LimelightError, match=r"posteriors\.mine\.recalibrate: found 1 validation rows"):
        recalibrate.recalibration_of_draws(posterior, SimpleNamespace(), 1)


def test_a_file_that_holds_less_together_than_as_learnt_warns():
    joint = {"learnt": 0.94, "recalibrated": 0.67, "lower": True}
    assert "hold 67 % of the validation rows, as learnt 94 %" in recalibrate.joint_in_words({"joint": joint})
    for silent in ({}, {"joint": None}, {"joint": joint | {"lower": False}}):
        assert recalibrate.joint_in_words(silent) is None


def test_factors_of_single_answers_are_not_taken_for_those_of_axes():
    """Files of earlier versions have no `empties`; theirs are right for counts with their places, quantiles and single
    answers alone. Counts of still earlier ones have no places, and draws would be stretched along axes."""
    earlier = {"kind": "mdn", "recalibration": torch.ones(2)}
    for content, counts, answers in (
        (earlier | {"empties": None}, False, 2),
        (earlier | {"places": torch.ones(2, 41)}, True, 2),
        (earlier, False, 1),
        (earlier | {"kind": "quantiles"}, False, 2),
        (earlier | {"recalibration": None}, False, 2),
    ):
        check_recalibration(content, counts, answers, "posterior.pt")
    for content, counts in ((earlier, False), (earlier, True), (earlier | {"places": None, "empties": None}, True)):
        with pytest.raises(
            LimelightError, match="posterior.pt: recalibration: found recalibrated by an earlier version"
        ):
            check_recalibration(content, counts, 2, "posterior.pt")
    check_recalibration({"kind": "mdn"}, False, 2, "posterior.pt")  # of before there was any


def test_draws_and_the_frame_that_they_were_stretched_along_are_of_one_drawing(monkeypatch):
    asked = []

    def one(posterior, features, count, random):
        asked.append(float(features[0, 0]))
        return torch.randn(count, 2, generator=random) * torch.tensor([1.0, 3.0]), None

    monkeypatch.setattr(draw, "_draw_one", one)
    factor = torch.tensor([1.5, 0.7])
    content = {"kind": "mdn", "recalibration": factor, "places": None, "empties": None}
    posterior, rows = (
        SimpleNamespace(content=content, target=SimpleNamespace(counts=False)),
        torch.tensor([[1.0], [2.0]]),
    )
    answers, _, along = draw.draw_along(posterior, rows, 50, 3, "x")
    assert asked == [1.0, 2.0]
    torch.testing.assert_close(answers, draw.draw_answers(posterior, rows, 50, 3, "x")[0])
    own = draw.draw_answers(posterior, rows, 50, 3, "x", recalibrated=False)[0]
    torch.testing.assert_close(along.stretched(own, factor), answers)
    for other in (content | {"recalibration": None}, content | {"places": torch.linspace(0, 1, 41).repeat(2, 1)}):
        assert draw.draw_along(SimpleNamespace(content=other, target=posterior.target), rows, 50, 3, "x")[2] is None
