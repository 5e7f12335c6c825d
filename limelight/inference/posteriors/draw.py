"""Draws from a posterior: answers of its target, and parameters of the simulation where it has them."""

import numpy as np
import torch
from torch import Tensor

from limelight.errors import problem
from limelight.inference.posteriors import mdn, scaling
from limelight.inference.posteriors.abc import adjusted, nearest, resample, whitener
from limelight.inference.posteriors.npe import flow_log_density, flow_sample
from limelight.inference.posteriors.posterior import Posterior
from limelight.inference.posteriors.tables import LN10, continuous, finished
from limelight.inference.recalibration import Frame, frame, moved, stretched_quantiles
from limelight.seeds import torch_seed


@torch.no_grad()
def draw_answers(
    posterior: Posterior, features: Tensor, count: int, seed: int, stage: str, recalibrated: bool = True
) -> tuple[Tensor, Tensor | None]:
    """(answers (b, count, d), parameters (b, count, p) or None) for features (b, F).

    Random numbers of row i depend on (seed, stage, i), so that a row's posterior does not depend on the others'.
    """
    if posterior.content["kind"] == "quantiles":
        name, expected = (
            posterior.content["posterior"],
            "one of kind mdn, npe or imnn: quantiles of each bin have no draws",
        )
        raise problem(f"posterior {name}", "kind quantiles, where draws are needed", expected, "take another posterior")
    found = []
    for i, one in enumerate(features):
        random = torch.Generator(features.device).manual_seed(torch_seed(seed, stage, i))
        found.append(_draw_one(posterior, one[None], count, random))
    y = torch.stack([pair[0] for pair in found])
    parameters = None if found[0][1] is None else torch.stack([pair[1] for pair in found])
    content = posterior.content
    if recalibrated and content["recalibration"] is not None:
        y, which = moved(y, content)
        if parameters is not None and which is not None:
            parameters = parameters.take_along_dim(which[..., None], dim=1)
    return finished(y, posterior.target), parameters


def draw_along(
    posterior: Posterior, features: Tensor, count: int, seed: int, stage: str
) -> tuple[Tensor, Tensor | None, Frame | None]:
    """What `draw_answers` gives, and along what these draws were stretched; None where they were not."""
    content, drawn = posterior.content, (posterior, features, count, seed, stage)
    if content["recalibration"] is None or posterior.target.counts or content.get("places") is not None:
        return *draw_answers(*drawn), None
    y, parameters = draw_answers(*drawn, recalibrated=False)
    along = frame(y)
    return along.stretched(y, content["recalibration"]), parameters, along


@torch.no_grad()
def quantile_answers(posterior: Posterior, features: Tensor, recalibrated: bool = True) -> Tensor:
    """Of kind quantiles: those of each answer at intervals.LEVELS, (b, d, 5), for features (b, F).

    Of counts they are quantiles of log10(1 + N + u); `finished` makes counts of them.
    """
    scales = posterior.content["scales"]
    found = posterior.head.quantiles(scaling.encode(scales["features"], features))
    found = found * scales["target"]["std"][:, None] + scales["target"]["mean"][:, None]
    if not recalibrated or posterior.content["recalibration"] is None:
        return found
    return stretched_quantiles(found, posterior.content["recalibration"])


def _draw_one(posterior: Posterior, features: Tensor, count: int, random: torch.Generator) -> tuple:
    """(continuous answers (count, d), parameters (count, p) or None) for features (1, F)."""
    content, scales = posterior.content, posterior.content["scales"]
    x = scaling.encode(scales["features"], features)
    if content["kind"] == "imnn":
        return _accept(posterior, x, count, random)
    if content["kind"] == "mdn":
        answers = mdn.sample(posterior.head(x), count, random)[0]
    else:
        answers = flow_sample(posterior.head, x, count, random)[0]
    values = scaling.decode(scales["target"], answers, random)
    if posterior.answers_given_parameters is None:
        return values, None
    given = mdn.sample(posterior.answers_given_parameters(scaling.encode(scales["target"], values)), 1, random)[:, 0]
    return scaling.decode(scales["labels"], given, random), values


def _accept(posterior: Posterior, x: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rejection ABC: the training presentations whose summaries are nearest, adjusted to the observed ones."""
    content, prior = posterior.content, posterior.content["prior"]
    options, device = content["options"], x.device
    seen = posterior.head(x)[0].double().cpu().numpy()
    white = whitener(content["scales"]["summaries"]["covariance"].double().cpu().numpy())
    known = prior["summaries"].double().cpu().numpy()
    rows, distance = nearest(known, seen, white, options["accept"])
    of_map = prior["row"][torch.as_tensor(rows, device=device)]
    answers = continuous(prior["answers"][of_map], posterior.target, random).double().cpu().numpy()
    parameters = prior["parameters"][of_map.to(prior["parameters"].device)].double().cpu().numpy()
    rng = np.random.default_rng(int(torch.randint(0, 2**62, (), generator=random, device=device)))
    values, weights = np.column_stack([answers, parameters]), np.ones(len(rows))
    if options["adjust"]:
        values, weights = adjusted(values, known[rows], seen, distance)
    drawn = torch.as_tensor(resample(values, weights, count, rng), dtype=torch.float32, device=device)
    return drawn[:, : answers.shape[1]], drawn[:, answers.shape[1] :]


@torch.no_grad()
def log_score(
    posterior: Posterior, features: Tensor, answers: Tensor, seed: int, stage: str, along: Frame | None = None
) -> Tensor | None:
    """ln q(answers | data) of the true answers all together, (b,); None where there is no such density.

    Of mixture heads and flows over the target, unless a flow answers only some principal components; per unit of each
    continuous answer (for counts log10(1 + N + u)). Of a recalibrated posterior of no counts it is the density of the
    stretched draws, whose frame (`draw_along`) is to be given; without it, and for counts, that before recalibration.
    """
    content = posterior.content
    scale = content["scales"].get("target", {})
    if content["kind"] in ("imnn", "quantiles") or content["of"] == "parameters" or "scatter" in scale:
        return None
    random = torch.Generator(features.device).manual_seed(torch_seed(seed, stage))
    values, stretch = continuous(answers, posterior.target, random), torch.ones(answers.shape[-1])
    if along is not None:
        stretch = content["recalibration"]
        values = along.stretched(values[:, None], 1 / stretch)[:, 0]
    y = scaling.encode(scale, values)
    x = scaling.encode(content["scales"]["features"], features)
    found = (
        mdn.log_density(posterior.head(x), y) if content["kind"] == "mdn" else flow_log_density(posterior.head, x, y)
    )
    widths = [stretch, *(scale[key] for key in ("std", "length") if key in scale)]
    return found - sum(width.log().sum() for width in widths)


@torch.no_grad()
def log_density_at(posterior: Posterior, features: Tensor, answers: Tensor, along: Frame | None) -> Tensor | None:
    """ln q (g,) of answers (g, d) that are not counts, given one row's features (1, F) and the frame of its draws; None as
    for `log_score`."""
    if posterior.target.counts:
        return None
    return log_score(posterior, features.expand(len(answers), -1), answers, 0, "a grid", along)


@torch.no_grad()
def replicated(posterior: Posterior, answers: Tensor, random: torch.Generator) -> Tensor:
    """Statistics (s, k) of data that a posterior's draws of answers (s, d) would give: its posterior predictive.

    Nothing is simulated for it: each draw takes a training presentation whose own answers lie nearest, in units of the
    prior's spread (counts as log10(1 + N)). Their distance blurs the answer, so the check is a conservative one.
    """
    prior = posterior.content["prior"]
    known, drawn = (torch.log1p(a) / LN10 if posterior.target.counts else a for a in (prior["answers"], answers))
    spread = known.std(dim=0, correction=0)
    spread = spread.clamp(min=0.01) if posterior.target.counts else torch.where(spread > 0, spread, 1.0)
    far = torch.cdist(drawn / spread, known / spread)
    like = far.argmin(dim=1)
    order = torch.randperm(len(prior["row"]), generator=random, device=random.device).to(prior["row"].device)
    first = torch.zeros(len(known), dtype=torch.long, device=like.device)
    first[prior["row"][order]] = order  # one presentation of each row of data, any
    return prior["statistics"][first[like]]
