"""Subfind / friends-of-friends group catalogues in HDF5, as IllustrisTNG and CAMELS publish them.

Published units: ckpc/h, 1e10 Msun/h, GroupVel in km/s/a (times 1/a it is peculiar). A snapshot may come in several files.
"""

from pathlib import Path

import h5py
import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Catalogue
from limelight.halos.formats.common import Foreign, check_h, header_numbers, reading

CM_PER_MPC = 3.085678e24
GRAM_PER_MSUN = 1.989e33  # Gadget's own
HEADER = ("Redshift", "BoxSize", "HubbleParam", "Omega0", "OmegaLambda", "Ngroups_ThisFile")
MORE = {"omega_b": "OmegaBaryon", "ns": "PrimordialIndex", "sigma8": "Sigma8"}  # where Header or Parameters has them


def read(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Read the groups (halos) of one file. The mass is Group_M_Mean200 (200 × mean density) unless mass_column says else."""
    mass_name = options.mass_column or "Group_M_Mean200"
    wanted = ("GroupPos", "GroupVel", mass_name)
    with reading(path, "Subfind HDF5"), h5py.File(path, "r") as file:
        if "Header" not in file:
            raise problem(
                path, "no group 'Header'", "a Subfind HDF5 file", "check lightcones.files and lightcones.source"
            )
        header = header_numbers(path, dict(file["Header"].attrs), HEADER)
        here = int(header["Ngroups_ThisFile"])
        total = int(file["Header"].attrs.get("Ngroups_Total", here))
        more = {**dict(file["Parameters"].attrs if "Parameters" in file else {}), **dict(file["Header"].attrs)}
        named = {ours: name for ours, name in MORE.items() if name in more}
        cosmology_of_file = {ours: header_numbers(path, more, (name,))[name] for ours, name in named.items()}
        group = file.get("Group", {})
        missing = [name for name in wanted if name not in group]
        if missing and here:
            found = f"no Group/{missing[0]} among {', '.join(sorted(group)) or 'nothing'}"
            raise problem(path, found, f"Group/{missing[0]}", "check the file; name the mass in catalogue.mass_column")
        columns = [np.asarray(group[name]) for name in wanted] if here else [np.zeros((0, 3))] * 2 + [np.zeros(0)]
        unit = file["Parameters"].attrs if "Parameters" in file else file["Header"].attrs
        length_mpc = float(unit.get("UnitLength_in_cm", CM_PER_MPC / 1000)) / CM_PER_MPC
        mass_msun = float(unit.get("UnitMass_in_g", 1e10 * GRAM_PER_MSUN)) / GRAM_PER_MSUN
        position, velocity, mass = (values.astype(np.float64) for values in columns)
    for name, values in zip(wanted, (position, velocity, mass), strict=True):
        if values.shape != ((here,) if name == mass_name else (here, 3)):
            found = f"{len(values) if values.ndim else 0} rows of {name} for {here} groups"
            raise problem(path, found, "a row a group", "copy or make the file again")
    h, redshift = check_h(path, header["HubbleParam"]), header["Redshift"]
    keep = mass != 0  # groups whose spherical overdensity was never reached carry 0
    notes = {
        "units": f"{length_mpc * 1000:.4g} kpc/h → Mpc, {mass_msun:.3g} Msun/h → Msun with h = {h:g};"
        f" GroupVel × (1 + z); mass is {mass_name}",
    }
    return Foreign(
        position_mpc=position[keep] * (length_mpc / h),
        velocity_kms=velocity[keep] * (1 + redshift),
        mass_msun=mass[keep] * (mass_msun / h),
        redshift=redshift,
        box_mpc=header["BoxSize"] * length_mpc / h,
        cosmology={"omega_m": header["Omega0"], "omega_l": header["OmegaLambda"], "h": h, **cosmology_of_file},
        rows=(here, total),
        notes=notes,
        left_out={f"groups with {mass_name} = 0": int(np.count_nonzero(~keep))},
    )
