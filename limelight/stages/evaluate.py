"""The stage that runs a trained network over the data of a test."""

from collections.abc import Sequence
from pathlib import Path

import torch

from limelight.ancestry import check_data, check_file, check_history, check_made_from
from limelight.data.shard import read_shards
from limelight.errors import problem
from limelight.evaluation import predict
from limelight.evaluation.estimates import read_estimates
from limelight.evaluation.evaluation_file import Evaluation, read_history, write_evaluation
from limelight.files import provenance
from limelight.probe import load_probe
from limelight.study.sections import Study
from limelight.study.settings import estimates_settings, evaluation_settings
from limelight.training.checkpoint import load_model


def evaluate(
    study: Study,
    test: str,
    network: str | Path,
    history: str | Path,
    data: Sequence[str | Path],
    output: str | Path | None = None,
    estimates: str | Path | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Run a trained network over all rows of a test, and judge its answers.

    Parameters
    ----------
    study
        Of `load_study`.
    test
        Its name in the config; it says how data are observed. The noise of each row is fixed by the study's seed.
    network, history
        model.pt and history.csv of `train`.
    data
        Shards of the test's realisations.
    output
        Evaluation file to write; by default none.
    estimates
        File of what estimators made of the same test, to stand beside the network.
    device
        cpu or cuda.

    Returns
    -------
    Evaluation: predicted and truth (m, *shape), statistics of each output, totals over all.

    Raises LimelightError for files of another study, or data that training saw.
    """
    if test not in study.tests:
        raise problem("test", f"'{test}'", f"one of {', '.join(study.tests)}", "choose one")
    module, info = load_model(network, device)
    if info["network"] not in study.networks:
        raise problem(network, f"network '{info['network']}'", f"one of {', '.join(study.networks)}", "choose one")
    settings, probe = evaluation_settings(study, info["network"], test), load_probe(study.probe)
    check_made_from(network, info["provenance"], settings.trained)
    check_data(data, {settings.entry.dataset: settings.dataset})
    if estimates:
        check_file(estimates, estimates_settings(study, test))
    torch.set_num_threads(settings.trained.threads)
    columns, others = read_history(history), read_estimates(estimates) if estimates else None
    check_history(history, columns, info["training"])
    result = predict.evaluate(module, info, settings, probe, read_shards(data), columns, device, others)
    if output is not None:
        write_evaluation(output, result, provenance(settings, study.seed))
    return result
