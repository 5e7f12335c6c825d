"""One training before its first step: data on the device, a network with its first weights, a loss, an optimizer."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from limelight.data.shard import Rows
from limelight.data.targets import built_shape
from limelight.files import settings_hash
from limelight.networks import build
from limelight.probe import Probe
from limelight.section import plain
from limelight.seeds import torch_seed
from limelight.study.settings import NetworkSettings
from limelight.training.adversary import Adversary
from limelight.training.checkpoint import adopt, fingerprint_weights
from limelight.training.checks import refuse_no_scale
from limelight.training.distributed import Team, parallel
from limelight.training.losses import Loss, make_loss
from limelight.training.optim import channels_last, make_optimizer
from limelight.training.presentation import (
    Data,
    Presentation,
    all_answers,
    fingerprint,
    label_statistics,
    on_device,
    present,
    training_data,
)

CALIBRATION_ROWS = 128  # shown, before the first step, to a network that takes a scale from its inputs


@dataclass
class Run:
    """One training: the constant parts, and the parts that learn."""

    settings: NetworkSettings
    team: Team
    device: torch.device
    data: Data  # that is stored
    taught: Data  # what teaches the present epoch: the same, or rows simulated for it
    validation: Data
    presentation: Presentation
    module: nn.Module
    average: nn.Module  # whose weights validation judges and the model file gets; the module itself without ema_decay
    trained: nn.Module  # the module as the team trains it
    loss: Loss
    optimizer: torch.optim.Optimizer
    statistics: dict[str, Tensor]  # of the training labels
    baseline: tuple[float, float]  # loss and mean squared error of always answering the training mean
    recipe: str  # hash of everything that affects the result; it keys the checkpoints
    folder: Path
    adversary: Adversary | None = None  # of the loss `adversarial`: what trains beside the module, in turns

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def options(self):
        """The config's `training` of this network."""
        return self.settings.network.training

    @property
    def parts(self) -> dict:
        """What a checkpoint holds the state of."""
        found = {"model": self.module, "loss": self.loss, "optimizer": self.optimizer}
        if self.adversary:
            found |= {"critic": self.adversary.critic, "critic_optimizer": self.adversary.optimizer}
        return found | ({"average": self.average} if self.options.ema_decay else {})

    def random(self, what: str, *key: int) -> torch.Generator:
        """A generator on the device that depends on the study's seed, the network and a position."""
        seed = torch_seed(self.settings.seed, f"{what} of {self.name}", *key)
        return torch.Generator(self.device).manual_seed(seed)

    def forward(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Outputs (b, *shape) float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            return module(inputs).float()


def prepare(
    settings: NetworkSettings,
    probe: Probe,
    training_rows: Rows,
    validation_rows: Rows,
    checkpoints: Path,
    device: str,
    code: str,
    team: Team,
    start: dict[str, Tensor] | None,
) -> Run:
    """Data on the device, a network with its first weights, the scale of its outputs, and an optimizer; see `train`."""
    network, options, name = settings.network, settings.network.training, settings.name
    where = torch.device(device, team.local_rank) if device == "cuda" else torch.device(device)
    torch.set_num_threads(max(1, settings.threads // team.size))
    header, datasets = training_rows.header, list(network.datasets)
    presentation = probe.presentation(network, settings.observation, header)
    data = training_data(training_rows, datasets, options, settings.seed, name, where)
    validation = on_device(validation_rows, datasets, where)
    found = [fingerprint(training_rows), fingerprint(validation_rows), *([fingerprint_weights(start)] if start else [])]
    recipe = settings_hash([plain(settings), code, where.type, torch.__version__, *found])

    torch.manual_seed(torch_seed(settings.seed, f"weights of {name}"))
    shapes = probe.input_shape(network, header), built_shape(options.loss, presentation.target.shape)
    module = channels_last(build(network.architecture, network.options, *shapes)).to(where)
    loss = make_loss(options.loss, network.target.standardise, data, presentation)
    adversary = None
    if options.loss == "adversarial":
        adversary = probe.adversary(network, loss, header)
        loss = adversary.judged.to(where)
        adversary.critic.to(where)
    if hasattr(module, "calibrate"):
        rows = torch.arange(len(data))[:: max(1, len(data) // CALIBRATION_ROWS)]
        random = torch.Generator(where).manual_seed(torch_seed(settings.seed, f"calibration of {name}"))
        module.calibrate(present(data, rows, presentation, random)[0])
        refuse_no_scale(module, len(data), name)
    if start:
        adopt(module, start, name)
    average = copy.deepcopy(module) if options.ema_decay else module
    trained = parallel(module, team)
    statistics = label_statistics(data, presentation.target)
    return Run(
        settings=settings,
        team=team,
        device=where,
        data=data,
        taught=data,
        validation=validation,
        presentation=presentation,
        module=module,
        average=average,
        trained=trained,
        loss=loss,
        optimizer=make_optimizer(module, options, loss.parameters()),
        statistics=statistics,
        baseline=constant_losses(statistics["mean_target"].to(where), validation, presentation, loss),
        recipe=recipe,
        folder=checkpoints / recipe,
        adversary=adversary,
    )


@torch.no_grad()
def constant_losses(mean_target: Tensor, data: Data, presentation: Presentation, loss: Loss) -> tuple[float, float]:
    """(loss, mean squared error of the encoded target) of always predicting the training mean: the baseline."""
    truth = all_answers(data, presentation.target)
    constant = loss.constant(mean_target)
    found = loss(constant.expand(len(truth), *constant.shape), truth)
    return found.item(), (mean_target - truth).square().mean().item()
