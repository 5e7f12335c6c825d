"""Foreign files one after another: read, check, pair with their redshifts, join the pieces of a snapshot or light-cone."""

import fnmatch
import glob
from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.config import Catalogue, Lightcones
from limelight.halos.coverage import missing_numbers
from limelight.halos.formats import FORMATS
from limelight.halos.formats.common import Foreign, check
from limelight.halos.tiling import snapshot_shells

SAME_SNAPSHOT = 1e-3  # files whose redshifts differ by less are pieces of one snapshot
SAME_REDSHIFT = 0.01  # relative to 1 + z: how far the config's redshift may be from the one in the file
SAME_BOX = 1e-3  # relative
SAME_VOLUME = 0.005  # of the box: how far the bounds of all pieces together may be from filling it
MOST_CELLS = 1e7  # between the bounds of all pieces, beyond which their gaps are not looked for
REPEATED = 1e-3  # share of halos at exactly the same place, or of the same place and mass, that must be the same halos
ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads the bits of a hash
KEY = "lightcones.catalogue.redshift"


def read_files(
    paths: list[Path], cones: Lightcones, cosmology: Cosmology, needed: tuple[float, float]
) -> list[Foreign]:
    """Read and check files; pieces of one snapshot (or of one light-cone) are joined. Sorted by redshift.

    One file is held whole at a time. What stays are its halos above the mass floor, and of a box's snapshots those that are
    the nearest somewhere in the needed redshifts: others come back without halos.
    """
    _refuse_doubled(paths)
    redshifts = config_redshifts(paths, cones)
    pieces = []
    for path, redshift in zip(paths, redshifts, strict=True):
        options = cones.catalogue.model_copy(update={"redshift": redshift})
        piece = check(FORMATS[cones.source](path, options, cosmology), path)
        _refuse_contradiction(piece, options, path)
        mass = piece.mass_msun
        extremes = (float(mass.min()), float(mass.max())) if len(mass) else None
        kept = _cut(piece, mass >= cones.mass_min_msun)
        pieces.append(replace(kept, mass_range_msun=extremes, path=path, files=(path,)))
        del piece, mass, kept
        pieces = _without_far_snapshots(pieces, *needed)
    if len({piece.box_mpc is None for piece in pieces}) > 1:
        raise problem(paths[0], "light-cones and boxes together", "one kind", "give files of one kind")
    return [_join(group) for group in _snapshots(pieces)]


def config_redshifts(paths: list[Path], cones: Lightcones) -> list[float | None]:
    """The config's redshift of each file: one for all, by name, or by the order of a list of files that has no *."""
    given = cones.catalogue.redshift
    if isinstance(given, dict):
        return _redshifts_by_name(paths, given)
    if not isinstance(given, list):
        return [given] * len(paths)
    patterns = [cones.files] if isinstance(cones.files, str) else cones.files or []
    example = f"{{{paths[0].name}: {given[0]:g}, …}}"
    if len(paths) > 1 and any(glob.has_magic(pattern) for pattern in patterns):
        order = ", ".join(path.name for path in paths[:3])
        found = f"a list beside files found by * (in the order {order}{' …' if len(paths) > 3 else ''})"
        fix = f"name each file's redshift, {example}, or list the files in the order of their redshifts"
        raise problem(KEY, found, "redshifts that are tied to names", fix)
    if len(given) != len(paths):
        found = f"{len(given)} redshifts for {len(paths)} files"
        fix = f"make them match, or name each file's, {example}"
        raise problem(KEY, found, "one per file, in the order of the files", fix)
    return given


def _redshifts_by_name(paths: list[Path], given: dict[str, float]) -> list[float]:
    matches = {
        path: {z for name, z in given.items() if fnmatch.fnmatch(path.name, name) or fnmatch.fnmatch(str(path), name)}
        for path in paths
    }
    for path, found in matches.items():
        if len(found) != 1:
            text = f"{'no redshift' if not found else f'{len(found)} redshifts'} for {path.name}"
            raise problem(KEY, text, "one name or pattern per file", f"add it, such as {path.name}: 3.0")
    for name in given:
        if not any(fnmatch.fnmatch(path.name, name) or fnmatch.fnmatch(str(path), name) for path in paths):
            raise problem(f"{KEY}.{name}", "no such file among lightcones.files", "a file's name", "mend the name")
    return [matches[path].pop() for path in paths]


def _refuse_doubled(paths: list[Path]) -> None:
    """The same file twice, be it by two patterns or by a link, would double its halos."""
    seen = {}
    for path in paths:
        first = seen.get(path.resolve())
        seen[path.resolve()] = path
        if first is not None:
            found = f"{path} twice" if first == path else f"{path}, which is {first}"
            raise problem("lightcones.files", found, "every file once", "take one out")


def _refuse_contradiction(piece: Foreign, options: Catalogue, path: Path) -> None:
    """What the config gives must be the file's own where the file has it, and be of use to its kind."""
    _refuse_unused(piece, options, path)
    if piece.box_mpc is None:
        return
    given, own = options.redshift, piece.redshift
    if given is not None and abs(given - own) > SAME_REDSHIFT * (1 + own):
        fix = "leave catalogue.redshift out, or list the right files"
        raise problem(path, f"z = {own:.3f} in the file", f"z = {given:.3f} as in {KEY}", fix)
    given, own = options.box_mpc, piece.box_mpc
    if given is not None and abs(given - own) > SAME_BOX * own:
        fix = "leave catalogue.box_mpc out; it is in Mpc without h"
        raise problem(path, f"a box of {own:.6g} Mpc in the file", f"{given:.6g} Mpc as in the config", fix)


def _refuse_unused(piece: Foreign, options: Catalogue, path: Path) -> None:
    """A key for boxes beside a light-cone, or the other way round, is a mistake: nothing would come of it."""
    kind, other = ("a light-cone", "box") if piece.box_mpc is None else ("a periodic box", "light-cone")
    if piece.box_mpc is None:
        given = [name for name in ("box_mpc", "redshift") if getattr(options, name) is not None]
    else:
        names = ("line_of_sight", "observer_mpc", "center_deg")
        given = [name for name in names if getattr(options, name) != Catalogue.model_fields[name].default]
    if given:
        keys = " and ".join(f"lightcones.catalogue.{name}" for name in given)
        fix = f"take it out, or give a {other}: check lightcones.source and files"
        raise problem(keys, f"a key for a {other} beside {path}, which is {kind}", f"none with {kind}", fix)


def _snapshots(pieces: list[Foreign]) -> list[list[Foreign]]:
    """The pieces of each snapshot, by redshift; those of a light-cone together."""
    groups: list[list[Foreign]] = []
    for piece in sorted(pieces, key=lambda piece: piece.redshift or 0.0):
        if groups and abs((groups[-1][0].redshift or 0.0) - (piece.redshift or 0.0)) < SAME_SNAPSHOT:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _without_far_snapshots(pieces: list[Foreign], near: float, far: float) -> list[Foreign]:
    """The pieces, those without halos whose snapshot is nowhere the nearest: further files only narrow its shell."""
    if any(piece.box_mpc is None for piece in pieces):
        return pieces
    snapshots = _snapshots(pieces)
    shells = snapshot_shells([snapshot[0].redshift for snapshot in snapshots], near, far)
    return [
        _cut(piece, np.zeros(len(piece), bool)) if low - high > SAME_SNAPSHOT else piece
        for snapshot, (low, high) in zip(snapshots, shells, strict=True)
        for piece in snapshot
    ]


def _join(group: list[Foreign]) -> Foreign:
    """The pieces of one snapshot or light-cone as one; refuses a set that its headers say is incomplete."""
    _count_pieces(group)
    if len(group) == 1:
        _refuse_rows_twice(group[0])
        return group[0]
    columns = {
        name: np.concatenate([getattr(piece, name) for piece in group])
        for name in ("position_mpc", "velocity_kms", "mass_msun")
    }
    _refuse_repeated(columns["position_mpc"], group)
    observed = [piece.redshift_observed for piece in group]
    columns["redshift_observed"] = None if any(o is None for o in observed) else np.concatenate(observed)
    extremes = [mass for piece in group for mass in piece.mass_range_msun or ()]
    columns["mass_range_msun"] = (min(extremes), max(extremes)) if extremes else None
    left_out = {why: sum(piece.left_out.get(why, 0) for piece in group) for why in group[0].left_out}
    return replace(group[0], **columns, left_out=left_out, files=tuple(piece.path for piece in group))


def _count_pieces(group: list[Foreign]) -> None:
    """Hold the pieces against what their headers say of the whole: its number of rows, or the bounds of each piece."""
    path, numbers = group[0].path, missing_numbers([piece.path.name for piece in group])
    fix = "list every piece in lightcones.files (a * may stand)"
    fix = f"numbers {numbers} are not among the files; {fix}" if numbers else fix
    if all(piece.rows for piece in group):
        here, total = sum(piece.rows[0] for piece in group), group[0].rows[1]
        if here != total:
            found = f"{here} of {total} groups in {len(group)} file(s) of z = {group[0].redshift:.3f}"
            raise problem(path, found, "all pieces of the snapshot", fix)
    if group[0].box_mpc is not None and all(piece.bounds_mpc is not None for piece in group):
        volume = sum(float(np.prod(piece.bounds_mpc[1] - piece.bounds_mpc[0])) for piece in group)
        share = volume / group[0].box_mpc ** 3
        if abs(share - 1) > SAME_VOLUME:
            found = f"{len(group)} piece(s) whose bounds are {100 * share:.1f} % of the box{_uncovered(group)}"
            raise problem(path, found, "all pieces of the snapshot, each once", fix)


def _uncovered(group: list[Foreign]) -> str:
    """The first range that no piece's bounds cover, as text; empty if there is none, or too many pieces to tell."""
    bounds = np.stack([piece.bounds_mpc for piece in group])
    edges = [np.unique(np.round([0.0, group[0].box_mpc, *bounds[:, :, axis].ravel()], 3)) for axis in range(3)]
    if np.prod([float(len(values)) for values in edges]) > MOST_CELLS:
        return ""
    bare = np.ones([len(values) - 1 for values in edges], dtype=bool)
    for low, high in bounds:
        inside = [(v[:-1] >= a - 2e-3) & (v[1:] <= b + 2e-3) for v, a, b in zip(edges, low, high, strict=True)]
        bare[np.ix_(*inside)] = False
    for cell in np.argwhere(bare):
        ranges = [(values[n], values[n + 1]) for values, n in zip(edges, cell, strict=True)]
        if min(high - low for low, high in ranges) > 0.01:  # not the rounding of neighbours' bounds
            where = ", ".join(
                f"{name} = {low:.4g} to {high:.4g}" for name, (low, high) in zip("xyz", ranges, strict=True)
            )
            return f", none of them at {where} Mpc"
    return ""


def _refuse_repeated(position: np.ndarray, group: list[Foreign]) -> None:
    """Pieces that hold the same halos: a snapshot listed both whole and in pieces, or a copy of a piece."""
    same = repeated(position)
    if same > max(1, REPEATED * len(position)):
        found = f"{same} of {len(position)} halos at exactly the place of another, in {len(group)} files"
        raise problem(
            group[0].path, found, "every halo once", "list each piece once, and no copy of the whole snapshot"
        )


def _refuse_rows_twice(piece: Foreign) -> None:
    """A file that holds halos twice, as pieces do that were put together with an overlap."""
    same = repeated(np.column_stack([piece.position_mpc, piece.mass_msun]))
    if same > max(1, REPEATED * len(piece)):
        found = f"{same} of {len(piece)} halos with exactly the place and the mass of another"
        raise problem(piece.path, found, "every halo once", "take the copies out of the file")


def repeated(rows: np.ndarray) -> int:
    """How many rows (n, k) are the same as an earlier one, by a 64-bit hash of each: quicker than sorting by k columns."""
    bits = (np.ascontiguousarray(rows, np.float64) + 0.0).view(np.uint64)  # + 0.0: −0 is 0
    hashed = np.zeros(len(rows), np.uint64)
    for column in bits.T:
        hashed = (hashed ^ column) * ODD
        hashed ^= hashed >> np.uint64(29)
    return len(rows) - len(np.unique(hashed))


def _cut(piece: Foreign, keep: np.ndarray) -> Foreign:
    """Only some halos, keep (n,) bool, in arrays of their own: a view would hold the whole file's."""
    observed = piece.redshift_observed
    return replace(
        piece,
        position_mpc=piece.position_mpc[keep],
        velocity_kms=piece.velocity_kms[keep],
        mass_msun=piece.mass_msun[keep],
        redshift_observed=None if observed is None else observed[keep],
    )
