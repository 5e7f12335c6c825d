"""Subfind / friends-of-friends group catalogues in HDF5, as IllustrisTNG and CAMELS publish them.

Published units: ckpc/h, 1e10 Msun/h, GroupVel in km/s/a (times 1/a it is peculiar). A snapshot may come in several files.
"""

from pathlib import Path

import h5py
import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.formats.common import Foreign

CM_PER_MPC = 3.085678e24
GRAM_PER_MSUN = 1.989e33  # Gadget's own


def read(path: Path, options: dict, cosmology: Cosmology) -> Foreign:
    """Read the groups (halos) of one file. The mass is Group_M_Mean200 (200 × mean density) unless mass_column says else."""
    if not path.is_file():
        raise problem(path, "no such file", "a Subfind HDF5 file", "check lightcones.files")
    mass_name = options.get("mass_column") or "Group_M_Mean200"
    try:
        with h5py.File(path, "r") as file:
            header = _header(file, path)
            here = int(header["Ngroups_ThisFile"])
            wanted = ("GroupPos", "GroupVel", mass_name)
            group = file.get("Group", {})
            missing = [name for name in wanted if name not in group]
            if missing and here:
                found = f"no Group/{missing[0]} among {', '.join(sorted(group)) or 'nothing'}"
                raise problem(
                    path, found, f"Group/{missing[0]}", "check the file; name the mass in catalogue.mass_column"
                )
            position, velocity, mass = (
                np.asarray(group[name]) if here else np.zeros((0, 3)[: 1 if name == mass_name else 2])
                for name in wanted
            )
            lengths = file["Parameters"].attrs if "Parameters" in file else file["Header"].attrs
            length_mpc = float(lengths.get("UnitLength_in_cm", CM_PER_MPC / 1000)) / CM_PER_MPC
            mass_msun = float(lengths.get("UnitMass_in_g", 1e10 * GRAM_PER_MSUN)) / GRAM_PER_MSUN
    except OSError as error:
        raise problem(path, f"a damaged file ({error})", "a whole HDF5 file", "copy or make it again") from None
    for name, values in zip(wanted, (position, velocity, mass), strict=True):
        if len(values) != here:
            found = f"{len(values)} rows of {name} for {here} groups"
            raise problem(path, found, "a row a group", "copy or make the file again")
    h, scale = float(header["HubbleParam"]), 1 / (1 + float(header["Redshift"]))
    keep = mass != 0  # groups whose spherical overdensity was never reached carry 0
    notes = {
        "units": f"{length_mpc * 1000:.4g} kpc/h → Mpc, {mass_msun:.3g} Msun/h → Msun with h = {h:g};"
        f" GroupVel × (1 + z); mass is {mass_name}",
        "without mass": f"{int(np.count_nonzero(~keep))} groups with {mass_name} = 0 left out",
    }
    total = int(header.get("Ngroups_Total", here))
    return Foreign(
        position_mpc=position[keep].astype(np.float64) * (length_mpc / h),
        velocity_kms=velocity[keep] / scale,
        mass_msun=mass[keep].astype(np.float64) * (mass_msun / h),
        redshift=float(header["Redshift"]),
        box_mpc=float(header["BoxSize"]) * length_mpc / h,
        cosmology={"omega_m": float(header["Omega0"]), "omega_l": float(header["OmegaLambda"]), "h": h},
        rows=(here, total),
        notes=notes,
    )


def _header(file: h5py.File, path: Path) -> dict:
    """The Header attributes, complete."""
    if "Header" not in file:
        raise problem(path, "no group 'Header'", "a Subfind HDF5 file", "check lightcones.files and lightcones.source")
    header = dict(file["Header"].attrs)
    for name in ("Redshift", "BoxSize", "HubbleParam", "Omega0", "OmegaLambda", "Ngroups_ThisFile"):
        if name not in header:
            raise problem(path, f"no Header attribute '{name}'", "a Subfind HDF5 file", "check how it was made")
    return header
