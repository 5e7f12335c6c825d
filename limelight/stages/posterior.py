"""The stages of a posterior: training it on a network, and drawing it for every row of a test."""

from collections.abc import Sequence
from pathlib import Path

import torch

from limelight.ancestry import check_data, check_made_from
from limelight.data.shard import Rows, read_shards
from limelight.errors import problem
from limelight.files import provenance
from limelight.inference import posterior_intervals
from limelight.inference.intervals import Intervals, write_intervals
from limelight.inference.posteriors import learn
from limelight.inference.posteriors.posterior import load_posterior
from limelight.inference.posteriors.stream import Part, read_stream
from limelight.probe import load_probe
from limelight.study.sections import Study
from limelight.study.selection import header_of, trained_posterior
from limelight.study.settings import PosteriorSettings, intervals_settings, posterior_settings
from limelight.training.checkpoint import fingerprint_weights, load_model, save_model
from limelight.training.checks import check_shards


def train_posterior(
    study: Study,
    name: str,
    network: str | Path,
    training: Sequence[str | Path],
    validation: Sequence[str | Path],
    output: str | Path,
    simulate_from: Sequence[str | Path] = (),
    device: str = "cpu",
) -> tuple[dict, list[dict]]:
    """Train a posterior of a study on a trained network, and write it.

    Parameters
    ----------
    study
        Of `load_study`.
    name
        Of the posterior, in the config.
    network
        model.pt of `train`.
    training, validation
        Shards that the network learned from, and those that choose the best epoch; of a posterior with a stream its files.
    output
        posterior.pt to write; `load_posterior` reads it.
    simulate_from
        Of kind imnn: what the probe simulates from (for line maps the subfields of the training light-cones).
    device
        cpu or cuda.

    Returns
    -------
    (what its training says of itself, one dict an epoch).

    Raises LimelightError for files of another study, network or split.
    """
    if name not in study.posteriors:
        known = ", ".join(study.posteriors) or "none"
        raise problem("posterior", f"'{name}'", f"one of the config's: {known}", "name one of them")
    settings, probe = posterior_settings(study, name), load_probe(study.probe)
    if simulate_from and settings.entry.kind != "imnn":
        expected = f"none: a posterior of kind {settings.entry.kind} simulates nothing"
        raise problem("--simulate-from", f"{len(simulate_from)} files", expected, "leave them out")
    torch.set_num_threads(settings.network.threads)
    trunk, info = load_model(network, device)
    if info["network"] != settings.network.name:
        found, fix = f"network '{info['network']}'", "give the right model.pt"
        raise problem(network, found, f"'{settings.network.name}', on which posterior {name} stands", fix)
    check_made_from(network, info["provenance"], settings.network)
    rows, others = _learned_from(study, settings, trunk, training, validation)
    simulations = probe.fisher_rows(settings, simulate_from) if settings.entry.kind == "imnn" else None
    content, history = learn.train_posterior(settings, probe, trunk, info, rows, others, simulations)
    save_model(output, content, provenance(settings, study.seed), "posterior")
    return content["training"], history


def _learned_from(
    study: Study,
    settings: PosteriorSettings,
    trunk: torch.nn.Module,
    training: Sequence[str | Path],
    validation: Sequence[str | Path],
) -> tuple[Rows | Part, Rows | Part]:
    """What a posterior learns from and is chosen by: shards, or what its network saw of its stream."""
    network = settings.network
    if settings.stream is not None:
        weights = fingerprint_weights(trunk.state_dict())
        stream = settings.stream, network.name, weights
        return read_stream(training, *stream, network.splits["train"]), read_stream(
            validation, *stream, network.splits["validation"]
        )
    rows, others = read_shards(training), read_shards(validation)
    expected = header_of(study, network.network.datasets[0])
    check_shards("--train", rows, expected, network.splits["train"])
    check_shards("--validation", others, expected, network.splits["validation"])
    check_data([*training, *validation], network.datasets)
    return rows, others


def draw_posterior(
    study: Study,
    test: str,
    posterior: str | Path,
    data: Sequence[str | Path],
    output: str | Path | None = None,
    name: str = "",
    timed: bool = False,
    simulate_from: Sequence[str | Path] = (),
    device: str = "cpu",
) -> Intervals:
    """Draw a posterior for every row of a test, under the noise that the network is evaluated with.

    Parameters
    ----------
    study
        Of `load_study`.
    test
        Its name in the config.
    posterior
        posterior.pt of `train_posterior`.
    data
        Shards of the test's realisations.
    output
        Intervals file to write; by default none.
    name
        Of the posterior, in the config; by default the file's own. Another may share its training.
    timed
        Keep the seconds that each row took.
    simulate_from
        With abc: smc, what the probe simulates from.
    device
        cpu or cuda.

    Returns
    -------
    Intervals: truth (m, k) and quantiles (m, k, 5) of every row, at 2.5, 16, 50, 84 and 97.5 %.

    Raises LimelightError for files of another study, or data that training saw.
    """
    if test not in study.tests:
        raise problem("test", f"'{test}'", f"one of {', '.join(study.tests)}", "choose one")
    loaded, probe = load_posterior(posterior, device), load_probe(study.probe)
    asked = name or loaded.content["posterior"]
    if asked not in study.posteriors:
        known = ", ".join(study.posteriors) or "none"
        raise problem(
            "posterior" if name else posterior, f"posterior '{asked}'", f"one of the config's: {known}", "choose one"
        )
    trained = trained_posterior(study, asked)
    if loaded.content["posterior"] != trained:
        found, expected = f"posterior '{loaded.content['posterior']}'", f"'{trained}', from which {asked} draws"
        raise problem(posterior, found, expected, "give that one's posterior.pt")
    if study.posteriors[asked].abc == "smc" and probe.simulation_files(study, "results") and not simulate_from:
        expected = "what the probe simulates from (subfields of the training light-cones), for abc: smc"
        raise problem("--simulate-from", "nothing", expected, "give it")
    if study.posteriors[asked].abc != "smc" and simulate_from:
        expected = "none: only abc: smc simulates"
        raise problem("--simulate-from", f"{len(simulate_from)} files", expected, "leave them out")
    settings = intervals_settings(study, asked, test)
    check_made_from(posterior, loaded.content["provenance"], settings.posterior)
    check_data(data, {settings.evaluation.entry.dataset: settings.evaluation.dataset})
    torch.set_num_threads(settings.evaluation.trained.threads)
    result = posterior_intervals.posterior_intervals(loaded, settings, probe, read_shards(data), timed, simulate_from)
    if output is not None:
        write_intervals(output, result, provenance(settings, study.seed))
    return result
