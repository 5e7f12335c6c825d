"""Checks of the runs of `saliency` that span keys: tests that a network takes, answers that it has."""

from collections.abc import Iterator

from limelight.data.answers import answer_weights
from limelight.errors import LimelightError
from limelight.probe import load_probe
from limelight.study.faults import fault
from limelight.study.sections import Study
from limelight.study.selection import header_of, suitable_tests


def check_saliency(study: Study) -> Iterator[str]:
    """One line for each fault."""
    probe = load_probe(study.probe)
    for name, run in study.saliency.items():
        where, network = f"saliency.{name}", study.networks[run.network]
        takes = suitable_tests(study, run.network)
        if run.test and run.test not in takes:
            yield fault(f"{where}.test", f"'{run.test}'", f"one of {', '.join(takes)}, its network's", "mend it")
        if run.control and network.training.permute_labels:
            found = f"true for {run.network}, which is trained on permuted labels itself"
            yield fault(f"{where}.control", found, "a network on true labels", "leave it out")
        target = probe.target(network, header_of(study, network.datasets[0]))
        for answer, entry in run.answers.items():
            try:
                answer_weights(entry, target.shape, target.axis, f"{where}.answers.{answer}")
            except LimelightError as error:
                yield str(error)
