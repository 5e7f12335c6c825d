"""From anybody's halo catalogue to a light-cone: read, check, turn, place, compare with the mass function."""

import numpy as np

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.abundance import check_abundance
from limelight.halos.agreement import adopted_text, agreed_cosmology
from limelight.halos.catalogue import HaloCatalogue, observed_redshift
from limelight.halos.config import Lightcones
from limelight.halos.coverage import check_box, check_cone
from limelight.halos.evolution import abundance_over_band, evolution_text
from limelight.halos.formats import FORMATS
from limelight.halos.formats.common import Foreign
from limelight.halos.inputs import input_files
from limelight.halos.pieces import read_files
from limelight.halos.speeds import check_observed, check_speeds
from limelight.halos.tiling import (
    check_snapshots,
    cone_volume,
    field_center,
    in_cone,
    padded_redshifts,
    place_boxes,
    snapshot_shells,
    turn_to_axis,
)

RESOLVED_FROM = 1.01  # times the study's floor: a file cut at that floor itself has its lightest halo a hair above


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
    pieces = read_files(paths, cones, config, (near, far))
    adopt = options.cosmology == "adopt"
    cosmology = agreed_cosmology(pieces, config, adopt)
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
        halos, checked = _from_boxes(pieces, cones, cosmology, band, floor, (seed, lightcone))
        if shared:
            text = "one simulation for all light-cones, differently turned: training and test share its structures"
            pieces[0].notes["shared"] = text
    else:
        halos, checked = _from_lightcone(pieces[0], cones, cosmology, band, floor)
    if not len(halos):
        found = f"no halos above {floor:g} Msun in {field_deg:g}° and z = {band[0]:.3f} to {band[1]:.3f}"
        raise problem("lightcones.files", found, "at least one", "check the field, the band and the mass floor")
    halos.geometry = dict(zip(("redshift_min", "redshift_max"), band, strict=True))
    halos.geometry |= {"field_deg": field_deg, "mass_min_msun": floor}
    adopted = [adopted_text(cosmology, pieces[0].cosmology)] if adopt else []
    return halos, {
        "lightcone": lightcone,
        "source": cones.source,
        "source_files": [str(path) for path in paths],
        "conversions": [piece.notes for piece in pieces],
        "left_out": [piece.left_out for piece in pieces],
        "source_cosmology": pieces[0].cosmology,
        "snapshots": _pairing(pieces, near, far) if is_box else [],
        "evolution": checked["evolution"],
        "warnings": [text for text in adopted + checked["warnings"] if text],
        "abundance": checked["abundance"] or f"not compared: {options.abundance_unchecked}",
    }


def _from_boxes(
    boxes: list[Foreign],
    cones: Lightcones,
    cosmology: Cosmology,
    band: tuple[float, float],
    floor: float,
    streams: tuple[int, int],
) -> tuple[HaloCatalogue, dict]:
    """Check the snapshots and tile them; the halos and what the checks say. streams: the study's seed, the light-cone."""
    warnings = []
    for box in boxes:
        check_box(box, cosmology)
        given = box.velocity_kms, box.position_mpc, box.redshift
        warnings.append(check_speeds(*given, cosmology, box.path, box.box_mpc))
    judged = [(box.path, box.mass_msun, [(box.redshift, box.box_mpc**3)]) for box in boxes]
    abundance = _judge(judged, floor, cones, cosmology)
    evolution, lost = abundance_over_band(boxes, band, floor, cosmology, cones.mass_function)
    if lost and not cones.catalogue.frozen_evolution:
        fix = "list more snapshots, or set lightcones.catalogue.frozen_evolution: true if you mean it"
        warnings.append(f"{evolution_text(evolution, band, cones.mass_function)}; {fix}")
    columns = place_boxes(boxes, cosmology, cones.field_deg, *padded_redshifts(*band), *streams)
    halos = _catalogue(*columns, cosmology)
    return halos, {"warnings": warnings, "abundance": abundance, "evolution": evolution}


def _from_lightcone(
    cone: Foreign, cones: Lightcones, cosmology: Cosmology, band: tuple[float, float], floor: float
) -> tuple[HaloCatalogue, dict]:
    """Cut the light-cone and check it; the halos and what the checks say."""
    halos = _cut_lightcone(cone, cosmology, band, cones)
    middle = (band[0] + band[1]) / 2
    warning = check_speeds(halos.velocity_kms, halos.position_mpc, middle, cosmology, cone.path)
    seen = halos.mass_msun[(halos.redshift >= band[0]) & (halos.redshift < band[1])]
    abundance = _judge([(cone.path, seen, _cone_shells(cosmology, cones.field_deg, band))], floor, cones, cosmology)
    return halos, {"warnings": [warning], "abundance": abundance, "evolution": []}


def _pairing(boxes: list[Foreign], near: float, far: float) -> list[dict]:
    """Which files are taken for which redshifts: one entry per snapshot."""
    shells = snapshot_shells([box.redshift for box in boxes], near, far)
    return [
        {
            "files": [str(path) for path in box.files],
            "redshift": float(box.redshift),
            "fills": [float(z) for z in shell],
        }
        for box, shell in zip(boxes, shells, strict=True)
    ]


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


def _refuse_without_halos(piece: Foreign, floor: float) -> None:
    """Refuse a snapshot or light-cone that has no halos, or none above the study's mass floor."""
    if piece.mass_range_msun is None:
        fix = "check the file; satellites need catalogue.subhalos: true"
        raise problem(piece.path, "no halos", "at least one halo", fix)
    if not len(piece):
        found = f"no halo above {floor:g} Msun (the heaviest has {piece.mass_range_msun[1]:.3g})"
        raise problem(piece.path, found, "halos above lightcones.mass_min_msun", "lower it, or check the mass unit")


def _catalogue(position: np.ndarray, velocity: np.ndarray, mass: np.ndarray, cosmology: Cosmology) -> HaloCatalogue:
    """Light-cone halos with both redshifts, float32."""
    redshift = cosmology.redshift_at(np.linalg.norm(position, axis=1))
    observed = observed_redshift(position, velocity, redshift)
    columns = (position, velocity, mass, redshift, observed)
    return HaloCatalogue(*(np.asarray(column, dtype=np.float32) for column in columns), cosmology=cosmology)


def _cut_lightcone(cone: Foreign, cosmology: Cosmology, band: tuple[float, float], cones: Lightcones) -> HaloCatalogue:
    """A foreign light-cone turned so that its field looks along +z, cut to our footprint and band."""
    path, options, field_deg = cone.path, cones.catalogue, cones.field_deg
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
    mass = cone.mass_msun[keep]
    check_cone(position, mass, half_width, band, cosmology, cones.mass_function, path)
    halos = _catalogue(position, velocity, mass, cosmology)
    if cone.redshift_observed is not None:
        own = cone.redshift_observed[keep]
        check_observed(own, halos.redshift, halos.redshift_observed, path)
        halos.redshift_observed = np.asarray(own, dtype=np.float32)
    return halos


def _cone_shells(cosmology: Cosmology, field_deg: float, band: tuple[float, float]) -> list[tuple[float, float]]:
    """(redshift, volume) of 8 shells of the footprint."""
    redshifts = np.linspace(*band, 9)
    edges = cosmology.comoving_distance(redshifts)
    half_width = np.radians(field_deg / 2)
    volumes = [cone_volume(half_width, near, far) for near, far in zip(edges[:-1], edges[1:], strict=True)]
    return list(zip(((redshifts[1:] + redshifts[:-1]) / 2).tolist(), map(float, volumes), strict=True))
