"""The posterior of every row of a test, for the intervals file that calibration and comparisons read."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from limelight.data.shard import Rows
from limelight.evaluation.observe import observed
from limelight.evaluation.predict import check_test_rows, numbered
from limelight.inference.exact import DENSITY, normalised, points
from limelight.inference.intervals import Intervals, evenly, quantiles_of
from limelight.inference.posteriors.draw import (
    draw_along,
    log_density_at,
    log_score,
    quantile_answers,
    replicated,
)
from limelight.inference.posteriors.misspecification import p_values
from limelight.inference.posteriors.posterior import Posterior, views
from limelight.inference.posteriors.quantiles import quantile_ranks
from limelight.inference.posteriors.smc import smc_sampler
from limelight.inference.posteriors.tables import answers_of, continuous, finished
from limelight.probe import Probe
from limelight.progress import progress
from limelight.seeds import torch_seed
from limelight.study.settings import IntervalsSettings
from limelight.training.presentation import Presentation

KINDS = {
    "mdn": "mixture density",
    "npe": "neural posterior",
    "quantiles": "quantiles",
    "imnn": "IMNN + ABC",
    "smc": "IMNN + SMC ABC",
}
INFORMATION = ("fisher", "share_of_information")  # of an IMNN: F, and det F over that of the largest there is
REPLICATES = 100  # draws of the posterior predictive check


@torch.no_grad()
def posterior_intervals(
    posterior: Posterior,
    settings: IntervalsSettings,
    probe: Probe,
    found: Rows,
    timed: bool = False,
    simulate_from: Sequence[str | Path] = (),
) -> Intervals:
    """Draw the posterior of every row of a test, with the same noise as in the network's evaluation.

    Parameters
    ----------
    found
        Rows of the test's shards.
    timed
        Store the seconds that each row took (they differ from run to run).
    simulate_from
        For a posterior with abc: smc, what the probe simulates from. Such a posterior takes only some of the rows
        (settings.smc.maps) and adds inference.posteriors.smc.CHECKS to `extra`.

    `extra` holds p_value (m,) of the misspecification check, predictive_p (m, k) of the posterior predictive check for each
    of tables.map_statistics, and of densities over the target log_score (m,), ln q of all answers together; where the probe
    has a grid over the prior, also their log_mass (m, g) on it (inference.exact). Where the posterior knows them, complete
    (m, d) is the chance that each answer counts all there is, and dataset_probability (m, k) that of each dataset.
    """
    evaluation, smc, content = settings.evaluation, settings.smc, posterior.content
    check_test_rows(posterior.info, evaluation, found)
    presentation = probe.presentation(evaluation.trained.network, evaluation.observation, found.header)
    keys, target = found.identifiers, posterior.target
    truth = answers_of(numbered(found, list(evaluation.trained.network.datasets)), target)
    chosen = evenly(len(found), smc.maps) if smc else np.arange(len(found))
    draws = _Draws(posterior, settings, truth, keys, probe.grid(found.header))
    if smc:
        draws.sample = smc_sampler(posterior, settings, probe, presentation, simulate_from)
        words = f"{len(chosen)} of {len(found)} rows, each with simulations of its own"
        print(f"{settings.name} on {evaluation.test}: {words}", file=sys.stderr)
    for i, one in _chosen_inputs(found, presentation, evaluation, chosen, bool(smc)):
        draws.take(i, one)
    recalibrated = content["recalibration"] is not None and not smc
    kind = KINDS["smc" if smc else content["kind"]]
    kind += ", parameters" if content["of"] == "parameters" and content["kind"] != "imnn" else ""
    kind += f", {settings.name}" if settings.posterior.stream is not None else ""  # a test may have several of a kind
    return Intervals(
        method=kind + (", recalibrated" if recalibrated else ""),
        test=evaluation.test,
        settings={
            "dataset": evaluation.entry.dataset,
            **probe.describe_test(evaluation, presentation),
            "posterior": settings.name,
            "network": posterior.info["network"],
            "recalibrated": recalibrated,
            **{key: content["training"][key] for key in INFORMATION if key in content["training"]},
            **draws.totals(),
        },
        axis=target.axis,
        counts=target.counts,
        truth=truth[chosen],
        rows={key: values[chosen] for key, values in keys.items()},
        seconds=np.array(draws.seconds) * timed,
        **draws.arrays(found, chosen),
    )


class _Draws:
    """Draws of a posterior, row after row; of kind quantiles these, and where the truths stand among them."""

    def __init__(self, posterior: Posterior, settings: IntervalsSettings, truth: np.ndarray, keys: dict, grid: tuple):
        self.posterior, self.settings, self.truth, self.keys, self.grid = posterior, settings, truth, keys, grid
        self.device = next(posterior.trunk.parameters()).device
        self.seed = settings.evaluation.trained.seed
        self.stage = f"draws of posterior {settings.name} on {settings.evaluation.test}"
        self.sample = None  # of abc: smc
        self.answers, self.parameters, self.quantiles, self.seconds = [], [], [], []
        names = ("p_value", "predictive_p", "log_score", DENSITY, "complete", "dataset_probability")
        self.extra: dict[str, list] = {name: [] for name in names}
        self.checks: dict[str, list] = {}

    def take(self, i: int, one: torch.Tensor) -> None:
        """Draw the posterior of row i, shown as `one`, and check it."""
        posterior, start = self.posterior, time.perf_counter()
        seen = views(posterior, one[None].to(self.device))
        for name in ("complete", "dataset_probability"):
            if (known := getattr(posterior, name)(seen["features"])) is not None:
                self.extra[name].append(torch.from_numpy(known))
        if posterior.content["kind"] == "quantiles":
            self.quantiles.append(quantile_answers(posterior, seen["features"]))
            self.seconds.append(time.perf_counter() - start)
            self.extra["p_value"].append(p_values(posterior.content["check"], seen))
            return
        if self.sample:
            along = None
            *answer, numbers = self.sample(seen["features"], *(values[i] for values in self.keys.values()))
            answers, parameters = (values.to(self.device) for values in answer)
            for key, value in numbers.items():
                self.checks.setdefault(key, []).append(value)
        else:
            stage = f"{self.stage}, map {i}"
            drawn = seen["features"], self.settings.samples, self.seed, stage
            answers, parameters, along = draw_along(posterior, *drawn)
        self.seconds.append(time.perf_counter() - start)
        random = torch.Generator(self.device).manual_seed(torch_seed(self.seed, f"replicates of {self.stage}", i))
        twins = replicated(posterior, answers[0, :REPLICATES], random)
        here = seen["statistics"]  # one that all rows share, such as a least value of 0, is usual: ties count half
        above = ((twins > here).float() + (twins == here).float() / 2).mean(dim=0)
        self.extra["predictive_p"].append(2 * torch.minimum(above, 1 - above).clamp(min=0.5 / REPLICATES)[None])
        self.extra["p_value"].append(p_values(posterior.content["check"], seen))
        known = torch.as_tensor(self.truth[i][None], dtype=torch.float32, device=self.device)
        stage = f"truth of {self.settings.evaluation.test}, map {i}"
        score = log_score(posterior, seen["features"], known, self.seed, stage, along)
        if score is not None:
            self.extra["log_score"].append(score)
            if self.grid:
                at = torch.as_tensor(points(self.grid), dtype=torch.float32, device=self.device)
                found = log_density_at(posterior, seen["features"], at, along)[None].double().cpu().numpy()
                self.extra[DENSITY].append(torch.from_numpy(normalised(found, self.grid)))
        self.answers.append(answers)
        if parameters is not None:
            self.parameters.append(parameters)

    def totals(self) -> dict[str, int]:
        """Simulations of abc: smc, over all rows."""
        names = ("simulations", "proposals", "accepted")
        return {name: int(sum(self.checks[name])) for name in names if name in self.checks}

    def arrays(self, found: Rows, chosen: np.ndarray) -> dict:
        """The arrays of an Intervals that come from draws."""
        if self.quantiles:
            return self._of_quantiles(chosen)
        samples = torch.cat(self.answers).cpu().numpy()
        arrays = {"samples": samples, "quantiles": quantiles_of(samples)}
        extra = {name: torch.cat(values).double().cpu().numpy() for name, values in self.extra.items() if values}
        arrays["extra"] = extra | {name: np.array(values, np.float64) for name, values in self.checks.items()}
        if self.parameters:
            names = list(self.posterior.content["parameter_names"])
            arrays["parameter_samples"] = torch.cat(self.parameters).cpu().numpy()
            arrays["parameter_names"] = names
            if list(found.parameter_names) == names:  # a test may have another dataset, of other parameters
                arrays["parameters"] = found.theta[chosen]
        return arrays

    def _of_quantiles(self, chosen: np.ndarray) -> dict:
        """The same of quantiles; the ranks of counts are those of log10(1 + N + u)."""
        found, target = torch.cat(self.quantiles), self.posterior.target
        random = torch.Generator().manual_seed(torch_seed(self.seed, f"truths of {self.stage}"))
        truth = continuous(torch.as_tensor(self.truth[chosen], dtype=torch.float64), target, random)
        rank = quantile_ranks(found.double().cpu().numpy(), truth.numpy())
        extra = {name: torch.cat(values).double().cpu().numpy() for name, values in self.extra.items() if values}
        return {"quantiles": finished(found, target).cpu().numpy(), "extra": extra | {"rank": rank}}


def _chosen_inputs(found: Rows, presentation: Presentation, evaluation, chosen: np.ndarray, slow: bool):
    """(i, network input) of the chosen rows, with a progress bar where each takes long."""
    stage = f"noise of test {evaluation.test}"
    inputs = (one for batch in observed(found.x, presentation, evaluation.trained.seed, stage) for one in batch)
    taken = set(chosen.tolist())
    rows = ((i, one) for i, one in enumerate(inputs) if i in taken)
    return progress(rows, "simulate for rows", len(chosen)) if slow else rows
