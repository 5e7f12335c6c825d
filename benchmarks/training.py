#!/usr/bin/env python3
"""The loader and the training step, each timed beside a plain way to do the same in the same run.

Loader: pooled shards on disk to presentations on the device, against a torch Dataset that opens the file for each map.
Step: presentation, forward, backward and update as the training loop does them, against the same network with presentations
made map by map in NumPy and torch's default memory layout.

example: OMP_NUM_THREADS=1 python -m benchmarks.training --maps 6000 --shape 64 64 10
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

from limelight.data.shard import Header, Rows, read_shards, write_shard
from limelight.networks import build
from limelight.probes.line_intensity.config import Preprocessing
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.presentation import Augmentation, LinePresentation
from limelight.probes.line_intensity.shards import line_header
from limelight.probes.line_intensity.targets import line_target
from limelight.training.optim import channels_last
from limelight.training.presentation import Data, on_device, present

DATASET = "li10"
LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
BATCH = 40
ROWS_PER_FILE = 300
SIGMA_UK = 3.47


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=6000, help="pooled maps to load")
    parser.add_argument("--shape", type=int, nargs=3, default=[64, 64, 10], help="pooled voxels x, y, frequency")
    parser.add_argument("--architecture", default="limelight")
    parser.add_argument("--filters", type=int, default=8)
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10, help="training steps to time")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} CPU thread(s)"
    print(f"{platform.node()}: {platform.machine()}, {where}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        data, presentation = loader(Path(folder), args.maps, tuple(args.shape), device)
    step(data, presentation, args, device)


def loader(
    folder: Path, count: int, shape: tuple[int, int, int], device: torch.device
) -> tuple[Data, LinePresentation]:
    """Time reading `count` pooled maps and presenting each once."""
    grid = Grid(1.4, 4 * shape[0], 10 * shape[2], 26.0, 34.0, 115.27, "uK", 4, 10)
    edges = log10_lum_edges(LABELS, EXTENSION_BINS)
    header = line_header(grid, 0.0, LABELS, {})
    paths = write_shards(folder, count, header, len(edges))
    presentation = LinePresentation(
        target=line_target("dn", "log10_1p", (), header),
        bin_width=float(edges[1] - edges[0]),
        grid=grid,
        noise=((SIGMA_UK, SIGMA_UK),),
        foregrounds=None,
        preprocessing=Preprocessing(),
        augmentation=Augmentation(blank_fraction=0.1, dim_fraction=0.1, flips=True, quarter_turns=True),
    )
    start = time.perf_counter()
    found = read_shards(paths)
    data = on_device(found, [DATASET], device)
    synchronise(device)
    ready = time.perf_counter() - start
    gigabytes = found.x.nbytes / 1e9
    print(f"loader: {count} maps ({gigabytes:.2f} GB) on the device in {ready:.2f} s ({gigabytes / ready:.2f} GB/s)")

    random = torch.Generator(device).manual_seed(0)
    start = time.perf_counter()
    for rows in torch.arange(count).split(BATCH):
        present(data, rows, presentation, random)
    synchronise(device)
    ours = (time.perf_counter() - start) / count
    some = np.random.default_rng(0).integers(0, count, 200)
    start = time.perf_counter()
    for row in some:
        naive_presentation(paths, row, presentation)
    naive = (time.perf_counter() - start) / len(some)
    print(
        f"presentations: {1e3 * ours:.3f} ms a map; a file opened for each map and NumPy: {1e3 * naive:.3f} ms; "
        f"ratio {naive / ours:.1f}"
    )
    return data, presentation


def write_shards(folder: Path, count: int, header: Header, edges: int) -> list[Path]:
    """Shards of random maps, as large as the pipeline's own: 300 rows each."""
    rng, paths = np.random.default_rng(1), []
    for number, start in enumerate(range(0, count, ROWS_PER_FILE)):
        n = min(ROWS_PER_FILE, count - start)
        found = Rows(
            header=header,
            x=rng.exponential(120, (n, *header.shape)).astype(np.float32),
            y={"n_above": -np.sort(-rng.integers(0, 10**5, (n, edges))), "volume_mpc3": np.full(n, 2.5e7)},
            theta=np.zeros((n, 0)),
            parameter_names=[],
            group=np.full(n, number),
            dataset=np.repeat([DATASET], n),
        )
        paths.append(folder / f"{number}.h5")
        write_shard(paths[-1], found, {})
    return paths


def naive_presentation(paths: list[Path], row: int, presentation: LinePresentation) -> tuple[np.ndarray, np.ndarray]:
    """One map as a plain Dataset makes it: open the file, read a row, turn it, add noise, take the asinh."""
    rng = np.random.default_rng()
    with h5py.File(paths[row // ROWS_PER_FILE], "r") as file:
        cube, n_above = file["x"][row % ROWS_PER_FILE, 0], file["y/n_above"][row % ROWS_PER_FILE]
    return naive_map(cube, presentation, rng), np.log10(1 + n_above[:49] - n_above[1:50])


def naive_map(cube: np.ndarray, presentation: LinePresentation, rng: np.random.Generator) -> np.ndarray:
    cube = np.rot90(cube, rng.integers(4), (0, 1))
    cube = cube[::-1] if rng.integers(2) else cube
    cube = cube + presentation.noise[0][0] * np.sqrt(160) * rng.normal(size=cube.shape)
    return np.arcsinh(cube / 3.0).astype(np.float32)


def step(data: Data, presentation: LinePresentation, args: argparse.Namespace, device: torch.device) -> None:
    """Time whole training steps, ours and the plain way, taking turns so that a busy machine slows both."""
    random, rng = torch.Generator(device).manual_seed(0), np.random.default_rng(0)
    options = {"filters": args.filters}
    nets = [build(args.architecture, options, data.x.shape[1:], presentation.target.shape).to(device) for _ in range(2)]
    nets[0] = channels_last(nets[0])
    optimizers = [torch.optim.AdamW(net.parameters(), lr=1e-4) for net in nets]
    on_host = data.x[: 10 * BATCH, 0].cpu().numpy()

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        return present(data, torch.as_tensor(rng.integers(0, len(data), BATCH)), presentation, random)

    def naive() -> tuple[torch.Tensor, torch.Tensor]:
        maps = np.stack([naive_map(on_host[i], presentation, rng) for i in rng.integers(0, len(on_host), BATCH)])
        return torch.as_tensor(maps)[:, None].to(device), torch.zeros(BATCH, 49, device=device)

    times: list[list[float]] = [[], []]
    shares = []
    for turn in range(args.steps + 2):
        for which, make in enumerate((ours, naive)):
            start = time.perf_counter()
            inputs, truth = make()
            synchronise(device)
            made = time.perf_counter() - start
            with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
                out = nets[which](inputs)
            loss = (out.float() - truth.float()).square().mean()
            optimizers[which].zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(nets[which].parameters(), 1.0)
            optimizers[which].step()
            synchronise(device)
            if turn >= 2:  # the first ones compile and allocate
                times[which].append(time.perf_counter() - start)
                shares += [made / times[0][-1]] if which == 0 else []
    mine, plain = (float(np.median(t)) for t in times)
    print(
        f"step: {args.architecture} ({args.filters} filters), batch {BATCH}, {args.precision}: {1e3 * mine:.1f} ms "
        f"({BATCH / mine:.0f} maps/s), of it {100 * np.median(shares):.0f} % presentation; the plain way "
        f"{1e3 * plain:.1f} ms; ratio {plain / mine:.2f}"
    )


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
