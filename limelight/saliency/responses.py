"""Does the gradient foresee what the audit's changes of data do? Saliency beside interventions.

Every intervention of a probe asks the network about changed data. Here it asks the network's tangent at the unchanged data
instead: the answer as it was, plus the gradient times the change of what the network sees. The response is then what the
saliency promises, and stands beside what the network does.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.shard import Rows
from limelight.evaluation.audit import Question, Subset, pick
from limelight.evaluation.observe import BATCH, observed
from limelight.evaluation.predict import numbered, predict_targets
from limelight.probe import Probe
from limelight.saliency.answers import scale_of
from limelight.study.settings import SaliencySettings
from limelight.training.presentation import Presentation

Ask = Callable[[np.ndarray], np.ndarray]


def responses(
    module: nn.Module,
    info: dict,
    settings: SaliencySettings,
    probe: Probe,
    presentation: Presentation,
    found: Rows,
    device: str = "cpu",
) -> dict[str, dict[str, np.ndarray]]:
    """{intervention: {network (k,), gradient (k,)}}: responses of the network, and those that its gradient expects.

    1 is right, 0 does not move, as in the audit. The rows are those of the run's test.
    """
    if not probe.interventions(settings.audit, presentation):
        return {}
    audit, seed = settings.audit, settings.evaluation.trained.seed
    stage = f"audit of {info['network']}"
    number = list(audit.datasets).index(settings.evaluation.entry.dataset)
    y = numbered(found, list(settings.evaluation.trained.network.datasets))
    own = Subset(found.x, y, found.rows, np.full(len(found), number))
    own = own[pick(len(own), audit.options.maps)]
    few = own[pick(len(own), audit.options.response_maps)]

    def ask(x: np.ndarray) -> np.ndarray:
        return predict_targets(module, info, observed(x, presentation, seed, stage), device)

    inputs = torch.cat(list(observed(few.x, presentation, seed, stage)))
    before = ask(few.x)

    def tangent(x: np.ndarray) -> np.ndarray:
        if len(x) != len(inputs):
            raise ValueError("an intervention asks about other rows than those that it changes")
        changed = torch.cat(list(observed(x, presentation, seed, stage)))
        return before + directional(module, inputs, changed - inputs, scale_of(info), device)

    result: dict[str, dict[str, np.ndarray]] = {}
    for kind, asking in (("network", ask), ("gradient", tangent)):
        question = Question(asking, presentation, own, few, before, audit, found.header.simulation)
        for name, change in probe.interventions(audit, presentation).items():
            result.setdefault(name, {})[kind] = change(question).response
    return result


def directional(
    module: nn.Module, inputs: Tensor, change: Tensor, std: Tensor | None, device: str = "cpu"
) -> np.ndarray:
    """∇f · change, row for row, (n, *shape) float64, of all outputs at once."""
    found = []
    for first in range(0, len(inputs), BATCH):
        x, dx = (part[first : first + BATCH].to(device) for part in (inputs, change))
        found.append(torch.autograd.functional.jvp(module, x, dx)[1].double().cpu())
    whole = torch.cat(found).numpy()
    return whole if std is None else whole * std.double().cpu().numpy()
