"""Maps on the device and how a network is shown them: labels, dimming, symmetries, foregrounds, noise, preprocessing.

Maps and labels are loaded once; every presentation is made batch-wise on the device, with its own noise. Random numbers come
from a generator that the caller keys by (seed, network, epoch, step), never from what was drawn before: a resumed run
therefore shows the very same batches.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limelight.probes.line_intensity.labels import EXTENSION_BINS, one_source, quantity, to_target
from limelight.probes.line_intensity.maps.foregrounds import add_foregrounds
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import (
    add_noise,
    draw_setting,
    noise_pattern,
    noise_sigma,
    pooled_sigma,
)
from limelight.probes.line_intensity.maps.pooling import transform
from limelight.seeds import generator as numpy_generator

AUGMENTATION = ("blank_fraction", "dim_fraction", "superpose_fraction", "flips", "quarter_turns")
MIN_SPREAD_DEX = 0.01  # a bin that hardly varies over the training maps must not outweigh the others
MIN_MEAN_SPREAD_DEX = 0.3  # of the expected count in a bin: it varies also where hardly a map has a source


@dataclass
class Maps:
    """Pooled maps and their labels, as tensors.

    maps (n, x, y, f) float32, block sums of µK (or Jy/sr), without noise, where they fit (see `on_device`);
    n_above (n, bins + 1 + EXTENSION_BINS) float64, halos at or above each edge; volume_mpc3 (n,) float64.
    """

    maps: Tensor
    n_above: Tensor
    volume_mpc3: Tensor
    classes: Tensor | None = None  # (n, k) float64: 1 for the line model that painted the map; for classifiers alone

    def __len__(self) -> int:
        return len(self.maps)


@dataclass(frozen=True)
class Presentation:
    """What is done to a map before a network sees it, and what the network is told to answer."""

    edges: np.ndarray  # (bins + 1 + EXTENSION_BINS,) log10 Lsun
    target: dict  # quantity, transform
    grid: Grid
    noise: list[tuple[float, float]]  # per named setting: range of σ, µK per fine voxel
    foregrounds: dict | None  # a setting of observation.foregrounds
    preprocessing: dict  # transform, scale_uk
    augmentation: dict  # AUGMENTATION
    beam_fwhm_arcmin: float = 0.0  # that the maps were smoothed by, and that foregrounds therefore are
    patterns: tuple = ()  # per named setting: how σ varies over the field, (x, y), or None; empty: nowhere
    classes: tuple = ()  # of a classifier: the line models that it tells apart

    @property
    def bins(self) -> int:
        return len(self.edges) - 1 - EXTENSION_BINS

    @property
    def outputs(self) -> int:
        return len(self.classes) or self.bins


def on_device(
    maps: np.ndarray,
    n_above: np.ndarray,
    volume_mpc3: np.ndarray,
    device: torch.device,
    classes: np.ndarray | None = None,
) -> Maps:
    """Put maps and labels on the device; maps that would take over half of a GPU's free memory stay in the host's."""
    where = device
    if device.type == "cuda" and maps.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        where = torch.device("cpu")
    labels = [torch.as_tensor(np.asarray(a, np.float64), device=device) for a in (n_above, volume_mpc3)]
    if classes is not None:
        labels.append(torch.as_tensor(classes, device=device))
    return Maps(torch.as_tensor(np.ascontiguousarray(maps, np.float32)).to(where), *labels)


def presentation(settings: dict, grid: Grid, edges: np.ndarray) -> Presentation:
    """How the network of these stage settings is shown its maps."""
    network, options = settings["network"], settings["network"]["training"]
    return Presentation(
        edges=edges,
        target=network["target"],
        grid=grid,
        noise=[noise_sigma(settings["noise"][key], settings["instrument"], grid) for key in network["noise"]],
        foregrounds=settings["foregrounds"],
        preprocessing=network["preprocessing"],
        augmentation={key: options[key] for key in AUGMENTATION},
        beam_fwhm_arcmin=settings["beam_fwhm_arcmin"],
        patterns=tuple(noise_pattern(settings["noise"][key], grid) for key in network["noise"]),
        classes=tuple(network["line_models"]) if network["target"]["quantity"] == "line_model" else (),
    )


def painted_by(found, how: Presentation) -> np.ndarray | None:
    """Which line model painted each map, (n, k) float64 of zeros and ones, for a classifier; otherwise None."""
    if not how.classes:
        return None
    return (np.asarray(found.line_model)[:, None] == np.array(how.classes)).astype(np.float64)


def training_set(found, options: dict, seed: int, name: str, device: torch.device, how: Presentation) -> Maps:
    """The maps to train on: the first max_maps of them, labels shuffled among them where the config asks for it."""
    count = min(options["max_maps"] or len(found.maps), len(found.maps))
    rows = np.arange(count)
    if options["permute_labels"]:
        rows = numpy_generator(seed, f"permuted labels of {name}").permutation(count)
    classes = painted_by(found, how)
    labels = found.n_above[rows], found.volume_mpc3[rows]
    return on_device(found.maps[:count], *labels, device, None if classes is None else classes[rows])


def epoch_batches(n_maps: int, batch_size: int, steps: int, seed: int, network: str, epoch: int) -> list[np.ndarray]:
    """Rows of each batch of one epoch.

    steps = 0: every map once, in batches that differ by at most one map in size (none is left a single map, which batch norm
    could not take). Otherwise `steps` full batches from an endless deck that is shuffled anew after each pass.
    """

    def shuffled(turn: int) -> np.ndarray:
        return numpy_generator(seed, f"order of {network}", turn).permutation(n_maps)

    if steps == 0:
        return np.array_split(shuffled(epoch), -(-n_maps // batch_size))
    first = epoch * steps * batch_size
    last = first + steps * batch_size
    turns = range(first // n_maps, (last - 1) // n_maps + 1)
    deck = np.concatenate([shuffled(turn) for turn in turns])
    start = first - turns[0] * n_maps
    return list(deck[start : start + steps * batch_size].reshape(steps, batch_size))


def targets(n_above: Tensor, volume_mpc3: Tensor, how: Presentation) -> Tensor:
    """What the network is to answer, before standardising: (b, ≥ bins + 1) counts -> (b, bins) float64."""
    edges = how.edges[: how.bins + 1]
    values = quantity(n_above[:, : how.bins + 1], edges, volume_mpc3, how.target["quantity"])
    return to_target(values, how.target["transform"], one_source(values, edges, volume_mpc3, how.target["quantity"]))


def answers(data: Maps, how: Presentation) -> Tensor:
    """What the network is to answer to every map as it is, (n, outputs) float64."""
    return targets(data.n_above, data.volume_mpc3, how) if data.classes is None else data.classes


def dim_steps(edges: np.ndarray) -> int:
    """Largest dimming, in whole luminosity bins: a factor of 10, or what the counts above the last bin allow."""
    width = edges[1] - edges[0]
    return max(1, min(EXTENSION_BINS, int(1 / width + 1e-9)))


def dimmed(maps: Tensor, n_above: Tensor, steps_down: Tensor, bin_width: float) -> tuple[Tensor, Tensor]:
    """Maps whose every halo is fainter by whole luminosity bins, with their exact counts.

    A halo at L then shines with L · 10^(−k·width), so that N(≥ edge_j) becomes N(≥ edge_(j+k)). steps_down (b,) int holds k.
    Returns maps (b, x, y, f) and counts (b, columns − EXTENSION_BINS).
    """
    factor = 10 ** (-steps_down.double() * bin_width)
    columns = torch.arange(n_above.shape[1] - EXTENSION_BINS, device=n_above.device)
    counts = n_above.gather(1, steps_down[:, None] + columns)
    return maps * factor.float()[:, None, None, None], counts


def superposed(maps: Tensor, counts: Tensor, over: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (b, x, y, f) and counts (b, columns), with the map before it in the batch laid over each that `over` (b,) says.

    Light adds and so do counts, exactly: sources where sources are, up to twice as many. The first map's is the last one's.
    """
    maps = maps + over[:, None, None, None] * maps.roll(1, dims=0)
    return maps, counts + over[:, None] * counts.roll(1, dims=0)


def symmetry(maps: Tensor, transpose: Tensor, flip_x: Tensor, flip_y: Tensor) -> Tensor:
    """Transpose and mirror each map (b, x, y, f) on the sky as its three (b,) booleans say.

    The eight combinations are the eight symmetries of the square; a quarter turn is a transposition and one mirror.
    """
    for chosen, turned in (
        (transpose, lambda m: m.transpose(1, 2)),
        (flip_x, lambda m: m.flip(1)),
        (flip_y, lambda m: m.flip(2)),
    ):
        if chosen.any():
            maps = torch.where(chosen[:, None, None, None], turned(maps), maps)
    return maps


def draw_symmetry(
    count: int, flips: bool, quarter_turns: bool, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Three (count,) booleans for `symmetry`: all eight elements, the four turns, the four mirrorings, or none."""
    bits = torch.randint(0, 2, (3, count), generator=random, device=random.device).bool()
    transpose, flip_x, flip_y = bits
    if not quarter_turns:
        transpose = torch.zeros_like(transpose)
    if quarter_turns and not flips:  # an even number of mirrorings in all (a transposition is one)
        flip_y = flip_x ^ transpose
    if not quarter_turns and not flips:
        flip_x = flip_y = transpose
    return transpose, flip_x, flip_y


def present(data: Maps, rows: Tensor, how: Presentation, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training inputs (b, 1, x, y, f) float32 and targets (b, bins) float64 of the maps in `rows`, all drawn afresh."""
    device, options = data.n_above.device, how.augmentation
    maps = data.maps[rows.to(data.maps.device)].to(device, non_blocking=True)
    rows = rows.to(device)
    n_above, volume = data.n_above[rows], data.volume_mpc3[rows]
    fate = torch.rand(len(rows), generator=random, device=device)
    steps_down = torch.randint(1, dim_steps(how.edges) + 1, (len(rows),), generator=random, device=device)
    turns = draw_symmetry(len(rows), options["flips"], options["quarter_turns"], random)
    blank = fate < options["blank_fraction"]
    dim = ~blank & (fate < options["blank_fraction"] + options["dim_fraction"])
    maps, counts = dimmed(maps, n_above, steps_down * dim, how.edges[1] - how.edges[0])
    maps = torch.where(blank[:, None, None, None], 0.0, symmetry(maps, *turns))
    counts = torch.where(blank[:, None], 0.0, counts)
    if options["superpose_fraction"]:
        over = torch.rand(len(rows), generator=random, device=device) < options["superpose_fraction"]
        maps, counts = superposed(maps, counts, over & ~blank)
    truth = targets(counts, volume, how) if data.classes is None else data.classes[rows]
    return observe(maps, how, random), truth


def observe(maps: Tensor, how: Presentation, random: torch.Generator) -> Tensor:
    """Add foregrounds and noise to clean pooled maps (b, x, y, f) and preprocess them: network inputs (b, 1, x, y, f).

    Each map draws one of the named noise settings, and its σ from that setting's range.
    """
    if how.foregrounds is not None:
        maps = add_foregrounds(maps, how.foregrounds, how.grid, random, how.beam_fwhm_arcmin)
    if max(high for _, high in how.noise) > 0:
        per_channel = torch.as_tensor(pooled_sigma(how.grid), dtype=torch.float32, device=maps.device)
        sigma, setting = draw_setting(how.noise, len(maps), random)
        sigma = sigma[:, None] * per_channel
        if any(pattern is not None for pattern in how.patterns):
            flat = np.ones(how.grid.pooled_shape[:2])
            patterns = np.stack([flat if pattern is None else pattern for pattern in how.patterns])
            over_field = torch.as_tensor(patterns, dtype=torch.float32, device=maps.device)[setting]
            sigma = sigma[:, None, None] * over_field[..., None]
        maps = add_noise(maps, sigma, random)
    return transform(maps, how.preprocessing["transform"], how.preprocessing["scale_uk"])[:, None]


def standardisation(data: Maps, how: Presentation) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per bin of what the network is told to answer, (bins,) float64 each.

    Over the training maps and over blanking, dimming and superposing in their shares (otherwise a blank map would lie a
    hundred standard deviations off); the partners are maps half the set apart. Bins without spread get 1; log targets at
    least MIN_SPREAD_DEX.
    """
    blank, dim, over = (how.augmentation[f"{key}_fraction"] for key in ("blank", "dim", "superpose"))
    dim = min(dim, 1 - blank)
    steps = dim_steps(how.edges)
    shares = [(1 - blank - dim, 0)] + [(dim / steps, k) for k in range(1, steps + 1) if dim]
    first = second = 0.0
    nothing = targets(torch.zeros_like(data.n_above[:1]), data.volume_mpc3[:1], how)[0]
    offset = targets(data.n_above, data.volume_mpc3, how).mean(dim=0)  # moments about it: no digits lost
    twice = data.n_above + data.n_above.roll(len(data) // 2, dims=0)
    kinds = [(data.n_above, 1 - over)] + ([(twice, over)] if over else [])
    for share, k, n_above in [(part * share, k, n_above) for n_above, part in kinds for share, k in shares]:
        t = targets(n_above[:, k:], data.volume_mpc3, how) - offset
        first, second = first + share * t.mean(dim=0), second + share * t.square().mean(dim=0)
    first, second = first + blank * (nothing - offset), second + blank * (nothing - offset).square()
    spread = (second - first.square()).clamp(min=0).sqrt()
    if how.target["transform"] != "none":
        spread = spread.clamp(min=MIN_SPREAD_DEX)
    return offset + first, torch.where(spread > 0, spread, 1.0)


def count_scale(data: Maps, how: Presentation) -> tuple[Tensor, Tensor, Tensor]:
    """(log10 of the mean count, spread in dex, dispersion) per bin, (bins,) float64 each, for a likelihood's outputs.

    At outputs of 0 each bin is a negative binomial of the training counts' mean and (within limits) variance. A bin that no
    training map fills counts as half a source in all of them.
    """
    counts = quantity(data.n_above[:, : how.bins + 1], how.edges[: how.bins + 1], data.volume_mpc3, "dn")
    mean = counts.mean(dim=0).clamp(min=0.5 / len(counts))
    dispersion = (counts.var(dim=0, correction=0) - mean) / mean.square()
    spread = standardisation(data, how)[1].clamp(min=MIN_MEAN_SPREAD_DEX)
    return mean.log10(), spread, dispersion.clamp(1e-2, 1.0)


def label_statistics(data: Maps, how: Presentation) -> dict[str, Tensor]:
    """Mean, standard deviation and percentiles 2.5, 16, 50, 84, 97.5 of the training labels per bin, float64 on the CPU.

    mean, std (bins,), percentiles (5, bins) of the quantity itself; the same with `_target` in target space. mean_target is
    also the prediction of a network that ignores its input. Of a classifier: the share of each line model, as both means.
    """
    if data.classes is not None:
        return {"mean": data.classes.mean(dim=0).cpu(), "mean_target": data.classes.mean(dim=0).cpu()}
    edges = how.edges[: how.bins + 1]
    counts = data.n_above[:, : how.bins + 1].cpu()
    natural = quantity(counts, edges, data.volume_mpc3.cpu(), how.target["quantity"])
    one = one_source(natural, edges, data.volume_mpc3.cpu(), how.target["quantity"])
    levels = torch.tensor([0.025, 0.16, 0.5, 0.84, 0.975], dtype=torch.float64)
    found = {}
    for ending, values in (("", natural), ("_target", to_target(natural, how.target["transform"], one))):
        found[f"mean{ending}"] = values.mean(dim=0)
        found[f"std{ending}"] = values.std(dim=0, correction=0)
        found[f"percentiles{ending}"] = torch.quantile(values, levels, dim=0)
    return found


def fingerprint(maps) -> str:
    """A hash of maps and labels: a run must not go on from a checkpoint of other data."""
    digest = hashlib.sha256()
    for array in (maps.maps, maps.n_above, maps.volume_mpc3):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
