"""The audit: does a trained network read its maps, or does it repeat what it remembers? docs/audit.md explains each test.

Every test looks at the network from outside, at what it answers to maps that it has never seen; a verdict falls per
luminosity bin. All comparisons are made in the network's own target space, such as log10(1 + N).
"""

from dataclasses import dataclass, field, replace

import numpy as np
from torch import nn

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.evaluation.metrics import log10_1p
from limelight.evaluation.predict import (
    BLANK_DRAWS,
    check_geometry,
    counts,
    natural,
    observed,
    predict_targets,
    test_presentation,
)
from limelight.probes.line_intensity.interventions import (
    allowed_extra,
    count_extra,
    dim,
    light_of_extra,
    undimmed,
)
from limelight.probes.line_intensity.labels import one_source, quantity, to_target
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS
from limelight.seeds import generator
from limelight.training.data import Presentation, dim_steps

READS, PARTLY, REMEMBERS, TOO_FEW = "reads", "partly", "remembers", "too few to tell"
VERDICTS = (READS, PARTLY, REMEMBERS, TOO_FEW)
MIN_CHANGE = 0.03  # dex: where dimming changes a bin's truth by less, the bin cannot be asked


@dataclass
class Audit:
    """One network audited: b luminosity bins, m test maps. Arrays in target space unless they say otherwise."""

    network: str
    settings: dict  # the audit's section of the config; test: name, line models, noise, foregrounds
    target: dict  # quantity, transform
    log10_lum_edges: np.ndarray  # (b+1,)
    verdict: np.ndarray  # (b,) of VERDICTS
    bins: dict  # (b,) columns of the verdict table, COLUMNS
    scatter: dict  # predicted, truth (m, b) natural; group (m,) the line model of each map, by number
    blank: dict  # natural: clean (b,), noisy (k, b), training_percentiles (5, b)
    dimming: dict  # bins_down (s,), response (s, b)
    adding: dict  # response (b, b): change of the prediction in bin k for a change of one dex of sources in bin j
    noise: dict  # sigma_uk (s,) per fine voxel; r_squared (s, b), mse_dex (s,)
    models: dict  # r_squared, bias (d, b); mse_dex, gain (d,): the network on the test maps of each line model
    model_names: list[str] = field(default_factory=list)  # (d,)
    control: str = ""  # name of the network trained on permuted labels beside it

    @property
    def luminosity_lsun(self) -> np.ndarray:
        """Luminosity at the middle (in log) of each bin, (b,)."""
        edges = np.asarray(self.log10_lum_edges)
        return 10 ** (0.5 * (edges[1:] + edges[:-1]))


COLUMNS = {
    "mean_sources": "sources per bin (above the bin's lower edge for n_above) in a test map, on average",
    "r_squared": "share of the truths' variance that the predictions explain, within each line model's maps",
    "spread_ratio": "standard deviation of the predictions over that of the truths, within each line model's maps",
    "gain_over_mean": "squared error of always answering the training mean, over the network's",
    "gain_over_control": "squared error of the same recipe trained on permuted labels, over the network's; empty without it",
    "dimming_response": "predicted change over true change when every source is dimmed by a few bins; 1 is right",
    "superposing_response": "the same when another test map is laid over it, with all its sources",
    "adding_response": "the same when sources of this bin alone are painted on at random places",
    "blank_share": "what it answers to an empty map over what it answers on average, both in the logarithm of the counts",
}


@dataclass
class Rows:
    """Test maps and what belongs to them, row for row."""

    maps: np.ndarray  # (m, x, y, f) float32
    n_above: np.ndarray  # (m, b + 1 + EXTENSION_BINS)
    volume_mpc3: np.ndarray  # (m,)
    center_deg: np.ndarray  # (m, 2)
    group: np.ndarray  # (m,) number of the line model

    def __getitem__(self, index: np.ndarray) -> "Rows":
        return Rows(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def pick(count: int, wanted: int) -> np.ndarray:
    """`wanted` rows of `count`, evenly spread so that every light-cone and draw has its share; 0 means all."""
    return np.arange(count) if not 0 < wanted < count else np.linspace(0, count - 1, wanted).round().astype(int)


def audit(
    module: nn.Module,
    info: dict,
    settings: dict,
    datasets: dict,
    control: tuple[nn.Module, dict] | None = None,
    device: str = "cpu",
) -> Audit:
    """Put a trained network to every test.

    info: of load_model; settings: stage_settings(study, "audit", network); datasets: by name of the line
    model, the PooledMaps of the test light-cones, of settings["audited_on"] at least; control: the network of the same
    recipe trained on permuted labels, as load_model gives it.
    """
    how, options, seed = test_presentation(info, settings), settings["audit"], settings["seed"]
    edges = how.edges
    if how.noise[0][1] > 0 and not TRANSFORMS[info["preprocessing"]["transform"]].negative:
        raise problem("audit", "noise for a network that reads maps without", "a test without noise", "add one")
    for name, data in datasets.items():
        check_geometry(data.geometry, info["geometry"], f"test maps of {name}")
        seen = sorted(set(np.asarray(data.lightcone).tolist()) - set(settings["splits"]["test"]))
        if seen:
            fix = "give the files of lightcones.test"
            raise problem(f"test maps of {name}", f"light-cones {seen}", "those that only test", fix)
    parts = {name: _rows(data, i, options["maps"]) for i, (name, data) in enumerate(datasets.items())}
    own = _join([parts[name] for name in settings["audited_on"]])
    stage = f"audit of {info['network']}"

    def ask(maps: np.ndarray, shown: Presentation = how, net: tuple[nn.Module, dict] = (module, info)) -> np.ndarray:
        """Predictions (m, b); map i always carries the same noise, so that a change of maps alone changes them."""
        found = predict_targets(*net, observed(maps, shown, seed, stage), device)
        if not np.isfinite(found).all():
            raise problem(
                f"network {net[1]['network']}", "predictions that are not finite", "numbers", "train it again"
            )
        return found

    truth, predicted = true_targets(own.n_above, own.volume_mpc3, how), ask(own.maps)
    constant = np.asarray(info["label_statistics"]["mean_target"], np.float64)
    mse = np.mean((predicted - truth) ** 2, axis=0)
    few = own[pick(len(own.maps), options["response_maps"])]
    before = ask(few.maps)
    dimming, dimming_response = _dimming(ask, few, before, how, options)
    superposing = _superposing(ask, own, before, how, options)
    line_models = [settings["datasets"][name] for name in datasets]
    adding = _adding(ask, few, before, how, info, options, datasets, [line_models[i] for i in few.group], seed)
    blank = _blank(ask, how, own, predicted, info)
    bins = {
        "mean_sources": _exact(own, how, "n_above" if how.target["quantity"] == "n_above" else "dn").mean(axis=0),
        "r_squared": r_squared_within(predicted, truth, own.group),
        "spread_ratio": _ratio(_centred(predicted, own.group).std(axis=0), _centred(truth, own.group).std(axis=0)),
        "gain_over_mean": _ratio(np.mean((constant - truth) ** 2, axis=0), mse),
        "gain_over_control": np.full(len(edges) - 1, np.nan),
        "dimming_response": dimming_response,
        "superposing_response": superposing,
        "adding_response": np.diagonal(adding["response"]).copy(),
        "blank_share": blank.pop("share"),
    }
    if control is not None:
        bins["gain_over_control"] = _ratio(np.mean((ask(own.maps, net=control) - truth) ** 2, axis=0), mse)

    # Test-time noise, and the test maps of every line model.
    readable = TRANSFORMS[info["preprocessing"]["transform"]].negative
    sigmas = np.array([s for s in options["noise_sigma_uk"] if s == 0 or readable], np.float64)
    answers = [ask(own.maps, replace(how, noise=[(s, s)])) for s in sigmas]
    noise = {
        "sigma_uk": sigmas,
        "r_squared": np.array([r_squared_within(a, truth, own.group) for a in answers]),
        "mse_dex": np.array([mse_dex(a, truth, own.volume_mpc3, how) for a in answers]),
    }
    models = {"r_squared": [], "bias": [], "mse_dex": [], "gain": []}
    for part in parts.values():
        right, said = true_targets(part.n_above, part.volume_mpc3, how), ask(part.maps)
        models["r_squared"].append(r_squared_within(said, right, part.group))
        models["bias"].append((said - right).mean(axis=0))
        models["mse_dex"].append(mse_dex(said, right, part.volume_mpc3, how))
        mean_dex = mse_dex(np.broadcast_to(constant, right.shape), right, part.volume_mpc3, how)
        models["gain"].append(mean_dex / models["mse_dex"][-1] if models["mse_dex"][-1] > 0 else np.inf)
    return Audit(
        network=info["network"],
        settings={
            **options,
            "network_config_hash": config_hash(info),
            "test": settings["test"],
            "audited_on": settings["audited_on"],
            "test_maps": len(truth),
        },
        target=dict(how.target),
        log10_lum_edges=edges,
        verdict=verdicts(bins, len(truth), options["thresholds"]),
        bins=bins,
        scatter={
            "predicted": _natural(predicted, own.volume_mpc3, how),
            "truth": _exact(own, how, how.target["quantity"]),
            "group": own.group,
        },
        blank=blank,
        dimming=dimming,
        adding=adding,
        noise=noise,
        models={key: np.array(values) for key, values in models.items()},
        model_names=list(parts),
        control=control[1]["network"] if control is not None else "",
    )


def verdicts(bins: dict[str, np.ndarray], maps: int, limits: dict) -> np.ndarray:
    """The verdict on each bin from the columns of COLUMNS and the config's `audit.thresholds`; (b,) of VERDICTS.

    A bin is remembered where predictions follow the truths no better than answering a constant: by R², or by the gain over
    the training mean or over the control. It is read where they follow them well, and where interventions (dimming, another
    map's sources) move them the right way by about the right amount. A test without an answer in a bin (NaN) does not count.
    """

    def at_least(name: str, limit: float) -> np.ndarray:
        return ~(bins[name] < limit)

    follows = at_least("r_squared", limits["partly_r_squared"])
    follows &= at_least("gain_over_mean", limits["partly_gain"]) & at_least("gain_over_control", limits["partly_gain"])
    well = at_least("r_squared", limits["reads_r_squared"])
    well &= at_least("gain_over_mean", limits["reads_gain"]) & at_least("gain_over_control", limits["reads_gain"])
    for name in ("dimming_response", "superposing_response"):
        low, high = limits[name]
        well &= at_least(name, low) & ~(bins[name] > high)
    well &= ~(bins["blank_share"] > limits["blank_share"])
    found = np.where(follows, np.where(well, READS, PARTLY), REMEMBERS)
    unknown = (bins["mean_sources"] < limits["min_sources"]) | ~np.isfinite(bins["r_squared"])
    return np.where(unknown | (maps < limits["min_maps"]), TOO_FEW, found)


def in_words(result: Audit) -> str:
    """The audit in one line."""
    share = {name: int(np.sum(result.verdict == name)) for name in VERDICTS}
    judged = len(result.verdict) - share[TOO_FEW]
    words = f"audit of {result.network}: reads {share[READS]} of {judged} bins, {share[PARTLY]} partly"
    words += f", remembers {share[REMEMBERS]} ({share[TOO_FEW]} with too few sources or maps to tell)"
    if not judged:
        return f"{words}: NOT JUDGED"
    if share[REMEMBERS] > judged / 2:
        return f"{words}: CONDEMNED, it does not read its maps"
    return f"{words}: {'cleared' if share[READS] == judged else 'cleared where it reads, and there alone'}"


def condemned_bins(result: Audit) -> list[str]:
    """Ranges of log10 L (Lsun), adjacent bins joined, whose verdict is `remembers`."""
    edges, ranges = result.log10_lum_edges, []
    for i in np.flatnonzero(result.verdict == REMEMBERS):
        if ranges and ranges[-1][1] == i:
            ranges[-1][1] = i + 1
        else:
            ranges.append([i, i + 1])
    return [f"10^{edges[first]:.2f} to 10^{edges[last]:.2f} Lsun" for first, last in ranges]


def config_hash(info: dict) -> str:
    """What a network's file says it was made from: an audit belongs to that network alone."""
    return info.get("provenance", {}).get("config_hash", "")


def warning(result: Audit, info: dict, where: object) -> str:
    """A line on the bins of a network's answer that its audit condemns; empty when there are none.

    info: of load_model. Raises LimelightError when the audit is of another network.
    """
    if (result.network, result.settings["network_config_hash"]) != (info["network"], config_hash(info)):
        found = f"an audit of '{result.network}' made from {result.settings['network_config_hash']}"
        raise problem(where, found, f"'{info['network']}' made from {config_hash(info)}", "audit this network")
    ranges = condemned_bins(result)
    if not ranges:
        return ""
    return f"its audit says that this network answers from memory, whatever the map, at {', '.join(ranges)}"


# Measures


def r_squared_within(predicted: np.ndarray, truth: np.ndarray, group: np.ndarray) -> np.ndarray:
    """1 − Σ(predicted − true)² / Σ(true − mean true of its group)², per bin; NaN where truths never vary within a group.

    Groups are line models: a network that tells them apart and then answers each one's mean explains nothing.
    """
    residual = np.mean((predicted - truth) ** 2, axis=0)
    return 1 - _ratio(residual, np.mean(_centred(truth, group) ** 2, axis=0))


def response(change: np.ndarray, true_change: np.ndarray, smallest: float = 0.0) -> np.ndarray:
    """Slope of predicted against true changes (m, b) through zero, per bin: 1 is right, 0 does not move.

    NaN where the truth changes by less than `smallest` (root mean square).
    """
    size = np.mean(true_change**2, axis=0)
    slope = _ratio(np.mean(change * true_change, axis=0), size)
    return np.where(np.sqrt(size) < smallest, np.nan, slope)


def true_targets(n_above: np.ndarray, volume_mpc3: np.ndarray, how: Presentation) -> np.ndarray:
    """What the network should answer, (m, b) in target space."""
    values = quantity(np.asarray(n_above)[:, : len(how.edges)], how.edges, volume_mpc3, how.target["quantity"])
    return to_target(
        values, how.target["transform"], one_source(values, how.edges, volume_mpc3, how.target["quantity"])
    )


def to_counts(target: np.ndarray, volume_mpc3: np.ndarray, how: Presentation) -> np.ndarray:
    """Sources per bin (above its lower edge for n_above) of targets (m, b)."""
    return counts(_natural(target, volume_mpc3, how), how.edges, volume_mpc3, how.target["quantity"])


def mse_dex(predicted: np.ndarray, truth: np.ndarray, volume_mpc3: np.ndarray, how: Presentation) -> float:
    """Mean squared error over maps and bins in log10(1 + sources), dex²."""
    pair = [log10_1p(to_counts(values, volume_mpc3, how)) for values in (predicted, truth)]
    return float(np.mean((pair[0] - pair[1]) ** 2))


def _natural(target: np.ndarray, volume_mpc3: np.ndarray | float, how: Presentation) -> np.ndarray:
    one = one_source(target, how.edges, volume_mpc3, how.target["quantity"])
    return natural(target, how.target["transform"], one)


def _centred(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Values less the mean of their group."""
    centred = np.array(values, np.float64)
    for one in np.unique(group):
        centred[group == one] -= centred[group == one].mean(axis=0)
    return centred


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) > 1e-24)


# Tests


def _exact(rows: Rows, how: Presentation, name: str) -> np.ndarray:
    """A quantity from the counts themselves: the target log10 cannot tell an empty bin from one source."""
    return quantity(rows.n_above[:, : len(how.edges)], how.edges, rows.volume_mpc3, name)


def _rows(data, group: int, wanted: int) -> Rows:
    keep = pick(len(data.maps), wanted)
    columns = (data.maps, data.n_above, data.volume_mpc3, data.center_deg, np.full(len(data.maps), group))
    return Rows(*(np.asarray(column)[keep] for column in columns))


def _join(parts: list[Rows]) -> Rows:
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__dataclass_fields__))


def _dimming(ask, few: Rows, before: np.ndarray, how: Presentation, options: dict) -> tuple[dict, np.ndarray]:
    """Responses to dimming by each number of bins, (steps, b), and to all of them together (b,)."""
    width = how.edges[1] - how.edges[0]
    start = true_targets(undimmed(few.n_above), few.volume_mpc3, how)
    steps = sorted({min(k, dim_steps(how.edges)) for k in options["dim_bins"]})
    changes = []
    for k in steps:
        maps, n_above = dim(few.maps, few.n_above, k, width)
        changes.append((ask(maps) - before, true_targets(n_above, few.volume_mpc3, how) - start))
    smallest = MIN_CHANGE if how.target["transform"] != "none" else 0.0
    each = np.array([response(*change, smallest) for change in changes])
    together = response(*(np.concatenate(column) for column in zip(*changes, strict=True)), smallest)
    return {"bins_down": np.array(steps), "response": each}, together


def _superposing(ask, own: Rows, before: np.ndarray, how: Presentation, options: dict) -> np.ndarray:
    """Response to another test map laid over each, (b,): its light and its counts are added, and both stay exact."""
    rows = pick(len(own.maps), options["response_maps"])
    few, over = own[rows], own[(rows + len(own.maps) // 2) % len(own.maps)]
    start = true_targets(few.n_above, few.volume_mpc3, how)
    after = true_targets(few.n_above + over.n_above, few.volume_mpc3, how)
    return response(ask(few.maps + over.maps) - before, after - start)


def _adding(
    ask,
    few: Rows,
    before: np.ndarray,
    how: Presentation,
    info: dict,
    options: dict,
    datasets: dict,
    line_models: list[dict],
    seed: int,
) -> dict[str, np.ndarray]:
    """Responses to more sources of one bin at random places, add_fraction of its mean count: (bin painted, bin asked).

    line_models: the config's entry behind each of the maps `few`; none gets sources that its log10_lum_cut leaves out.
    """
    all_edges = how.edges[0] + (how.edges[1] - how.edges[0]) * np.arange(few.n_above.shape[1])
    cosmology = Cosmology(**next(iter(datasets.values())).cosmology)
    beam = info["geometry"]["beam_fwhm_arcmin"]
    dn = np.asarray(few.n_above[:, :-1] - few.n_above[:, 1:])
    start = true_targets(few.n_above, few.volume_mpc3, how)

    def changes(extra: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        light = [
            light_of_extra(more, all_edges, how.grid, beam, few.center_deg[i], cosmology, rng, line_models[i])
            for i, more in enumerate(extra)
            for rng in [generator(seed, f"added sources, audit of {info['network']}", index, i)]
        ]
        after = true_targets(count_extra(few.n_above, extra), few.volume_mpc3, how)
        return ask(few.maps + np.array(light)) - before, after - start

    bins = len(how.edges) - 1
    found = np.empty((bins, bins))
    for j in range(bins):
        extra = np.zeros(dn.shape, np.int64)
        extra[:, j] = max(1, round(options["add_fraction"] * dn[:, j].mean()))
        extra = np.array([allowed_extra(row, all_edges, own) for row, own in zip(extra, line_models, strict=True)])
        change, true_change = changes(extra, j)
        found[j] = response(change, np.repeat(true_change[:, j : j + 1], bins, axis=1))
    return {"response": found}


def _blank(ask, how: Presentation, own: Rows, predicted: np.ndarray, info: dict) -> dict[str, np.ndarray]:
    """Answers to an empty map, without noise (b,) and with the test's (k, b), natural; `share`: see COLUMNS."""
    empty = np.zeros((BLANK_DRAWS, *own.maps.shape[1:]), np.float32)
    silent = replace(how, noise=[(0.0, 0.0)], foregrounds=None)
    volume = own.volume_mpc3.mean(keepdims=True)
    clean, noisy = ask(empty[:1], silent), ask(empty)
    usual = log10_1p(to_counts(predicted, own.volume_mpc3, how)).mean(axis=0)
    return {
        "clean": _natural(clean, volume, how)[0],
        "noisy": _natural(noisy, volume, how),
        "training_percentiles": np.asarray(info["label_statistics"]["percentiles"], np.float64),
        "share": _ratio(log10_1p(to_counts(clean, volume, how))[0], usual),
    }
