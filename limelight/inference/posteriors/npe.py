"""Neural posterior estimation: a normalising flow of the `sbi` package (Tejero-Cantero et al. 2020) on a network's features.

The flow is sbi's; the loop is ours, for sbi's own sets rows aside at random and would validate on light-cones it trained on.
`sbi` takes seconds to import, and so is imported only where a flow is built.
"""

import torch
from torch import Tensor, nn


def build_flow(
    inputs: int, outputs: int, flow: str, transforms: int, hidden: int, embedding: int, dropout: float
) -> nn.Module:
    """A conditional flow over (b, outputs) given standardised features (b, inputs), squeezed to `embedding` numbers first.

    flow: nsf (neural splines, Durkan et al. 2019) or maf (masked autoregressive, Papamakarios et al. 2017). Everything
    follows from these options, so that a state_dict is all a file needs to hold.
    """
    from sbi.neural_nets.net_builders import build_maf, build_nsf

    squeeze = nn.Sequential(
        nn.Linear(inputs, 2 * hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * hidden, embedding)
    )
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
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return flow.sample((count,), condition=features).transpose(0, 1)
