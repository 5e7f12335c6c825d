"""A head on summaries against an exact posterior: `python -m benchmarks.exact_counts`.

Sources of two known fluxes lie in the voxels at random, without clustering, in white noise of σ = 1. The chance of a voxel's
value is then known, P(D): a sum of Gaussians with Poisson weights. Voxels are independent, so that the likelihood of the two
mean numbers of sources per voxel is known as well. Three posteriors of their logarithms, under a flat prior:

- exact: of all voxels;
- VID: of the histogram alone, by its multinomial likelihood, as a rival with a perfect emulator would have it;
- head: a mixture density head on limelight's own summaries of the maps, learnt from simulations.
"""

import argparse

import numpy as np
import torch
from scipy import stats

from limelight.inference.posteriors import mdn, scaling
from limelight.inference.posteriors.fit import fit
from limelight.seeds import generator
from limelight.summaries.counting import Counting

SHAPE = (16, 16, 32)
FLUX = (0.5, 6.0)  # of faint and bright sources, in the noise's σ
LOW, HIGH = np.array([-1.0, -4.0]), np.array([0.5, -2.0])  # of log10 of their mean numbers per voxel
MOST = (40, 4)  # sources in one voxel that the sum goes up to
STEPS = 81  # of the grid along each parameter
SUMMARIES = Counting(SHAPE, scale=1.0, low=-4.0, high=60.0, bins=42, across=4, along=3)
TRAINING = {"epochs": 60, "patience": 15, "batch_size": 128, "learning_rate": 2e-3, "weight_decay": 1e-4}


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(θ (count, 2), maps (count, *SHAPE)) of the prior."""
    theta = rng.uniform(LOW, HIGH, (count, 2))
    maps = rng.standard_normal((count, *SHAPE), dtype=np.float32)
    for flux, mean in zip(FLUX, 10**theta.T, strict=True):
        maps += flux * rng.poisson(mean[:, None, None, None], maps.shape)
    return theta, maps


def grid() -> np.ndarray:
    """θ (STEPS², 2) of a grid over the prior, the middles of its cells."""
    sides = [low + (high - low) * (np.arange(STEPS) + 0.5) / STEPS for low, high in zip(LOW, HIGH, strict=True)]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)


def chances(theta: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Chance (m, bins) that a voxel lies between neighbouring edges, for θ (m, 2)."""
    pairs = [(j, k) for j in range(MOST[0] + 1) for k in range(MOST[1] + 1)]
    j, k = np.array(pairs).T
    share = stats.poisson.pmf(j, 10 ** theta[:, :1]) * stats.poisson.pmf(k, 10 ** theta[:, 1:])
    place = stats.norm.cdf(edges[None] - (j * FLUX[0] + k * FLUX[1])[:, None])
    return share @ np.diff(place, axis=1)


def on_grid(maps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Posterior (b, STEPS²) on the grid of maps of which only the histogram between edges is known."""
    counts = np.stack([np.histogram(one, edges)[0] for one in maps])
    log_l = counts @ np.log(chances(grid(), edges) + 1e-300).T
    weight = np.exp(log_l - log_l.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def train_head(count: int, seed: int = 1) -> tuple[torch.nn.Module, dict, dict]:
    """(head, scale of its features, scale of its answers) learnt from so many maps, and chosen by a tenth as many."""
    sets = [draw(n, generator(seed, "exact counts", i)) for i, n in enumerate((count, max(100, count // 10)))]
    x = [SUMMARIES(torch.as_tensor(maps)[:, None]) for _, maps in sets]
    y = [torch.as_tensor(theta, dtype=torch.float32) for theta, _ in sets]
    seen, wanted = scaling.standardise(x[0]), scaling.standardise(y[0])
    x, y = ([scaling.encode(s, one) for one in part] for s, part in ((seen, x), (wanted, y)))
    torch.manual_seed(seed)
    head = mdn.MixtureHead(x[0].shape[1], 2, components=3, rank=1, hidden=128, layers=2, dropout=0.0)
    mdn.linear_start(head, x[0], y[0], x[1], y[1])

    def loss(rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        return mdn.negative_log_likelihood(head(x[0][rows]), y[0][rows])

    fit(head, loss, lambda: mdn.negative_log_likelihood(head(x[1]), y[1]).item(), count, TRAINING, seed, "exact counts")
    return head, seen, wanted


def compare(train: int, tests: int) -> list[dict]:
    """One row per method: width (mean standard deviation) of both parameters in dex, mean ln q of the truth, nats lost."""
    theta, maps = draw(tests, generator(3, "exact counts, tests"))
    points, cell = grid(), np.prod((HIGH - LOW) / STEPS)
    fine = np.concatenate([np.arange(-8.0, 40.0, 0.02), [np.inf]])
    summaries = np.sinh(np.linspace(np.arcsinh(-4), np.arcsinh(60), 43))
    summaries[[0, -1]] = -np.inf, np.inf
    nearest = np.abs(points[None] - theta[:, None]).max(axis=2).argmin(axis=1)
    rows = []
    for name, edges in (("exact", fine), ("VID", summaries)):
        weight = on_grid(maps, edges)
        mean = weight @ points
        width = np.sqrt(weight @ points**2 - mean**2).mean(axis=0)
        score = np.log(weight[np.arange(tests), nearest] / cell + 1e-300).mean()
        rows.append({"method": name, "faint_dex": width[0], "bright_dex": width[1], "log_score": score})
    head, seen, wanted = train_head(train)
    with torch.no_grad():
        mixture = head(scaling.encode(seen, SUMMARIES(torch.as_tensor(maps)[:, None])))
        truth = torch.as_tensor(theta, dtype=torch.float32)
        score = mdn.log_density(mixture, scaling.encode(wanted, truth)) - wanted["std"].log().sum()
        draws = mdn.sample(mixture, 1000, torch.Generator().manual_seed(0)) * wanted["std"] + wanted["mean"]
    width = draws.std(dim=1).mean(dim=0).tolist()
    rows.append({"method": "head", "faint_dex": width[0], "bright_dex": width[1], "log_score": float(score.mean())})
    ranks = (draws < truth[:, None]).float().mean(dim=1)
    rows[-1]["covered_95"] = float(((ranks > 0.025) & (ranks < 0.975)).float().mean())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=10_000, help="maps that the head learns from")
    parser.add_argument("--tests", type=int, default=500, help="maps that all posteriors are of")
    args = parser.parse_args()
    for row in compare(args.train, args.tests):
        print(", ".join(f"{key} {value if isinstance(value, str) else f'{value:.4f}'}" for key, value in row.items()))


if __name__ == "__main__":
    main()
