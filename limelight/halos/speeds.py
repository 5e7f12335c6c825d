"""Are peculiar velocities as large as linear theory has them? Too small is as wrong as too large: both move every halo."""

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem

FACTOR = 3.0  # how far the rms may be off: the few long waves of a box, and halos of one region that move together
AXIS_FACTOR = 4.0  # how far below the rms of all axes one axis may be
ENOUGH = 50  # halos that make an rms worth judging
OBSERVED_WITHIN = 0.01  # between a file's own observed redshifts and ours, median
SLOPE_WITHIN = 0.3  # of the file's own displacements against ours; a factor 1 + z gives 0.3 or 3


def linear_rms(redshift: float, cosmology: Cosmology, longest_mpc: float | None = None) -> float:
    """RMS linear velocity along one axis in km/s; of waves no longer than longest_mpc alone where that is given."""
    rms = float(cosmology.velocity_rms(redshift))
    if longest_mpc is None:
        return rms
    log_k = np.linspace(np.log(2 * np.pi / longest_mpc), np.log(1e2), 4000)
    k = np.exp(log_k)
    displacement = np.sqrt(np.sum(cosmology.linear_power(k) * k) * (log_k[1] - log_k[0]) / (6 * np.pi**2))
    return rms * float(displacement) / cosmology.displacement_rms


def check_speeds(
    velocity_kms: np.ndarray,
    position_mpc: np.ndarray,
    redshift: float,
    cosmology: Cosmology,
    where: object,
    box_mpc: float | None = None,
) -> str:
    """Refuse velocities far from linear theory's; the words of a warning for halos at rest, else nothing.

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
    least, most = linear_rms(redshift, cosmology, box_mpc) / FACTOR, full * FACTOR
    if least <= rms <= most:
        return ""
    found = f"velocities of rms {rms:.3g} km/s along one axis at z = {redshift:.3f}"
    expected = f"{least:.3g} to {most:.3g} km/s (linear theory: {full:.3g})"
    raise problem(where, found, expected, _likely_cause(rms / full, redshift, cosmology))


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
