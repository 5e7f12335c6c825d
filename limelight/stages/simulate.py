"""The stage that simulates data: one realisation of a dataset, as networks learn from it."""

from numbers import Integral
from pathlib import Path

from limelight.data.shard import Rows, write_shard
from limelight.errors import problem
from limelight.files import provenance
from limelight.probe import load_probe
from limelight.section import plain
from limelight.study.sections import Study


def simulate(study: Study, dataset: str, realisation: int, output: str | Path | None = None) -> Rows:
    """Simulate one realisation of a dataset.

    The same study and number give the same rows as the workflow. Line maps are made in memory, from the light-cone to the
    pooled maps; the workflow makes them by files, stage by stage.

    Parameters
    ----------
    study
        Of `load_study`.
    dataset
        Its name in the config.
    realisation
        Which one, from 0 up; for line maps the light-cone's number. It is part of the seed.
    output
        Shard to write (docs/data_format.md); by default none.

    Returns
    -------
    Rows: x (n, channels, *axes) float32 in header.unit, with the truths of each row.

    Raises LimelightError for an unknown dataset, or settings that cannot be simulated.
    """
    if dataset not in study.datasets:
        raise problem("dataset", f"'{dataset}'", f"one of {', '.join(study.datasets)}", "choose one")
    if not (isinstance(realisation, Integral) and realisation >= 0):  # a seed would cut 0.5 to 0
        raise problem("realisation", repr(realisation), "a whole number from 0 up", "choose another")
    probe = load_probe(study.probe)
    settings = probe.dataset_settings(study, dataset)
    found = probe.simulate(settings, dataset, realisation)
    if output is not None:
        write_shard(output, found, provenance(settings, study.seed), plain(probe.made_from(settings)))
    return found
