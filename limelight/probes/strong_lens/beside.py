"""Networks beside what is known of lenses: what they identify falsely, and posteriors beside MCMC on the same images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from limelight.data.shard import Rows
from limelight.errors import problem
from limelight.evaluation.observe import noise_of_test, observed
from limelight.evaluation.roc import auc, threshold_at
from limelight.inference.intervals import Intervals
from limelight.probes.strong_lens.bound import bounds, sample
from limelight.probes.strong_lens.config import LensStudy
from limelight.probes.strong_lens.images import ANSWERED
from limelight.probes.strong_lens.probe import PROBE
from limelight.probes.strong_lens.simulations import KINDS
from limelight.progress import progress
from limelight.seeds import seed_sequence

FINDING_COLUMNS = ("network", "galaxies", "from_arcsec", "to_arcsec", "number", "rate", "false_share", "error", "auc")
CHAIN_COLUMNS = (
    *("posterior", "lens", "parameter", "truth", "mean", "std", "chain_mean", "chain_std", "bound"),
    *("ess", "rhat"),
)
EVEN = "even odds"  # the threshold at a probability of one half, beside those of chosen rates
BINS = 9  # of the Einstein radius


@dataclass(frozen=True)
class Finding:
    """What networks identify falsely; see FINDING_COLUMNS: a rate of EVEN, or of false positives."""

    table: list[dict]
    scores: dict[str, np.ndarray]  # network -> ln of the odds of a lens (n,)
    lens: np.ndarray  # (n,) whether it is one

    def first(self, network: str, lens: bool) -> int:
        """The row that a network takes most surely for a lens, of lenses or of galaxies that are none."""
        rows = np.flatnonzero(self.lens == lens)
        return int(rows[self.scores[network][rows].argmax()])


@torch.no_grad()
def judge_finding(modules: Mapping[str, nn.Module], study: LensStudy, test: str, found: Rows) -> Finding:
    """Networks that answer kind, on the rows of a test under the test's noise."""
    lens, kind, theta_e = found.y["lens"] == 1, found.y["kind"].astype(int), found.y["parameters"][:, 0]
    table, scores = [], {}
    for name, module in modules.items():
        presentation = PROBE.presentation(study.networks[name], {}, found.header)
        batches = observed(found.x, presentation, study.seed, noise_of_test(test))
        odds = torch.cat([module.eval()(each).double() for each in batches])
        scores[name] = (odds[:, 1] - odds[:, 0]).numpy()
        area = auc(scores[name][lens], scores[name][~lens])
        for rate in (EVEN, *study.judging.rates):
            least = 0.0 if rate == EVEN else threshold_at(scores[name][~lens], rate)
            wrong = (scores[name] > least) != lens
            for row in _rows(wrong, kind, theta_e) if np.isfinite(least) else ():
                table.append({"network": name, **row, "rate": rate, "auc": area})
    return Finding(table, scores, lens)


def _rows(wrong: np.ndarray, kind: np.ndarray, theta_e: np.ndarray) -> Iterator[dict]:
    """Of each kind, and of lenses by their Einstein radius: how many there are, and which share is taken wrongly."""
    lenses = kind == 0
    parts = [(name, np.nan, np.nan, kind == number) for number, name in enumerate(KINDS)]
    if lenses.any():
        edges = np.linspace(theta_e[lenses].min(), theta_e[lenses].max(), BINS + 1)
        bins = np.clip(np.searchsorted(edges, theta_e, side="right") - 1, 0, BINS - 1)
        parts += [(KINDS[0], edges[i], edges[i + 1], lenses & (bins == i)) for i in range(BINS)]
    for name, low, high, mine in parts:
        if count := int(mine.sum()):
            share = wrong[mine].mean()
            error = np.sqrt(share * (1 - share) / count)
            yield {
                **{"galaxies": name, "from_arcsec": low, "to_arcsec": high, "number": count},
                **{"false_share": share, "error": error},
            }


@dataclass(frozen=True)
class Chains:
    """Posteriors beside MCMC; see CHAIN_COLUMNS."""

    table: list[dict]
    draws: dict[str, np.ndarray]  # posterior, or MCMC -> draws of the first lens (s, 5)


MCMC = "MCMC"


def judge_chains(posteriors: Mapping[str, Intervals], study: LensStudy, found: Rows) -> Chains:
    """The first lenses of a test: what posteriors (all of this test) drew of them, and MCMC with the pixels' likelihood.

    The chain sees the very image that the network saw, and the prior that it was drawn from.
    """
    for name, one in posteriors.items():
        if not all(np.array_equal(one.rows.get(key), values) for key, values in found.identifiers.items()):
            expected = "those of the data, in their order: each posterior stands beside the chain of its own image"
            raise problem(f"posterior {name}", "draws of other images", expected, "give the data that it was drawn for")
    judging, test = study.judging, next(iter(posteriors.values())).test
    settings = PROBE.dataset_settings(study, study.tests[test].data)
    limits = np.array(found.header.simulation["limits"])
    network = study.networks[next(iter(posteriors.values())).settings["network"]]
    presentation = PROBE.presentation(network, {}, found.header).bare()
    count, width = min(judging.lenses, len(found)), len(ANSWERED)
    images = torch.cat(list(observed(found.x[:count], presentation, study.seed, noise_of_test(test)))).double().numpy()
    least = bounds(found.y["model"][:count], limits, settings.camera)
    table, draws = [], {name: one.samples[0] for name, one in posteriors.items()}
    for i in progress(range(count), "chains"):
        chain, how = sample(
            images[i],
            found.y["model"][i],
            limits,
            settings.camera,
            judging.walkers,
            judging.burn_in,
            judging.steps,
            seed_sequence(study.seed, f"chain of test {test}", i),
        )
        if i == 0:
            draws[MCMC] = chain[:: max(1, len(chain) // 2000), :width]
        for name, one in posteriors.items():
            mine = one.samples[i].astype(np.float64)
            for j, parameter in enumerate(ANSWERED):
                values = (
                    *(name, i, parameter, found.y["model"][i, j], mine[:, j].mean(), mine[:, j].std()),
                    *(chain[:, j].mean(), chain[:, j].std(), least[i, j], how["ess"][j], how["rhat"][j]),
                )
                table.append(dict(zip(CHAIN_COLUMNS, values, strict=True)))
    return Chains(table, draws)


def chain_words(found: Chains) -> Iterator[str]:
    """One line for each posterior and parameter: widths, and how far the means are apart."""
    for posterior in dict.fromkeys(row["posterior"] for row in found.table):
        for parameter in ANSWERED:
            rows = [row for row in found.table if (row["posterior"], row["parameter"]) == (posterior, parameter)]
            wider = np.median([row["std"] / row["chain_std"] for row in rows])
            apart = np.sqrt(np.mean([((row["mean"] - row["chain_mean"]) / row["std"]) ** 2 for row in rows]))
            least = np.median([row["chain_std"] / row["bound"] for row in rows])
            yield (
                f"{posterior}, {parameter}: {wider:.2f} times as wide as MCMC's (which is {least:.2f} times the bound);"
                f" means {apart:.2f} of its σ apart, rms of {len(rows)} lenses"
            )
