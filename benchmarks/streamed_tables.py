"""Rows of the tables of benchmarks.streamed, from what heads answer: scores, gains, joint regions, other models, hours."""

import numpy as np
from scipy.special import logsumexp

from limelight.inference import calibration
from limelight.inference.posteriors.misspecification import UNLIKE, UNUSUAL

LEAST = 10  # sources a map that a bin holds on average, to count
COVERED, WITHIN = 0.95, 0.01  # share of truths that 95 % intervals are to hold, and by how much it may be off
KNOWN_DEX = 0.1  # half width of a 68 % interval from which on a bin counts as known
COMAP = (60.6, 6000.0)  # µK per voxel of arXiv:1905.10376 after so many hours on 1.5° × 1.5° (arXiv:1808.07487)


def clustered(values: np.ndarray, found: dict[str, np.ndarray]) -> tuple[float, float]:
    """(mean, its error) of values (m,): maps of one subfield share their halos, so the error is that of subfields' means."""
    place = 1000 * found["group"] + found["subfield"]
    means = np.array([values[place == one].mean() for one in np.unique(place)])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def filled_bins(found: dict[str, np.ndarray]) -> np.ndarray:
    """Bins that hold enough sources to count, (d,) bool."""
    return found["truth"].mean(axis=0) >= LEAST


def score_row(head, test: str, found: dict[str, np.ndarray]) -> dict:
    """One row of the table of scores; bins that hold ten sources on average count."""
    filled = filled_bins(found)
    row = {
        "network": head.network,
        "learnt_from": int(found["learnt_from"]),
        "kind": head.kind,
        "features": "+".join(head.features) or "all",
        "members": head.members,
        "seed": head.seed,
        "blind": head.blind,
        "recalibrated": head.recalibrated,
        "validation_rows": head.validation_rows,
        "draws": head.draws,
        "test": test,
        "maps": len(found["truth"]),
    }
    if "quantiles" in found:
        inside = np.abs(found["rank"] - 0.5) <= 0.475
        loss, error = clustered(found["pinball"][:, filled].mean(axis=1), found)
        low, high = found["quantiles"][..., 0], found["quantiles"][..., 4]
        width = np.median(np.log10((1 + high) / (1 + low)), axis=0)[filled].mean()
        row |= {"pinball_dex": loss, "pinball_error": error, "width_95_dex": width}
        row["covered_95"], row["covered_95_error"] = clustered(inside[:, filled].mean(axis=1), found)
        covered = inside[:, filled].mean(axis=0)
        row["least_covered_95"], row["bins"] = covered.min(), filled.sum()
        row["honest"] = np.sum(np.abs(covered - COVERED) <= WITHIN + 2 * np.sqrt(COVERED * (1 - COVERED) / len(inside)))
    if "joint" in found:
        for level in calibration.LEVELS:
            row[f"joint_{100 * level:.0f}"], error = clustered((found["joint"] >= 1 - level).astype(float), found)
        row["joint_95_error"] = error
        row["tarp_95"], row["tarp_95_error"] = clustered((found["tarp"] < 0.95).mean(axis=1), found)
    if "empty" in found:
        row["empty_95"], row["empty_95_error"] = clustered((np.abs(found["empty"] - 0.5) <= 0.475).astype(float), found)
    if "log_score" in found:
        row["log_score"], row["log_score_error"] = clustered(found["log_score"], found)
        row["log_score_median"] = float(np.median(found["log_score"]))
    return row


def gain_row(what: str, heads: tuple, test: str, pairs: list[tuple[dict, dict]]) -> dict:
    """What the first of two heads knows beyond the second, map by map: pairs of answers, one a seed.

    nats: of all bins together, where both have a density, of the mean of the seeds' densities, since a single mixture dies
    on the few truths in its tails; the error is that of the subfields' means. nats_spread: standard deviation between single
    seeds. pinball_gain: by how much smaller the pinball loss is, in the mean over seeds and the bins that hold ten sources.
    """
    first = pairs[0][0]
    row = {"what": what, "network": heads[0].network, "kind": heads[0].kind, "seeds": len(pairs), "test": test}
    row["maps"] = len(first["truth"])
    every = [found for pair in pairs for found in pair]
    if all("log_score" in found for found in every):
        gains = np.stack([one["log_score"] - other["log_score"] for one, other in pairs])
        one, other = (logsumexp([pair[i]["log_score"] for pair in pairs], axis=0) for i in (0, 1))
        row["nats"], row["nats_error"] = clustered(one - other, first)
        row["nats_median"] = float(np.median(one - other))
        row["nats_spread"] = float(gains.mean(axis=1).std(ddof=1)) if len(pairs) > 1 else float("nan")
    if all("pinball" in found for found in every):
        filled = filled_bins(first)
        losses = np.array([[one["pinball"][:, filled].mean(axis=1) for one in pair] for pair in pairs])
        gain, error = clustered((losses[:, 1] - losses[:, 0]).mean(axis=0), first)
        whole = losses[:, 1].mean()
        row |= {"pinball_gain": gain / whole, "pinball_gain_error": error / whole}
        each = (losses[:, 1] - losses[:, 0]).mean(axis=1) / whole
        row["pinball_gain_spread"] = float(each.std(ddof=1)) if len(pairs) > 1 else float("nan")
    return row


def joint_ranks_of(truth: np.ndarray, draws: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Joint ranks (m,) and TARP shares (m, 20) of the bins with one source a map or more; truth (m, d), draws (m, s, d).

    empty: ranks (m,) of how many bins are empty, those of equal numbers by lot.
    """
    filled = truth.mean(axis=0) >= 1
    spread, points = (calibration.spread_out(values[..., filled], rng) for values in (draws, truth))
    shares = calibration.tarp(spread, points, rng)
    empty, known = ((values == 0).sum(axis=-1) + rng.random(values.shape[:-1]) for values in (draws, truth))
    return {
        "joint": calibration.joint_ranks(spread, points),
        "tarp": shares.reshape(-1, len(truth)).T,
        "empty": calibration.ranks(empty[..., None], known[:, None])[:, 0],
    }


def foreign_row(head, test: str, found: dict[str, np.ndarray], joint: dict[str, np.ndarray] | None) -> dict:
    """One (trained on, tested on) pair: what quantiles cover bin by bin, a mixture jointly, and what the check says.

    covered_95_passed: of the maps that pass the misspecification check. covered_95_complete: of the bins, map by map, in
    which the catalogue holds all sources (`found["complete"]`, (m, d) bool); complete: how many that are. The bias is that
    of the worst bin's median, over the half width of its 95 % interval.
    """
    filled = filled_bins(found)
    inside = (np.abs(found["rank"] - 0.5) <= 0.475)[:, filled].mean(axis=1)
    passed = found["p_value"] >= UNUSUAL
    low, middle, high = (np.log10(1.5 + found["quantiles"][..., i])[:, filled] for i in (0, 2, 4))
    bias = np.median(middle - np.log10(1.5 + found["truth"][:, filled]), axis=0)
    row = {"trained_on": head.stream or "prior", "tested_on": test, "network": head.network}
    row |= {"recalibrated": head.recalibrated, "maps": len(inside), "bins": filled.sum()}
    row["covered_95"], row["covered_95_error"] = clustered(inside, found)
    row["largest_bias_over_half_width"] = float(np.abs(bias / np.median((high - low) / 2, axis=0)).max())
    row["unusual_p_0.05"], row["unlike_p_0.01"] = (float(np.mean(found["p_value"] < p)) for p in (UNUSUAL, UNLIKE))
    row["covered_95_passed"] = float(inside[passed].mean()) if passed.any() else float("nan")
    if "complete" in found:
        whole = found["complete"][:, filled]
        row["complete"] = whole.mean()
        row["covered_95_complete"] = (np.abs(found["rank"] - 0.5) <= 0.475)[:, filled][whole].mean()
    if joint is not None:
        for level in calibration.LEVELS:
            percent = f"{100 * level:.0f}"
            row[f"joint_{percent}"], _ = clustered((joint["joint"] >= 1 - level).astype(float), joint)
            row[f"tarp_{percent}"] = float((joint["tarp"] < level).mean())
        row["joint_95_error"] = clustered((joint["joint"] >= 0.05).astype(float), joint)[1]
    return row


def hours_rows(rows: list[dict], known: float = KNOWN_DEX) -> list[dict]:
    """Hours of observation until the 68 % interval of each bin is ± `known` dex, per test, from rows of several noises.

    Between the noises that were measured log half width is taken as linear in log noise. Beyond their ends nothing is said:
    0 hours where the noisiest map suffices already, inf where the least noise of the table does not.
    """
    found = []
    noisy = [row for row in rows if row["noise_uk_per_paper_voxel"] > 0]
    for test, lum in dict.fromkeys((row["test"], row["luminosity_lsun"]) for row in noisy):
        mine = [row for row in noisy if (row["test"], row["luminosity_lsun"]) == (test, lum)]
        mine = sorted((row["noise_uk_per_paper_voxel"], row["half_width_68_dex"]) for row in mine)
        noise, half = (np.array(values) for values in zip(*mine, strict=True))
        half = np.maximum.accumulate(half)  # more noise never helps; what else there is, is the scatter of training
        if half[0] > known:
            hours = np.inf
        elif half[-1] <= known:
            hours = 0.0
        else:
            at = np.exp(np.interp(np.log(known), np.log(half), np.log(noise)))
            hours = COMAP[1] * (COMAP[0] / at) ** 2
        found.append({"test": test, "luminosity_lsun": lum, "hours_to_0.1_dex": hours})
    return found
