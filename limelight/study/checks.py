"""Checks of any probe's study that span keys: names that exist, splits that share nothing, networks that can be built."""

import functools
import itertools
import json
from collections.abc import Iterable, Iterator

from limelight.data.targets import FIELD_LOSSES
from limelight.errors import LimelightError
from limelight.kept import kept
from limelight.networks import build
from limelight.probe import Probe, load_probe
from limelight.study.faults import fault
from limelight.study.posteriors import Posterior, Stream
from limelight.study.saliency_checks import check_saliency
from limelight.study.sections import SPLITS, Network, Study
from limelight.study.selection import (
    audited_networks,
    comparison_pairs,
    control_name,
    header_of,
    input_shape,
    output_shape,
    posterior_target,
    suitable_tests,
    why_not,
)


def check_study(study: Study, probe) -> Iterator[str]:
    """One line for each fault, without the file's name. What follows from another fault is not reported."""
    lines = list(dict.fromkeys([*_splits(study), *_names(study), *_taken(study), *probe.check(study)]))
    yield from lines
    if not lines:
        for check in (_networks, _suitable, _audit, check_saliency, _fresh, _streams, _posteriors, _comparisons):
            yield from check(study)


def unknown(key: str, name: str, known, section: str) -> Iterator[str]:
    """A fault if a name is not among those that are defined in a section."""
    if name not in known:
        yield fault(key, f"'{name}'", f"one of {', '.join(known)} (defined in {section})", "define or rename it")


def _splits(study: Study) -> Iterator[str]:
    for first, second in itertools.combinations(SPLITS, 2):
        shared = sorted(set(study.splits[first]) & set(study.splits[second]))
        if shared:
            expected = "realisations of one split only: a network must be tested on what it has never seen"
            yield fault(study.splits_key, f"realisations {shared} in both {first} and {second}", expected, "split them")


def _names(study: Study) -> Iterator[str]:
    """Every name that one section uses must be defined in another."""
    for name, network in study.networks.items():
        for dataset in network.datasets:
            yield from unknown(f"networks.{name}.{network.datasets_key}", dataset, study.datasets, study.datasets_key)
        for test in network.tests or []:
            yield from unknown(f"networks.{name}.tests", test, study.tests, "tests")
        yield from _start(study, name)
    for name, test in study.tests.items():
        yield from unknown(f"tests.{name}.{test.dataset_key}", test.dataset, study.datasets, study.datasets_key)
    for name, entry in study.streams.items():
        for network in entry.networks:
            yield from unknown(f"streams.{name}.networks", network, study.networks, "networks")
        if entry.dataset is not None:
            yield from unknown(f"streams.{name}.dataset", entry.dataset, study.datasets, study.datasets_key)
    for name, entry in study.posteriors.items():
        yield from unknown(f"posteriors.{name}.network", entry.network, study.networks, "networks")
    for name, comparison in study.comparisons.items():
        for key, known in (("networks", study.networks), ("tests", study.tests), ("runs", study.saliency)):
            for item in getattr(comparison, key) or []:
                yield from unknown(f"comparisons.{name}.{key}", item, known, "saliency" if key == "runs" else key)
    for network in study.figures.layers:
        yield from unknown("figures.layers", network, study.networks, "networks")
    for network in study.audit.networks if isinstance(study.audit.networks, list) else []:
        yield from unknown("audit.networks", network, study.networks, "networks")
    for name, run in study.saliency.items():
        yield from unknown(f"saliency.{name}.network", run.network, study.networks, "networks")
        yield from unknown(f"saliency.{name}.test", run.test, study.tests, "tests") if run.test else ()


def _taken(study: Study) -> Iterator[str]:
    """Names that files of something else have."""
    yield from taken("networks", study.networks, "comparisons", "figures/comparisons holds the comparisons")
    if study.posteriors:
        yield from taken("tests", study.tests, "posterior", "a posterior's own log and benchmark are called so")
    for name in audited_networks(study) if study.audit.control else []:
        yield from taken("networks", study.networks, control_name(name), f"audit.control trains it for {name}")


def taken(section: str, names: Iterable[str], name: str, why: str) -> Iterator[str]:
    """A fault if a section has a name that is not free."""
    if name in names:
        yield fault(f"{section}.{name}", f"the name '{name}'", f"another: {why}", "rename it")


def _start(study: Study, name: str) -> Iterator[str]:
    """A network begins with the weights of one that exists, that is built alike, and that does not begin with its own."""
    where, seen, network = f"networks.{name}.initialise_from", [name], study.networks[name]
    while network.initialise_from is not None:
        other = network.initialise_from
        if other not in study.networks:
            yield from unknown(where, other, study.networks, "networks") if len(seen) == 1 else ()
            return
        if other in seen:
            yield fault(where, f"a circle: {' → '.join([*seen, other])}", "a start", "remove one initialise_from")
            return
        before, network = network, study.networks[other]
        if len(seen) == 1 and (before.architecture, before.options) != (network.architecture, network.options):
            yield fault(where, f"{other}, built otherwise", "one of the same architecture and options", "match them")
        seen.append(other)


def _networks(study: Study) -> Iterator[str]:
    """Networks can be built, for datasets of one geometry, with a loss that suits what they answer."""
    headers = {name: header_of(study, name) for name in study.datasets}
    for name, network in study.networks.items():
        where, (first, *others) = f"networks.{name}", network.datasets
        for other in others:
            if headers[other].geometry != headers[first].geometry:
                found = f"{first} and {other}, of other geometry"
                key = f"{where}.{network.datasets_key}"
                yield fault(key, found, "datasets of one geometry", "train two networks")
        try:
            kinds_of(study, network)
        except LimelightError as error:
            yield fault_of(where, error)
        yield from _loss(name, network, len(output_shape(study, network)))
        yield from _first_rows(study, name)
        yield from _critic(study, name)


def _first_rows(study: Study, name: str) -> Iterator[str]:
    """The first max_maps rows must be of all datasets, which stand one after the other."""
    network, probe = study.networks[name], load_probe(study.probe)
    *before, last = network.datasets
    rows = len(study.splits["train"]) * sum(probe.rows_per_realisation(study, one) for one in before)
    most = network.training.max_maps
    if 0 < most <= rows:
        found = f"{most}, all of them rows before those of {last}"
        yield fault(f"networks.{name}.training.max_maps", found, f"0, or more than {rows}", "make smaller datasets")


def fault_of(key: str, error: LimelightError) -> str:
    """A LimelightError of something that the config names, as a fault of that key."""
    return f"{key}: {error}"


def kinds_of(study: Study, network: Network) -> list[str]:
    """The kinds of a network's features; LimelightError where it cannot be built."""
    shapes = input_shape(study, network), output_shape(study, network)
    return _try_network(network.architecture, json.dumps(network.options), *shapes)


@functools.cache  # studies are tables of networks that differ in their data
def _try_network(architecture: str, options: str, shape: tuple[int, ...], outputs: tuple[int, ...]) -> list[str]:
    def tried() -> list[str]:
        from limelight.networks.shapes import ShapesAlone  # torch, which a kept answer does without

        with ShapesAlone():  # quick, however large the network
            module = build(architecture, json.loads(options), shape, outputs)
        return list(getattr(module, "kinds", {}))

    return kept(("network", architecture, options, shape, outputs), tried)


def _loss(name: str, network, axes: int) -> Iterator[str]:
    """A classifier has its own loss, and classes to tell apart; variances are answered of images (of three axes) alone."""
    where, loss = f"networks.{name}", network.training.loss
    if network.classifies != (loss == "cross_entropy"):
        found = f"{'classes' if network.classifies else 'a target without classes'} with the loss {loss}"
        yield fault(where, found, "cross_entropy for classes, and for them alone", "change one")
    if loss == "gaussian" and axes < 3:
        yield fault(
            f"{where}.training.loss", "gaussian for a vector", "images", "take mse, and a posterior of kind mdn"
        )
    if loss in FIELD_LOSSES and axes < 3:
        yield fault(f"{where}.training.loss", f"{loss} for a vector", "images of counts", "take negative_binomial")
    if network.tells_datasets_apart and len(network.datasets) < 2:
        yield fault(
            where, f"classes of {network.datasets[0]} alone", "two datasets or more to tell apart", "add another"
        )


def _critic(study: Study, name: str) -> Iterator[str]:
    """An adversarial loss needs a probe with a critic, and one process: the critic's updates are not shared."""
    where = f"networks.{name}.training.loss"
    if study.networks[name].training.loss != "adversarial":
        return
    if type(load_probe(study.probe)).adversary is Probe.adversary:
        yield fault(where, f"adversarial, of {study.probe}", "a probe that has a critic", "take another loss")
    if study.resources.gpus > 1:
        yield fault("resources.gpus", study.resources.gpus, f"1 at most: {name} trains a critic beside it", "lower it")


def _suitable(study: Study) -> Iterator[str]:
    """Every network has a test, and can take those that it lists."""
    for name, network in study.networks.items():
        for test in network.tests or []:
            if reason := why_not(study, name, test):
                yield fault(f"networks.{name}.tests", f"'{test}', {reason}", "tests it can take", "leave it out")
        if not (network.tests or suitable_tests(study, name)):
            first = next(iter(study.tests))
            found = f"none that network {name} can take (not {first}, {why_not(study, name, first)})"
            yield fault("tests", found, "at least one that it can", "add one")


def _audit(study: Study) -> Iterator[str]:
    thresholds = study.audit.thresholds
    for kind in ("r_squared", "gain"):
        partly, reads = getattr(thresholds, f"partly_{kind}"), getattr(thresholds, f"reads_{kind}")
        if partly > reads:
            found, expected = (
                f"{reads:g}, below partly_{kind} ({partly:g})",
                "at least as much: what is read is read partly",
            )
            yield fault(f"audit.thresholds.reads_{kind}", found, expected, "put them in order")
    for name in study.audit.networks if isinstance(study.audit.networks, list) else []:
        if study.networks[name].classifies:
            yield fault("audit.networks", f"'{name}', a classifier", "networks that answer no classes", "leave it out")


def _posteriors(study: Study) -> Iterator[str]:
    """A posterior needs a network without classes, and tests that this one takes."""
    probe = load_probe(study.probe)
    for name, entry in study.posteriors.items():
        where, takes = f"posteriors.{name}", suitable_tests(study, entry.network)
        if study.networks[entry.network].classifies:
            yield fault(f"{where}.network", f"{entry.network}, a classifier", "one without classes", "name another")
        if len(posterior_target(study, entry.network).shape) > 1:
            yield fault(f"{where}.network", f"{entry.network}, which answers images", "one of vectors", "name another")
        for test in entry.tests or []:
            if test not in takes:
                yield fault(f"{where}.tests", f"'{test}'", f"some of {', '.join(takes)}, its network's", "mend it")
        if entry.kind == "mdn" and entry.mdn.loss == "crps" and entry.mdn.rank:
            expected = "rank 0 with crps, which sees each output by itself and would leave correlations untrained"
            yield fault(f"{where}.mdn.rank", entry.mdn.rank, expected, "set rank: 0, or loss: log_likelihood")
        yield from _bounded(study, name)
        kinds = kinds_of(study, study.networks[entry.network]) if entry.features else []
        if strange := [kind for kind in entry.features or [] if kind not in kinds]:
            expected = f"some of {', '.join(kinds) or '(none: its network has no kinds of features)'}"
            yield fault(f"{where}.features", ", ".join(strange), expected, "mend the list, or leave it out")
        if entry.kind == "quantiles":
            if entry.of == "parameters":
                expected = "the default with kind: quantiles, which has no draws"
                yield fault(f"{where}.of", entry.of, expected, "leave it out, or take another kind")
            for test in entry.tests or takes:
                if probe.has_exact_posterior(study, study.tests[test]):
                    expected = f"a density, as the exact posterior of test {test} asks for"
                    yield fault(f"{where}.kind", "quantiles", expected, "take another kind, or other tests")
        yield from _abc(study, name)
        yield from _stream(study, name)
        yield from _mixed(study, name)


def _mixed(study: Study, name: str) -> Iterator[str]:
    """Of empty and of superposed data the counts are known, but no parameters; a stream shows its own share of them."""
    entry = study.posteriors[name]
    stream = study.streams.get(entry.stream) if entry.stream else None
    for key, share in shares_of(entry).items():
        if share and stream is not None:
            fix = f"set it in streams.{entry.stream}"
            yield fault(f"posteriors.{name}.{key}", f"{share:g} with a stream", "the share of its stream", fix)
    where = f"posteriors.{name}" if stream is None else f"streams.{entry.stream}"
    for key, share in shares_of(entry if stream is None else stream).items():
        if share and (entry.kind == "imnn" or entry.of == "parameters"):
            found = f"{share:g} of {entry.kind}, of {entry.of}"
            yield fault(f"{where}.{key}", found, "mdn, npe or quantiles of counts", "leave it out")
            return
    if stream is None:
        yield from _counted(study, entry, where, entry.network)


def shares_of(entry: Posterior | Stream) -> dict[str, float | None]:
    """Which share of presentations is not of the data as drawn."""
    return {key: getattr(entry, key) for key in ("empty_share", "superposed_share")}


def _counted(study: Study, entry: Posterior | Stream, where: str, name: str) -> Iterator[str]:
    """Data that are shown empty or superposed to a network need answers that are counts."""
    shares = shares_of(entry)
    for key, share in shares.items():
        if share and not posterior_target(study, name).counts:
            expected = "0: what this network answers are no counts, which alone are 0 of empty data and add up"
            yield fault(f"{where}.{key}", f"{share:g}", expected, "leave it out")
    if sum(share or 0 for share in shares.values()) >= 1:
        expected = "empty_share and superposed_share of less than 1 together"
        yield fault(where, f"{shares}", expected, "lower them")


def _bounded(study: Study, name: str) -> Iterator[str]:
    """A mixture that ends with the prior needs a prior that ends, and components whose share within it is known."""
    entry, where = study.posteriors[name], f"posteriors.{name}.mdn.bounded"
    if entry.kind != "mdn" or not entry.mdn.bounded:
        return
    probe = load_probe(study.probe)
    for dataset in study.networks[entry.network].datasets:
        if probe.limits(header_of(study, dataset)) is None:
            yield fault(where, "true", f"false: no even prior of what networks answer in {dataset}", "leave it out")
    if entry.mdn.rank or entry.mdn.loss != "log_likelihood" or entry.of != "target":
        found = f"true with rank {entry.mdn.rank}, {entry.mdn.loss}, of the {entry.of}"
        yield fault(where, found, "rank 0, log_likelihood, of the target", "change these, or leave it out")
    if entry.recalibrate:
        found = f"true with posteriors.{name}.recalibrate"
        yield fault(where, found, "one of the two: widened draws would leave the prior", "leave one out")


def _stream(study: Study, name: str) -> Iterator[str]:
    """A posterior that learns from a stream needs one that its network watches, and stored data for fine tuning."""
    entry, where = study.posteriors[name], f"posteriors.{name}"
    if entry.stream is None:
        if entry.stream_rows:
            yield fault(
                f"{where}.stream_rows", entry.stream_rows, "a stream beside it", "name a stream, or leave it out"
            )
        return
    if entry.stream not in study.streams:
        yield from unknown(f"{where}.stream", entry.stream, study.streams, "streams")
        return
    watching = study.streams[entry.stream].networks
    if entry.network not in watching:
        expected = f"a stream that {entry.network} watches; {entry.stream} is watched by {', '.join(watching)}"
        yield fault(f"{where}.stream", f"'{entry.stream}'", expected, "add it to the stream's networks")
    for key in ("files", "validation_files"):
        if getattr(study.streams[entry.stream], key) == 0:
            yield fault(f"streams.{entry.stream}.{key}", 0, f"1 or more: {name} learns from them", "raise it")
    if study.streams[entry.stream].dataset is not None:
        expected = "a stream without dataset: a head learns from draws of its network's own prior"
        yield fault(f"{where}.stream", f"'{entry.stream}'", expected, "make another stream for it")
    if entry.fine_tune:
        expected = "0 with a stream: a trunk can only be trained on stored data"
        yield fault(f"{where}.fine_tune", entry.fine_tune, expected, "leave it out")
    if entry.presentations != type(entry).model_fields["presentations"].default:
        expected = "nothing with a stream, which shows every simulation once"
        yield fault(f"{where}.presentations", entry.presentations, expected, "leave it out")


def _fresh(study: Study) -> Iterator[str]:
    """Rows simulated for each epoch need a probe that simulates them, and epochs of one length."""
    probe = load_probe(study.probe)
    for name, network in study.networks.items():
        training = network.training
        if not training.fresh_draws:
            continue
        if type(probe).fresh_rows is Probe.fresh_rows:
            expected = f"0: {study.probe} simulates no fresh data"
            yield fault(f"networks.{name}.training.fresh_draws", training.fresh_draws, expected, "leave it out")
        if training.steps_per_epoch == 0:
            expected = "1 or more with fresh_draws: stored and fresh rows may differ in number"
            yield fault(f"networks.{name}.training.steps_per_epoch", 0, expected, "say how long an epoch is")


def _streams(study: Study) -> Iterator[str]:
    """The networks of a stream exist, answer vectors, and learn from the same one dataset, which the probe can simulate."""
    probe = load_probe(study.probe)
    for name, entry in study.streams.items():
        where = f"streams.{name}"
        if type(probe).fresh_rows is Probe.fresh_rows:
            yield fault(where, "a stream", f"none: {study.probe} simulates no fresh data", "leave it out")
        datasets = {tuple(study.networks[one].datasets) for one in entry.networks}
        if len(datasets) > 1 or len(datasets.pop()) > 1:
            found = "; ".join(f"{one}: {', '.join(study.networks[one].datasets)}" for one in entry.networks)
            yield fault(f"{where}.networks", found, "networks of one and the same dataset", "make a stream for each")
            continue
        for network in entry.networks:
            yield from _counted(study, entry, where, network)


def _abc(study: Study, name: str) -> Iterator[str]:
    """Sequential ABC is imnn's, and takes a compression that was trained, on the same network."""
    entry, where = study.posteriors[name], f"posteriors.{name}"
    smc = entry.abc == "smc"
    if smc and entry.kind != "imnn":
        yield fault(f"{where}.abc", f"smc of kind {entry.kind}", "kind: imnn", "leave abc out, or change the kind")
    if smc and entry.recalibrate:
        expected = "false with abc: smc, which would have to simulate for every row of the validation data"
        yield fault(f"{where}.recalibrate", "true", expected, "leave it out")
    of = entry.compression
    if of is None:
        return
    if not smc:
        yield fault(f"{where}.compression", f"'{of}', with abc: rejection", "abc: smc beside it", "leave it out")
    takes = [
        other
        for other, one in study.posteriors.items()
        if one.kind == "imnn" and one.network == entry.network and one.compression is None
    ]
    if of not in takes:
        expected = f"a posterior of kind imnn on {entry.network} that trains: {', '.join(takes) or '(there is none)'}"
        yield fault(f"{where}.compression", f"'{of}'", expected, "name one, or leave it out")


def _comparisons(study: Study) -> Iterator[str]:
    """A comparison needs something of every network and every test that it names."""
    for name, comparison in study.comparisons.items():
        if comparison.runs and (comparison.networks or comparison.tests):
            yield fault(f"comparisons.{name}", "runs beside networks or tests", "runs alone", "leave the others out")
        pairs = comparison_pairs(study, name)
        for key, met in (("networks", {network for network, _ in pairs}), ("tests", {test for _, test in pairs})):
            for item in getattr(comparison, key) or []:
                if item not in met:
                    found, fix = f"'{item}', which meets none of the others", "leave it out, or widen networks.*.tests"
                    yield fault(f"comparisons.{name}.{key}", found, "networks and the tests they take", fix)
