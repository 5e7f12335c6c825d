"""Which networks take which tests, and so which audits, posteriors and comparisons a study asks for."""

from limelight.data.shard import Header
from limelight.data.targets import Target, built_shape
from limelight.probe import load_probe
from limelight.study.sections import Network, Study


def header_of(study: Study, dataset: str) -> Header:
    """What all shards of a dataset have in common."""
    probe = load_probe(study.probe)
    return probe.header(probe.dataset_settings(study, dataset))


def input_shape(study: Study, network: Network) -> tuple[int, ...]:
    """The shape of what a network is shown of one row."""
    return load_probe(study.probe).input_shape(network, header_of(study, network.datasets[0]))


def output_shape(study: Study, network: Network) -> tuple[int, ...]:
    """The shape of a network's outputs."""
    target = load_probe(study.probe).target(network, header_of(study, network.datasets[0]))
    return built_shape(network.training.loss, target.shape)


def posterior_target(study: Study, network: str) -> Target:
    """What posteriors on a network answer; it need not be what the network does."""
    entry = study.networks[network]
    return load_probe(study.probe).posterior_target(entry, header_of(study, entry.datasets[0]))


def why_not(study: Study, network: str, test: str) -> str:
    """Why a network cannot take a test; empty where it can.

    Networks read data of their own geometry alone, and those that tell datasets apart these alone. Probes may know more.
    """
    entry, dataset = study.networks[network], study.tests[test].dataset
    mine = dataset in entry.datasets
    if entry.tells_datasets_apart and not mine:
        return f"which shows {dataset}, none of its classes"
    if not mine and header_of(study, dataset).geometry != header_of(study, entry.datasets[0]).geometry:
        return f"which it cannot read: {dataset} has another geometry than {entry.datasets[0]}"
    return load_probe(study.probe).cannot_take(study, network, test)


def suitable_tests(study: Study, network: str) -> list[str]:
    """The tests that a network takes: those it lists itself, or all that it can take."""
    own = study.networks[network].tests
    return list(own) if own else [test for test in study.tests if not why_not(study, network, test)]


def classifiers(study: Study) -> list[str]:
    """The networks that answer classes."""
    return [name for name, network in study.networks.items() if network.classifies]


def posterior_tests(study: Study, posterior: str) -> list[str]:
    """The tests that a posterior draws intervals for: those it lists itself, or all of its network's."""
    entry = study.posteriors[posterior]
    return list(entry.tests or suitable_tests(study, entry.network))


def trained_posterior(study: Study, posterior: str) -> str:
    """The posterior whose posterior.pt this one draws from: itself, or the one whose compression it takes."""
    return study.posteriors[posterior].compression or posterior


def stream_dataset(study: Study, stream: str) -> str:
    """The dataset that a stream simulates: its own, or that of its networks."""
    entry = study.streams[stream]
    return entry.dataset or study.networks[entry.networks[0]].datasets[0]


def comparison_pairs(study: Study, name: str) -> list[tuple[str, str]]:
    """(network, test) of every evaluation file that a comparison is drawn from, in its order.

    By default those of all networks but classifiers.
    """
    comparison = study.comparisons[name]
    pairs = []
    for network in comparison.networks or [name for name in study.networks if name not in classifiers(study)]:
        takes = suitable_tests(study, network)
        pairs += [(network, test) for test in comparison.tests or takes if test in takes]
    return pairs


def control_name(network: str) -> str:
    """The name of an audited network's control."""
    return f"{network}-permuted"


def trained_networks(study: Study) -> dict[str, Network]:
    """All networks to train: the study's, and the controls of those that it audits or explains, on permuted labels."""
    controls = {}
    explained = [run.network for run in study.saliency.values() if run.control]
    for name in [*(audited_networks(study) if study.audit.control else []), *explained]:
        training = study.networks[name].training.model_copy(update={"permute_labels": True})
        controls[control_name(name)] = study.networks[name].model_copy(update={"training": training})
    return {**study.networks, **controls}


def audited_networks(study: Study) -> list[str]:
    """The networks that `audit.networks` asks for; "all" leaves out classifiers and those trained on permuted labels."""
    asked = study.audit.networks
    if asked == "none":
        return []
    every = [name for name, n in study.networks.items() if not (n.training.permute_labels or n.classifies)]
    return every if asked == "all" else list(asked)


def audit_test(study: Study, network: str) -> str:
    """The test whose observation an audit shows its data with: the first whose dataset and observation it knows."""
    entry, probe = study.networks[network], load_probe(study.probe)

    def knows(test: str) -> tuple[bool, bool]:
        return study.tests[test].dataset in entry.datasets, probe.knows_observation(entry, study.tests[test])

    return max(suitable_tests(study, network), key=knows)


def saliency_test(study: Study, name: str) -> str:
    """The test whose rows a run of `saliency` shows: its own, or that of an audit of its network."""
    run = study.saliency[name]
    return run.test or audit_test(study, run.network)


def audit_datasets(study: Study, network: str) -> tuple[list[str], list[str]]:
    """Datasets of an audit: (those that the verdict is from, all). Their rows are those that the study's tests use anyway.

    The verdict is from the datasets that the network was trained on, or if no test has one, from its own test's.
    """
    used = {study.tests[test].dataset for name in study.networks for test in suitable_tests(study, name)}
    own = study.networks[network].datasets
    ours = header_of(study, own[0]).geometry
    every = [name for name in study.datasets if name in used and header_of(study, name).geometry == ours]
    on = [name for name in own if name in every] or [study.tests[audit_test(study, network)].dataset]
    return on, [*on, *(name for name in every if name not in on)]
