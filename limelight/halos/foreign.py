"""From anybody's halo catalogue to a light-cone: read, check, turn, place, compare with the mass function."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.abundance import check_abundance
from limelight.halos.catalogue import HaloCatalogue, observed_redshift
from limelight.halos.config import Catalogue, Lightcones
from limelight.halos.formats import FORMATS
from limelight.halos.formats.common import Foreign, check, combined_cosmology
from limelight.halos.inputs import input_files
from limelight.halos.tiling import (
    check_coverage,
    check_snapshots,
    cone_volume,
    field_center,
    in_cone,
    padded_redshifts,
    place_boxes,
    snapshot_shells,
    turn_to_axis,
)

COSMOLOGY_TOLERANCE = {"omega_m": 1e-3, "omega_b": 1e-3, "h": 1e-3, "ns": 5e-3, "sigma8": 5e-3}
SAME_SNAPSHOT = 1e-3  # files whose redshifts differ by less are pieces of one snapshot
RESOLVED_FROM = 1.01  # times the study's floor: a file cut at that floor itself has its lightest halo a hair above
ZHALO_TOLERANCE = 0.01  # between a file's own observed redshifts and ours, median


def import_lightcone(
    cones: Lightcones, config: Cosmology, band: tuple[float, float], seed: int, lightcone: int
) -> tuple[HaloCatalogue, dict]:
    """The light-cone that foreign files make, and the attributes that say how it was made.

    Parameters
    ----------
    cones
        The config's section. The field is field_deg wide; halos above mass_min_msun are kept.
    config
        The study's cosmology.
    band
        Observed redshifts, low and high; halos that may be seen between them are kept.
    seed
        The study's; boxes are turned by it.
    lightcone
        Its number.
    """
    options, field_deg = cones.catalogue, cones.field_deg
    if cones.source not in FORMATS:
        raise problem("lightcones.source", f"'{cones.source}'", f"one of {', '.join(FORMATS)}", "choose one")
    near, far = padded_redshifts(*band)
    paths = input_files(cones, lightcone)
    pieces = read_files(paths, cones.source, options, config, cones.mass_min_msun, (near, far))
    cosmology = agreed_cosmology(pieces, config, adopt=options.cosmology == "adopt")
    is_box, shared = pieces[0].box_mpc is not None, "{lightcone" not in str(cones.files)
    if is_box:
        pieces = _snapshots_in_range(pieces, near, far, options.redshift_reach)
    elif shared:
        _refuse_one_lightcone_for_many(cones)
    for piece in pieces:
        _refuse_without_halos(piece, cones.mass_min_msun)
    lightest = min(piece.mass_range_msun[0] for piece in pieces)
    floor = lightest if lightest > RESOLVED_FROM * cones.mass_min_msun else cones.mass_min_msun
    if is_box:
        judged = [(box.path, box.mass_msun, [(box.redshift, box.box_mpc**3)]) for box in pieces]
        abundance = _judge(judged, floor, cones, cosmology)
        columns = place_boxes(pieces, cosmology, field_deg, near, far, seed, lightcone)
        halos = _catalogue(*columns, cosmology)
        if shared:
            text = "one simulation for all light-cones, differently turned: training and test share its structures"
            pieces[0].notes["shared"] = text
    else:
        halos = _cut_lightcone(pieces[0], cosmology, field_deg, band, options)
        seen = halos.mass_msun[(halos.redshift >= band[0]) & (halos.redshift < band[1])]
        judged = [(pieces[0].path, seen, _cone_shells(cosmology, field_deg, band))]
        abundance = _judge(judged, floor, cones, cosmology)
    if not len(halos):
        found = f"no halos above {floor:g} Msun in {field_deg:g}° and z = {band[0]:.3f} to {band[1]:.3f}"
        raise problem("lightcones.files", found, "at least one", "check the field, the band and the mass floor")
    halos.geometry = dict(zip(("redshift_min", "redshift_max"), band, strict=True))
    halos.geometry |= {"field_deg": field_deg, "mass_min_msun": floor}
    attributes = {
        "lightcone": lightcone,
        "source": cones.source,
        "source_files": [str(path) for path in paths],
        "conversions": [piece.notes for piece in pieces],
        "left_out": [piece.left_out for piece in pieces],
        "source_cosmology": pieces[0].cosmology,
        "abundance": abundance or f"not compared: {options.abundance_unchecked}",
    }
    return halos, attributes


def _snapshots_in_range(pieces: list[Foreign], near: float, far: float, reach: float) -> list[Foreign]:
    """The snapshots that are the nearest in redshift somewhere between near and far."""
    check_snapshots(pieces, near, far, reach, "lightcones.files")
    shells = snapshot_shells([piece.redshift for piece in pieces], near, far)
    return [piece for piece, (low, high) in zip(pieces, shells, strict=True) if low < high]


def _refuse_one_lightcone_for_many(cones: Lightcones) -> None:
    numbers = [number for split in ("train", "validation", "test") for number in getattr(cones, split)]
    if len(numbers) > 1:
        found = f"one light-cone for light-cones {', '.join(map(str, numbers))}"
        expected = "{lightcone} in the path: a network must be tested on halos it has never seen"
        raise problem("lightcones.files", found, expected, "give one file per light-cone")


def _judge(judged: list[tuple], floor: float, cones: Lightcones, cosmology: Cosmology) -> list[dict]:
    """Compare the halos of (path, masses, shells) with the mass function, unless the config gives a reason not to."""
    if cones.catalogue.abundance_unchecked:
        return []
    # above a file's own resolution limit, if that lies above the study's floor: finders are incomplete at their limit
    floor = floor if floor <= cones.mass_min_msun else 1.5 * floor
    model, factor = cones.mass_function, cones.catalogue.abundance_factor
    return [
        row
        for path, mass, shells in judged
        for row in check_abundance(mass, shells, floor, cosmology, model, factor, path)
    ]


def read_files(
    paths: list[Path], source: str, options: Catalogue, cosmology: Cosmology, floor: float, needed: tuple[float, float]
) -> list[Foreign]:
    """Read and check files; pieces of one snapshot (or of one light-cone) are joined. Sorted by redshift.

    One file is held whole at a time. What stays are its halos above the mass floor (Msun), and of a box's snapshots those
    that are the nearest somewhere in the needed redshifts: others come back without halos.
    """
    redshifts = options.redshift
    if isinstance(redshifts, list) and len(redshifts) != len(paths):
        found = f"{len(redshifts)} redshifts for {len(paths)} files"
        raise problem(
            "lightcones.catalogue.redshift", found, "one per file, in the order of the files", "make them match"
        )
    pieces = []
    for n, path in enumerate(paths):
        own = options.model_copy(update={"redshift": redshifts[n]}) if isinstance(redshifts, list) else options
        piece = replace(check(FORMATS[source](path, own, cosmology), path), path=path)
        mass = piece.mass_msun
        extremes = (float(mass.min()), float(mass.max())) if len(mass) else None
        pieces.append(replace(_cut(piece, mass >= floor), mass_range_msun=extremes))
        del piece, mass
        pieces = _without_far_snapshots(pieces, *needed)
    if len({piece.box_mpc is None for piece in pieces}) > 1:
        raise problem(paths[0], "light-cones and boxes together", "one kind", "give files of one kind")
    return [_join(group) for group in _snapshots(pieces)]


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
    """The pieces of one snapshot or light-cone as one; refuses an incomplete set."""
    path = group[0].path
    if all(piece.rows for piece in group):
        here, total = sum(piece.rows[0] for piece in group), group[0].rows[1]
        if here != total:
            found = f"{here} of {total} groups in {len(group)} file(s) of z = {group[0].redshift:.3f}"
            raise problem(
                path, found, "all pieces of the snapshot", "list every piece in lightcones.files (a * may stand)"
            )
    if len(group) == 1:
        return group[0]
    columns = {
        name: np.concatenate([getattr(piece, name) for piece in group])
        for name in ("position_mpc", "velocity_kms", "mass_msun")
    }
    observed = [piece.redshift_observed for piece in group]
    columns["redshift_observed"] = None if any(o is None for o in observed) else np.concatenate(observed)
    extremes = [mass for piece in group for mass in piece.mass_range_msun or ()]
    columns["mass_range_msun"] = (min(extremes), max(extremes)) if extremes else None
    left_out = {why: sum(piece.left_out.get(why, 0) for piece in group) for why in group[0].left_out}
    return replace(group[0], **columns, left_out=left_out)


def agreed_cosmology(pieces: list[Foreign], config: Cosmology, adopt: bool) -> Cosmology:
    """The config's cosmology if the files agree with it, the files' if the study adopts it; refuses anything but flat."""
    for piece in pieces:
        found = piece.cosmology
        if "omega_l" in found and "omega_m" in found and abs(found["omega_l"] + found["omega_m"] - 1) > 2e-3:
            text = f"Ωm {found['omega_m']:g} and ΩΛ {found['omega_l']:g}"
            raise problem(piece.path, text, "a flat universe, Ωm + ΩΛ = 1", "use a flat simulation")
        theirs = combined_cosmology(config, found)
        other = combined_cosmology(config, pieces[0].cosmology)
        if theirs != other:
            raise problem(
                piece.path, f"files of two cosmologies ({theirs} and {other})", "one", "give one simulation's files"
            )
        differing = [
            name
            for name, limit in COSMOLOGY_TOLERANCE.items()
            if abs(getattr(theirs, name) - getattr(config, name)) > limit
        ]
        if differing and not adopt:
            text = ", ".join(f"{name} {getattr(theirs, name):.5g}" for name in differing)
            wanted = (
                ", ".join(f"{name} {getattr(config, name):.5g}" for name in differing) + " as in the config's cosmology"
            )
            fix = "change the config's cosmology, or set lightcones.catalogue.cosmology: adopt"
            raise problem(piece.path, f"a header with {text}", wanted, fix)
    return combined_cosmology(config, pieces[0].cosmology) if adopt else config


def _refuse_without_halos(piece: Foreign, floor: float) -> None:
    """Refuse a snapshot or light-cone that has no halos, or none above the study's mass floor."""
    if piece.mass_range_msun is None:
        fix = "check the file; satellites need catalogue.subhalos: true"
        raise problem(piece.path, "no halos", "at least one halo", fix)
    if not len(piece):
        found = f"no halo above {floor:g} Msun (the heaviest has {piece.mass_range_msun[1]:.3g})"
        raise problem(piece.path, found, "halos above lightcones.mass_min_msun", "lower it, or check the mass unit")


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


def _catalogue(position: np.ndarray, velocity: np.ndarray, mass: np.ndarray, cosmology: Cosmology) -> HaloCatalogue:
    """Light-cone halos with both redshifts, float32."""
    redshift = cosmology.redshift_at(np.linalg.norm(position, axis=1))
    observed = observed_redshift(position, velocity, redshift)
    columns = (position, velocity, mass, redshift, observed)
    return HaloCatalogue(*(np.asarray(column, dtype=np.float32) for column in columns), cosmology=cosmology)


def _cut_lightcone(
    cone: Foreign, cosmology: Cosmology, field_deg: float, band: tuple[float, float], options: Catalogue
) -> HaloCatalogue:
    """A foreign light-cone turned so that its field looks along +z, cut to our footprint and band."""
    path = cone.path
    half_width = np.radians(field_deg / 2)
    near, far = (float(cosmology.comoving_distance(z)) for z in padded_redshifts(*band))
    direction = np.asarray(options.line_of_sight, dtype=np.float64)
    if not np.any(direction):
        raise problem("lightcones.catalogue.line_of_sight", "[0, 0, 0]", "a direction", "give one, such as [0, 0, 1]")
    turn = turn_to_axis(direction) if cone.center_deg == (0.0, 0.0) else turn_to_axis(field_center(cone.center_deg))
    position = (cone.position_mpc - np.asarray(options.observer_mpc, dtype=np.float64)) @ turn.T
    keep = in_cone(position, half_width, near, far)
    position, velocity = position[keep], (cone.velocity_kms[keep] @ turn.T)
    if not len(position):
        distance = np.linalg.norm(cone.position_mpc, axis=1)
        found = f"no halos within ±{field_deg / 2:g}° (catalogue: χ {distance.min():.0f} to {distance.max():.0f} Mpc)"
        expected = f"halos at χ {near:.0f} to {far:.0f} Mpc ahead"
        raise problem(path, found, expected, "check the band, field_deg, line_of_sight and units")
    check_coverage(position, half_width, *(float(cosmology.comoving_distance(z)) for z in band), path)
    halos = _catalogue(position, velocity, cone.mass_msun[keep], cosmology)
    if cone.redshift_observed is not None:
        own = cone.redshift_observed[keep]
        off = float(np.median(np.abs(own - halos.redshift_observed)))
        if off > ZHALO_TOLERANCE:
            found = f"observed redshifts that differ by {off:.3g} (median) from those of its positions and velocities"
            raise problem(path, found, f"at most {ZHALO_TOLERANCE:g}", "check the cosmology and the units of the file")
        halos.redshift_observed = np.asarray(own, dtype=np.float32)
    return halos


def _cone_shells(cosmology: Cosmology, field_deg: float, band: tuple[float, float]) -> list[tuple[float, float]]:
    """(redshift, volume) of 8 shells of the footprint."""
    redshifts = np.linspace(*band, 9)
    edges = cosmology.comoving_distance(redshifts)
    half_width = np.radians(field_deg / 2)
    volumes = [cone_volume(half_width, near, far) for near, far in zip(edges[:-1], edges[1:], strict=True)]
    return list(zip(((redshifts[1:] + redshifts[:-1]) / 2).tolist(), map(float, volumes), strict=True))
