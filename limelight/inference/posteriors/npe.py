"""Neural posterior estimation: a normalising flow of the `sbi` package (Tejero-Cantero et al. 2020) on a network's features.

The flow is sbi's; the loop is ours, for sbi's own sets rows aside at random and would validate on light-cones it trained on.
`sbi` takes seconds to import, and so is imported only where a flow is trained. What it puts together is of the package
`nflows`, which is quick to import: a trained flow is read with that alone.
"""

import functools
import math
import warnings

import torch
from torch import Tensor, nn


def squeezed(inputs: int, hidden: int, embedding: int, dropout: float) -> nn.Module:
    """The small network that compresses features (b, inputs) to (b, embedding)."""
    return nn.Sequential(
        nn.Linear(inputs, 2 * hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * hidden, embedding)
    )


def build_flow(
    inputs: int, outputs: int, flow: str, transforms: int, hidden: int, embedding: int, dropout: float
) -> nn.Module:
    """A conditional flow over (b, outputs) given standardised features (b, inputs), squeezed to `embedding` numbers first.

    flow: nsf (neural splines, Durkan et al. 2019) or maf (masked autoregressive, Papamakarios et al. 2017). Everything
    follows from these options, so that a state_dict is all a file needs to hold.
    """
    from sbi.neural_nets.net_builders import build_maf, build_nsf

    squeeze = squeezed(inputs, hidden, embedding, dropout)
    build = {"nsf": build_nsf, "maf": build_maf}[flow]
    return build(
        torch.randn(64, outputs),  # the builder wants data; it looks at their shape only, nothing being scaled here
        torch.randn(64, inputs),
        z_score_x="none",
        z_score_y="none",
        hidden_features=hidden,
        num_transforms=transforms,
        embedding_net=squeeze,
    )


class TrainedFlow(nn.Module):
    """A flow of nflows with the two methods of sbi's that are used here."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def log_prob(self, y: Tensor, condition: Tensor) -> Tensor:
        """(1, b) of y (1, b, outputs) given condition (b, inputs)."""
        return self.net.log_prob(y[0], context=condition)[None]

    def sample(self, shape: tuple[int], condition: Tensor) -> Tensor:
        """Draws (*shape, b, outputs) given condition (b, inputs)."""
        return self.net.sample(*shape, context=condition).transpose(0, 1)


def trained_flow(
    inputs: int, outputs: int, flow: str, transforms: int, hidden: int, embedding: int, dropout: float
) -> nn.Module:
    """`build_flow` for weights that are there already: without sbi, but for a single number, where sbi has own layers."""
    if outputs == 1:
        return build_flow(inputs, outputs, flow, transforms, hidden, embedding, dropout)
    from nflows import transforms as of
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.nn.nets import ResidualNet

    steps: list[nn.Module] = []
    for number in range(transforms):
        if flow == "nsf":
            net = functools.partial(ResidualNet, hidden_features=hidden, context_features=embedding, num_blocks=2)
            mask = (torch.arange(outputs) + number + 1) % 2  # which numbers a step moves, by turns
            spline = of.PiecewiseRationalQuadraticCouplingTransform
            steps.append(spline(mask, net, num_bins=10, tails="linear", tail_bound=3.0))
            steps.append(of.LULinear(outputs, identity_init=True))
        else:
            affine = of.MaskedAffineAutoregressiveTransform
            steps.append(affine(outputs, hidden, embedding, use_residual_blocks=False, activation=torch.tanh))
            steps.append(of.RandomPermutation(outputs))
    squeeze = squeezed(inputs, hidden, embedding, dropout)
    return TrainedFlow(Flow(of.CompositeTransform(steps), StandardNormal((outputs,)), squeeze))


class FlowEnsemble(nn.Module):
    """Several flows as one, with the mean of their densities."""

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def log_prob(self, y: Tensor, condition: Tensor) -> Tensor:
        """As TrainedFlow's."""
        each = torch.stack([member.log_prob(y, condition=condition) for member in self.members])
        return torch.logsumexp(each, dim=0) - math.log(len(self.members))

    def sample(self, shape: tuple[int], condition: Tensor) -> Tensor:
        """As TrainedFlow's: draws of all members by turns, so that any first few are of all of them.

        Each turn begins with the next member: of every second draw, or third, none has more than its share.
        """
        members = len(self.members)
        each = -(-shape[0] // members)
        drawn = torch.stack([member.sample((each,), condition=condition) for member in self.members], dim=1)
        turns, places = torch.arange(each)[:, None], torch.arange(members)
        return drawn[turns, (places + turns) % members].flatten(0, 1)[: shape[0]]


def flow_log_density(flow: nn.Module, features: Tensor, y: Tensor) -> Tensor:
    """ln p(y | features), (b,) for y (b, outputs)."""
    return flow.log_prob(y[None], condition=features)[0]


def flow_loss(flow: nn.Module, features: Tensor, y: Tensor) -> Tensor:
    """Mean of −ln p(y | features) per dimension, in nats."""
    return -flow_log_density(flow, features, y).mean() / y.shape[-1]


@torch.no_grad()
def flow_sample(flow: nn.Module, features: Tensor, count: int, random: torch.Generator) -> Tensor:
    """`count` draws for each row of features, (b, count, outputs); sbi takes them from the global stream, seeded here."""
    devices = [features.device] if features.device.type == "cuda" else []
    seed = int(torch.randint(0, 2**62, (), generator=random, device=random.device))
    with torch.random.fork_rng(devices), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.triangular_solve")  # of nflows, and nothing to a user
        torch.manual_seed(seed)
        return flow.sample((count,), condition=features).transpose(0, 1)
