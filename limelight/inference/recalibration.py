"""Recalibration of draws: how they must move for maps of known truth to be covered as promised.

Draws are first stretched about their median by a factor for each answer, so that the widths are right. Then each keeps its
order among the draws, but takes the value of the place below which as large a share of the truths lies (Kuleshov, Fenner &
Ermon 2018, arXiv:1807.00263): answers that are too high or too low on average, or smeared over a value that many truths
share, such as no source at all, come right as well. Counts are then looked at together: draws are taken again so that as
many of a draw's answers are empty as of the truths. Bins that are right one by one can still be empty together too seldom.

Bins can be too wide one by one and yet too sure of what they have in common: narrowing each of them then makes it worse.
Then draws are first stretched along their principal axes, as below, and placed and taken as above.

Answers that are no counts are stretched along the principal axes of each map's own draws instead, the longest first, and
then left alone. Two answers of which the data know one combination far better than another have marginals that say
nothing of the better one: their regions together would cover too little, however well each answer by itself is covered.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from limelight.inference.intervals import LEVELS

LIMITS = (0.5, 3.0)  # of a factor
KNOTS = 41  # levels of `places`, both ends included
ONE = math.log10(2)  # least value of a count of one: log10(1 + N + u)
AT_ONCE = 500  # rows: torch.quantile takes 16 million numbers at most
EVEN_TRUTHS = 20  # at even places, counted beside those that are known: a few maps must not move draws far


class Frame(NamedTuple):
    """Where the draws of b maps are stretched from, and along what."""

    centre: Tensor  # (b, 1, d): their median along every axis
    axes: Tensor  # (b, d, d): a column for each principal axis of their correlations, in the answers' units

    def seen(self, y: Tensor) -> Tensor:
        """Answers (b, s, d) as steps along the axes from the centre, uncorrelated among the draws."""
        return torch.linalg.solve(self.axes, (y - self.centre).mT).mT

    def stretched(self, y: Tensor, factor: Tensor) -> Tensor:
        """Answers (b, s, d) moved away from the centre (or to it) by a factor (d,) along each axis."""
        return self.centre + (self.seen(y) * factor.to(y.device)) @ self.axes.mT


def frame(y: Tensor) -> Frame:
    """The frame of draws (b, s, d)."""
    spread = y.std(dim=1).clamp(min=1e-12)
    mean = y.mean(dim=1, keepdim=True)
    z = (y - mean) / spread[:, None]
    directions = torch.linalg.eigh(z.mT @ z / (y.shape[1] - 1))[1].flip(-1)  # eigh has the shortest first
    axes = spread[:, :, None] * directions
    return Frame(mean + (z @ directions).median(dim=1, keepdim=True).values @ axes.mT, axes)


def learnt_from(y: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(`factors` (d,), `places` (d, KNOTS)) from continuous draws y (n, s, d) and truths (n, d)."""
    factor = factors(y, truth)
    return factor, places(stretched(y, factor.to(y.device)), truth)


def recalibrated(y: Tensor, factor: Tensor, levels: Tensor | None, axes: bool = False) -> Tensor:
    """Continuous draws y (b, s, d) after both steps; levels: of `places`, None where they are stretched along their axes
    alone; axes: whether they are before they are placed."""
    if levels is None:
        return frame(y).stretched(y, factor)
    wide = frame(y).stretched(y, factor) if axes else stretched(y, factor.to(y.device))
    return placed(wide, levels.to(y.device))


def moved(y: Tensor, found: Mapping) -> tuple[Tensor, Tensor | None]:
    """(draws y (b, s, d) as a posterior's file moves them, which of the drawn ones each is, (b, s), or None).

    found: of a file: recalibration, places and, not in those of earlier versions, empties and axes.
    """
    y = recalibrated(y, found["recalibration"], found.get("places"), found.get("axes", False))
    if found.get("empties") is None:
        return y, None
    which = as_empty(y, found["empties"])
    return y.take_along_dim(which[..., None], dim=1), which


def stretched(y: Tensor, factor: Tensor) -> Tensor:
    """Draws y (b, s, d) moved away from (or to) their median by a factor (d,) for each answer."""
    median = y.median(dim=1, keepdim=True).values
    return median + (y - median) * factor


def places(y: Tensor, truth: Tensor) -> Tensor:
    """Places (d, KNOTS) among the draws y (n, s, d) below which equal steps of the truths (n, d) lie, from 0 to 1.

    EVEN_TRUTHS are counted as if they stood at even places, so that a few maps do not say more than they can.
    """
    return _steps(((y < truth[:, None]).sum(dim=1).double() + 0.5) / (y.shape[1] + 1))


def _steps(found: Tensor) -> Tensor:
    """Places (d, KNOTS) below which equal steps of those found (n, d) lie, with EVEN_TRUTHS among them."""
    even = (torch.arange(EVEN_TRUTHS, dtype=torch.float64, device=found.device) + 0.5) / EVEN_TRUTHS
    known = torch.cat([found, even[:, None].expand(-1, found.shape[1])]).sort(dim=0).values
    ends = [torch.full_like(known[:1], end) for end in (0.0, 1.0)]
    levels = torch.linspace(0, 1, KNOTS, dtype=torch.float64, device=found.device)
    return torch.quantile(torch.cat([ends[0], known, ends[1]]), levels, dim=0).T.float().cpu()


def placed(y: Tensor, levels: Tensor) -> Tensor:
    """Draws y (b, s, d), each with the value that stands at its new place (`places` (d, KNOTS)); order is kept."""
    s, knots = y.shape[1], levels.shape[1]
    order = y.argsort(dim=1)
    ranked = y.gather(1, order)
    at = (torch.arange(s, dtype=torch.float64, device=y.device) + 0.5) / s * (knots - 1)
    knot = at.long().clamp(max=knots - 2)
    low, high = levels.double()[:, knot], levels.double()[:, knot + 1]  # (d, s)
    place = ((low + (high - low) * (at - knot)) * s - 0.5).clamp(0, s - 1).T  # (s, d)
    first = place.long().clamp(max=s - 2)
    below, above = (ranked.gather(1, (first + i).expand(len(y), -1, -1)) for i in (0, 1))
    moved = below + (above - below) * (place - first).to(y.dtype)
    return torch.empty_like(y).scatter_(1, order, moved)


def empty_places(y: Tensor, truth: Tensor, random: torch.Generator) -> Tensor:
    """Places (1, KNOTS) as those of `places`, of how many answers of a draw (n, s, d) and of a truth (n, d) are empty.

    A truth with as many empty answers as several draws stands anywhere among them.
    """
    drawn, known = ((values < ONE).sum(dim=-1) for values in (y, truth))
    below, even = ((drawn < known[:, None]).sum(dim=1), (drawn == known[:, None]).sum(dim=1))
    lot = torch.rand(len(y), generator=random, dtype=torch.float64, device=y.device)
    return _steps(((below + lot * even) / y.shape[1])[:, None])


def as_empty(y: Tensor, levels: Tensor) -> Tensor:
    """Which draw to take for each of y (b, s, d), (b, s): that at its new place by its number of empty answers.

    levels: of `empty_places`.
    """
    s, knots = y.shape[1], levels.shape[1]
    turn = torch.randperm(s, generator=torch.Generator().manual_seed(s)).to(
        y.device
    )  # draws alike in no order of theirs
    order = turn[(y[:, turn] < ONE).sum(dim=2).argsort(dim=1, stable=True)]
    at = (torch.arange(s, dtype=torch.float64, device=y.device) + 0.5) / s * (knots - 1)
    knot, level = at.long().clamp(max=knots - 2), levels[0].double().to(y.device)
    place = level[knot] + (level[knot + 1] - level[knot]) * (at - knot)
    return torch.empty_like(order).scatter_(1, order, order[:, (place * s).long().clamp(0, s - 1)])


def factors(y: Tensor, truth: Tensor) -> Tensor:
    """The factor (d,) from draws y (n, s, d) and truths (n, d)."""
    median = y.median(dim=1).values
    logs = []
    for level in (0.68, 0.95):
        ends = torch.tensor([0.5 - level / 2, 0.5 + level / 2], dtype=y.dtype, device=y.device)
        low, high = torch.cat([torch.quantile(part, ends, dim=1) for part in y.split(AT_ONCE)], dim=1)
        side = torch.where(truth > median, high - median, median - low).clamp(min=1e-6)
        logs.append(torch.quantile((truth - median).abs() / side, level, dim=0).clamp(min=1e-3).log())
    return torch.stack(logs).mean(dim=0).exp().clamp(*LIMITS).cpu()


def stretches(quantiles: Tensor, truth: Tensor) -> Tensor:
    """The factors (d, 2) from quantiles at LEVELS (n, d, 5) and truths (n, d)."""
    median, rows, found = quantiles[..., LEVELS.index(0.5)], len(truth), []
    for i in (0, 1):
        low, high = quantiles[..., i], quantiles[..., -1 - i]
        side = torch.where(truth > median, high - median, median - low).clamp(min=1e-6)
        last = min(rows, math.ceil((rows + 1) * (LEVELS[-1 - i] - LEVELS[i])))
        found.append(((truth - median).abs() / side).kthvalue(last, dim=0).values)
    return torch.stack(found, dim=1).clamp(*LIMITS).cpu()


def stretched_quantiles(quantiles: Tensor, factor: Tensor) -> Tensor:
    """Quantiles at LEVELS (b, d, 5) moved away from (or to) their median by the factors (d, 2) of `stretches`."""
    outer, inner = factor.to(quantiles.device).T
    each = torch.stack([outer, inner, torch.ones_like(outer), inner, outer], dim=1)
    middle = LEVELS.index(0.5)
    median = quantiles[..., middle : middle + 1]
    return (median + (quantiles - median) * each).sort(dim=-1).values  # should the inner interval outgrow the outer one
