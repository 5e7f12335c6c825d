"""How far the abundance of halos is off where a snapshot stands for other redshifts than its own."""

import numpy as np

from limelight.cosmology import Cosmology
from limelight.halos.abundance import expected_density
from limelight.halos.formats.common import Foreign

MASS_MSUN = 1e12  # heavy halos, which carry the light and change fastest
ENOUGH = 50  # halos in a snapshot above that mass, else those above the mass floor are counted
OFF_BY = 1.2  # factor in n(>M) from which it is worth a warning
POINTS = 5  # parts of the band, equally wide in frequency


def abundance_over_band(
    boxes: list[Foreign], band: tuple[float, float], floor_msun: float, cosmology: Cosmology, model: str
) -> tuple[list[dict], bool]:
    """n(>M) of the nearest snapshot over the mass function's across the band, and whether evolution is lost.

    Across the band: in the middle of POINTS parts, equally wide in frequency as a map's channels are. Rows hold redshift,
    snapshot (its redshift), mass_msun and ratio. Evolution is lost if the mass function itself changes by more than OFF_BY
    between some redshift and the snapshot that stands for it: a box's own density does not count.
    """
    mass = max(MASS_MSUN, floor_msun)
    if min(np.count_nonzero(box.mass_msun >= mass) for box in boxes) < ENOUGH:
        mass = floor_msun
    rows, lost = [], False
    edges = np.linspace(*(1 / (1 + z) for z in band), POINTS + 1)
    for redshift in 2 / (edges[1:] + edges[:-1]) - 1:
        box = min(boxes, key=lambda box: abs(box.redshift - redshift))
        here, there = (
            float(expected_density(np.array([mass]), z, cosmology, model)[0]) for z in (redshift, box.redshift)
        )
        found = np.count_nonzero(box.mass_msun >= mass) / box.box_mpc**3
        row = {"redshift": float(redshift), "snapshot": float(box.redshift), "mass_msun": float(mass)}
        rows.append({**row, "ratio": float(found / here)})
        lost |= abs(np.log(there / here)) > np.log(OFF_BY)
    return rows, bool(lost)


def evolution_text(rows: list[dict], band: tuple[float, float], model: str) -> str:
    """One line: what stands for what, and the ratios across the band."""
    snapshots = sorted({row["snapshot"] for row in rows})
    which = "one snapshot stands" if len(snapshots) == 1 else f"{len(snapshots)} snapshots stand"
    at = ", ".join(f"{z:.3f}" for z in snapshots)
    ratios = ", ".join(f"{row['ratio']:.2f}" for row in rows)
    redshifts = ", ".join(f"{row['redshift']:.2f}" for row in rows)
    mass = rows[0]["mass_msun"]
    return (
        f"{which} (z = {at}) for z = {band[0]:.3f} to {band[1]:.3f}:"
        f" n(>{mass:.3g} Msun) over {model}(z) is {ratios} at z = {redshifts}"
    )
