"""What decides the output of each of the engine's stages, as typed settings.

Snakemake reruns a stage when its settings change, and their hash is written into the stage's files. Each stage's settings
hold those of the stages before it, so that one hash identifies a file's whole ancestry. What cannot change an output
(captions, the list of tests) is not in them: such keys of the sections are None here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from limelight.probe import load_probe
from limelight.section import without
from limelight.study.posteriors import Posterior, Smc
from limelight.study.saliency import SaliencyRun
from limelight.study.sections import Audit, Network, NetworkTest, Study
from limelight.study.selection import (
    audit_datasets,
    audit_test,
    control_name,
    saliency_test,
    stream_dataset,
    trained_networks,
    trained_posterior,
)

POSTERIOR_KINDS = ("mdn", "npe", "quantiles", "imnn")


@dataclass(frozen=True)
class NetworkSettings:
    """What decides a trained network."""

    seed: int
    name: str
    network: Network
    splits: dict[str, list[int]]  # train, validation
    datasets: dict[str, object]  # the probe's settings of each dataset that the network learns from
    observation: object  # the probe's: how they are observed
    threads: int
    start: NetworkSettings | None  # of the network whose weights it begins with


@dataclass(frozen=True)
class EvaluationSettings:
    """What decides a network's predictions for a test."""

    trained: NetworkSettings
    test: str
    entry: NetworkTest
    dataset: object  # the probe's settings of the test's dataset
    splits: dict[str, list[int]]  # train, validation, test
    observation: object  # the probe's: how the test is observed
    shown: tuple[int, ...]  # rows that figures show one by one


@dataclass(frozen=True)
class EstimatesSettings:
    """What decides what estimators make of a test."""

    seed: int
    test: str
    entry: NetworkTest
    dataset: object  # the probe's settings of the test's dataset
    splits: dict[str, list[int]]  # test
    observation: object  # the probe's: how the test is observed


@dataclass(frozen=True)
class AuditSettings:
    """What decides an audit."""

    evaluation: EvaluationSettings  # of the test whose observation its data are shown with
    options: Audit
    audited_on: list[str]  # datasets that the verdict is from
    datasets: dict[str, object]  # the probe's settings of every dataset that it looks at


@dataclass(frozen=True)
class SaliencySettings:
    """What decides what a network is said to look at."""

    evaluation: EvaluationSettings  # of the test whose rows it is shown
    name: str
    options: SaliencyRun
    audit: AuditSettings | None  # whose interventions the gradient is held against
    control: NetworkSettings | None  # the recipe trained on permuted labels


@dataclass(frozen=True)
class StreamSettings:
    """What decides every file of a stream, beside its realisation and number."""

    seed: int
    name: str
    draws: int
    networks: dict[str, NetworkSettings]
    dataset: tuple[str, object]  # its name, and the probe's settings of it
    empty_share: float | None = None
    superposed_share: float | None = None


@dataclass(frozen=True)
class PosteriorSettings:
    """What decides a trained posterior."""

    network: NetworkSettings
    name: str
    entry: Posterior  # with the options of its own kind alone
    stream: StreamSettings | None = None  # that it learns from
    files: tuple[int, int] | None = None  # of the stream, of each training and each validation realisation


@dataclass(frozen=True)
class IntervalsSettings:
    """What decides a posterior's intervals for a test."""

    posterior: PosteriorSettings  # the one that was trained
    evaluation: EvaluationSettings  # without rows that figures show
    name: str  # of the posterior that is drawn; another than the trained one where it takes that one's compression
    samples: int
    smc: Smc | None


def network_settings(study: Study, name: str) -> NetworkSettings:
    """Of a network to train, controls included."""
    probe, entry = load_probe(study.probe), trained_networks(study)[name]
    return NetworkSettings(
        seed=study.seed,
        name=name,
        network=without(entry, "tests"),
        splits={split: study.splits[split] for split in ("train", "validation")},
        datasets={dataset: probe.dataset_settings(study, dataset) for dataset in entry.datasets},
        observation=probe.observation_settings(study, entry),
        threads=study.resources.training_threads,
        start=network_settings(study, entry.initialise_from) if entry.initialise_from else None,
    )


def evaluation_settings(study: Study, network: str, test: str) -> EvaluationSettings:
    """Of a network on a test."""
    probe, entry = load_probe(study.probe), study.tests[test]
    return EvaluationSettings(
        trained=network_settings(study, network),
        test=test,
        entry=entry,
        dataset=probe.dataset_settings(study, entry.dataset),
        splits=study.splits,
        observation=probe.observation_settings(study, entry),
        shown=tuple(study.figures.maps),
    )


def estimates_settings(study: Study, test: str) -> EstimatesSettings:
    """Of the estimators that stand beside the networks of a test."""
    probe, entry = load_probe(study.probe), study.tests[test]
    return EstimatesSettings(
        seed=study.seed,
        test=test,
        entry=entry,
        dataset=probe.dataset_settings(study, entry.dataset),
        splits={"test": study.splits["test"]},
        observation=probe.observation_settings(study, entry),
    )


def audit_settings(study: Study, network: str) -> AuditSettings:
    """Of a network's audit."""
    on, every = audit_datasets(study, network)
    return AuditSettings(
        evaluation=replace(evaluation_settings(study, network, audit_test(study, network)), shown=()),
        options=without(study.audit, "networks"),
        audited_on=on,
        datasets={dataset: load_probe(study.probe).dataset_settings(study, dataset) for dataset in every},
    )


def saliency_settings(study: Study, name: str) -> SaliencySettings:
    """Of a run of `saliency`."""
    run = study.saliency[name]
    asked = run.interventions and not study.networks[run.network].classifies
    return SaliencySettings(
        evaluation=replace(evaluation_settings(study, run.network, saliency_test(study, name)), shown=()),
        name=name,
        options=run,
        audit=audit_settings(study, run.network) if asked else None,
        control=network_settings(study, control_name(run.network)) if run.control else None,
    )


def stream_settings(study: Study, name: str) -> StreamSettings:
    """Of a stream."""
    entry = study.streams[name]
    networks = {network: network_settings(study, network) for network in entry.networks}
    dataset = stream_dataset(study, name)
    made = load_probe(study.probe).dataset_settings(study, dataset)
    shares = entry.empty_share, entry.superposed_share
    return StreamSettings(study.seed, name, entry.draws, networks, (dataset, made), *shares)


def posterior_settings(study: Study, name: str) -> PosteriorSettings:
    """Of a posterior that is trained: itself, or the one whose compression it takes."""
    name = trained_posterior(study, name)
    entry = study.posteriors[name]
    others = [kind for kind in POSTERIOR_KINDS if kind != entry.kind]
    stream = study.streams[entry.stream] if entry.stream else None
    unused = () if stream else ("stream_rows",)
    return PosteriorSettings(
        network=network_settings(study, entry.network),
        name=name,
        entry=without(entry, "tests", "samples", "abc", "compression", "smc", *unused, *others),
        stream=stream_settings(study, entry.stream) if stream else None,
        files=(stream.files, stream.validation_files) if stream else None,
    )


def intervals_settings(study: Study, name: str, test: str) -> IntervalsSettings:
    """Of a posterior's intervals for a test."""
    entry = study.posteriors[name]
    return IntervalsSettings(
        posterior=posterior_settings(study, name),
        evaluation=replace(evaluation_settings(study, entry.network, test), shown=()),
        name=name,
        samples=entry.samples,
        smc=entry.smc if entry.abc == "smc" else None,
    )
