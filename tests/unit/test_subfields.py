"""Rotation, reflection and cutting against rotation matrices, astropy and squares drawn by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from damaged_files import edited
from turned_cones import reflect, rotate

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.files import provenance
from limelight.halos.catalogue import HaloCatalogue, observed_redshift, tangent_plane_deg, write_catalogue
from limelight.halos.config import Subfields as SubfieldCuts
from limelight.halos.subfields import (
    cut_subfields,
    plan_subfields,
    read_subfield_halos,
    read_subfields,
    squares_overlap,
    turn_plane,
    unturn_plane,
    write_subfields,
)
from limelight.probes.line_intensity.settings import lightcone_settings
from limelight.section import plain
from limelight.study.config import load_study

ROOT = Path(__file__).resolve().parents[2]
LIGHT_KMS = 299792.458


def catalogue(n: int = 4000, field_deg: float = 4.0, seed: int = 1) -> HaloCatalogue:
    """Halos uniform on the tangent plane, at 5772–6840 Mpc, with velocities of 300 km/s an axis."""
    rng = np.random.default_rng(seed)
    x, y = np.radians(rng.uniform(-field_deg / 2, field_deg / 2, (2, n)))
    distance = rng.uniform(5772, 6840, n)
    position = np.stack([-x, y, np.ones(n)], axis=1)
    position *= (distance / np.linalg.norm(position, axis=1))[:, None]
    velocity = rng.normal(0, 300, (n, 3))
    position, velocity = position.astype(np.float32), velocity.astype(np.float32)
    redshift = Cosmology().redshift_at(distance)
    return HaloCatalogue(
        position_mpc=position,
        velocity_kms=velocity,
        mass_msun=(10 ** rng.uniform(10.4, 13, n)).astype(np.float32),
        redshift=redshift.astype(np.float32),
        redshift_observed=observed_redshift(position, velocity, redshift).astype(np.float32),
        geometry={"field_deg": field_deg, "redshift_min": 2.39, "redshift_max": 3.434, "mass_min_msun": 2.5e10},
    )


def section(size: float = 1.0, per_side: int = 2, rotations=(0,), reflections: bool = False) -> SubfieldCuts:
    turns = [float(angle) for angle in rotations]
    return SubfieldCuts(size_deg=size, per_side=per_side, rotations_deg=turns, reflections=reflections)


def exact_radians(degrees: np.ndarray) -> np.ndarray:
    """Radians that np.degrees turns into exactly these degrees."""
    near = np.radians(degrees)
    for guess in (np.nextafter(near, -9), np.nextafter(near, 9)):
        near = np.where(np.degrees(near) == degrees, near, guess)
    assert np.array_equal(np.degrees(near), degrees)
    return near


def on_plane(x_deg: np.ndarray, y_deg: np.ndarray, field_deg: float) -> HaloCatalogue:
    """Halos whose tangent-plane coordinates come out as exactly the given degrees (float64 positions at Z = 1)."""
    halos = catalogue(len(x_deg), field_deg)
    halos.position_mpc = np.stack([-exact_radians(x_deg), exact_radians(y_deg), np.ones(len(x_deg))], axis=1)
    return halos


def test_a_turn_of_the_plane_goes_counter_clockwise():
    angle, sky = 33.0, np.stack(tangent_plane_deg(catalogue().position_mpc), axis=1)
    radius, phase = np.hypot(*sky.T), np.arctan2(sky[:, 1], sky[:, 0]) + np.radians(angle)
    expected = np.stack([radius * np.cos(phase), radius * np.sin(phase)], axis=1)
    np.testing.assert_allclose(turn_plane(sky, angle), expected, atol=1e-12)
    np.testing.assert_allclose(turn_plane(sky, angle, reflected=True), expected * [-1, 1], atol=1e-12)
    np.testing.assert_allclose(unturn_plane(expected * [-1, 1], angle, reflected=True), sky, atol=1e-12)


def test_plane_is_the_fits_tangent_projection():
    halos = catalogue()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [0, 0], [0, 0], [1, 1]
    position = halos.position_mpc.astype(float)
    # the +z axis is (ra, dec) = (0, 0), ra = atan2(−X, Z), dec = asin(Y/χ)
    ra = np.degrees(np.arctan2(-position[:, 0], position[:, 2]))
    dec = np.degrees(np.arcsin(position[:, 1] / np.linalg.norm(position, axis=1)))
    np.testing.assert_allclose(wcs.wcs_world2pix(ra, dec, 0), np.array(tangent_plane_deg(position)) - 1, atol=1e-9)


@pytest.mark.parametrize("move", [lambda h: rotate(h, 41.0), reflect, lambda h: reflect(rotate(h, -100))])
def test_observed_redshift_from_moved_positions_and_velocities_is_unchanged(move):
    halos = catalogue()
    moved = move(halos)
    recomputed = []
    for p, v, z in zip(moved.position_mpc[:50], moved.velocity_kms[:50], moved.redshift[:50], strict=True):
        v_los = sum(float(a) * float(b) for a, b in zip(p, v, strict=True)) / sum(float(a) ** 2 for a in p) ** 0.5
        recomputed.append(float(z) + (1 + float(z)) * v_los / LIGHT_KMS)
    np.testing.assert_allclose(recomputed, halos.redshift_observed[:50], atol=1e-6)
    # the known fault of the notes: positions turned, velocities not, must differ visibly
    wrong = observed_redshift(rotate(halos, 180.0).position_mpc, halos.velocity_kms, halos.redshift)
    assert np.abs(wrong - halos.redshift_observed).max() > 1e-5


def test_full_turns_and_double_mirror_are_the_identity():
    sky = np.stack(tangent_plane_deg(catalogue().position_mpc), axis=1)
    for same in (turn_plane(sky, 360.0), turn_plane(sky, -720.0), turn_plane(turn_plane(sky, 0.0, True), 0.0, True)):
        assert np.array_equal(same, sky)
    quarter = sky
    for _ in range(4):
        quarter = turn_plane(quarter, 90.0)
    assert np.array_equal(quarter, sky)


@pytest.mark.parametrize(("angle", "mirrored"), [(0, False), (30, False), (90, True), (211.7, True)])
def test_cut_agrees_with_moving_the_catalogue(angle, mirrored):
    halos = catalogue(20000)
    moved = rotate(halos, angle)
    moved = reflect(moved) if mirrored else moved
    x, y = tangent_plane_deg(moved.position_mpc)
    plan = plan_subfields(4.0, section(1.0, 2, [angle], mirrored))
    assert len(plan) == (8 if mirrored else 4)
    for index, part in cut_subfields(halos, plan):
        if plan.reflected[index] != mirrored:
            continue
        cx, cy = plan.center_deg[index]
        inside = (np.abs(x - cx) < 0.5) & (np.abs(y - cy) < 0.5)
        assert len(part.mass_msun) > 1000
        assert abs(inside.sum() - len(part.mass_msun)) <= 1  # float32 of the moved catalogue may cross an edge
        edge = np.minimum(np.abs(np.abs(x - cx) - 0.5), np.abs(np.abs(y - cy) - 0.5)) < 1e-5
        if not np.any(edge):
            np.testing.assert_allclose(part.sky_deg, np.stack([x, y], axis=1)[inside], atol=1e-5)
            assert np.array_equal(part.redshift_observed, halos.redshift_observed[inside])


def test_every_halo_of_the_field_is_in_exactly_one_tile_edges_included():
    # a lattice that puts halos exactly on every edge: multiples of 1/8° on tiles of 1/2°; half-open field [−1, 1)
    ticks = np.arange(-8, 9) / 8
    x, y = (axis.ravel() for axis in np.meshgrid(ticks, ticks))
    halos = on_plane(x, y, 2.0)
    exact = np.stack(tangent_plane_deg(halos.position_mpc), axis=1)
    assert np.array_equal(exact, np.stack([x, y], axis=1))
    ids = np.arange(1, len(x) + 1, dtype=np.float32)
    halos.mass_msun = ids
    seen = np.concatenate([part.mass_msun for _, part in cut_subfields(halos, plan_subfields(2.0, section(0.5, 4)))])
    assert len(np.unique(seen)) == len(seen)
    inside = np.all((exact >= -1) & (exact < 1), axis=1)
    assert np.array_equal(np.sort(seen), ids[inside])


def test_random_halos_in_exactly_one_tile_and_in_the_right_one():
    halos = catalogue(30000, 4.0)
    plan = plan_subfields(4.0, section(4 / 3, 3))
    parts = dict(cut_subfields(halos, plan))
    assert sum(len(part.mass_msun) for part in parts.values()) == len(halos)
    for index, part in parts.items():
        offset = part.sky_deg - plan.center_deg[index]
        assert np.all(np.abs(offset) <= 2 / 3 + 1e-12)
    assert (plan.row[1], plan.column[1]) == (0, 1)
    assert plan.center_deg[1] == pytest.approx([0, -4 / 3])


def test_a_quarter_turn_is_exact_to_the_bit():
    halos = catalogue(20000)
    plan = plan_subfields(4.0, section(1.0, 2, [0, 90, 360]))
    parts = dict(cut_subfields(halos, plan))
    for index in range(4):
        row, column = plan.row[index], plan.column[index]
        # counter-clockwise, (x, y) → (−y, x): tile (row, column) comes to stand at (column, 1 − row)
        turned = next(i for i in range(4, 8) if (plan.row[i], plan.column[i]) == (column, 1 - row))
        expected = np.stack([-parts[index].sky_deg[:, 1], parts[index].sky_deg[:, 0]], axis=1)
        assert np.array_equal(parts[turned].sky_deg, expected)
        assert np.array_equal(parts[turned].redshift_observed, parts[index].redshift_observed)
        assert np.array_equal(parts[8 + index].sky_deg, parts[index].sky_deg)


def test_halos_behind_the_observer_are_on_no_tile():
    halos = catalogue(2000)
    halos.position_mpc[:1000] *= -1
    halos.position_mpc[0] = 0
    total = sum(len(part.mass_msun) for _, part in cut_subfields(halos, plan_subfields(4.0, section(2.0, 2))))
    assert total == 1000


def test_paper_geometry_holds_36_subfields_and_quarter_turns_keep_all():
    assert len(plan_subfields(9.52, section(1.4, 6))) == 36  # 8.4° in 9.52°
    assert len(plan_subfields(8.4, section(1.4, 6, [0, 90, 180, 270], True))) == 288  # exactly filling
    assert len(plan_subfields(2.8, section(1.4, 2, [0, 45]))) == 4  # at 45° each corner sticks out


def test_left_out_subfields_are_those_that_stick_out():
    # field 4, grid 4 × 4 of 0.9: turned by 45° a tile whose far corner (a, b) has (a + b)/√2 > 2 is out;
    # corners at 0.9, 1.8: 1.8 + 0.9 = 2.7 < 2.83 is in, 1.8 + 1.8 = 3.6 is out: the 4 corner tiles go
    plan = plan_subfields(4.0, section(0.9, 4, [45]))
    assert len(plan) == 12
    corner = {(0, 0), (0, 3), (3, 0), (3, 3)}
    assert not corner & set(zip(plan.row.tolist(), plan.column.tolist(), strict=True))


def test_impossible_geometry_is_one_clear_line():
    with pytest.raises(LimelightError, match="subfields: found no .* expected .*; make") as caught:
        plan_subfields(2.8, section(1.5, 2))
    assert "\n" not in str(caught.value)
    with pytest.raises(LimelightError):
        plan_subfields(2.8, section(2.8, 1, [1.0]))


def test_overlap_of_squares_drawn_by_hand():
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    diamond = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]]) / np.sqrt(2)  # unit square turned by 45°
    touching = (
        1 + np.sqrt(2) / 4
    )  # the diamond's edge facing the origin is x + y = 2 c − 1/√2: through (1, 1) for this c
    squares = np.array(
        [
            unit,
            unit + [1, 0],  # touches the first along an edge
            unit + [1, 1],  # touches it at a corner
            unit + [0.999, 0.999],  # a sliver in common
            diamond + touching,  # its edge touches the corner (1, 1); the bounding boxes overlap
            diamond + touching - 1e-4,  # just over the corner
            diamond + touching + 1e-4,  # just clear of it
            unit + [5, 5],
        ]
    )
    overlap = squares_overlap(squares, 1.0)
    assert np.array_equal(overlap, overlap.T)
    assert np.all(np.diag(overlap))
    assert overlap[0].tolist() == [True, False, False, True, False, True, False, False]


def test_overlaps_of_turned_tiles():
    quarter = plan_subfields(4.0, section(1.0, 2, [0, 90]))
    # tile (row, column) turned by 90° is a tile of the same grid: one overlap each, and it is the right one
    turned = quarter.overlaps[:4, 4:]
    assert np.all(turned.sum(axis=0) == 1)
    assert np.all(turned.sum(axis=1) == 1)
    # tile (row 0, column 0) of the turned cone, centre (−½, −½), shows the sky that stood at (−½, ½): row 1, column 0
    assert turned[2, 0]
    assert np.array_equal(quarter.overlaps[:4, :4], np.eye(4, dtype=bool))
    mirror = plan_subfields(4.0, section(1.0, 2, [0], True)).overlaps[:4, 4:]
    assert mirror.tolist() == np.eye(4, dtype=bool)[[1, 0, 3, 2]].tolist()
    assert np.all(plan_subfields(4.0, section(1.0, 2, [0, 45])).overlaps[:4, 4:].sum(axis=1) == 2)


def test_overlap_matrix_is_what_shared_halos_say():
    halos = catalogue(60000)
    halos.mass_msun = np.arange(1, len(halos) + 1, dtype=np.float32)
    plan = plan_subfields(4.0, section(0.9, 3, [0, 20, 77.7], True))
    members = [part.mass_msun for _, part in cut_subfields(halos, plan)]
    for i in range(len(plan)):
        for j in range(i):
            if np.intersect1d(members[i], members[j]).size:
                assert plan.overlaps[i, j]
    shared = [np.intersect1d(members[i], members[j]).size > 0 for i in range(len(plan)) for j in range(i)]
    claimed = [plan.overlaps[i, j] for i in range(len(plan)) for j in range(i)]
    assert sum(shared) > 0.97 * sum(claimed)  # slivers without a halo aside


def test_file_round_trip_and_its_refusals(tmp_path):
    halos, path = catalogue(), tmp_path / "3.h5"
    cuts = section(1.0, 3, [0, 30], True)
    written = write_subfields(path, halos, cuts, provenance(cuts, 5) | {"lightcone": 3})
    table = read_subfields(path)
    assert (table.lightcone, table.size_deg, table.settings) == (3, 1.0, plain(cuts))
    assert table.geometry == halos.geometry
    for name in ("rotation_deg", "reflected", "row", "column", "center_deg", "overlaps", "offsets"):
        assert np.array_equal(getattr(table, name), getattr(written, name))
    direct = dict(cut_subfields(halos, plan_subfields(4.0, cuts)))
    for index, part in read_subfield_halos(path):
        for name in ("sky_deg", "redshift", "redshift_observed", "mass_msun"):
            assert np.array_equal(getattr(part, name), getattr(direct[index], name))
    write_subfields(tmp_path / "again.h5", halos, cuts, provenance(cuts, 5) | {"lightcone": 3})
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()

    for damage in ("offsets", "nan", "short", "mass"):
        bad = tmp_path / f"{damage}.h5"
        bad.write_bytes(path.read_bytes())
        with edited(bad) as file:
            if damage == "offsets":
                file["offsets"][1] = 10**9
            elif damage == "nan":
                file["sky_deg"][0, 0] = np.nan
            elif damage == "short":
                file["redshift"].resize(10, axis=0)
            else:
                file["mass_msun"][0] = 0
        with pytest.raises(LimelightError) as caught:
            list(read_subfield_halos(bad))
        assert str(bad) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_script_by_hand(tmp_path):
    config, script = ROOT / "tests" / "pipeline" / "tiny.yaml", ROOT / "scripts" / "make_subfields.py"
    cone = tmp_path / "12.h5"
    write_catalogue(cone, catalogue(3000, 0.8), provenance(lightcone_settings(load_study(config)), 7))

    def run(lightcone, output):
        command = [sys.executable, script, "--config", config, "--lightcone", lightcone, "--output", output]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    first = run(cone, tmp_path / "a" / "s.h5")
    assert first.returncode == 0, first.stderr
    assert read_subfields(tmp_path / "a" / "s.h5").lightcone == 12  # by the name of the file
    cone.rename(tmp_path / "cone.h5")
    bad = run(tmp_path / "cone.h5", tmp_path / "b.h5")
    assert (bad.returncode, bad.stderr.count("\n")) == (1, 1)
    assert "no light-cone number" in bad.stderr
    assert not (tmp_path / "b.h5").exists()
