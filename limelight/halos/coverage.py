"""Do the halos fill their box, or their light-cone? Finds missing pieces, cut boxes and lengths in the wrong unit.

The volume is cut into strips along each axis, columns and cells. A part is missed when it holds so few halos that a sound
catalogue would have such a part once in 100,000 times: the chance of a Poisson number about a lognormal density whose rms
is the halos' bias times linear theory's for a part of that shape, and 1.3 for what linear theory lacks. A thin strip may
thus be judged from some 20 halos on, a cell, which may be a void, from 100 or 200.
"""

import itertools
import re
from collections.abc import Callable

import numpy as np
from scipy.special import pdtr

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.abundance import expected_density
from limelight.halos.formats.common import Foreign
from limelight.halos.massfunction import halo_bias

FALSE_ALARM = 1e-5  # chance that a sound catalogue has one part too empty, for each way of cutting it
FEWEST = 100  # halos that a catalogue must hold to be judged by the chances of clustered halos
FEWEST_BY_STRIPS = 40  # to be judged at all: of fewer than FEWEST no strip in which ENOUGH are expected may be empty
ENOUGH = 20  # halos that a part must be expected to hold to be judged
NONLINEAR = (
    1.3  # rms of N-body halos in cells of 8 Mpc over bias times linear theory (docs/halos.md); larger cells have less
)
FINEST = {1: 256, 2: 64, 3: 32}  # parts along an axis, by the number of axes that are cut
SAME_EXTENT = 0.02  # relative, between the extents of axes and what a wrong unit would make of them
NORMAL = np.linspace(-9, 9, 721)
NORMAL_WEIGHT = np.exp(-(NORMAL**2) / 2) / np.exp(-(NORMAL**2) / 2).sum()


def chance_of_at_most(count: int, mean: float, rms: float) -> float:
    """The chance of at most `count` halos where `mean` are expected and the density has this rms, lognormal."""
    spread = np.sqrt(np.log1p(rms**2))
    return float(NORMAL_WEIGHT @ pdtr(count, mean * np.exp(spread * NORMAL - spread**2 / 2)))


def halo_rms(mass_msun: np.ndarray, redshift: float, cosmology: Cosmology) -> Callable[[tuple[float, ...]], float]:
    """The rms of the density of such halos in blocks, as a function of a block's three sides in Mpc.

    ∫ d³k/(2π)³ P(k) exp(−Σ kᵢ² sᵢ² / 12), a Gaussian of each side's own variance in place of its window; two of the sides
    count as equal, the one nearer to another shortened to it, which can only raise the rms.
    """
    masses = np.quantile(mass_msun, (np.arange(32) + 0.5) / 32)
    bias = float(halo_bias(np.clip(masses, 1e8, 1e16), redshift, cosmology).mean())
    k = np.geomspace(1e-4, 50, 400)
    power = cosmology.linear_power(k) * k**3 * np.log(k[1] / k[0]) / (2 * np.pi**2)
    cosine, weight = np.polynomial.legendre.leggauss(96)
    cosine, weight = (cosine[cosine > 0], weight[cosine > 0])
    factor = NONLINEAR * bias * float(cosmology.growth(redshift))

    def of_block(sides: tuple[float, ...]) -> float:
        short, middle, long = sorted(sides)
        if middle / short < long / middle:
            across, along = short, long
        else:
            across, along = middle, short
        size2 = (1 - cosine**2) * across**2 + cosine**2 * along**2
        return factor * float(np.sqrt(power @ np.exp(-np.outer(k**2, size2) / 12) @ weight))

    return of_block


def fewest_allowed(number: float, parts: int, rms: Callable[[], float]) -> int:
    """The fewest halos that a part of a sound catalogue may hold, of `number` in `parts` parts; 0 if it may be empty."""
    mean, limit = number / parts, FALSE_ALARM / parts
    if mean < ENOUGH:
        return 0
    spread = rms()
    if chance_of_at_most(0, mean, spread) > limit:
        return 0
    low, high = 0, int(mean)  # the chance passes the limit between them
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if chance_of_at_most(middle, mean, spread) <= limit else (low, middle)
    return low + 1


def finest_cut(
    cut: tuple[int, ...], number: int, sides: tuple[float, ...], rms: Callable[[tuple[float, ...]], float]
) -> tuple[tuple[int, ...], int]:
    """The most parts along the cut axes that can be judged, and the fewest halos that each may hold; 0 if none can."""
    shortest = min(sides[axis] for axis in cut)
    for k in range(FINEST[len(cut)], 1, -1):
        parts = tuple(round(k * sides[axis] / shortest) if axis in cut else 1 for axis in range(3))
        block = tuple(side / n for side, n in zip(sides, parts, strict=True))
        fewest = fewest_allowed(number, int(np.prod(parts)), lambda block=block: rms(block))
        if fewest:
            return parts, fewest
    return (1, 1, 1), 0


def empty_parts(
    unit: np.ndarray, sides: tuple[float, ...], rms: Callable[[tuple[float, ...]], float], periodic: bool
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """The ways of cutting the unit cube that show parts with too few halos: [(parts along each axis, bool per part)].

    Parameters
    ----------
    unit
        Places, (n, 3), from 0 to 1, along axes on which the expected density is even.
    sides
        Lengths of the axes, Mpc: an axis that is long is cut into more parts.
    rms
        Of the density of the halos in a block, by its three sides in Mpc.
    periodic
        If all parts hold enough, also cut half a part further on.
    """
    if len(unit) < FEWEST:
        return _empty_strips(unit, sides, rms if periodic else None)
    found = []
    for cut in (axes for count in (1, 2, 3) for axes in itertools.combinations(range(3), count)):
        parts, fewest = finest_cut(cut, len(unit), sides, rms)
        scarce = _counts(unit, parts, 0.0) < fewest
        if periodic and not scarce.any():
            scarce = _counts(unit, parts, 0.5) < fewest
        if scarce.any():
            found.append((parts, scarce))
    return found


def _empty_strips(
    unit: np.ndarray, sides: tuple[float, ...], rms: Callable[[tuple[float, ...]], float] | None
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Strips of a small catalogue, along one axis, that hold nothing at all although ENOUGH halos are expected in each.

    With rms, only where clustered halos would not leave one empty: the strips of a box may be as small as a void.
    """
    number = len(unit) // ENOUGH
    found = []
    for axis in range(3) if len(unit) >= FEWEST_BY_STRIPS else ():
        parts = tuple(number if along == axis else 1 for along in range(3))
        block = tuple(side / n for side, n in zip(sides, parts, strict=True))
        empty = _counts(unit, parts, 0.0) == 0
        if empty.any() and (rms is None or fewest_allowed(len(unit), number, lambda block=block: rms(block))):
            found.append((parts, empty))
    return found


def _counts(unit: np.ndarray, parts: tuple[int, ...], shift: float) -> np.ndarray:
    flat = np.zeros(len(unit), dtype=np.int64)
    for axis, number in enumerate(parts):
        place = np.floor(unit[:, axis] * number + (shift if number > 1 else 0.0)).astype(np.int64)
        flat = flat * number + np.clip(place % number if shift else place, 0, number - 1)
    return np.bincount(flat, minlength=int(np.prod(parts))).reshape(parts)


def check_box(box: Foreign, cosmology: Cosmology) -> None:
    """Refuse a snapshot whose halos leave part of their periodic box empty; the line says which, and what is likely."""
    side, number = box.box_mpc, len(box)
    low, high = box.position_mpc.min(axis=0), box.position_mpc.max(axis=0)
    span = float((high - low).max())
    if span > side * (1 + 1e-4):
        found = f"positions that span {span:.4g} Mpc in a box of {side:.4g} Mpc"
        raise problem(box.path, found, "positions inside the box", "check the units of positions and box (Mpc, Mpc/h?)")
    if number < 2:
        return
    unit = np.mod(box.position_mpc.astype(np.float64) / side, 1.0)
    empty = empty_parts(unit, (side,) * 3, halo_rms(box.mass_msun, box.redshift, cosmology), periodic=True)
    if not empty and (number < 200 or span >= 0.5 * side):
        return
    gaps = [_largest_gap(box.position_mpc[:, axis], side) for axis in range(3)]
    missed = [
        axis for axis in range(3) if any(p[axis] > 1 and sum(n > 1 for n in p) == 1 for p, _ in empty)
    ]  # strips along this axis are empty
    if not empty:
        missed = [0, 1, 2]
    gaps = [_stretch(gaps[axis], axis, empty, side) for axis in range(3)]
    where = [f"{'xyz'[axis]} = {gaps[axis][0]:.4g} to {gaps[axis][1]:.4g} Mpc" for axis in missed]
    if not missed:
        where = [_place_of(*empty[-1], side)]
    named = ", ".join(where)
    files = f" in {len(box.files)} files" if len(box.files) > 1 else ""
    found = f"hardly any halos at {named} of a box of {side:.4g} Mpc ({number} halos{files}, z = {box.redshift:.3f})"
    raise problem(
        box.path, found, "halos that fill the box up to its faces", _likely_cause(box, gaps, missed, cosmology)
    )


def _largest_gap(values: np.ndarray, side: float) -> tuple[float, float]:
    """The longest stretch without values along a periodic axis, in the values' own coordinates."""
    inside = np.unique(values.astype(np.float64))
    gaps = np.diff(np.concatenate([inside, [inside[0] + side]]))
    longest = int(np.argmax(gaps))
    start, end = inside[longest], inside[longest] + gaps[longest]
    if longest == len(inside) - 1 and start <= side * (1 + 1e-4):
        last = side if inside[0] >= 0 else side / 2 if inside[0] > -side / 2 * (1 + 1e-4) else end
        if end > last and inside[0] - (last - side) < 0.01 * side:
            end = last  # all of it lies at the far face
    return float(start), float(end)


def _stretch(gap: tuple[float, float], axis: int, empty: list, side: float) -> tuple[float, float]:
    """The gap along an axis; where single halos stand in it, the strips with too few halos instead."""
    for parts, scarce in empty:
        if parts[axis] > 1 and sum(n > 1 for n in parts) == 1:
            bad = np.flatnonzero(scarce.ravel())
            if gap[1] - gap[0] < 0.5 * len(bad) / parts[axis] * side:
                return float(bad[0] * side / parts[axis]), float((bad[-1] + 1) * side / parts[axis])
    return gap


def _place_of(parts: tuple[int, ...], scarce: np.ndarray, side: float) -> str:
    """How many parts are empty, and where the first is."""
    first = np.argwhere(scarce)[0]
    ranges = [
        f"{'xyz'[axis]} ≈ {first[axis] * side / n:.4g} to {(first[axis] + 1) * side / n:.4g}"
        for axis, n in enumerate(parts)
        if n > 1
    ]
    return f"{int(scarce.sum())} of {scarce.size} parts of the box, the first at {', '.join(ranges)} Mpc"


def _likely_cause(box: Foreign, gaps: list[tuple[float, float]], missed: list[int], cosmology: Cosmology) -> str:
    """What to look at first. A unit shortens the axes by a known factor; what else is missing is a piece or was cut off."""
    side = box.box_mpc
    extent = np.array([1 - (gaps[axis][1] - gaps[axis][0]) / side for axis in missed])
    h = box.cosmology.get("h", cosmology.h)
    units = {
        "positions are in Mpc/h but were read as Mpc": h,
        "positions are physical, not comoving": 1 / (1 + box.redshift),
        "positions are physical and in Mpc/h but were read as comoving Mpc": h / (1 + box.redshift),
        "positions are in Mpc but were read as kpc, or the side of the box is in kpc": 1e-3,
    }
    even = bool(missed) and np.ptp(extent) < SAME_EXTENT * extent.mean()
    fitting = [cause for cause, factor in units.items() if even and abs(extent.mean() / factor - 1) < SAME_EXTENT]
    if len(missed) == 3:
        filled = ", ".join(f"{value:.3f}" for value in extent)
        cause = f"likely cause: {fitting[0]}; " if fitting else ""
        return (
            f"{cause}halos fill {filled} of x, y, z: check the units of positions and box, or whether this is a cut box"
        )
    numbers = missing_numbers([path.name for path in box.files])
    cause = "likely cause: a missing piece or slab of the snapshot, or a cut box"
    if fitting:
        cause += f", or along {' and '.join('xyz'[axis] for axis in missed)} {fitting[0]}"
    advice = f"numbers {numbers} are not among the files; " if numbers else ""
    return f"{cause}; {advice}list every piece in lightcones.files"


def missing_numbers(names: list[str]) -> str:
    """The numbers that files numbered from 0 or 1 leave out, as text ("3, 7"); empty if names differ in more, or in none."""
    split = [re.split(r"(\d+)", name) for name in names]
    if len(split) < 2 or len({len(parts) for parts in split}) > 1:
        return ""
    differing = [n for n in range(len(split[0])) if len({parts[n] for parts in split}) > 1]
    if len(differing) != 1 or differing[0] % 2 == 0:
        return ""
    here = {int(parts[differing[0]]) for parts in split}
    absent = sorted(set(range(min(1, min(here)), max(here) + 1)) - here)
    return ", ".join(map(str, absent[:8])) + (" …" if len(absent) > 8 else "")


def check_cone(
    position_mpc: np.ndarray,
    mass_msun: np.ndarray,
    half_width: float,
    band: tuple[float, float],
    cosmology: Cosmology,
    model: str,
    where: object,
) -> None:
    """Refuse a light-cone that leaves part of its field or of its depth empty.

    Strips along x and y of the tangent plane, shells, and parts of them. Shells hold equal shares of what the mass function
    expects above the lightest halo: heavy halos thin out quickly with redshift.
    """
    position = position_mpc.astype(np.float64)
    distance = np.linalg.norm(position, axis=1)
    near, far = (float(cosmology.comoving_distance(z)) for z in band)
    inside = (distance >= near) & (distance < far)
    if not inside.any():
        found = f"halos at χ {distance.min():.0f} to {distance.max():.0f} Mpc only"
        raise problem(where, found, f"halos at χ {near:.0f} to {far:.0f} Mpc", "check the band and the units")
    plane = position[inside, :2] / position[inside, 2:]
    redshift = np.linspace(*band, 65)
    chi = cosmology.comoving_distance(redshift)
    floor = np.array([mass_msun.min()], dtype=np.float64)
    density = np.array([expected_density(floor, z, cosmology, model)[0] for z in redshift[::8]])
    density = np.exp(np.interp(redshift, redshift[::8], np.log(density)))
    shells = np.diff(chi**3) * (density[1:] + density[:-1]) / 2
    share = np.concatenate([[0.0], np.cumsum(shells)]) / shells.sum()
    depth = np.interp(distance[inside], chi, share)
    unit = np.column_stack([(plane / half_width + 1) / 2, depth])
    middle = float((near + far) / 2)
    width = 2 * half_width * middle
    rms = halo_rms(mass_msun[inside], float(np.mean(band)), cosmology)
    empty = empty_parts(unit, (width, width, far - near), rms, periodic=False)
    if not empty:
        return
    names = ("x", "y", "distance")
    fewest_axes = sum(n > 1 for n in empty[0][0])
    missed = [
        " with ".join(names[axis] for axis in range(3) if parts[axis] > 1)
        for parts, _ in empty
        if sum(n > 1 for n in parts) == fewest_axes
    ]
    extent = np.degrees(np.abs(plane).max(axis=0))
    found = f"stretches with hardly any halos along {' and '.join(missed)} (they reach x ±{extent[0]:.2f}°,"
    found += f" y ±{extent[1]:.2f}°, χ {distance[inside].min():.0f} to {distance[inside].max():.0f} Mpc)"
    expected = f"±{np.degrees(half_width):.2f}°, χ {near:.0f} to {far:.0f} Mpc covered"
    fix = "list every piece, lower field_deg, narrow the band, or check line_of_sight and units"
    raise problem(where, found, expected, fix)
