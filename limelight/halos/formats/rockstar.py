"""Rockstar and consistent-trees text catalogues (arXiv:1110.4372): out_*.list, *.ascii lists with a header, hlist_*.list.

Published units: Mpc/h comoving, Msun/h, km/s peculiar; h, Ωm, a and the box in the comment header.
"""

import re
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Catalogue
from limelight.halos.formats.common import Foreign, check_h, need_box, need_column, need_redshift
from limelight.halos.formats.text import check_header, column_names, number_after, read_columns, read_head

POSITION, VELOCITY = ("x", "y", "z"), ("vx", "vy", "vz")
PARENTS = ("pid", "upid")


def read(path: Path, options: Catalogue, cosmology: Cosmology) -> Foreign:
    """Read one Rockstar text file; columns are found by their names in the header, in any order and case."""
    comments, first = read_head(path)
    names = column_names(comments, POSITION)
    if names is None:
        expected = "a comment line with column names (#ID DescID Mvir … X Y Z VX VY VZ …)"
        raise problem(path, "no column names", expected, "give Rockstar's own file, or use source: table")
    mass = (options.mass_column or "mvir").lower()
    for name in (*POSITION, *VELOCITY):
        need_column(path, name, names)
    need_column(path, mass, names, "name the mass in lightcones.catalogue.mass_column")
    parent = next((name for name in PARENTS if name in names), None)
    wanted = [*POSITION, *VELOCITY, mass, *([parent] if parent else []), *(["scale"] if "scale" in names else [])]
    check_header(path, names, wanted, first)
    rows = read_columns(path, [names.index(name) for name in wanted])
    in_header = number_after(r"\bh0?", comments)
    h = check_h(path, cosmology.h if in_header is None else in_header)
    found = {"h": in_header, "omega_m": number_after(r"\b(?:Om|Omega_M)", comments)}
    found["omega_l"] = number_after(r"\b(?:Ol|Omega_L)", comments)
    scale = number_after(r"^a", comments)
    if scale is None and "scale" in wanted and len(rows):
        scale = float(rows[0, wanted.index("scale")])
    if scale is not None and not 0 < scale < 2:
        raise problem(path, f"a scale factor of {scale:g}", "0 to 1", "mend the header")
    redshift = 1 / scale - 1 if scale else need_redshift(path, options, "the header's '#a = …'")
    box = number_after(r"(?:Box size|Full box size)", comments)
    notes = {"units": f"Mpc/h → Mpc and Msun/h → Msun with h = {h:g}; mass is {mass}"}
    keep = np.ones(len(rows), dtype=bool)
    if parent and not options.subhalos:
        keep = rows[:, wanted.index(parent)] == -1
    elif not parent:
        notes["subhalos"] = "the file has no pid column: subhalos, if any, are kept as halos"
    left_out = {"subhalos": int(np.count_nonzero(~keep))}
    rows = rows[keep]
    return Foreign(
        position_mpc=rows[:, 0:3] / h,
        velocity_kms=rows[:, 3:6],
        mass_msun=rows[:, 6] / h,
        redshift=redshift,
        box_mpc=box / h if box else need_box(path, options, "the header's '#Box size: …'"),
        cosmology={name: value for name, value in found.items() if value is not None},
        notes=notes,
        left_out=left_out,
        bounds_mpc=_bounds(comments, h),
    )


def _bounds(comments: list[str], h: float) -> np.ndarray | None:
    """The corners, (2, 3) in Mpc, of the part of the box that a piece of a snapshot holds, "#Bounds: (…) - (…)" in Mpc/h."""
    line = next((line for line in comments if line.startswith("Bounds:")), "")
    numbers = re.findall(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?", line)
    return np.array(numbers, dtype=np.float64).reshape(2, 3) / h if len(numbers) == 6 else None
