"""The stage that trains a network."""

from collections.abc import Sequence
from pathlib import Path

import torch

from limelight.ancestry import check_data, check_made_from
from limelight.data.shard import read_shards
from limelight.errors import problem
from limelight.files import provenance, write_text
from limelight.probe import Probe, load_probe
from limelight.stages.fresh import FreshRows
from limelight.study.code import network_code
from limelight.study.sections import Network, Study
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
    network = check_asked(study, name, start)
    settings, probe = network_settings(study, name), load_probe(study.probe)
    if simulate_from and not network.training.fresh_draws:
        none = f"none: networks.{name} has no training.fresh_draws"
        raise problem("--simulate-from", f"{len(simulate_from)} files", none, "leave them out")
    rows, others = read_shards(training), read_shards(validation)
    expected = header_of(study, network.datasets[0])
    check_shards("--train", rows, expected, settings.splits["train"])
    check_shards("--validation", others, expected, settings.splits["validation"])
    check_data([*training, *validation], settings.datasets)
    fresh = fresh_rows(study, settings, probe, simulate_from) if network.training.fresh_draws else None
    weights = None
    if start:
        begun, info = load_model(start)
        check_made_from(start, info["provenance"], settings.start)
        weights = begun.state_dict()
    folder = checkpoints or Path(output).parent / "checkpoints"
    code, table = network_code(study, name), Path(history or Path(output).with_name("history.csv"))
    watch = event_writer(table.parent / "events") if study.figures.tensorboard else None
    try:
        content, made = loop.train(
            settings, probe, rows, others, folder, device, code, team, start=weights, watch=watch, fresh=fresh
        )
    except torch.OutOfMemoryError as error:
        found = f"no room on the GPU ({str(error).splitlines()[0][:120]})"
        fix = "lower training.batch_size, or set training.precision: bf16"
        raise problem(f"networks.{name}", found, "a network and batch that fit", fix) from None
    if team is None or team.leads:
        write_text(table, loop.history_csv(made))
        save_model(output, content, provenance(settings, study.seed))
    return made


def fresh_rows(study: Study, settings: NetworkSettings, probe: Probe, simulate_from: Sequence[str | Path]) -> FreshRows:
    """What simulates the rows of each epoch; LimelightError where files to simulate from are missing or too many."""
    needed = sum(len(probe.stream_files(study, "", number)) for number in study.splits["train"])
    if len(simulate_from) != needed:
        fix = "give those of all training realisations, in their order"
        raise problem("--simulate-from", f"{len(simulate_from)} files", f"{needed}", fix)
    return FreshRows(settings, probe, simulate_from)


def check_asked(study: Study, name: str, start: str | Path | None) -> Network:
    """The config's entry of a network to train; LimelightError for another name, or a start that it does not ask for."""
    networks = trained_networks(study)
    if name not in networks:
        raise problem("network", f"'{name}'", f"one of {', '.join(networks)}", "name one of the config's")
    if bool(start) != bool(networks[name].initialise_from):
        expected = f"what networks.{name}.initialise_from says"
        raise problem("start", start or "nothing", expected, "give both or neither")
    return networks[name]
