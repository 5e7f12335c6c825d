"""Running a trained network: over test maps, on empty maps, and on a user's own cube."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from limelight.errors import problem
from limelight.evaluation.evaluation_file import Evaluation
from limelight.evaluation.metrics import summarise
from limelight.probes.line_intensity.labels import from_target, log_mean_to_target, one_source, quantity, to_target
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import noise_pattern, noise_sigma
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS
from limelight.seeds import torch_seed
from limelight.training.data import Presentation, observe

BATCH = 40
BLANK_DRAWS = 16  # of noise on an empty map
UNCHANGED = {"transform": "none", "scale_uk": 1.0}


def presentation_of_test(info: dict, settings: dict) -> Presentation:
    """How a test shows maps to a network: its own noise and foregrounds, the network's preprocessing, no augmentation.

    info: of load_model; settings: limelight.study.config.stage_settings(study, "evaluation", network, test).
    """
    geometry = {key: value for key, value in info["geometry"].items() if key != "beam_fwhm_arcmin"}
    grid = Grid(**geometry)
    return Presentation(
        edges=np.asarray(info["log10_lum_edges"], np.float64),
        target={key: info["target"][key] for key in ("quantity", "transform")},
        grid=grid,
        noise=[noise_sigma(settings["test"]["noise"], settings["instrument"], grid)],
        foregrounds=settings["test"]["foregrounds"],
        preprocessing=info["preprocessing"],
        augmentation={},
        beam_fwhm_arcmin=info["geometry"]["beam_fwhm_arcmin"],
        patterns=(noise_pattern(settings["test"]["noise"], grid),),
    )


def observed(maps: np.ndarray, how: Presentation, seed: int, stage: str) -> Iterator[torch.Tensor]:
    """Batches of network inputs (≤ BATCH, 1, x, y, f) of clean pooled maps (n, x, y, f).

    Noise and foregrounds of map i hang on (seed, stage, i) and are drawn on the CPU: the same whatever the batch or device.
    """
    for first in range(0, len(maps), BATCH):
        batch = []
        for i, one in enumerate(maps[first : first + BATCH], first):
            random = torch.Generator().manual_seed(torch_seed(seed, stage, i))
            batch.append(observe(torch.as_tensor(np.asarray(one, np.float32))[None], how, random))
        yield torch.cat(batch)


@torch.no_grad()
def predict_targets(module: nn.Module, info: dict, batches: Iterator[torch.Tensor], device: str) -> np.ndarray:
    """Predictions in target space, standardisation undone: float64 (n, bins). The module is in evaluation mode."""
    mean, std = (info["target"][key].double().cpu().numpy() for key in ("mean", "std"))
    outputs = np.concatenate([module(inputs.to(device)).double().cpu().numpy() for inputs in batches]) * std + mean
    return log_mean_to_target(outputs) if info["target"].get("outputs") == "log10_mean" else outputs


def natural(target: np.ndarray, transform: str, one: np.ndarray | float = 1.0) -> np.ndarray:
    """The quantity itself from target space; a prediction below nothing (the transforms allow it) is nothing."""
    return np.maximum(from_target(np.asarray(target, np.float64), transform, one), 0.0)


def counts(values: np.ndarray, edges: np.ndarray, volume_mpc3: np.ndarray | float, name: str) -> np.ndarray:
    """Sources per bin (above the bin's lower edge for n_above) of a predicted quantity (m, bins) in maps of given volume."""
    if name in ("dn", "n_above"):
        return values
    bins = len(edges) - 1
    one_each = np.broadcast_to(np.arange(bins, -1, -1.0), (len(values), bins + 1))
    return values / quantity(one_each, edges, np.broadcast_to(volume_mpc3, len(values)), name)


def evaluate(module: nn.Module, info: dict, settings: dict, data, history: dict, device: str = "cpu") -> Evaluation:
    """Judge a network on test maps under one test's noise; all that figures need comes back.

    info: of load_model; settings: stage_settings(study, "evaluation", network, test); data: PooledMaps of maps.shards;
    history: columns of history.csv. Raises LimelightError when the maps are not those the network was trained for.
    """
    how = presentation_of_test(info, settings)
    test, seed = settings["test"]["name"], settings["seed"]
    if how.noise[0][1] > 0 and not TRANSFORMS[info["preprocessing"]["transform"]].negative:
        found = f"noise for a network that reads {info['preprocessing']['transform']} of maps without noise"
        raise problem(f"tests.{test}.noise", found, "no noise", "use another test, or train with asinh or signed_log")
    name, transform, edges = how.target["quantity"], how.target["transform"], how.edges
    check_test_maps(info, settings, data)

    # Truth and prediction, in target space, natural space and counts.
    truth = quantity(np.asarray(data.n_above)[:, : len(edges)], edges, np.asarray(data.volume_mpc3), name)
    stage = f"noise of test {test}"
    predicted_target = predict_targets(module, info, observed(data.maps, how, seed, stage), device)
    if not np.isfinite(predicted_target).all():
        raise problem(f"network {info['network']}", "predictions that are not finite", "numbers", "train it again")
    volumes = np.asarray(data.volume_mpc3)
    one = one_source(truth, edges, volumes, name)
    one_on_average = one_source(truth, edges, float(volumes.mean()), name)
    predicted = natural(predicted_target, transform, one)
    statistics = {key: np.asarray(value, np.float64) for key, value in info["label_statistics"].items()}
    constant = natural(statistics["mean_target"], transform, one_on_average)[None]
    mean_volume = float(np.mean(data.volume_mpc3))
    per_bin, totals = summarise(
        {"target": predicted_target, "natural": predicted, "counts": counts(predicted, edges, data.volume_mpc3, name)},
        {
            "target": to_target(truth, transform, one),
            "natural": truth,
            "counts": counts(truth, edges, data.volume_mpc3, name),
        },
        {
            "target": statistics["mean_target"],
            "natural": constant[0],
            "counts": counts(constant, edges, mean_volume, name)[0],
        },
    )

    # The empty map, without noise and with the test's; slices of the first maps for the figures.
    empty = np.zeros((BLANK_DRAWS, *data.maps.shape[1:]), np.float32)
    silent = replace(how, noise=[(0.0, 0.0)], foregrounds=None)
    blank = {
        "clean": predict_targets(module, info, observed(empty[:1], silent, seed, "blank"), device)[0],
        "noisy": predict_targets(module, info, observed(empty, how, seed, f"blank map under {test}"), device),
    }
    shown = len(data.examples)
    middle = how.grid.channels // 2 // how.grid.pool_channels  # the pooled channel that holds the stored fine one
    noisy = torch.cat(list(observed(data.maps[:shown], replace(how, preprocessing=UNCHANGED), seed, stage)))
    return Evaluation(
        network=info["network"],
        test=test,
        settings={
            "line_model": settings["test"]["line_model"],
            "noise": settings["test"]["noise"],
            "noise_sigma_uk": list(how.noise[0]) if how.noise[0][0] != how.noise[0][1] else how.noise[0][0],
            "foregrounds": settings["test"]["foregrounds"] or "none",
            "loss": settings["network"]["training"]["loss"],
            "training_maps": info.get("training", {}).get("maps", 0),
            "maps": settings["examples"],
            "parameter_names": list(data.parameter_names),
        },
        target={**how.target, "standardise": info["target"]["standardise"]},
        grid=info["geometry"],
        unit=how.grid.unit,
        log10_lum_edges=edges,
        predicted_target=predicted_target,
        truth_target=to_target(truth, transform, one),
        predicted=predicted,
        truth=truth,
        rows={
            name: np.asarray(getattr(data, name))
            for name in ("lightcone", "subfield", "draw", "center_deg", "volume_mpc3", "parameters")
        },
        statistics=per_bin,
        totals=totals,
        blank={key: natural(value, transform, one_on_average) for key, value in blank.items()},
        training=statistics,
        history=history,
        examples={
            "raw": np.asarray(data.examples),
            "pooled": np.asarray(data.maps[:shown, :, :, middle]),
            "noisy": noisy[:, 0, :, :, middle].numpy(),
        },
    )


def check_test_maps(info: dict, settings: dict, data) -> None:
    """Refuse maps that are not those of the test, or that training saw; see `evaluate`."""
    edges = np.asarray(info["log10_lum_edges"], np.float64)
    check_geometry(data.geometry, info["geometry"], "test maps")
    if not np.allclose(data.log10_lum_edges[: len(edges)], edges, rtol=0, atol=1e-9):
        found, fix = f"luminosity edges {data.log10_lum_edges[0]:g}, …", "use maps and network of the same study"
        raise problem("test maps", found, f"the network's {edges[0]:g} to {edges[-1]:g} in {len(edges) - 1} bins", fix)
    seen = sorted(set(np.asarray(data.lightcone).tolist()) & set(settings["splits"]["train"]))
    if seen:
        fix = "test on others: a network knows the halos it was trained on"
        raise problem("test maps", f"light-cones {seen}, which training saw", "light-cones it has never seen", fix)

    strange = sorted(set(np.asarray(data.lightcone).tolist()) - set(settings["splits"]["test"]))
    if strange:
        fix = "give --maps of lightcones.test"
        raise problem(
            "test maps", f"light-cones {strange}", f"the study's test light-cones {settings['splits']['test']}", fix
        )
    models, wanted = sorted(set(np.asarray(data.line_model).tolist())), settings["test"]["line_model"]["name"]
    if models != [wanted]:
        expected = f"{wanted}, as tests.{settings['test']['name']} has it"
        raise problem("test maps", f"line model {', '.join(models)}", expected, "give its maps")


def check_geometry(found: dict, trained: dict, where: object, tolerance: float = 1e-6) -> None:
    """Refuse maps whose grid, pooling, unit or beam is not the one the network was trained on.

    Lengths and frequencies may differ by the tolerance, relative; LimelightError names the first key that differs.
    """
    for key, expected in trained.items():
        value = found.get(key)
        same = value == expected
        if isinstance(expected, float) and isinstance(value, int | float):
            same = abs(value - expected) <= tolerance * abs(expected)
        if not same:
            fix = "give maps of that geometry, or train a network on this one"
            raise problem(f"{where}: {key}", value, f"{expected}, as the network was trained", fix)
