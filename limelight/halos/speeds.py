"""Are peculiar velocities as large as linear theory has them? Too small is as wrong as too large: both move every halo."""

import numpy as np
from scipy.special import gammaincinv, spherical_jn

from limelight.cosmology import Cosmology
from limelight.errors import problem

FALSE_ALARM = 1e-5  # chance that the long waves of a sound volume take its rms beyond the limits, on either side
ODD = 0.005  # the same of a word about them, on either side
SLOWER, FASTER = 1.25, 1.4  # beyond that: halos of few masses and regions; what linear theory lacks, subhalos
FACTOR = 3.0  # the most that the rms may be off in any volume
AXIS_FACTOR = 4.0  # how far below the rms of all axes one axis may be
ENOUGH = 50  # halos that make an rms worth judging
MODES = 12  # waves along a side of a box that are summed one by one; shorter ones average out
PAIRED = 300  # halos of a light-cone whose pairs give the scatter of its rms
OBSERVED_WITHIN = 0.01  # between a file's own observed redshifts and ours, median
SLOPE_WITHIN = 0.3  # of the file's own displacements against ours; a factor 1 + z gives 0.3 or 3


def linear_rms(redshift: float, cosmology: Cosmology, longest_mpc: float | None = None) -> float:
    """RMS linear velocity along one axis in km/s; of waves no longer than longest_mpc alone where that is given."""
    rms = float(cosmology.velocity_rms(redshift))
    return rms if longest_mpc is None else rms * _displacement(longest_mpc, cosmology) / cosmology.displacement_rms


def _displacement(longest_mpc: float, cosmology: Cosmology) -> float:
    """RMS linear displacement along one axis today, Mpc, of waves no longer than this."""
    log_k = np.linspace(np.log(2 * np.pi / longest_mpc), np.log(1e2), 4000)
    k = np.exp(log_k)
    return float(np.sqrt(np.sum(cosmology.linear_power(k) * k) * (log_k[1] - log_k[0]) / (6 * np.pi**2)))


def box_variance(side_mpc: float, cosmology: Cosmology) -> tuple[float, float]:
    """The velocity variance of a periodic box over that of all space, and its relative scatter from box to box (1σ).

    The sum of P(k) / (3 k² V) over the waves that fit the box; each has an exponential distribution of power, shared by k
    and −k, so that the variance of the sum is twice the sum of squares.
    """
    n = np.arange(-MODES, MODES + 1)
    squared = (n[:, None, None] ** 2 + n[None, :, None] ** 2 + n[None, None] ** 2).ravel()
    squared, waves = np.unique(squared[(squared > 0) & (squared <= MODES**2)], return_counts=True)
    k = 2 * np.pi / side_mpc * np.sqrt(squared)
    power = cosmology.linear_power(k) / k**2 / (3 * side_mpc**3)
    mean = float(waves @ power) + _displacement(side_mpc / MODES, cosmology) ** 2
    return mean / cosmology.displacement_rms**2, float(np.sqrt(2 * waves @ power**2)) / mean


def cone_scatter(position_mpc: np.ndarray, cosmology: Cosmology) -> float:
    """The relative scatter (1σ) of the mean squared velocity along the line of sight of halos at these places, (n, 3).

    2/n² Σ c² over all pairs, with c the linear correlation of their two line-of-sight velocities (Górski 1988); the pairs
    of PAIRED halos stand for all.
    """
    chosen = np.random.default_rng(0).permutation(len(position_mpc))[:PAIRED]
    position = position_mpc[chosen].astype(np.float64)
    sight = position / np.linalg.norm(position, axis=1)[:, None]
    apart = position[:, None] - position[None]
    distance = np.linalg.norm(apart, axis=2)
    k, r = np.geomspace(1e-4, 10, 1500), np.geomspace(0.5, 2e4, 150)
    weight = cosmology.linear_power(k) * k / np.sum(cosmology.linear_power(k) * k)
    zeroth, second = (spherical_jn(order, np.outer(r, k)) @ weight for order in (0, 2))
    first, other = np.triu_indices(len(position), 1)
    distance, apart = distance[first, other], apart[first, other]
    along = [np.einsum("ij,ij->i", apart, sight[n]) / np.maximum(distance, 1e-6) for n in (first, other)]
    product = along[0] * along[1]
    cosine = np.einsum("ij,ij->i", sight[first], sight[other])
    parallel, across = (np.interp(distance, r, values) for values in (zeroth - 2 * second, zeroth + second))
    correlation = product * parallel + (cosine - product) * across
    n = len(position_mpc)
    return float(np.sqrt(2 * (np.mean(correlation**2) * (1 - 1 / n) + 1 / n)))


def rms_limits(
    redshift: float,
    cosmology: Cosmology,
    position_mpc: np.ndarray,
    box_mpc: float | None,
    false_alarm: float = FALSE_ALARM,
) -> tuple[float, float]:
    """The least and the most that the rms velocity along one axis of such halos may be, km/s.

    A mean square of relative scatter s is distributed as χ² of 2/s² degrees of freedom. false_alarm: chance of a sound
    volume to lie beyond, on either side.
    """
    full = linear_rms(redshift, cosmology)
    if box_mpc is None:
        share, scatter, slowest = 1.0, cone_scatter(position_mpc, cosmology), full
    else:
        share, scatter = box_variance(box_mpc, cosmology)
        scatter = np.hypot(scatter, np.sqrt(2 / (3 * len(position_mpc))))
        slowest = linear_rms(redshift, cosmology, box_mpc)
    freedom = 2 / scatter**2
    low, high = (np.sqrt(2 * gammaincinv(freedom / 2, chance) / freedom) for chance in (false_alarm, 1 - false_alarm))
    least = max(full * np.sqrt(share) * low / SLOWER, slowest / FACTOR)
    return float(least), float(min(high * FASTER, FACTOR) * full)


def check_speeds(
    velocity_kms: np.ndarray,
    position_mpc: np.ndarray,
    redshift: float,
    cosmology: Cosmology,
    where: object,
    box_mpc: float | None = None,
) -> str:
    """Refuse velocities far from linear theory's; the words of a warning for odd ones and for halos at rest, else nothing.

    Parameters
    ----------
    velocity_kms, position_mpc
        (n, 3). A light-cone's velocities may be known along the line of sight alone, seen from the origin.
    redshift
        At which they are.
    box_mpc
        Side of a periodic box, which has no longer waves; None for a light-cone.
    """
    if len(velocity_kms) < ENOUGH:
        return ""
    velocity = velocity_kms.astype(np.float64)
    if not velocity.any():
        return f"{where}: halos are at rest, observed redshifts are cosmological: no redshift-space distortion"
    axes = np.sqrt((velocity**2).mean(axis=0))
    if box_mpc is None:
        position = position_mpc.astype(np.float64)
        along = np.einsum("ij,ij->i", velocity, position) / np.linalg.norm(position, axis=1)
        rms = float(np.sqrt((along**2).mean()))
        radial = np.isclose((velocity**2).sum(), (along**2).sum(), rtol=1e-5)
    else:
        rms, radial = float(np.sqrt((axes**2).mean())), False
    if not radial and axes.min() * AXIS_FACTOR < axes.max():
        text = ", ".join(f"{value:.3g}" for value in axes)
        fix = "check that vx, vy and vz name the right columns"
        raise problem(where, f"velocities of rms {text} km/s along x, y, z", "about the same along every axis", fix)
    full = linear_rms(redshift, cosmology)
    least, most = rms_limits(redshift, cosmology, position_mpc, box_mpc)
    if least <= rms <= most:
        low, high = rms_limits(redshift, cosmology, position_mpc, box_mpc, ODD)
        if low <= rms <= high:
            return ""
        return (
            f"{where}: velocities of rms {rms:.3g} km/s along one axis; in such a volume 99 % lie between {low:.3g} and"
            f" {high:.3g}: check their unit (a factor √a or 1/√a, as in Gadget's own?)"
        )
    found = f"velocities of rms {rms:.3g} km/s along one axis at z = {redshift:.3f}"
    expected = f"{least:.3g} to {most:.3g} km/s in this volume (linear theory: {full:.3g} in all space)"
    raise problem(where, found, expected, _likely_cause(rms / np.sqrt(least * most), redshift, cosmology))


def _likely_cause(ratio: float, redshift: float, cosmology: Cosmology) -> str:
    """The mistaken unit that comes closest to a ratio of found to expected speed."""
    to_mpc = (1 + redshift) / float(cosmology.hubble(redshift))  # comoving displacement in redshift space per km/s
    factors = {
        "they are redshift-space displacements in Mpc": to_mpc,
        "they are redshift-space displacements in Mpc/h": to_mpc * cosmology.h,
        "they are in m/s": 1e3,
        "they are in cm/s": 1e5,
        "they lack a factor 1 + z (Subfind's km/s/a)": 1 / (1 + redshift),
        "they carry a factor 1 + z too many": 1 + redshift,
        "they are in units of the speed of light": 1 / 299792.458,
    }
    cause, factor = min(factors.items(), key=lambda item: abs(np.log(ratio / item[1])))
    if abs(np.log(ratio / factor)) < np.log(1.6):
        return f"likely cause: {cause}; check the velocity unit and columns"
    return "check the velocity unit and the velocity columns"


def check_observed(own: np.ndarray, redshift: np.ndarray, observed: np.ndarray, where: object) -> None:
    """Refuse a file's own observed redshifts that are not those of its positions and velocities.

    They may be off as a whole, or hold the displacement (1 + z) v/c of each halo not at all, reversed, or in part: the slope
    of own − z against it must be 1. A smooth difference (a parabola in z) is left to the other test.

    Parameters
    ----------
    own, redshift, observed
        (n,): the file's observed redshifts; the cosmological ones of its positions; z + (1 + z) v/c with its velocities.
    """
    own, z, ours = (np.asarray(values, dtype=np.float64) for values in (own, redshift, observed))
    off = float(np.median(np.abs(own - ours)))
    if off > OBSERVED_WITHIN:
        found = f"observed redshifts that differ by {off:.3g} (median) from those of its positions and velocities"
        raise problem(where, found, f"at most {OBSERVED_WITHIN:g}", "check the cosmology and the units of the file")
    shift = ours - z
    if len(own) < ENOUGH or not shift.any():
        return
    smooth = np.vander((z - z.mean()) / max(float(z.std()), 1e-9), 3)
    terms = np.column_stack([shift / shift.std(), smooth])
    answer, *_ = np.linalg.lstsq(terms, own - z, rcond=None)
    slope = float(answer[0] / shift.std())
    error = float((own - z - terms @ answer).std() / shift.std() / np.sqrt(len(own)))
    if abs(slope - 1) <= SLOPE_WITHIN + 5 * error:
        return
    what = "without peculiar velocities" if abs(slope) < 0.2 else "with velocities reversed" if slope < -0.8 else ""
    found = f"observed redshifts {what or 'of other velocities'} (they hold {slope:.2f} of (1 + z) v/c)"
    fix = "mend them, or leave them out: they are then made of positions and velocities"
    raise problem(where, found, "z + (1 + z) v/c, v > 0 away from the observer", fix)
