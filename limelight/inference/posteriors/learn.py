"""Training a posterior: tables of the trunk's features, a head on them, and what its file carries beside the weights."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from limelight.errors import problem
from limelight.inference.posteriors import scaling
from limelight.inference.posteriors.fit import fit
from limelight.inference.posteriors.imnn import Simulations, Summariser, fisher, train_imnn
from limelight.inference.posteriors.mdn import LOSSES, MixtureHead, linear_start
from limelight.inference.posteriors.misspecification import VIEWS, make_check
from limelight.inference.posteriors.npe import flow_loss
from limelight.inference.posteriors.posterior import LABEL_HEAD, Posterior, build_head
from limelight.inference.posteriors.recalibrate import widen
from limelight.inference.posteriors.tables import Table, dequantised, make_table, unaltered
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.seeds import torch_seed
from limelight.training.data import Maps, Presentation, observe, on_device, present, presentation

CHUNK = 4096  # rows of a validation loss at a time
KEPT = 20_000  # training presentations whose statistics and summaries the file holds


def head_loss(kind: str, options: dict, head: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return LOSSES[options["loss"]](head(x), y) if kind == "mdn" else flow_loss(head, x, y)


def train_posterior(
    settings: dict,
    grid: Grid,
    trunk: nn.Module,
    info: dict,
    training_maps,
    validation_maps,
    simulations: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> tuple[dict, list[dict]]:
    """Train a posterior and return (content of its file without provenance, history).

    settings: stage_settings(study, "posterior", name); trunk, info: of load_model, on the device to use;
    training_maps, validation_maps: PooledMaps; simulations: for imnn, pooled maps without noise, fiducial (s, x, y, f),
    below and above (n, p, x, y, f), and the parameters' steps (p,).
    """
    what, seed = settings["posterior"], settings["seed"]
    kind, name, options = what["kind"], f"posterior {what['name']}", what[what["kind"]]
    device = next(trunk.parameters()).device
    torch.set_num_threads(settings["threads"])
    how = presentation(settings, grid, log10_lum_edges(settings["labels"], EXTENSION_BINS))
    sets = [on_device(m.maps, m.n_above, m.volume_mpc3, device) for m in (training_maps, validation_maps)]
    parameters = [m.parameters for m in (training_maps, validation_maps)]
    needs_parameters = what["of"] == "parameters" or kind == "imnn"
    if needs_parameters and not all(np.isfinite(p).all() and p.shape[1] for p in parameters):
        found, expected = "maps of several line models", "one line model with parameters that vary"
        raise problem(f"posteriors.{what['name']}", found, expected, "use of: bins, or a network of one line model")

    def tables() -> tuple[Table, Table]:
        stages = (f"training table of {name}", f"validation table of {name}")
        return tuple(
            make_table(trunk, data, p, how, what["presentations"], seed, stage)
            for data, p, stage in zip(sets, parameters, stages, strict=True)
        )

    training, validation = tables()
    scales = {"features": scaling.standardise(training.features)}
    torch.manual_seed(torch_seed(seed, f"weights of {name}"))
    history: list[dict] = []
    weights: dict[str, dict] = {}
    labels = None

    if kind == "imnn":
        head, scales["summaries"], history = _train_summaries(settings, how, trunk, scales, simulations, device)
    else:
        scales["target"] = _target_scale(what, training, seed)
        outputs = len(_encoded(scales["target"], what["of"], training, torch.arange(2), _random(seed, name, device))[0])
        head = build_head(kind, options, training.features.shape[1], outputs).to(device)

        def loss(rows: Tensor, random: torch.Generator, table: Table = training) -> Tensor:
            x = scaling.encode(scales["features"], table.features[rows])
            return head_loss(kind, options, head, x, _encoded(scales["target"], what["of"], table, rows, random))

        def held_out() -> float:
            random = _random(seed, f"validation of {name}", device)
            parts = torch.arange(len(validation), device=device).split(CHUNK)
            return sum(len(rows) * loss(rows, random, validation).item() for rows in parts) / len(validation)

        if kind == "mdn":
            both = [(table, torch.arange(len(table), device=device)) for table in (training, validation)]
            random = _random(seed, f"linear start of {name}", device)
            x, held_x = (scaling.encode(scales["features"], table.features) for table, _ in both)
            y, held_y = (_encoded(scales["target"], what["of"], table, rows, random) for table, rows in both)
            linear_start(head, x, y, held_x, held_y)
        history = fit(head, loss, held_out, len(training), what["training"], seed, name)
        if what["fine_tune"]:
            history += _fine_tune(settings, how, trunk, head, scales, sets, parameters)
            training, validation = tables()  # what follows must see the trunk as it now is
        if what["of"] == "parameters":
            labels, scales["labels"], more = _train_labels(training, validation, what["training"], scales, seed, name)
            history += more
            weights["labels"] = labels.state_dict()
    weights["head"] = head.state_dict()

    kept = (
        torch.randperm(len(training), generator=_random(seed, f"kept of {name}", torch.device("cpu")))[:KEPT]
        .sort()
        .values
    )
    kept = kept.to(device)
    content = {
        "posterior": what["name"],
        "kind": kind,
        "of": what["of"],
        "options": options,
        "network": {**info, "state_dict": trunk.state_dict()},
        "noise": settings["noise"],
        "parameter_names": list(training_maps.parameter_names) if needs_parameters else [],
        "scales": scales,
        "state_dict": weights,
        "prior": {
            "counts": sets[0].n_above[:, : how.bins].float() - sets[0].n_above[:, 1 : how.bins + 1].float(),
            "parameters": torch.as_tensor(parameters[0], dtype=torch.float32) if needs_parameters else torch.empty(0),
            "row": training.row[kept],
            "statistics": training.statistics[kept],
        },
        "check": make_check(*({view: getattr(table, view) for view in VIEWS} for table in (training, validation))),
        "recalibration": None,
        "training": {"presentations": len(training), **history[-1]},
    }
    if kind == "imnn":
        content["prior"]["summaries"] = _summaries(head, scales, training.features[kept])
    if what["recalibrate"]:
        posterior = Posterior(content, trunk, info, head.eval(), labels)
        content["recalibration"] = widen(posterior, validation, seed)
    return content, history


def _random(seed: int, stage: str, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(torch_seed(seed, stage))


def _target_scale(what: dict, training: Table, seed: int) -> dict[str, Tensor]:
    if what["of"] == "parameters":
        return scaling.standardise(training.parameters)
    y = dequantised(training.counts, _random(seed, "scale of counts", training.counts.device))
    return scaling.principal(y, what["npe"]["components"]) if what["kind"] == "npe" else scaling.rotated(y)


def _encoded(scale: dict, of: str, table: Table, rows: Tensor, random: torch.Generator) -> Tensor:
    return scaling.encode(
        scale, table.parameters[rows] if of == "parameters" else dequantised(table.counts[rows], random)
    )


def _fine_tune(settings, how: Presentation, trunk, head, scales, sets: list[Maps], parameters) -> list[dict]:
    """Train trunk and head together, on fresh presentations, at a tenth of the rate; the scales stay.

    Neither moves where no epoch has a lower validation loss than they began with.
    """
    what, seed = settings["posterior"], settings["seed"]
    name, device = f"posterior {what['name']}, fine tuning", sets[0].n_above.device
    how = unaltered(how)

    def loss(rows: Tensor, random: torch.Generator, which: int = 0) -> Tensor:
        data, known = sets[which], torch.as_tensor(parameters[which], dtype=torch.float32, device=device)
        x = scaling.encode(scales["features"], features(trunk, present(data, rows, how, random)[0]))
        counts = (data.n_above[rows][:, : how.bins] - data.n_above[rows][:, 1 : how.bins + 1]).float()
        values = known[rows] if what["of"] == "parameters" else dequantised(counts, random)
        return head_loss(what["kind"], what[what["kind"]], head, x, scaling.encode(scales["target"], values))

    def held_out() -> float:
        random = _random(seed, f"validation of {name}", device)
        parts = torch.arange(len(sets[1]), device=device).repeat(2).split(40)
        return sum(len(rows) * loss(rows, random, 1).item() for rows in parts) / (2 * len(sets[1]))

    options = {
        **what["training"],
        "epochs": what["fine_tune"],
        "batch_size": settings["network"]["training"]["batch_size"],
        "learning_rate": what["training"]["learning_rate"] / 10,
    }
    both = nn.ModuleList([trunk, head]).eval()
    with torch.no_grad():
        before, kept = held_out(), copy.deepcopy(both.state_dict())
    history = fit(both, loss, held_out, len(sets[0]), options, seed, name)
    if min(row["validation_loss"] for row in history) > before:
        both.load_state_dict(kept)  # what it began with served the validation light-cones better
    return history


def _train_labels(training: Table, validation: Table, options: dict, scales: dict, seed: int, name: str):
    """A mixture head for counts given parameters: (head, scale of counts, history)."""
    device = training.counts.device
    scale = scaling.rotated(dequantised(training.counts, _random(seed, "scale of counts", device)))
    p, bins = training.parameters.shape[1], training.counts.shape[1]
    head = MixtureHead(p, bins, **LABEL_HEAD).to(device)

    def loss(rows: Tensor, random: torch.Generator, table: Table = training) -> Tensor:
        x = scaling.encode(scales["target"], table.parameters[rows])
        return LOSSES["log_likelihood"](head(x), scaling.encode(scale, dequantised(table.counts[rows], random)))

    def held_out() -> float:
        return loss(torch.arange(len(validation), device=device), _random(seed, "labels", device), validation).item()

    return head, scale, fit(head, loss, held_out, len(training), options, seed, f"labels of {name}")


def _train_summaries(settings, how: Presentation, trunk, scales, simulations, device):
    """The IMNN on the trunk's features of simulations about the fiducial point: (summariser, scale, history)."""
    what, seed = settings["posterior"], settings["seed"]
    options, name = what["imnn"], f"posterior {what['name']}"
    *maps, step = simulations
    step = torch.as_tensor(step, dtype=torch.float32, device=device)
    learnt, held_out = [], []
    with torch.no_grad():
        for turn in range(what["presentations"]):
            shown = [_observe_features(trunk, m, how, seed, name, turn, device) for m in maps]
            shown = [scaling.encode(scales["features"], x) for x in shown]
            learnt.append(Simulations(*(x[: len(x) // 2] for x in shown), step))
            held_out.append(Simulations(*(x[len(x) // 2 :] for x in shown), step))
    held_out = Simulations(*(torch.cat(x) for x in list(zip(*held_out, strict=True))[:3]), step)
    head = Summariser(scales["features"]["mean"].shape[0], len(step), options["hidden"], options["layers"]).to(device)
    history = train_imnn(head, lambda i: learnt[i % len(learnt)], held_out, options["steps"], options["learning_rate"])
    with torch.no_grad():
        information, covariance, _ = fisher(head, held_out)
    history[-1]["fisher"] = information.tolist()
    return head, {"covariance": covariance, "fisher": information}, history


def _observe_features(trunk, maps: np.ndarray, how: Presentation, seed: int, name: str, turn: int, device) -> Tensor:
    """Features (..., F) of clean maps (..., x, y, f); row i of each array sees the same noise, whatever its parameters."""
    lead, found = maps.shape[:-3], []
    flat = torch.as_tensor(maps.reshape(-1, *maps.shape[-3:]))
    per_row = int(np.prod(lead[1:], dtype=int))
    for i, one in enumerate(flat):
        random = torch.Generator(device).manual_seed(torch_seed(seed, f"simulations of {name}", turn, i // per_row))
        found.append(features(trunk, observe(one[None].to(device), how, random)))
    return torch.cat(found).reshape(*lead, -1)


@torch.no_grad()
def _summaries(head: nn.Module, scales: dict, x: Tensor) -> Tensor:
    return head(scaling.encode(scales["features"], x))
