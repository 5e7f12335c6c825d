"""Which code a stage runs beyond what its script names: the study's choices by name, and the probe's hooks.

limelight.codehash hashes these dotted strings together with the script, so that an edit of the chosen architecture or of the
probe's presentation retrains a network, and an edit of another architecture or of the probe's figures does not.
"""

from collections.abc import Iterable

from limelight.codehash import code_hash
from limelight.networks import REGISTRY
from limelight.probe import load_probe
from limelight.study.sections import Study
from limelight.study.selection import trained_networks

# What the engine calls of a probe (limelight.probe.Probe), stage by stage; each stage runs those of the stages before it.
DATA = ("header",)
TRAINING = (*DATA, "target", "input_shape", "presentation", "adversary")
ESTIMATES = (*DATA, "scales", "image_rows", "recorder", "estimators")
EVALUATION = (*TRAINING, "scales", "image_rows", "metrics", "describe_test", "pictures")
AUDIT = (*TRAINING, "scales", "describe_test", "interventions", "invariances", "noise_levels", "mean_truth")
SALIENCY = (*TRAINING, "describe_test", "interventions", "pixel_classes", "exact_saliency", "back_to_data")
POSTERIOR = (*TRAINING, "posterior_target", "network", "fisher_rows", "most_information", "limits", "complete_from")
STREAM = (*TRAINING, "fresh_rows")
INTERVALS = (*POSTERIOR, "describe_test", "simulator", "grid")
EXACT = (*DATA, "recorder", "exact_posterior", "grid")


def stage_code(
    study: Study, *hooks: str, networks: Iterable[str] = (), datasets: Iterable[str] = ()
) -> tuple[str, ...]:
    """Dotted strings for codehash.code_hash(…, chosen=…).

    Parameters
    ----------
    hooks
        Methods of the probe that the stage calls.
    networks
        Networks whose architectures it builds.
    datasets
        Datasets that it simulates itself, or whose simulation its settings cannot tell.
    """
    probe, known = load_probe(study.probe), trained_networks(study)
    architectures = dict.fromkeys(REGISTRY.dotted(known[name].architecture) for name in networks)
    simulated = dict.fromkeys(dotted for name in datasets for dotted in probe.dataset_code(study, name))
    return (*architectures, *probe.code(*hooks), *simulated)


def network_code(study: Study, name: str) -> str:
    """The hash of the code that trains a network: its rule reruns it, and its checkpoints belong to it."""
    entry = trained_networks(study)[name]
    hooks, simulated = (STREAM, entry.datasets) if entry.training.fresh_draws else (TRAINING, ())
    if entry.training.loss == "gaussian":
        hooks = (*hooks, "scales")  # in which its errors are calibrated
    return code_hash("scripts/train_network.py", chosen=stage_code(study, *hooks, networks=[name], datasets=simulated))
