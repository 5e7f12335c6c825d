"""The MCMC of docs/rival.md on the very maps, noise included, that heads on a stream are tested on.

example: python -m benchmarks.streamed_rival --config config/streamed.yaml --results results/streamed

Every test simulation of a stream is painted again from its random stream and shown to the network of a noise level, as
when the stream was made; of what that network is shown, the rival measures P(k) and voxel intensities. So it sees the same
voxels as the heads. It takes `rival.NAME.maps` of each test. Its emulator stands on the first light-cones of training.
Chains are kept below <results>/chains and resumed; each test and noise is one intervals file below <results>/rival.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.streamed import Judge
from benchmarks.streamed_heads import SAMPLED
from limelight.ancestry import check_file
from limelight.errors import plain_errors, problem
from limelight.files import provenance, settings_hash
from limelight.halos.subfields import read_subfields
from limelight.inference.intervals import Intervals, evenly, quantiles_of, write_intervals
from limelight.inference.posteriors.stream import inputs_of, watchers
from limelight.probes.line_intensity.labels import quantity
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.rival.emulator import Emulator, read_emulator, write_emulator
from limelight.probes.line_intensity.rival.rival import (
    LIKELIHOOD,
    Rival,
    luminosity_functions,
    make_rival,
    sample_posterior,
)
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.probes.line_intensity.rival.stage import emulator_stage, rival_measure, rival_sigma
from limelight.probes.line_intensity.settings import emulator_settings
from limelight.probes.line_intensity.targets import line_axis
from limelight.progress import progress
from limelight.seeds import generator
from limelight.study.settings import stream_settings
from limelight.training.checkpoint import load_model
from limelight.training.presentation import on_device

EMULATED = 8  # light-cones of training that the emulator stands on


def emulator_of(judge: Judge, name: str) -> Emulator:
    """The rival's emulator; kept in a file."""
    settings, path = emulator_settings(judge.study, name), judge.results / "rival" / "emulator.h5"
    if path.is_file():
        check_file(path, settings)
    else:
        cones = judge.study.splits["train"][:EMULATED]
        emulator = emulator_stage(settings, [judge.results / "subfields" / f"{n}.h5" for n in cones])
        path.parent.mkdir(exist_ok=True)
        write_emulator(path, emulator, provenance(settings, judge.study.seed))
    return read_emulator(path)


def rival_under(judge: Judge, name: str, noise: str) -> Rival:
    """The rival under one noise of the study."""
    settings, options = emulator_settings(judge.study, name), judge.study.rival[name]
    dataset, emulator = settings.dataset, emulator_of(judge, name)
    shape = get_shape(dataset.model)
    sigma = rival_sigma(judge.study.observation.noise[noise], settings)
    first = judge.results / "subfields" / f"{judge.study.splits['test'][0]}.h5"
    measure = rival_measure(settings, read_subfields(first).cosmology)
    model = get_model(dataset.model, dataset.parameters)
    return make_rival(emulator, model, shape, dataset, options, measure, noise, sigma)


def shown_maps(judge: Judge, stream: str, network: str, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """(row of the test, noisy map in mean µK (x, y, f) float32) of `count` of a stream's test simulations, evenly spread.

    Refuses simulations that are not, truth for truth, those of the stream's files.
    """
    settings, known = stream_settings(judge.study, stream), judge.part(stream, network, "test")
    trunks = {
        other: load_model(judge.results / "networks" / other / "model.pt")
        for other in judge.study.streams[stream].networks
    }
    one = next(w for w in watchers(settings, judge.probe, trunks) if w.settings.name == network)
    (dataset, made), chosen, row = settings.dataset, set(evenly(len(known), count).tolist()), 0
    grid = made.grid
    block = grid.pool_pixels**2 * grid.pool_channels  # the stream's maps are sums of so many voxels
    for cone in judge.study.splits["test"]:
        shown = 0
        for batch in judge.probe.fresh_rows(
            made, dataset, cone, 0, settings.draws, [judge.results / "subfields" / f"{cone}.h5"]
        ):
            if (batch.y["n_above"] != known.y["n_above"][row : row + len(batch)]).any():
                raise problem(
                    f"stream {stream}, light-cone {cone}", "other simulations", "those of its files", "make them again"
                )
            data = on_device(batch, [dataset], torch.device("cpu"))
            for i in range(len(batch)):
                if row + i in chosen:
                    yield row + i, inputs_of(settings, one, data, i, (cone, 0, shown + i))[0, 0].numpy() / block
            row, shown = row + len(batch), shown + len(batch)


def posteriors(judge: Judge, name: str, test: str, network: str) -> Intervals:
    """The rival's posterior of the chosen maps of one test, as one network is shown them."""
    options, noise = judge.study.rival[name], judge.study.networks[network].noise[0]
    stream = judge.tests(network)[test]
    rival, known, found = rival_under(judge, name, noise), judge.part(stream, network, "test"), []
    key = settings_hash(
        [stream_settings(judge.study, stream), options, noise, float(rival.emulator.outputs.sum()), LIKELIHOOD]
    )
    for row, cube in progress(shown_maps(judge, stream, network, options.maps), f"{test}, {noise}", options.maps):
        index = tuple(int(known.rows[part][row]) for part in ("group", "subfield", "draw"))
        start = time.process_time()
        data = rival.measure(torch.from_numpy(cube)[None])[0]
        samples, checks = sample_posterior(
            rival, data, options, judge.results / "chains" / key, key, judge.study.seed, *index
        )
        volume = float(known.y["volume_mpc3"][row])
        rng = generator(judge.study.seed, "rival luminosity functions", *index)
        counts, _ = luminosity_functions(rival, samples, judge.edges, volume, rng)
        truth = quantity(known.y["n_above"][row][: len(judge.edges)], judge.edges, volume, "dn")
        found.append((row, truth, counts, checks["rhat"], checks["ess"], time.process_time() - start))
    rows, truth, counts, rhat, ess, seconds = (np.array(values) for values in zip(*found, strict=True))
    return Intervals(
        method=f"rival {name}: P(k) + VID",
        test=test,
        settings={"line_model": {"name": test}, "noise": noise},
        axis=line_axis(judge.edges),
        truth=truth,
        quantiles=quantiles_of(counts),
        rows={part: known.rows[part][rows] for part in ("group", "subfield", "draw")},
        seconds=seconds,
        samples=counts,
        extra={"rhat": rhat, "ess": ess},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results")
    parser.add_argument("--rival", default="li", help="a name in its rival")
    parser.add_argument("--first", type=int, default=len(SAMPLED), metavar="N", help="of streamed_heads.SAMPLED")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(args.config, args.results)
    for network, test in SAMPLED[: args.first]:
        path = judge.rival_path(test, network)
        if not path.is_file():
            result = posteriors(judge, args.rival, test, network)
            write_intervals(path, result, provenance(judge.study.rival[args.rival], judge.study.seed))
            worst = f"R-hat up to {result.extra['rhat'].max():.3f}, ESS from {result.extra['ess'].min():.0f}"
            print(f"{path}: {len(result.truth)} maps, {np.median(result.seconds):.2f} s each; {worst}", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
