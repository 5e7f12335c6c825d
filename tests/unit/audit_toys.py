"""Made-up audits: of a network that reads luminosity bins, and of one that reads two parameters."""

import numpy as np

from limelight.data.axes import OutputAxis
from limelight.evaluation.verdicts import COLUMNS, PARTLY, READS, REMEMBERS, TOO_FEW, Audit

LIMITS = {"partly_r_squared": 0.2, "reads_r_squared": 0.5, "partly_gain": 1.2, "reads_gain": 1.5}


def of_lines(bins: int = 10, control: str = "limelight-permuted") -> Audit:
    """Faint bins are read, then partly, then remembered; the brightest hold too few sources. Three interventions."""
    rng, edges = np.random.default_rng(3), np.linspace(4, 6, bins + 1)
    verdict = np.repeat([READS, PARTLY, REMEMBERS, TOO_FEW], [bins - 4, 2, 1, 1])
    fall = np.linspace(0.95, 0.0, bins)
    names = {"mean_truth": 10 ** np.linspace(3, 0, bins), "r_squared": fall, "spread_ratio": fall + 0.05}
    names |= {"gain_over_mean": 1 / (1.05 - fall), "gain_over_control": 1 / (1.1 - fall), "blank_share": 0.1 + 0 * fall}
    names |= {f"{name}_response": fall + 0.1 for name in ("dimming", "superposing", "adding")}
    mean = names["mean_truth"]
    return Audit(
        network="limelight",
        settings={
            "thresholds": LIMITS | {"dimming_response": [0.5, 1.5], "superposing_response": [0.1, 2.0]},
            "network_config_hash": "abc",
            "probe": "line_intensity",
            "test": {"name": "comap_noise", "noise_sigma_uk": 3.0},
            "audited_on": ["li10"],
            "test_rows": 400,
        },
        target={"quantity": "dn", "shape": [bins]},
        axis=OutputAxis("luminosity", "Lsun", log10=True, edges=tuple(edges.tolist())),
        verdict=verdict,
        columns={name: names[name] for name in (*COLUMNS, *(n for n in names if n.endswith("_response")))},
        scatter={"predicted": mean[None], "truth": mean[None], "dataset": np.zeros(1, int)},
        blank={
            "clean": 0.05 * mean,
            "noisy": 0.3 * mean * rng.uniform(0.5, 1.5, (16, bins)),
            "training_percentiles": mean * np.array([0.3, 0.6, 1, 1.6, 3])[:, None],
        },
        noise={"level": np.array([0.0, 3.0]), "r_squared": np.array([fall, fall / 2]), "mse": np.array([0.01, 0.1])},
        datasets={
            "r_squared": np.array([fall, fall - 0.5]),
            "bias": np.zeros((2, bins)),
            "mse": np.ones(2),
            "gain": np.ones(2),
        },
        interventions={
            "dimming": {"bins_down": np.array([1, 2]), "response": np.array([fall, fall])},
            "superposing": {},
            "adding": {"response": np.eye(bins) * fall[:, None] + 0.1},
        },
        dataset_names=["li10", "padmanabhan"],
        control=control,
    )


def of_parameters() -> Audit:
    """Two parameters with names, one dataset, no noise, no interventions, no control."""
    found = of_lines(bins=5, control="")
    columns = {name: np.array([0.9, 0.1]) for name in COLUMNS}
    return Audit(
        network="reader",
        settings=found.settings | {"probe": "gaussian_field"},
        target={"shape": [2]},
        axis=OutputAxis("parameter", names=("omega_m", "sigma_8")),
        verdict=np.array([READS, REMEMBERS]),
        columns=columns,
        scatter={"predicted": np.zeros((1, 2)), "truth": np.zeros((1, 2)), "dataset": np.zeros(1, int)},
        blank={
            "clean": np.array([0.3, 0.8]),
            "noisy": np.full((16, 2), 0.5),
            "training_percentiles": np.array([-2.0, -1, 0, 1, 2])[:, None] * np.ones(2),
        },
        noise={"level": np.zeros(0), "r_squared": np.zeros((0, 2)), "mse": np.zeros(0)},
        datasets={"r_squared": np.array([[0.9, 0.1]]), "bias": np.zeros((1, 2)), "mse": np.ones(1), "gain": np.ones(1)},
        dataset_names=["uniform"],
    )
