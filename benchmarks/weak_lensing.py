"""Five tables of the pages on weak lensing that no study gives.

spectrum: C_ℓ of ray-traced maps over CAMB's HMcode, with the scatter between boxes.
study: the same of all maps of a study, over its cosmologies and by quarters of the prior.
fisher: areas of statistics from Fisher matrices by few and by many maps, beside the bound that none can pass.
shares: attribution by κ without noise, of every method in files of saliency, beside the shares of the pixels themselves.
seeds: two posteriors, each trained with several random numbers, over one another: areas, scores and coverage.

example: python -m benchmarks.weak_lensing fisher --output docs/results/weak_lensing/fisher.csv
         python -m benchmarks.weak_lensing study --shards results/weak_lensing_traced/shards/*/*.h5 --output spectrum.csv
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from limelight.data.shard import read_shards
from limelight.errors import problem
from limelight.files import write_csv
from limelight.inference.calibration import joint_ranks
from limelight.inference.exact import DENSITY, moments
from limelight.inference.intervals import Intervals, read_intervals
from limelight.networks.statistics import Summaries
from limelight.probes.weak_lensing.areas import DELTA, areas, scores, with_error
from limelight.probes.weak_lensing.config import Boxes, Maps
from limelight.probes.weak_lensing.fields import Square, draw_maps, fisher
from limelight.probes.weak_lensing.probe import CLASSES, GRID
from limelight.probes.weak_lensing.simulations import ray_traced
from limelight.probes.weak_lensing.spectra import PARAMETERS, convergence_power
from limelight.saliency.saliency_file import read_saliency
from limelight.seeds import generator
from limelight.summaries.power import power_bins, power_spectrum, wave_numbers

THETA = np.array([0.3, 0.8])
SQUARE = Square(32, 4.0, 1.0, 0.05)
ASTRAY = 0.3  # σ between the mean of a density and that of draws of it
STEP = 0.05  # of the derivatives, relative
NEGATIVE, PEAKS = CLASSES.index(0.0), CLASSES.index(3.0)
ELLS = np.array([120, 200, 300, 450, 650, 900, 1200, 1500, 2000, 3000])


def spectrum(pairs: int, maps: int, boxes: Boxes, theta: np.ndarray) -> list[dict]:
    """One row per bin of ℓ: the mean over pairs of boxes of C_ℓ over HMcode's, and its scatter from pair to pair."""
    limits = {"omega_m": [theta[0], theta[0] + 1e-6], "sigma8": [theta[1], theta[1] + 1e-6]}
    data = Maps(kind="ray_traced", pixels=128, pixel_arcmin=1, maps=maps, boxes=boxes, **limits)
    found = []
    for pair in range(pairs):
        x, _ = ray_traced(data, 1, "benchmark", pair, maps, generator(1, "maps of the benchmark", pair))
        found.append(over_hmcode(x, data.pixel_arcmin, theta, data.source_redshift, ELLS))
        print(pair, found[-1])
    settings = {"omega_m": theta[0], "sigma8": theta[1], "side_mpc": boxes.side_mpc, "particles": boxes.particles}
    settings |= {"sharpen": boxes.sharpen, "pairs": pairs}
    return rows_by_bin(settings, np.array(found), ELLS)


def over_hmcode(
    x: np.ndarray, pixel_arcmin: float, theta: np.ndarray, redshift: float, edges: np.ndarray
) -> np.ndarray:
    """Mean C_ℓ of ray-traced maps (m, n, n) in bins of ℓ over HMcode's, the mean of the same waves.

    A pixel is the mean of four rays, half a pixel apart: the power is taken over the square of cos(k_x a/4) cos(k_y a/4).
    """
    n, side = x.shape[-1], np.radians(pixel_arcmin / 60)
    bins = power_bins((n, n), (side, side), edges)
    window = np.multiply.outer(*(np.cos(np.pi / 2 * f(n)) for f in (np.fft.fftfreq, np.fft.rfftfreq)))
    sharp = torch.from_numpy(np.fft.irfft2(np.fft.rfft2(x) / window, s=(n, n)))
    power = power_spectrum(sharp, bins)[:, 0].mean(dim=0).numpy()
    ells = np.hypot(*wave_numbers(bins.shape, bins.voxel_mpc)).ravel()
    waves = bins.weight.numpy() * convergence_power(theta[None], ells, redshift)[0]
    return power / (np.bincount(bins.index.numpy(), waves)[: len(power)] / bins.modes)


def rows_by_bin(settings: dict, ratio: np.ndarray, edges: np.ndarray) -> list[dict]:
    """One row per bin of ratios (pairs, bins): their mean and their scatter from pair to pair."""
    spread = ratio.std(axis=0, ddof=1) if len(ratio) > 1 else np.full(ratio.shape[1], np.nan)
    rows = zip(edges[:-1], edges[1:], ratio.mean(axis=0), spread, strict=True)
    return [settings | {"low": a, "high": b, "over_hmcode": c, "scatter": d} for a, b, c, d in rows]


def study_spectrum(paths: list[str]) -> list[dict]:
    """Rows of `spectrum` of a study's shards, each one pair of boxes: of all, and of each quarter of the prior."""
    ratio, theta, edges = [], [], ELLS[1:]
    for path in paths:
        shard = read_shards([path])
        arcmin, redshift = shard.header.geometry["pixel_arcmin"], shard.header.simulation["source_redshift"]
        theta.append(shard.theta[0])
        ratio.append(over_hmcode(shard.x[:, 0], arcmin, theta[-1], redshift, edges))
    limits = np.array([shard.header.simulation[name] for name in PARAMETERS])
    many, high = (np.array(theta) > limits.mean(axis=1)).T
    groups = {"all": np.full(len(paths), True)}
    for i, matter in enumerate(("low", "high")):
        for j, sigma in enumerate(("low", "high")):
            groups[f"{matter} omega_m and {sigma} sigma8"] = (many == i) & (high == j)
    rows = []
    for name, mine in groups.items():
        rows += rows_by_bin({"cosmologies": name, "pairs": int(mine.sum())}, np.array(ratio)[mine], edges)
    return rows


def fisher_areas(counts: list[int]) -> list[dict]:
    """One row per statistic and number of maps: area by the Fisher matrix over the bound, also with Hartlap's factor."""
    torch.set_num_threads(1)
    summaries, rng = Summaries(SQUARE.pixels, (0.0, 1.0, 2.0), 12, True), generator(1, "maps of the Fisher matrices")
    draw = {"middle": THETA}
    for i, name in enumerate(("omega_m", "sigma8")):
        for sign in (1, -1):
            draw[f"{name}{sign}"] = THETA * (1 + sign * STEP * np.eye(2)[i])
    phases = rng.integers(2**62)  # the same waves at each of them: derivatives of few maps
    seen = {}
    for name, theta in draw.items():
        maps = draw_maps(np.tile(theta, (max(counts), 1)), SQUARE, np.random.default_rng(phases))
        x = torch.from_numpy(maps)[:, None]
        if name == "middle":
            summaries.measure(x)
        seen[name] = summaries(x).double().numpy()
    bound = np.pi * DELTA / np.sqrt(np.linalg.det(fisher(THETA, SQUARE)))
    kinds = summaries.names
    chosen = {name: np.r_[part] for name, part in kinds.items()}
    chosen["power + peaks + Minkowski"] = np.concatenate([chosen[k] for k in ("power", "peaks", "minkowski")])
    rows = []
    for name, columns in chosen.items():
        varied = seen["middle"][: min(counts), columns].std(axis=0) > 1e-6  # in few maps some counts are all zero
        columns = columns[varied]
        for count in counts:
            part = {key: values[:count, columns] for key, values in seen.items()}
            steps = 2 * STEP * THETA
            slopes = [(part[f"{p}1"] - part[f"{p}-1"]).mean(axis=0) for p in ("omega_m", "sigma8")]
            slopes = np.array(slopes) / steps[:, None]
            row = {"statistic": name, "numbers": len(columns), "maps": count}
            if count > len(columns) + 2:
                inverse = np.linalg.pinv(np.cov(part["middle"].T), hermitian=True)
                debias = (count - len(columns) - 2) / (count - 1)
                for key, factor in (("plain", 1.0), ("hartlap", debias)):
                    area = np.pi * DELTA / np.sqrt(np.linalg.det(factor * slopes @ inverse @ slopes.T))
                    row[f"area_over_bound_{key}"] = area / bound
            rows.append(row)
    return rows


def shares(paths: list[str]) -> list[dict]:
    """One row per run and method: shares of attribution by κ, in σ of the map; of each run also those of its pixels."""
    rows = []
    for path in paths:
        result = read_saliency(path)
        classes = result.classes["kappa"]
        names = [f"share_{name.replace(' ', '_')}" for name in classes["axis"]["names"]]
        found = {"pixels": (classes["pixels"], "")}
        for (_, method), one in result.pictures.items():
            found[method] = (one.tables["class_kappa"], "; ".join(one.faults) or "passes")
        for method, (share, verdict) in found.items():
            settings = {"run": result.name, "method": method}
            numbers = {"negative": share[:NEGATIVE].sum(), "above_3_sigma": share[PEAKS:].sum()}
            rows.append(settings | numbers | dict(zip(names, share, strict=True)) | {"verdict": verdict})
    return rows


def seeds(first: list[Intervals], second: list[Intervals], grid: Sequence[np.ndarray]) -> list[dict]:
    """One row: areas of the first posterior over the second's, each the mean over its trainings, all of the same maps.

    Two errors: of the universes, by resampling them (areas.with_error), and of the trainings, by their scatter.
    """
    truth, rng, row = first[0].truth, generator(1, "seeds"), {}
    if not all(np.array_equal(one.truth, truth) for one in first + second):
        raise problem("seeds", "posteriors of other maps", "all of one test", "name the files of one test")
    for one in first + second:
        mean, spread = moments(one.extra[DENSITY], grid)
        away = np.median(np.abs(np.mean(one.samples, axis=1, dtype=np.float64) - mean) / spread)
        if away > ASTRAY:  # some are cut off at the prior's ends, half of them are not
            found = f"densities on this grid {away:.2g} σ from their own draws"
            raise problem("--prior", found, "the limits of the study's prior", "give those of the config")
    told = []
    for name, trainings in (("first", first), ("second", second)):
        joint = np.stack([joint_ranks(np.asarray(one.samples, np.float64), truth) for one in trainings])
        covered, error = with_error((joint >= 1 - 0.68).mean(axis=0), truth, rng)
        row |= {f"{name}_trainings": len(trainings), f"{name}_covered_68": covered, f"{name}_covered_error": error}
        mass = [one.extra[DENSITY] for one in trainings]
        sizes = [np.log(areas(one, grid)) for one in mass], [-scores(one, truth, grid) for one in mass]
        told.append([np.stack(size) for size in sizes])
    for key, one, other in zip(("area", "area_by_score"), *told, strict=True):
        mean, error = with_error(one.mean(axis=0) - other.mean(axis=0), truth, rng)
        scatter = np.sqrt(sum(x.mean(axis=1).var(ddof=1) / len(x) for x in (one, other)))
        row |= {key: np.exp(mean), f"{key}_error": np.exp(mean) * error, f"{key}_seed_error": np.exp(mean) * scatter}
    return [row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("spectrum", "study", "fisher", "shares", "seeds"))
    parser.add_argument("--pairs", type=int, default=4, help="of boxes (spectrum; default 4)")
    parser.add_argument("--maps", type=int, default=40, help="per pair (spectrum; default 40)")
    parser.add_argument("--side", type=float, default=170, help="of a box, Mpc (spectrum; default 170)")
    parser.add_argument("--times", type=int, default=13, help="at which planes are kept (spectrum; default 13)")
    parser.add_argument("--particles", type=int, default=128, help="along each side (spectrum; default 128)")
    parser.add_argument("--theta", type=float, nargs=2, default=THETA, help="Ωm and σ8 (spectrum; default 0.3 0.8)")
    parser.add_argument("--blurred", action="store_true", help="without sharpening (spectrum)")
    parser.add_argument("--counts", type=int, nargs="+", default=[200, 400, 1000, 4000], help="of maps (fisher)")
    parser.add_argument("--saliency", nargs="+", metavar="S.h5", help="files of saliency (shares)")
    parser.add_argument("--shards", nargs="+", metavar="S.h5", help="of ray-traced maps (study)")
    parser.add_argument("--first", nargs="+", metavar="P.h5", help="intervals of one posterior's trainings (seeds)")
    parser.add_argument("--second", nargs="+", metavar="P.h5", help="of the other's (seeds)")
    parser.add_argument("--prior", type=float, nargs=4, default=[0.2, 0.45, 0.6, 1], help="limits of Ωm, σ8 (seeds)")
    parser.add_argument("--output", required=True, help="CSV to write")
    args = parser.parse_args()
    if args.what == "fisher":
        rows = fisher_areas(args.counts)
    elif args.what == "shares":
        if not args.saliency:
            parser.error("shares needs --saliency")
        rows = shares(args.saliency)
    elif args.what == "seeds":
        if not (args.first and args.second):
            parser.error("seeds needs --first and --second")
        grid = [np.linspace(*pair, n) for pair, n in zip(np.reshape(args.prior, (2, 2)), GRID, strict=True)]
        rows = seeds(*([read_intervals(path) for path in paths] for paths in (args.first, args.second)), grid)
    elif args.what == "study":
        if not args.shards:
            parser.error("study needs --shards")
        rows = study_spectrum(args.shards)
    else:
        boxes = Boxes(side_mpc=args.side, particles=args.particles, mesh=2 * args.particles, times=args.times)
        boxes = boxes.model_copy(update={"sharpen": not args.blurred})
        rows = spectrum(args.pairs, args.maps, boxes, np.array(args.theta))
    write_csv(args.output, rows, 4)


if __name__ == "__main__":
    main()
