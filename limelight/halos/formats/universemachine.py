"""UniverseMachine text catalogues sfr_catalog_<a>.txt (arXiv:1806.07893), with or without their header line.

Published units: positions Mpc/h comoving, velocities km/s peculiar, M in Msun (without h: R of the file and M agree with
the virial overdensity of Bryan & Norman only so). The file holds neither box nor cosmology; the scale factor is in its name.
"""

import re
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Catalogue
from limelight.halos.formats.common import Foreign, need_box, need_column, need_redshift
from limelight.halos.formats.text import check_header, column_names, read_columns, read_head

COLUMNS = (
    *("id", "descid", "upid", "flags", "uparent_dist", "x", "y", "z", "vx", "vy", "vz", "m", "v", "mp", "vmp", "r"),
    *("rank1", "rank2", "ra", "rarank", "sm", "icl", "sfr", "obs_sm", "obs_sfr", "ssfr", "sm/hm", "obs_uv"),
)


def read(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Read one UniverseMachine text catalogue; satellites (upid ≥ 0) are left out unless catalogue.subhalos."""
    comments, first = read_head(path)
    names = column_names(comments, ("upid", "x", "vx"))
    if names is None:
        names, width = list(COLUMNS), len(first.split())
        if width != len(COLUMNS):
            found = f"{width} columns and no header line"
            expected = f"the {len(COLUMNS)} columns of sfr_catalog_<a>.txt or a header with their names"
            raise problem(path, found, expected, "give UniverseMachine's own file, or use source: table")
    mass = (options.mass_column or "m").lower()
    wanted = ["x", "y", "z", "vx", "vy", "vz", mass, "upid"]
    for name in wanted:
        need_column(path, name, names)
    check_header(path, names, wanted, first)
    rows = read_columns(path, [names.index(name) for name in wanted])
    in_name = re.search(r"_(\d\.\d+)\.[a-z]+$", path.name)
    redshift = (
        1 / float(in_name.group(1)) - 1
        if in_name and float(in_name.group(1)) > 0
        else need_redshift(path, options, "in the name sfr_catalog_<a>.txt")
    )
    notes = {"units": f"positions Mpc/h → Mpc with the config's h = {cosmology.h:g}; mass is {mass}, in Msun already"}
    keep = (rows[:, 7] < 0) | bool(options.subhalos)
    left_out = {"satellites": int(np.count_nonzero(~keep))}
    rows = rows[keep]
    return Foreign(
        position_mpc=rows[:, 0:3] / cosmology.h,
        velocity_kms=rows[:, 3:6],
        mass_msun=rows[:, 6],
        redshift=redshift,
        box_mpc=need_box(path, options, "a UniverseMachine file does not hold it"),
        notes=notes,
        left_out=left_out,
    )
