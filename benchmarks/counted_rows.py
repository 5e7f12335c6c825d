"""Answers of two methods on simulations of a stream, as intervals: the Fisher forecast of the rival's summaries, and ABC.

example: python -m benchmarks.counted_rows --config config/counted.yaml --results results/counted

runs the ABC alone, which takes longest. It is kept below <results>/abc, map by map, and goes on where it was stopped.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.streamed import Judge
from benchmarks.streamed_rival import rival_under
from limelight.codehash import code_hash
from limelight.errors import plain_errors
from limelight.files import provenance
from limelight.inference.intervals import Intervals, evenly, quantiles_of, read_intervals, write_intervals
from limelight.inference.posteriors.learn import train_posterior
from limelight.inference.posteriors.posterior import Posterior, load_posterior
from limelight.inference.posteriors.smc import CHECKS, smc_sampler
from limelight.inference.posteriors.stream import Part
from limelight.probes.line_intensity.money import ROWS, maps_of, without_draws
from limelight.probes.line_intensity.rival.forecast import forecast_draws
from limelight.probes.line_intensity.rival.rival import luminosity_functions
from limelight.probes.line_intensity.targets import line_axis
from limelight.progress import progress
from limelight.seeds import generator
from limelight.study.settings import intervals_settings, posterior_settings
from limelight.training.checkpoint import load_model, save_model

CODE = code_hash("benchmarks/counted_rows.py")  # in the names of what is kept


def intervals_of(judge: Judge, method: str, test: str, part: Part, rows: np.ndarray, counts: np.ndarray) -> Intervals:
    """Draws of counts (m, s, bins) of some rows of a test as intervals."""
    truth = -np.diff(part.y["n_above"][rows, : len(judge.edges)], axis=1)
    return Intervals(
        method=method,
        test=test,
        settings={"line_model": {"name": test}},
        axis=line_axis(judge.edges),
        truth=truth,
        quantiles=quantiles_of(counts),
        rows={name: part.rows[name][rows] for name in ROWS},
        seconds=np.zeros(len(rows)),
        samples=counts,
    )


def forecast_intervals(judge: Judge, name: str, test: str, network: str, rival: Intervals) -> Intervals:
    """What Fisher's information promises a rival of each map that it has sampled, under the noise of a network; kept."""
    path = judge.rival_path(test, network)
    path = path.with_name(f"forecast_{path.name}")
    if path.is_file():
        return without_draws(read_intervals(path))
    under = rival_under(judge, name, judge.study.networks[network].noise[0])
    part = judge.part(judge.tests(network)[test], network, "test")
    sampled = maps_of(rival)
    places = list(zip(*(part.rows[row].tolist() for row in ROWS), strict=True))
    rows, counts = np.array([i for i, place in enumerate(places) if place in sampled]), []
    for i in progress(rows, "forecast"):
        rng = generator(judge.study.seed, "forecast", *places[i])
        draws = forecast_draws(under, part.theta[i], judge.study.rival[name].samples, rng)
        volume = float(part.y["volume_mpc3"][i])
        counts.append(luminosity_functions(under, draws, judge.edges, volume, rng)[0])
    result = intervals_of(judge, "Fisher forecast: P(k) + VID", test, part, rows, np.array(counts))
    write_intervals(path, result, provenance(judge.study.rival[name], judge.study.seed))
    return without_draws(result)


def compression(judge: Judge, name: str) -> Posterior:
    """The IMNN of the posterior `name`, trained on its stream and on maps of its own; kept in a file."""
    settings, study = posterior_settings(judge.study, name), judge.study
    network, stream = study.posteriors[name].network, study.posteriors[name].stream
    path = judge.results / "abc" / f"{judge.key(stream, ('train', 'validation'), settings, CODE)}.pt"
    if not path.is_file():
        trunk, info = load_model(judge.results / "networks" / network / "model.pt")
        parts = [judge.part(stream, network, split) for split in ("train", "validation")]
        simulations = judge.probe.fisher_rows(settings, subfields(judge))
        content, _ = train_posterior(settings, judge.probe, trunk, info, *parts, simulations)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(path, content, provenance(settings, study.seed), "posterior")
    return load_posterior(path)


def subfields(judge: Judge) -> list[Path]:
    """Of the training light-cones."""
    return [judge.results / "subfields" / f"{n}.h5" for n in judge.study.splits["train"]]


def abc_intervals(judge: Judge, name: str, test: str, make: bool = False) -> Intervals | None:
    """Population Monte Carlo on some maps of a test, evenly spread; None where it has not been run and `make` is false.

    The noise of its simulations is that of the study's test of the same line model and noise.
    """
    network, entry = judge.study.posteriors[name].network, judge.study.posteriors[name]
    (noisy,) = entry.tests or [f"{test}_{judge.study.networks[network].noise[0]}"]
    settings, part = (
        intervals_settings(judge.study, name, noisy),
        judge.part(judge.tests(network)[test], network, "test"),
    )
    folder = judge.results / "abc" / judge.key(judge.tests(network)[test], ("test",), settings, CODE)
    rows = evenly(len(part), entry.smc.maps)
    places = {i: folder / f"{i}.npz" for i in rows.tolist()}
    missing = [i for i, path in places.items() if not path.is_file()]
    if missing and not make:
        return None
    if missing:
        posterior = compression(judge, name)
        header = judge.probe.header(settings.evaluation.dataset)
        evaluation = settings.evaluation
        shown = judge.probe.presentation(evaluation.trained.network, evaluation.observation, header)
        sample = smc_sampler(posterior, settings, judge.probe, shown, subfields(judge))
        folder.mkdir(parents=True, exist_ok=True)
        for i in progress(missing, "abc"):
            seen = posterior.trunk.pick(torch.from_numpy(part.features[network][i : i + 1]))
            start = time.process_time()
            counts, _, checks = sample(seen, *(int(part.rows[row][i]) for row in ROWS))
            np.savez(places[i], counts=counts[0].numpy(), seconds=time.process_time() - start, **checks)
    found = [dict(np.load(places[i])) for i in rows.tolist()]
    result = without_draws(
        intervals_of(judge, "IMNN + SMC ABC", test, part, rows, np.stack([one["counts"] for one in found]))
    )
    seconds = np.array([float(one["seconds"]) for one in found])
    extra = {check: np.array([float(one[check]) for one in found]) for check in CHECKS}
    return replace(result, seconds=seconds, extra=result.extra | extra)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = abc_intervals(Judge(args.config, args.results), "abc", "prior", make=True)
    middle = {name: float(np.median(found.extra[name])) for name in CHECKS}
    print(f"{len(found.truth)} maps, {np.median(found.seconds):.0f} s each; medians: {middle}")


if __name__ == "__main__":
    with plain_errors():
        main()
