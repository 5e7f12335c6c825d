"""Posteriors as heads on a trained trunk, and their file, which holds all that a user's own data need.

`mdn` and `npe` answer the target itself (the counts of all bins, say), or the simulation's parameters; then a second head,
learnt from the training data alone, says what answers go with parameters (with their scatter, and the realisations').
`quantiles` answers the target, each output by itself.
`imnn` compresses the features and compares them with those of the training data, which are draws from the prior.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from limelight.data.shard import header_from
from limelight.data.targets import Target
from limelight.errors import one_line, problem
from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.complete import HEAD as LIMIT_HEAD
from limelight.inference.posteriors.complete import complete
from limelight.inference.posteriors.contents import check_contents, check_recalibration
from limelight.inference.posteriors.datasets import DatasetHead
from limelight.inference.posteriors.imnn import Summariser
from limelight.inference.posteriors.mdn import MixtureEnsemble, MixtureHead
from limelight.inference.posteriors.npe import FlowEnsemble, build_flow, trained_flow
from limelight.inference.posteriors.quantiles import QuantileHead
from limelight.inference.posteriors.tables import map_statistics
from limelight.probe import load_probe
from limelight.training.checkpoint import load_torch, rebuild

ANSWER_HEAD = {"components": 4, "rank": 6, "hidden": 128, "layers": 2, "dropout": 0.0}
KEYS = ("posterior", "kind", "of", "network", "scales", "state_dict", "prior", "check", "provenance")
POSTERIORS = ("mdn", "npe", "quantiles", "imnn")
ENSEMBLES = {"mdn": MixtureEnsemble, "npe": FlowEnsemble}


@dataclass
class Posterior:
    """A posterior ready to use: all in evaluation mode on one device."""

    content: dict  # of the file, without the weights
    trunk: nn.Module
    info: dict  # of the trunk's network (training.load_model)
    target: Target  # what it answers
    head: nn.Module  # MixtureHead, flow, QuantileHead, or Summariser
    answers_given_parameters: nn.Module | None  # MixtureHead
    limit: nn.Module | None = None  # QuantileHead: from where on answers are whole (posteriors.complete)
    which: nn.Module | None = None  # DatasetHead, of a network of several datasets

    @property
    def datasets(self) -> list[str]:
        """Those that its network learnt from."""
        return self.content["datasets"]

    def complete(self, features: Tensor) -> np.ndarray | None:
        """The chance that each bin of the target holds all that it counts, (b, d), for features (b, F); None: not known."""
        if self.limit is None:
            return None
        scales = self.content["scales"]
        x = scaling.encode(scales["features"], features)
        return complete(self.limit, scales["limit"], x, self.target.axis.edges)

    @torch.no_grad()
    def dataset_probability(self, features: Tensor) -> np.ndarray | None:
        """That each of `datasets` made the data of features (b, F), (b, k); None where there is one alone."""
        if self.which is None:
            return None
        x = scaling.encode(self.content["scales"]["features"], features)
        return self.which(x).exp().double().cpu().numpy()


class Chosen(nn.Module):
    """A trunk of whose features only some are seen."""

    def __init__(self, trunk: nn.Module, names: list[str]):
        super().__init__()
        self.trunk, kinds = trunk, getattr(trunk, "kinds", {})
        strange = [name for name in names if name not in kinds]
        if strange:
            expected = f"some of {', '.join(kinds) or '(its network has no kinds)'}"
            raise problem("posteriors: features", ", ".join(strange), expected, "mend the list, or leave it out")
        self.columns = np.concatenate([np.arange(kinds[name].start, kinds[name].stop) for name in names])

    def features(self, x: Tensor) -> Tensor:
        """The chosen columns of the trunk's features."""
        return self.pick(self.trunk.features(x))

    def pick(self, features: Tensor) -> Tensor:
        """Those columns of features (b, F) that the trunk has made."""
        return features[:, torch.as_tensor(self.columns, device=features.device)]


def build_head(kind: str, options: dict, inputs: int, outputs: int, trained: bool = False) -> nn.Module:
    """The head of a kind; options: the config's section of that name; trained: whether its weights are there already."""
    if kind in ENSEMBLES and options.get("members", 1) > 1:  # files of earlier versions do not say
        alone = {**options, "members": 1}
        return ENSEMBLES[kind]([build_head(kind, alone, inputs, outputs, trained) for _ in range(options["members"])])
    if kind == "mdn":
        return MixtureHead(inputs, outputs, **{key: options[key] for key in ANSWER_HEAD}, bounded=options["bounded"])
    if kind == "npe":
        names = ("flow", "transforms", "hidden", "embedding", "dropout")
        return (trained_flow if trained else build_flow)(inputs, outputs, **{key: options[key] for key in names})
    if kind == "quantiles":
        return QuantileHead(
            inputs, outputs, **{key: options[key] for key in ("members", "hidden", "layers", "dropout")}
        )
    return Summariser(inputs, outputs, options["hidden"], options["layers"])


@one_line("a complete posterior file")
def load_posterior(path: str | Path, device: str | torch.device = "cpu") -> Posterior:
    """Read a posterior.pt; LimelightError when it is missing, damaged, foreign, or its weights do not fit."""
    content = load_torch(path, "posterior")
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise problem(path, f"no {', '.join(missing)}", "a complete posterior file", "train it again")
    check_contents(content, path)
    if content["kind"] not in POSTERIORS:
        raise problem(path, f"kind '{content['kind']}'", f"one of {', '.join(POSTERIORS)}", "train it again")
    trunk, info = rebuild(content.pop("network"), path, device)
    if content.get("features"):
        trunk = Chosen(trunk, content["features"])
    weights, scales = content.pop("state_dict"), content["scales"]
    probe = load_probe(info["probe"])
    target = probe.posterior_target(probe.network(info["entry"]), header_from(info["header"]))
    inputs, answers = len(scales["features"]["mean"]), int(torch.Size(target.shape).numel())
    check_recalibration(content, target.counts, answers, path)
    if content["kind"] == "imnn":
        outputs = len(scales["summaries"]["covariance"])
    else:
        scale = scales["target"]
        outputs = len(scale["length"]) if "components" in scale else len(scale["mean"])
    try:
        with torch.random.fork_rng([]):
            heads = {"head": build_head(content["kind"], content["options"], inputs, outputs, trained=True)}
            makers = {
                "labels": lambda: MixtureHead(outputs, answers, **ANSWER_HEAD),
                "limit": lambda: QuantileHead(inputs, 1, **LIMIT_HEAD),
                "datasets": lambda: DatasetHead(inputs, len(content["datasets"])),
            }
            heads |= {name: make() for name, make in makers.items() if name in weights}
        for name, head in heads.items():
            head.load_state_dict(weights[name])
            head.to(device).eval()
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise problem(path, f"weights that do not fit ({first})", "those of its options", "train it again") from None
    if not all(torch.isfinite(weight).all() for part in weights.values() for weight in part.values()):
        raise problem(path, "NaN or infinite weights of its head", "finite weights", "train it again")
    if content["prior"]["answers"].shape[1] != answers:
        found = f"answers of {content['prior']['answers'].shape[1]} numbers"
        raise problem(f"{path}: prior", found, f"{answers}, as its network's target has", "train it again")
    for section in ("scales", "prior", "check"):
        content[section] = _to(content[section], device)
    beside = (heads.get(name) for name in makers)
    return Posterior(content, trunk, info, target, heads["head"], *beside)


def _to(value: object, device: str | torch.device) -> object:
    if isinstance(value, dict):
        return {key: _to(item, device) for key, item in value.items()}
    return value.to(device) if isinstance(value, Tensor) else value


@torch.no_grad()
def views(posterior: Posterior, inputs: Tensor) -> dict[str, Tensor]:
    """Features (b, F) and statistics (b, k) of network inputs (b, …): what drawing and the check need."""
    return {"features": posterior.trunk.features(inputs).float(), "statistics": map_statistics(inputs)}
