"""The stage that audits a trained network."""

from collections.abc import Sequence
from pathlib import Path

import torch

from limelight.ancestry import check_data, check_made_from
from limelight.data.shard import read_shards
from limelight.errors import problem
from limelight.evaluation import audit as audits
from limelight.evaluation.audit_file import write_audit, write_table
from limelight.files import provenance
from limelight.probe import load_probe
from limelight.study.sections import Study
from limelight.study.selection import control_name
from limelight.study.settings import audit_settings, network_settings
from limelight.training.checkpoint import load_model


def audit(
    study: Study,
    network: str | Path,
    data: Sequence[str | Path],
    control: str | Path | None = None,
    output: str | Path | None = None,
    device: str = "cpu",
) -> audits.Audit:
    """Try whether a trained network reads its data or repeats what it remembers (docs/audit.md).

    Parameters
    ----------
    study
        Of `load_study`.
    network
        model.pt of `train`.
    data
        Shards of the test realisations, of every dataset that the audit looks at.
    control
        model.pt of the same recipe trained on permuted labels.
    output
        Audit file to write, with the verdicts as CSV beside it; by default none.
    device
        cpu or cuda.

    Returns
    -------
    Audit: verdict (k,) of each output, and columns (k,) that it rests on.
    `limelight.evaluation.verdicts.in_words` puts it into one line.

    Raises LimelightError for files of another study, or data that are missing.
    """
    module, info = load_model(network, device)
    name = info["network"]
    if name not in study.networks:
        raise problem(network, f"network '{name}'", f"one of {', '.join(study.networks)}", "choose one")
    beside = load_model(control, device) if control else None
    settings, probe = audit_settings(study, name), load_probe(study.probe)
    check_made_from(network, info["provenance"], settings.evaluation.trained)
    if beside:
        check_made_from(control, beside[1]["provenance"], network_settings(study, control_name(name)))
    torch.set_num_threads(settings.evaluation.trained.threads)
    files: dict[str, list[str | Path]] = {dataset: [] for dataset in settings.datasets}
    for path, dataset in zip(data, check_data(data, settings.datasets), strict=True):
        files[dataset].append(path)
    missing = [dataset for dataset in settings.audited_on if not files[dataset]]
    if missing:
        raise problem("--data", f"none of {', '.join(missing)}", "the datasets that the verdict is from", "add them")
    datasets = {dataset: read_shards(paths) for dataset, paths in files.items() if paths}
    result = audits.audit(module, info, settings, probe, datasets, beside, device)
    if output is not None:
        write_audit(output, result, provenance(settings, study.seed))
        write_table(Path(output).with_suffix(".csv"), result)
    return result
