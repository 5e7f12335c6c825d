"""What is off about a cube, in words: its plain statistics held against those of the training presentations.

A model file carries the ranges that summaries.inputs found in training, from maps with their noise and foregrounds before
preprocessing. A range is widened by MARGIN before anything is called off, so that sound maps of other light-cones pass.
"""

import numpy as np
import torch

from limelight.probes.line_intensity.inputs import CubeNoise, recorded, values_seen
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.maps.cube import Cube, in_words
from limelight.probes.line_intensity.maps.instrument import noise_sigma, pooled_sigma
from limelight.probes.line_intensity.shards import grid_of
from limelight.summaries.inputs import LEVELS, MARGIN, Compared, compared, input_statistics, noise_level

OF_TAIL = 0.1  # of the most negative 1 % in training, beyond which they are: no sky is negative, so they are noise's
OF_MEAN = 0.2  # the same for the mean of all voxels, which noise and the sky's structure hardly move
NO_MEAN = 0.02  # of the error that white noise of the map's own spread gives a mean: so near to 0 no mean is by chance
REPEATED = 0.01  # share of the voxels that one value other than 0 may have
FAR = 3.0  # standard deviations of the others, beyond which such a value is none of them
MORE_ZEROS = 0.005  # share of a channel
OUTLIER = 3.0  # times the usual noise of a channel
FACTORS = {
    1e3: "a unit that is wrong by 1e3 (K and mK, mK and µK)",
    1e6: "a unit that is wrong by 1e6 (K and µK, Jy/sr and MJy/sr)",
    1e9: "a unit that is wrong by 1e9",
}


def doubts(cube: Cube, prepared: np.ndarray, info: dict, noise: CubeNoise | None = None) -> list[str]:
    """What is off about a cube, a line each with its likely cause; none for one like the training maps.

    Parameters
    ----------
    cube
        As read, upright: its own channels and pixels are named.
    prepared
        The same (x, y, f) as the network is to see it, but for preprocessing.
    info
        Of load_model. Without input_ranges, as older model files are, only what needs no comparison is found.
    noise
        Of a survey's map: what was observed, and with what σ.
    """
    removed = _removed(info)
    levelled = removed == "channels"
    filled = _filled(cube) if noise is None else []  # a survey says itself what it did not see
    if "input_ranges" not in info:
        return [*filled, *([] if levelled else _no_zero_level(cube, prepared, None, removed))]
    known = beside_training(prepared, info, noise)
    zeros = filled or _zeros(known["channel_zeros"])
    scale = _scale(known, info["header"]["geometry"])
    if scale:  # all else follows from it
        return [*zeros, *scale]
    words = [*zeros, *([] if levelled else _no_zero_level(cube, prepared, known, removed))]
    tail = _negative_tail(known["quantiles"])
    words += _noise(cube, known["channel_noise"], known["channel_spread"], info, tail, quiet=bool(zeros))
    words = words or _shape(known)
    words = words or ([] if levelled else _means(known["channel_mean"]))
    words = words or ([] if removed else judge_mean(known.get("mean"), info["header"]["geometry"]))
    return words or [*_power(known["sky_power"]), *_one_point(known)]


def beside_training(prepared: np.ndarray, info: dict, noise: CubeNoise | None = None) -> dict[str, Compared]:
    """Every statistic of a prepared cube (x, y, f) beside its range in training; arguments as for `doubts`."""
    found = input_statistics(
        values_seen(recorded(prepared, noise), _removed(info))[:, None]
    )  # as the ranges were taken
    ranges = {name: np.asarray(values) for name, values in info["input_ranges"].items()}
    margins = {"mean": OF_MEAN}
    return {
        name: compared(found[name][0].numpy(), ranges[name], margins.get(name, MARGIN))
        for name in ranges
        if name in found
    }


def _removed(info: dict) -> str | None:
    """Which means the network takes off: preprocessing.remove_means."""
    return info.get("entry", {}).get("preprocessing", {}).get("remove_means")


def _sides(dead: np.ndarray) -> list[int]:
    """How many whole lines of pixels (x, y) are dead at each of the four sides."""
    turned = (dead, dead[::-1], dead.T, dead.T[::-1])
    return [int(np.argmin(np.append(one.all(axis=1), False))) for one in turned]


def _filled(cube: Cube) -> list[str]:
    """Channels, rims and values that no telescope measures."""
    values, n = cube.values, cube.values.shape[2]
    words, flat = [], np.ptp(values, axis=(0, 1)) == 0
    if flat.any() and not flat.all():
        level = np.unique(values[0, 0, flat])
        what = "zero-filled" if not level.any() else "filled with one value"
        words.append(f"{_channels(flat)} of {n} are {what}: the pipeline had no data there")
    elif flat.all():
        return ["every channel has one value: there is no map in it"]
    rows = [] if min(values.shape[:2]) < 4 else _sides((values == 0).all(axis=2))
    if any(rows):
        share = (values == 0).all(axis=2).mean()
        words.append(
            f"a zero-filled rim, up to {max(rows)} of {values.shape[0]} pixels wide ({100 * share:.2g} % of the pixels): the"
            " field is smaller than the map"
        )
    low, high = values.min(), values.max()
    for value in {v for v in (low, high) if v < 0 or (v == high and v > 0)}:
        same = values == value
        share, others = float(same.mean()), values[~same]
        far = len(others) > 0 and abs(value - others.mean()) > FAR * others.std()
        if share > REPEATED and values.size * share > 10 and far:
            cause = "a fill value" if value < 0 else "saturated or clipped, or a fill value"
            words.append(f"{100 * share:.2g} % of the voxels are exactly {value:.6g} {cube.unit}: {cause}")
    return words


def _zeros(zeros: Compared) -> list[str]:
    many = zeros.found > zeros.most + MORE_ZEROS
    if not many.any():
        return []
    share, usual = zeros.found[many].max(), zeros.high[many].max()
    where = "every channel" if many.all() else f"{_channels(many)} of {len(many)} (pooled)"
    return [
        f"{100 * share:.2g} % of the voxels of {where} are exactly 0 (in training at most {100 * usual:.2g} %): gaps were"
        " filled with zeros, or it is a simulated map without noise"
    ]


def _scale(known: dict[str, Compared], geometry: dict) -> list[str]:
    """A wrong factor on all values."""
    spread, mean = known["channel_spread"], known["channel_mean"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.median(spread.found / spread.middle))
        of_means = float(np.median(mean.found / mean.middle))
    off = (spread.below | spread.above).mean() > 0.5
    if not (off and 0 < ratio < np.inf):
        return []
    summed = geometry["pool_pixels"] ** 2 * geometry["pool_channels"]
    candidates = {**FACTORS, **{1 / factor: cause for factor, cause in FACTORS.items()}}
    nearest = min(candidates, key=lambda factor: abs(np.log10(ratio / factor)))
    line = f"the values spread {ratio:.2g} times as far as is usual in training: "
    if abs(np.log10(ratio / nearest)) < 0.75:
        return [line + f"probably {candidates[nearest]}; check BUNIT"]
    both_low = max(abs(np.log10(max(one, 1e-30) * summed)) for one in (ratio, of_means)) < 0.35
    if spread.below.mean() > 0.5 and both_low and summed > 4:
        cause = (
            f"means of voxels, where training maps are sums of {summed} (drop LLPOOLPX and LLPOOLCH: it is then summed)"
        )
        return [line + f"probably {cause}"]
    return []


def _noise(cube: Cube, noise: Compared, spread: Compared, info: dict, tail: list[str], quiet: bool) -> list[str]:
    """Loud channels, noise beyond that of training, its tail, or, unless zeros explain it (quiet), too little of it."""
    loud = noise.above | (spread.above & ~noise.below)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.maximum(noise.found / noise.high, np.where(spread.above, spread.found / spread.high, 0))
    if loud.any() and loud.mean() <= 0.5:
        own = noise_level(torch.as_tensor(cube.values)[None])[0].numpy()
        bad, n = own > OUTLIER * max(np.median(own), 1e-30), len(own)
        if tail and not bad.any():
            return tail
        named = f"{_channels(bad)} of {n}" if 0 < bad.sum() <= n / 2 else f"{_channels(loud)} of {len(loud)} (pooled)"
        return [f"{named}: {times[loud].max():.2g} times as loud as any in training: bad data, or a bright spike"]
    if noise.above.mean() > 0.5:
        return [_too_loud(noise, info)]
    if noise.below.mean() > 0.5 and not quiet:
        with np.errstate(divide="ignore"):
            times = np.median(noise.found / noise.low)
        return [
            f"neighbouring pixels differ {times:.2g} times as much as in the smoothest training map: smoothed (a beam that"
            " the training maps lack, or a resampled map), or noise was removed"
        ]
    return tail


def _negative_tail(levels: Compared) -> list[str]:
    """Noise a little louder than training's: bright skies hide that from its level, but they have no negative tail."""
    lowest, least, middle = levels.found[0], levels.low[0], len(levels.found) // 2
    moved = levels.low[middle] - levels.found[middle]  # of an offset, which moves the median as well
    if not (least < 0 and lowest < (1 + OF_TAIL) * least and moved < 0.5 * (least - lowest)):
        return []
    return [
        f"the {100 * LEVELS[0]:g}st percentile of its values, {lowest:.3g}, lies {lowest / least:.3g} times as low as any in"
        f" training ({least:.3g}): noise louder than training's, or artefacts"
    ]


def unseen(prepared: np.ndarray, info: dict) -> str:
    """What no look at the values can find: what another sky of the training maps could have done as well."""
    levelled, ranges = _removed(info), info.get("input_ranges", {})
    what, know = (
        ("a wrong gain", "the calibration")
        if levelled
        else ("an offset or a wrong gain", "the zero level and the calibration")
    )
    reach = ""
    if not levelled and "mean" in ranges:
        geometry = info["header"]["geometry"]
        summed = geometry["pool_pixels"] ** 2 * geometry["pool_channels"]
        low, _, high = (float(value) / summed for value in ranges["mean"][:, 0])
        reach = f" (means of {low:.2g} to {high:.2g} {geometry['unit']}; here {prepared.mean() / summed:.2g})"
    return f"{what} within the brightness of training's skies{reach} cannot be seen in a map: make sure of {know}"


def _too_loud(noise: Compared, info: dict) -> str:
    geometry, observation = info["header"]["geometry"], info["observation"]
    grid, _ = grid_of(geometry)
    level = np.median(noise.found / pooled_sigma(grid))
    times = np.median(noise.found / noise.high)
    settings = {name: Noise.model_validate(setting) for name, setting in observation["noise"].items()}
    surveys = {name: survey["sigma_uk"] for name, survey in (observation.get("surveys") or {}).items()}
    loudest = max(
        noise_sigma(setting, observation["instrument"], grid, surveys.get(name, 1.0))[1]
        for name, setting in settings.items()
    )
    return (
        f"noise of {level:.3g} µK per fine voxel, where the network was trained with at most {loudest:.3g}: {times:.2g}"
        " times the roughest of its maps; use a network that was trained with this noise"
    )


def _no_zero_level(
    cube: Cube, prepared: np.ndarray, known: dict[str, Compared] | None, removed: str | None
) -> list[str]:
    """Means, or medians, that are exactly 0; for a network without a zero level that of all voxels may be."""
    needed = removed is None
    x = prepared.astype(np.float64)
    spread, (nx, ny, nf) = x.std(), x.shape
    trained_so = known is not None and np.abs(known["channel_mean"].high).max() < NO_MEAN * spread
    if spread == 0 or trained_so:
        return []
    error = NO_MEAN * x.std(axis=(0, 1)) / np.sqrt(nx * ny)
    what = ""
    if nf > 1 and (np.abs(x.mean(axis=(0, 1))) <= error).all():
        what = "the mean of every channel is 0"
    elif nf > 1 and (np.abs(x.mean(axis=2)) <= NO_MEAN * x.std(axis=2) / np.sqrt(nf)).mean() > 0.5:
        what = "the mean of every spectrum is 0"
    elif needed and abs(x.mean()) < 0.1 * NO_MEAN * spread / np.sqrt(x.size):
        what = "the mean of all voxels is 0"
    elif (cube.values == 0).mean() < 0.1:
        medians = np.abs(np.median(cube.values, axis=(0, 1)))
        what = "the median of every channel is 0" if medians.max() < 1e-5 * cube.values.std() else ""
    used = "the absolute zero level" if needed else "every mean but that of the whole map"
    return [f"{what}: it was removed, and the network uses {used}; its answer is worth nothing"] * bool(what)


def _means(mean: Compared) -> list[str]:
    off = mean.below | mean.above
    if not off.any():
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.median((mean.found / np.where(mean.below, mean.low, mean.high))[off])
    side, which = ("least", "below") if mean.below.sum() >= mean.above.sum() else ("largest", "above")
    cause = (
        "its zero level was changed (means, baselines or modes removed)" if which == "below" else "continuum, an offset"
    )
    return [
        f"the mean of {_channels(off)} of {len(off)} (pooled) lies {which} training's, {ratio:.2g} times its {side}: perhaps"
        f" {cause}, or a sky unlike the simulated ones"
    ]


def judge_mean(mean: Compared | None, geometry: dict) -> list[str]:
    """The mean of all voxels, where no channel's is off by itself: noise hides theirs first. Older model files lack it."""
    if mean is None or not (mean.below | mean.above).any():
        return []
    side, limit = ("least", mean.low) if mean.below.any() else ("largest", mean.high)
    summed = geometry["pool_pixels"] ** 2 * geometry["pool_channels"]
    cause = "its zero level was changed, continuum was left in"
    if mean.below.any() and summed > 4 and mean.found[0] > 0:
        cause = f"it holds means of voxels, where training maps are sums of {summed}, its zero level was changed"
    return [
        f"the mean of all voxels, {mean.found[0]:.3g}, is not that of any training map ({side}: {limit[0]:.3g}): perhaps"
        f" {cause}, or the sky is unlike the simulated ones"
    ]


def _shape(known: dict[str, Compared]) -> list[str]:
    """Channels beside one another, and the power of large scales over that of the smallest."""
    words, slope, channels = [], known["power_slope"], known["relative_spread"]
    if channels.above.any():
        times = 10 ** channels.found[channels.above].max()
        words.append(
            f"{_channels(channels.above)} of {len(channels.found)} (pooled) spread {times:.2g} times as far as the usual one"
            f" (in training up to {10 ** channels.high[channels.above].max():.2g}): calibration, or a bright spike"
        )
    if slope.above.any():
        most = (slope.found - slope.high)[slope.above].max()
        words.append(
            f"power on the smallest scales is low beside the larger ones, by 10^{most:.2g} more than in any training map:"
            " smoothed, by a beam perhaps, or drifts along the scan"
        )
    elif slope.below.any():
        least = (slope.low - slope.found)[slope.below].max()
        words.append(
            f"power on large scales is low beside the smallest, by 10^{least:.2g} more than in any training map: filtered"
            " (scan high-pass, modes removed)"
        )
    return words


def _power(power: Compared) -> list[str]:
    if power.above.any():
        most = (power.found - power.high)[power.above].max()
        return [f"power up to 10^{most:.2g} times the largest in training: structure that no training map has"]
    if power.below.any():
        least = (power.found - power.low)[power.below].min()
        return [f"power down to 10^{least:.2g} times the least in training: a fainter or a smoothed map"]
    return []


def _one_point(known: dict[str, Compared]) -> list[str]:
    words, levels = [], known["quantiles"]
    for off, side in ((levels.below, "below"), (levels.above, "above")):
        if off.any():
            i = int(np.flatnonzero(off)[-1])
            reach = f"{levels.low[i]:.3g} to {levels.high[i]:.3g}"
            words.append(
                f"the {100 * LEVELS[i]:g}th percentile of its values, {levels.found[i]:.3g}, lies {side} all of training's"
                f" ({reach}): another line brightness, or another kind of noise"
            )
    spectra = known["spectrum_spread"]
    if spectra.below.any() and not words:
        words.append("spectra differ less than any in training: baselines or modes along frequency were removed")
    return words


def _channels(chosen: np.ndarray) -> str:
    return f"channel{'s' if chosen.sum() > 1 else ''} {in_words(chosen)}"
