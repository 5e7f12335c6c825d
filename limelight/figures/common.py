"""What several figures share: words for tests and quantities, colours, and published results to compare with."""

import functools
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.style import COLOURS, MARKERS
from limelight.files import read_csv, resource_path
from limelight.probes.line_intensity.labels import quantity as in_bins

QUANTITIES = {
    "dn": r"sources per bin $\mathrm{d}N$",
    "n_above": r"sources above $L$, $N({>}L)$",
    "phi": r"$\phi = \mathrm{d}n/\mathrm{d}L$ [Mpc$^{-3}\,L_\odot^{-1}$]",
    "l_phi": r"$L\,\phi(L)$ [Mpc$^{-3}$]",
}
UNITS = {"uK": "µK", "Jy/sr": "Jy/sr"}

# Fine voxel of arXiv:1905.10376, whose noise figures the published errors belong to: 1.4° / 256, 8 GHz / 100
PAPER_VOXEL_DEG2_GHZ = (1.4 / 256) ** 2 * 0.08


def legend_name(evaluation: Evaluation, evaluations: list[Evaluation]) -> str:
    """A test's name for a legend; with the network's when several are shown."""
    test = evaluation.test.replace("_", " ")
    several = len({e.network for e in evaluations}) > 1
    return f"{evaluation.network.replace('_', ' ')}, {test}" if several else test


def short_names(evaluations: list[Evaluation]) -> list[str]:
    """What tells each evaluation from the others: its network, its test, or both; plain words."""
    several_networks, several_tests = (len({getattr(e, key) for e in evaluations}) > 1 for key in ("network", "test"))
    parts = [(e.network,) * (several_networks or not several_tests) + (e.test,) * several_tests for e in evaluations]
    return [", ".join(part).replace("_", " ") for part in parts]


def in_quantity(evaluation: Evaluation, values: np.ndarray, name: str) -> np.ndarray:
    """Values (m, bins) of an evaluation's own quantity as another one, float64 (m, bins).

    N(>L) from bins counts up to the last upper edge; from N(>L), bins are its differences and NaN in the last.
    """
    values, own = np.asarray(values, np.float64), evaluation.target["quantity"]
    if own == name:
        return values
    volume = np.asarray(evaluation.rows["volume_mpc3"])
    one_each = np.broadcast_to(np.arange(values.shape[1], -1, -1.0), (len(values), values.shape[1] + 1))
    if own == "n_above":
        dn = np.full(values.shape, np.nan)
        dn[:, :-1] = values[:, :-1] - values[:, 1:]
    else:
        dn = values / in_bins(one_each, evaluation.log10_lum_edges, volume, own)
    if name == "n_above":
        return np.cumsum(dn[:, ::-1], axis=1)[:, ::-1]
    return dn * in_bins(one_each, evaluation.log10_lum_edges, volume, name)


def noise_words(evaluation: Evaluation) -> str:
    """The test's noise in words: σ, and whose voxel it belongs to."""
    sigma = evaluation.settings["noise_sigma_uk"]
    low, high = sigma if isinstance(sigma, list) else (sigma, sigma)
    words = "no noise"
    if high > 0:
        value = f"{low:.3g}" if low == high else f"{low:.3g}–{high:.3g}"
        words = rf"$\sigma$ = {value} µK per map voxel"
        ratio = evaluation.settings["noise"].get("edge_ratio", 1)
        words += f", × {ratio:g} towards the edges" if ratio != 1 else ""
    return f"{words}, radio sources" if evaluation.settings["foregrounds"] != "none" else words


def adds_to_maps(evaluation: Evaluation) -> bool:
    """Whether the test adds noise or radio sources to its maps."""
    return bool(np.max(evaluation.settings["noise_sigma_uk"]) > 0 or evaluation.settings["foregrounds"] != "none")


def colour_and_marker(index: int) -> dict[str, object]:
    """Colour and marker of the index-th test; both differ, so that print in grey still tells them apart."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def line_style(index: int) -> dict[str, object]:
    """As colour_and_marker, for any number of lines: from the eighth on they are dashed."""
    return {**colour_and_marker(index), "ls": ("-", (0, (4, 1.5)), (0, (1, 1)))[index // len(COLOURS) % 3]}


def networks_of(evaluations: list[Evaluation]) -> list[Evaluation]:
    """One evaluation of each network, the first given: what belongs to the network is the same in all."""
    return list({e.network: e for e in reversed(evaluations)}.values())[::-1]


def counts_axis(axes: Axes, quantity: str, values: list[np.ndarray]) -> None:
    """A logarithmic axis of the predicted quantity that holds the positive values; half a source is its foot."""
    positive = np.concatenate([np.ravel(v)[np.ravel(v) > 0] for v in values])
    top = positive.max() if len(positive) else 1.0
    axes.set_yscale("log")
    axes.set_ylim(0.5 if quantity in ("dn", "n_above") else positive.min(initial=top) / 2, 3 * top)
    axes.set_ylabel(QUANTITIES[quantity])


def panel_grid(figure: Figure, count: int, columns: int = 3, **share) -> list[Axes]:
    """`count` panels in rows of at most `columns`; the unused are hidden."""
    columns = min(count, columns)
    panels = list(figure.subplots(-(-count // columns), columns, squeeze=False, **share).flat)
    for panel in panels[count:]:
        panel.set_axis_off()
    return panels[:count]


@functools.lru_cache(maxsize=2)
def published_table(name: str) -> dict[str, dict[str, np.ndarray]]:
    """A published table of resources/ as {scenario: {column: values}}; the scenario is '' where the table has one only."""
    columns = read_csv(resource_path(name), "a published table")
    if "scenario" not in columns:
        return {"": columns}
    scenario = columns.pop("scenario")
    return {
        one: {c: values[scenario == one] for c, values in columns.items()} for one in dict.fromkeys(scenario.tolist())
    }


def paper_sigma_uk(evaluation: Evaluation) -> float:
    """The test's (largest) noise as σ per fine voxel of arXiv:1905.10376: white noise averages down as 1/√(voxel volume)."""
    grid, sigma = evaluation.grid, evaluation.settings["noise_sigma_uk"]
    width_ghz = (grid["freq_max_ghz"] - grid["freq_min_ghz"]) / grid["channels"]
    voxel = (grid["size_deg"] / grid["pixels"]) ** 2 * width_ghz
    return float(np.max(sigma)) * math.sqrt(voxel / PAPER_VOXEL_DEG2_GHZ)


def published_bands(evaluation: Evaluation) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Published 95 % bands of the fractional error in the scenario nearest to a test: (label, L in Lsun, lower, upper).

    The label states the published noise and geometry, for these are never quite ours. None for line models other than Li,
    other draws of its parameters, or noise more than a factor 4 away.
    """
    model, noise = evaluation.settings["line_model"], paper_sigma_uk(evaluation)
    draws = {"fiducial": "li_fiducial", "10%": "li_10pct", 0.1: "li_10pct", 0: "li_fiducial"}.get(model["prior"])
    if model["model"] != "li" or draws is None or evaluation.unit != "uK":
        return []
    ranged = isinstance(evaluation.settings["noise_sigma_uk"], list)
    bands = []
    if ranged or evaluation.settings["foregrounds"] != "none":
        scenario, words = "random_noise_and_foregrounds", "random noise and foregrounds"
    elif noise == 0:
        scenario, words = "no_noise", "no noise"
    elif 3.47 / 4 < noise < 3.47 * 4:
        scenario, words = "noise_3.47uK", "3.47 µK on 256 × 256 × 100"
    else:
        scenario = ""
    if scenario:
        table = published_table("published_cnn_errors.csv")[f"{scenario}__{draws}"]
        lower, upper = table["frac_err_p2.5"], table["frac_err_p97.5"]
        bands.append((f"published CNN (1905.10376), {words}", table["luminosity_lsun"], lower, upper))
    if not ranged and 60.6 / 2 < noise < 60.6 * 2:
        bands.append(published_mcmc())
    return bands


def published_mcmc() -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """The 95 % interval of the MCMC on power spectrum and voxel intensities: (label, L in Lsun, lower, upper)."""
    table = published_table("ihle2018_interval.csv")[""]
    label = "published MCMC (1808.07487), 11 µK per COMAP voxel"
    return label, table["luminosity_lsun"], table["frac_err_lower95"], table["frac_err_upper95"]
