"""In how many luminosity bins each method of benchmarks.streamed does what was asked of it: one row per test and method."""

import numpy as np

from benchmarks.streamed_tables import COVERED, LEAST, WITHIN

# What is to be beaten: widths of 95 % intervals over the truth at nine luminosities, of a three-layer perceptron on P(k) and
# histogram that had learnt from 23,900 simulations of 32 subfields in a first trial. By (test, noise, mean known).
AT_LSUN = np.array([9e3, 2.5e4, 9e4, 2.1e5, 3.4e5, 6.6e5, 1.1e6, 1.8e6, 2.5e6])
FLOOR = {
    ("prior", "comap", True): (0.57, 0.52, 0.35, 0.26, 0.24, 0.33, 0.38, 0.35, 0.35),
    ("prior", "comap", False): (0.85, 0.89, 0.66, 0.39, 0.32, 0.35, 0.42, 0.39, 0.38),
    ("fiducial", "comap", True): (0.50, 0.63, 0.37, 0.20, 0.25, 0.40, 0.49, 0.52, 0.66),
    ("fiducial", "comap", False): (0.93, 1.20, 0.74, 0.35, 0.28, 0.40, 0.51, 0.54, 0.68),
    ("prior", "none", True): (0.13, 0.10, 0.10, 0.10, 0.12, 0.14, 0.18, 0.23, 0.27),
    ("fiducial", "none", True): (0.09, 0.10, 0.07, 0.08, 0.09, 0.15, 0.22, 0.32, 0.45),
}
BRIGHT = 9e4  # Lsun: from here on the ideal is a goal
NEAR_IDEAL = 1.3
MOST_BIAS = 0.2  # of the half width


def verdict_rows(rows: list[dict]) -> list[dict]:
    """Counts over the bins that hold LEAST sources a map, from the rows of the table; the ideal has rows of its own."""
    ideals = {(r["test"], r["luminosity_lsun"]): r["width_95"] for r in rows if r["method"] == "ideal"}
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["method"] != "ideal" and row["mean_count"] >= LEAST:
            groups.setdefault((row["test"], row["noise"], row["mean_known"], row["method"]), []).append(row)
    rivals = {key[:2]: {r["luminosity_lsun"]: r for r in mine} for key, mine in groups.items() if "rival" in key[3]}
    return [verdict(key, mine, rivals.get(key[:2]), ideals) for key, mine in groups.items()]


def verdict(key: tuple, rows: list[dict], rival: dict[float, dict] | None, ideals: dict[tuple, float]) -> dict:
    """One row: key is (test, noise, mean known, method)."""
    test, noise, known, method = key
    width, bias = (np.array([row[name] for row in rows]) for name in ("width_95", "bias"))
    lum, off = np.array([row["luminosity_lsun"] for row in rows]), np.abs(bias) / (width / 2)
    covered, error = (np.array([row[name] for row in rows]) for name in ("rank_covered_95", "error_95"))
    found = {"test": test, "noise": noise, "mean_known": known, "method": method, "bins": len(rows)}
    found |= {"unbiased": np.sum(off <= MOST_BIAS), "largest_bias_over_half_width": off.max()}
    found |= {"covered_95": covered.mean(), "least_covered_95": covered.min()}
    found["honest"] = np.sum(np.abs(covered - COVERED) <= WITHIN + 2 * error)
    if rival and "rival" not in method:
        ratio = np.array([row["shared_width_95"] / rival[row["luminosity_lsun"]]["shared_width_95"] for row in rows])
        found |= {
            "narrower_than_rival": np.sum(ratio < 1),
            "least_over_rival": ratio.min(),
            "most_over_rival": ratio.max(),
        }
    if (test, noise, known) in FLOOR and "rival" not in method:
        there = [lum.min() / 1.1 <= at <= lum.max() * 1.1 for at in AT_LSUN]
        inside, floor = AT_LSUN[there], np.array(FLOOR[test, noise, known])[there]
        ratio = np.exp(np.interp(np.log(inside), np.log(lum), np.log(width))) / floor
        found |= {"floors": len(floor), "no_wider_than_floor": np.sum(ratio <= 1.005), "over_floor": ratio.mean()}
        found |= {"most_over_floor": ratio.max(), "fifth_below_floor": np.sum(ratio <= 0.8)}
    alike = [row.get("on_ideal_width_95", row["width_95"]) for row in rows]  # None: of other maps than the ideal's
    if noise == "none" and ideals and None not in alike:
        ratio = np.array(alike) / np.array([ideals.get((test, at), np.nan) for at in lum])
        ratio = ratio[lum >= BRIGHT]
        found |= {"bright_bins": len(ratio), "near_ideal": np.sum(ratio <= NEAR_IDEAL), "most_over_ideal": ratio.max()}
    return found
