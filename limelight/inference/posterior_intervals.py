"""A posterior over all maps of a test: the intervals file that calibration and the money plot read."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from limelight.evaluation.predict import check_test_maps, observed, presentation_of_test
from limelight.inference.intervals import ROWS, Intervals, evenly, quantiles_of
from limelight.inference.posteriors.draw import draw, log_score, replicated
from limelight.inference.posteriors.misspecification import p_values
from limelight.inference.posteriors.posterior import Posterior, views
from limelight.inference.posteriors.smc import smc_sampler
from limelight.probes.line_intensity.labels import quantity
from limelight.probes.line_intensity.maps.instrument import noise_sigma
from limelight.progress import progress
from limelight.seeds import torch_seed

KINDS = {"mdn": "mixture density", "npe": "neural posterior", "imnn": "IMNN + ABC", "smc": "IMNN + SMC ABC"}
REPLICATES = 100  # draws of the posterior predictive check


def attributes_of_test(settings: dict, grid) -> dict:
    """What an intervals file says of its test: line model, noise and σ per fine voxel."""
    low, high = noise_sigma(settings["test"]["noise"], settings["instrument"], grid)
    return {
        "line_model": settings["test"]["line_model"],
        "noise": settings["test"]["noise"],
        "noise_sigma_uk": low if low == high else [low, high],
        "foregrounds": settings["test"]["foregrounds"] or "none",
    }


@torch.no_grad()
def posterior_intervals(
    posterior: Posterior, settings: dict, data, timed: bool = False, subfields: Sequence[str | Path] = ()
) -> Intervals:
    """Draw the posterior of every test map; its noise is the one that the network's evaluation sees.

    settings: stage_settings(study, "intervals", posterior, test); data: PooledMaps of the test. extra holds
    p_value (m,) of the misspecification check, predictive_p (m, k) of the posterior predictive check for each of
    tables.map_statistics, and of mixture densities over the bins log_score (m,), ln q of all bins together. timed: store
    the seconds that each map took (another number in every run). subfields: of the training light-cones, for a posterior of
    abc: smc, which takes some of the maps alone (settings["smc"]["maps"]) and adds inference.smc.CHECKS to extra.
    """
    content, info = posterior.content, posterior.info
    how, device = presentation_of_test(info, settings), next(posterior.trunk.parameters()).device
    check_test_maps(info, settings, data)
    seed, test, smc = settings["seed"], settings["test"]["name"], settings.get("smc")
    name, recalibrated = (smc["name"], False) if smc else (content["posterior"], content["recalibration"] is not None)
    stage = f"draws of posterior {name} on {test}"
    keys = {key: np.asarray(getattr(data, key)) for key in ROWS}
    if smc:
        chosen = evenly(len(data.maps), smc["maps"])
        sample = smc_sampler(posterior, settings, how, subfields)
        print(
            f"{name} on {test}: {len(chosen)} of {len(data.maps)} maps, each with simulations of its own",
            file=sys.stderr,
        )
    else:
        chosen = np.arange(len(data.maps))
    truth = quantity(np.asarray(data.n_above)[:, : len(how.edges)], how.edges, np.asarray(data.volume_mpc3), "dn")
    found = {"counts": [], "parameters": [], "p_value": [], "predictive_p": [], "log_score": [], "seconds": []}
    checks: dict[str, list] = {}
    inputs = (one for batch in observed(data.maps, how, seed, f"noise of test {test}") for one in batch)
    taken = set(chosen.tolist())
    maps = ((i, one) for i, one in enumerate(inputs) if i in taken)
    for i, one in progress(maps, "simulate for maps", len(chosen)) if smc else maps:
        start = time.perf_counter()
        seen = views(posterior, one[None].to(device))
        if smc:
            *answer, numbers = sample(seen["features"], *(values[i] for values in keys.values()))
            counts, parameters = (values.to(device) for values in answer)
            for key, value in numbers.items():
                checks.setdefault(key, []).append(value)
        else:
            counts, parameters = draw(posterior, seen["features"], settings["samples"], seed, f"{stage}, map {i}")
        found["seconds"].append(time.perf_counter() - start)
        random = torch.Generator(device).manual_seed(torch_seed(seed, f"replicates of {stage}", i))
        twins = replicated(posterior, counts[0, :REPLICATES], random)
        here = seen["statistics"]  # one that all maps share, such as a least value of 0, is usual: ties count half
        above = ((twins > here).float() + (twins == here).float() / 2).mean(dim=0)
        found["predictive_p"].append(2 * torch.minimum(above, 1 - above).clamp(min=0.5 / REPLICATES))
        found["p_value"].append(p_values(content["check"], seen))
        known = torch.as_tensor(truth[i][None], dtype=torch.float32, device=device)
        score = log_score(posterior, seen["features"], known, seed, f"truth of {test}, map {i}")
        if score is not None:
            found["log_score"].append(score)
        found["counts"].append(counts)
        if parameters is not None:
            found["parameters"].append(parameters)
    samples = torch.cat(found["counts"]).cpu().numpy()
    extra = {"p_value": torch.cat(found["p_value"]), "predictive_p": torch.stack(found["predictive_p"])}
    if found["log_score"]:
        extra["log_score"] = torch.cat(found["log_score"])
    with_parameters = {}
    if found["parameters"]:
        names = list(content["parameter_names"])
        samples_of_them = torch.cat(found["parameters"]).cpu().numpy()
        with_parameters = {"parameter_samples": samples_of_them, "parameter_names": names}
        if list(data.parameter_names) == names:  # a test may have another line model, of other parameters
            with_parameters["parameters"] = np.asarray(data.parameters)[chosen]
    kind = KINDS["smc" if smc else content["kind"]] + (
        ", parameters" if content["of"] == "parameters" and content["kind"] != "imnn" else ""
    )
    totals = {key: int(sum(checks[key])) for key in ("simulations", "proposals", "accepted") if smc}
    return Intervals(
        method=kind + (", recalibrated" if recalibrated else ""),
        test=test,
        settings={
            **attributes_of_test(settings, how.grid),
            "posterior": name,
            "network": info["network"],
            "recalibrated": recalibrated,
            **totals,
        },
        log10_lum_edges=how.edges,
        truth=truth[chosen],
        quantiles=quantiles_of(samples),
        rows={key: values[chosen] for key, values in keys.items()},
        seconds=np.array(found["seconds"]) * timed,
        samples=samples,
        extra={
            **{key: values.double().cpu().numpy() for key, values in extra.items()},
            **{key: np.array(values, np.float64) for key, values in checks.items()},
        },
        **with_parameters,
    )
