"""Simulations by the ten thousand: shown to trained trunks once, kept as tables of features, and thrown away.

A map has a quarter of a million numbers, and a head needs a few hundred of them. So data are simulated afresh, a batch at a
time; every network of the stream is shown them with its own noise and symmetry, and what its trunk makes of them is kept
beside the truths. The random numbers of a row depend on (seed, stream, realisation, file, row) alone: files are independent
jobs, and a table is the same whatever the number of jobs, or their order.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from limelight.ancestry import check_made_from
from limelight.data.shard import Rows
from limelight.data.targets import Target
from limelight.errors import one_line, problem
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.inference.posteriors.tables import Mixed, Table, answers_of, map_statistics
from limelight.probe import Probe
from limelight.seeds import generator, torch_seed
from limelight.study.settings import NetworkSettings, StreamSettings
from limelight.training.checkpoint import fingerprint_weights
from limelight.training.presentation import Data, Presentation, on_device, present

KIND = "stream"


@dataclass
class Watcher:
    """One network of a stream: its trunk in evaluation mode, and how it is shown data."""

    settings: NetworkSettings
    trunk: nn.Module
    presentation: Presentation

    @property
    def weights(self) -> str:
        """A hash of the trunk's weights: a table belongs to these and no others."""
        return fingerprint_weights(self.trunk.state_dict())


@dataclass
class Part:
    """One file of a stream, or several read together; n rows."""

    y: dict[str, np.ndarray]  # truths of the simulation, (n, …) each
    theta: np.ndarray  # (n, p)
    parameter_names: list[str]
    rows: dict[
        str, np.ndarray
    ]  # which row is which, (n,) each; of a mixed stream `empty` and `partner` (see `mixed_rows`)
    features: dict[str, np.ndarray]  # by network, (n, F) float32
    statistics: dict[str, np.ndarray]  # by network, (n, k) float32

    def __len__(self) -> int:
        return len(self.theta)


def watchers(settings: StreamSettings, probe: Probe, trunks: dict[str, tuple[nn.Module, dict]]) -> list[Watcher]:
    """The networks of a stream; trunks: (module, info) of load_model by name. Refuses networks of other settings."""
    found = []
    for name, network in settings.networks.items():
        if name not in trunks:
            raise problem(
                "--networks", f"none that is '{name}'", f"{', '.join(settings.networks)}", "give its model.pt"
            )
        module, info = trunks[name]
        check_made_from(f"network {name}", info["provenance"], network)
        (dataset,) = network.datasets.values()
        presentation = probe.presentation(network.network, network.observation, probe.header(dataset)).unaltered()
        found.append(Watcher(network, module, presentation))
    return found


def inputs_of(settings: StreamSettings, one: Watcher, data: Data, i: int, place: tuple[int, int, int]) -> Tensor:
    """What a network of a stream is shown of row i of data (1, channels, *axes); place: (realisation, file, row of it)."""
    stage = f"stream {settings.name} as {one.settings.name} sees it"
    random = torch.Generator(data.device).manual_seed(torch_seed(settings.seed, stage, *place))
    return present(data, torch.tensor([i]), one.presentation, random)[0]


@torch.no_grad()
def watch(
    settings: StreamSettings, seen_by: Sequence[Watcher], batches: Iterable[Rows], realisation: int, part: int
) -> Part:
    """Show fresh data to every network of a stream and keep what its trunk makes of them.

    Parameters
    ----------
    seen_by
        Of `watchers`.
    batches
        Rows of Probe.fresh_rows, in their order.
    """
    features: dict[str, list] = {one.settings.name: [] for one in seen_by}
    statistics: dict[str, list] = {one.settings.name: [] for one in seen_by}
    kept: list[Rows] = []
    shown, mixed = 0, Mixed(settings.empty_share or 0.0, settings.superposed_share or 0.0)
    if mixed.empty or mixed.superposed:
        batches = mixed_rows(batches, mixed, settings, realisation, part)
    for batch in batches:
        for one in seen_by:
            data = on_device(batch, [str(batch.dataset[0])], next(one.trunk.parameters()).device)
            for i in range(len(batch)):  # row by row: what is made of a row must not depend on the batch that it is in
                inputs = inputs_of(settings, one, data, i, (realisation, part, shown + i))
                features[one.settings.name].append(one.trunk.features(inputs).float().cpu())
                statistics[one.settings.name].append(map_statistics(inputs).cpu())
        shown += len(batch)
        kept.append(_without_data(batch))
    return Part(
        y={name: np.concatenate([rows.y[name] for rows in kept]) for name in kept[0].y},
        theta=np.concatenate([rows.theta for rows in kept]),
        parameter_names=list(kept[0].parameter_names),
        rows={name: np.concatenate([rows.rows[name] for rows in kept]) for name in kept[0].rows},
        features={name: torch.cat(values).numpy() for name, values in features.items()},
        statistics={name: torch.cat(values).numpy() for name, values in statistics.items()},
    )


def mixed_rows(
    batches: Iterable[Rows], mixed: Mixed, settings: StreamSettings, realisation: int, part: int
) -> Iterator[Rows]:
    """The rows with a share that is shown empty, and one with the light of the row of the same draw on the field before.

    rows["empty"] says which are empty, rows["partner"] how many rows before the one stands whose light is laid over: 0 for
    none. Truths stay those of the row itself; `streamed_table` makes the answers. That other row is of another field, where
    the file has several: halos that shine twice would be other light than that of two skies.
    """
    number, lent = 0, {}  # by row: the light that the row `draws` later will be given
    for batch in batches:
        x = batch.x.copy()
        empty, partner = np.zeros(len(batch), bool), np.zeros(len(batch), np.int64)
        for i in range(len(batch)):
            fate, lends = (_fate(settings, realisation, part, number + step) for step in (0, settings.draws))
            if mixed.empty <= lends < mixed.empty + mixed.superposed:
                lent[number] = batch.x[i].copy()
            if fate < mixed.empty:
                empty[i], x[i] = True, 0.0
            elif (light := lent.pop(number - settings.draws, None)) is not None:
                partner[i], x[i] = settings.draws, x[i] + light
            number += 1
        yield Rows(**{**vars(batch), "x": x, "rows": {**batch.rows, "empty": empty, "partner": partner}})


def _fate(settings: StreamSettings, realisation: int, part: int, row: int) -> float:
    """A number in [0, 1) that says how a row is shown."""
    return float(generator(settings.seed, f"stream {settings.name}, mixed", realisation, part, row).random())


def _without_data(batch: Rows) -> Rows:
    """The rows' truths alone."""
    return Rows(**{**vars(batch), "x": batch.x[:0]})


def write_part(
    path: str | Path, found: Part, seen_by: Sequence[Watcher], realisation: int, part: int, attributes: dict
) -> None:
    """Write one file of a stream atomically; attributes: provenance. Refuses numbers that are not finite."""
    header = {"realisation": int(realisation), "part": int(part), "parameter_names": found.parameter_names}
    header["weights"] = {one.settings.name: one.weights for one in seen_by}
    with write_hdf5(path, KIND, {**attributes, **header}) as file:
        file["theta"] = check_finite(np.asarray(found.theta, np.float64), f"{path}: theta")
        for group in ("y", "rows", "features", "statistics"):
            made = file.create_group(group, track_order=True)
            for name, values in getattr(found, group).items():
                made[name] = check_finite(np.asarray(values), f"{path}: {group}/{name}")


def read_stream(
    paths: Sequence[str | Path], settings: StreamSettings, network: str, weights: str, realisations: Sequence[int]
) -> Part:
    """Files of one stream, put together in the order of (part, realisation): the first rows are of all realisations.

    Only what one network saw is read. Refuses files of other settings, realisations outside `realisations`, files given
    twice, and tables made by other weights than these (`Watcher.weights`).
    """
    if not paths:
        raise problem("stream", "no files", "at least one", "give some")
    parts: dict[tuple[int, int], Part] = {}
    for path in paths:
        number, found = _read_part(path, settings, network, weights)
        if number[1] not in realisations:
            expected = f"one of its split, {list(realisations)}"
            raise problem(path, f"realisation {number[1]}", expected, "give the files that the config names")
        if number in parts:
            raise problem(
                path, f"file {number[0]} of realisation {number[1]} again", "each once", "give each file once"
            )
        parts[number] = found
    every = [parts[number] for number in sorted(parts)]
    return Part(
        theta=np.concatenate([one.theta for one in every]),
        parameter_names=every[0].parameter_names,
        **{
            group: {
                name: np.concatenate([getattr(one, group)[name] for one in every]) for name in getattr(every[0], group)
            }
            for group in ("y", "rows", "features", "statistics")
        },
    )


@one_line("a file of a stream")
def _read_part(path: str | Path, settings: StreamSettings, network: str, weights: str) -> tuple[tuple[int, int], Part]:
    with read_hdf5(path, KIND, ("theta", "y", "rows", "features", "statistics")) as file:
        check_made_from(path, dict(file.attrs), settings)
        weights_of: dict[str, str] = attribute(file, "weights")
        made_by = weights_of.get(network)
        if made_by != weights:
            found = f"features of {'other weights' if made_by else 'no'} '{network}'"
            raise problem(path, found, "those of the network that is given", "run the stream again")
        groups = {
            group: {name: check_finite(item[...], f"{path}: {group}/{name}") for name, item in file[group].items()}
            for group in ("y", "rows")
        }
        groups |= {
            g: {network: check_finite(file[g][network][...], f"{path}: {g}")} for g in ("features", "statistics")
        }
        found = Part(theta=file["theta"][...], parameter_names=list(attribute(file, "parameter_names")), **groups)
        lengths = {len(values) for group in groups.values() for values in group.values()}
        if lengths != {len(found)} or len(found) == 0:
            raise problem(
                path, f"arrays of {sorted(lengths)} rows", f"{len(found)} (more than 0) rows", "make it again"
            )
        return (int(attribute(file, "part")), int(attribute(file, "realisation"))), found


def streamed_table(found: Part, network: str, target: Target, rows: int, device: torch.device) -> Table:
    """The first `rows` (0: all) rows of a stream as the table that a head learns from."""
    if rows > len(found):
        raise problem("posteriors: stream_rows", rows, f"at most the {len(found)} of its stream", "lower it")
    some = slice(rows or len(found))

    def on(values: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.as_tensor(values[some], dtype=dtype, device=device)

    truths = {name: on(np.asarray(values), torch.float64) for name, values in found.y.items()}
    answers, row = answers_of(truths, target).float(), torch.arange(len(found.theta[some]), device=device)
    of_prior = torch.ones(len(row), dtype=torch.bool, device=device)
    if "partner" in found.rows:
        partner, empty = on(found.rows["partner"], torch.int64), on(found.rows["empty"], torch.bool)
        answers = answers + torch.where(partner[:, None] > 0, answers[row - partner], 0.0)
        answers, of_prior = torch.where(empty[:, None], 0.0, answers), ~empty & (partner == 0)
    return Table(
        features=on(found.features[network]),
        statistics=on(found.statistics[network]),
        answers=answers,
        theta=on(found.theta),
        row=row,
        of_prior=of_prior,
    )
