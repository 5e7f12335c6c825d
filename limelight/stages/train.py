"""The stage that trains a network."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from limelight.ancestry import check_data, check_made_from
from limelight.data.shard import Rows, read_shards
from limelight.errors import problem
from limelight.files import provenance, write_text
from limelight.probe import Probe, load_probe
from limelight.stages.fresh import FreshRows
from limelight.study.code import network_code
from limelight.study.sections import Study
from limelight.study.selection import header_of, trained_networks
from limelight.study.settings import NetworkSettings, network_settings
from limelight.training import loop
from limelight.training.checkpoint import load_model, save_model
from limelight.training.checks import check_shards
from limelight.training.distributed import Team
from limelight.training.events import event_writer


def train(
    study: Study,
    name: str,
    training: Sequence[str | Path],
    validation: Sequence[str | Path],
    output: str | Path,
    history: str | Path | None = None,
    checkpoints: str | Path | None = None,
    start: str | Path | None = None,
    device: str = "cpu",
    team: Team | None = None,
    simulate_from: Sequence[str | Path] = (),
) -> list[dict]:
    """Train a network of a study, or go on where an interrupted training stopped, and write it.

    Parameters
    ----------
    study
        Of `load_study`.
    name
        Of the network, in the config.
    training, validation
        Shards to learn from, and those that choose the best epoch: of the study's splits.
    output
        model.pt to write; `load_model` reads it.
    history
        CSV of losses by epoch to write; by default history.csv beside the output.
    checkpoints
        Folder that is kept between runs; by default checkpoints beside the output.
    start
        model.pt to begin with, where the config's initialise_from names a network.
    device
        cpu or cuda.
    team
        The processes that train together; by default this one alone.
    simulate_from
        Where the config's training.fresh_draws asks for rows simulated anew: what the probe makes them from, of each
        training realisation in turn.

    Returns
    -------
    One dict an epoch: training.loop.HISTORY_COLUMNS.

    Raises LimelightError for data of another study or split, a loss that is not finite, or a GPU that is too small.
    """
    check_asked(study, name, start)
    settings, probe = network_settings(study, name), load_probe(study.probe)
    rows = checked_rows(study, settings, training, validation)
    fresh = fresh_rows(study, settings, probe, simulate_from)
    folder = checkpoints or Path(output).parent / "checkpoints"
    code, table = network_code(study, name), Path(history or Path(output).with_name("history.csv"))
    watch = event_writer(table.parent / "events") if study.figures.tensorboard else None
    weights = first_weights(start, settings) if start else None
    with plain_memory_errors(name):
        content, made = loop.train(settings, probe, *rows, folder, device, code, team, weights, watch, fresh)
    if team is None or team.leads:
        write_text(table, loop.history_csv(made))
        save_model(output, content, provenance(settings, study.seed))
    return made


def checked_rows(
    study: Study, settings: NetworkSettings, training: Sequence[str | Path], validation: Sequence[str | Path]
) -> tuple[Rows, Rows]:
    """The rows of shards to learn from and to choose the epoch by; LimelightError for those of another study or split."""
    rows, others = read_shards(training), read_shards(validation)
    expected = header_of(study, settings.network.datasets[0])
    check_shards("--train", rows, expected, settings.splits["train"])
    check_shards("--validation", others, expected, settings.splits["validation"])
    check_data([*training, *validation], settings.datasets)
    return rows, others


def first_weights(start: str | Path, settings: NetworkSettings) -> dict[str, torch.Tensor]:
    """The weights of the network to begin with; LimelightError for another one than the config names."""
    begun, info = load_model(start)
    check_made_from(start, info["provenance"], settings.start)
    return begun.state_dict()


@contextlib.contextmanager
def plain_memory_errors(name: str) -> Iterator[None]:
    """A GPU that is too small for a network ends in one line, which says what to change."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        found = f"no room on the GPU ({str(error).splitlines()[0][:120]})"
        fix = "lower training.batch_size, or set training.precision: bf16"
        raise problem(f"networks.{name}", found, "a network and batch that fit", fix) from None


def fresh_rows(
    study: Study, settings: NetworkSettings, probe: Probe, simulate_from: Sequence[str | Path]
) -> FreshRows | None:
    """What simulates the rows of each epoch, if any; LimelightError where files to simulate from are missing or too many."""
    if not settings.network.training.fresh_draws:
        if simulate_from:
            none = f"none: networks.{settings.name} has no training.fresh_draws"
            raise problem("--simulate-from", f"{len(simulate_from)} files", none, "leave them out")
        return None
    needed = sum(len(probe.stream_files(study, "", number)) for number in study.splits["train"])
    if len(simulate_from) != needed:
        fix = "give those of all training realisations, in their order"
        raise problem("--simulate-from", f"{len(simulate_from)} files", f"{needed}", fix)
    return FreshRows(settings, probe, simulate_from)


def check_asked(study: Study, name: str, start: str | Path | None) -> None:
    """LimelightError for a network that the config does not train, or a start that it does not ask for."""
    networks = trained_networks(study)
    if name not in networks:
        raise problem("network", f"'{name}'", f"one of {', '.join(networks)}", "name one of the config's")
    if bool(start) != bool(networks[name].initialise_from):
        expected = f"what networks.{name}.initialise_from says"
        raise problem("start", start or "nothing", expected, "give both or neither")
