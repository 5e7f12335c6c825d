"""Boxes on a light-cone: volumes in closed form, and pairs and tags whose place and turn can be told by eye."""

import numpy as np
import pytest
from catalogue_files import tinker_masses

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.abundance import check_abundance, compare_abundance, expected_density
from limelight.halos.coverage import check_cone
from limelight.halos.formation import formation_redshift
from limelight.halos.formats.common import Foreign
from limelight.halos.tiling import (
    check_snapshots,
    in_cone,
    place_boxes,
    snapshot_shells,
    tiles_of_cone,
    turn_to_axis,
)

COSMOLOGY = Cosmology()
BOX = 150.0


def snapshot(position, velocity=None, mass=None, redshift=3.0, box=BOX) -> Foreign:
    position = np.atleast_2d(np.asarray(position, dtype=np.float64))
    velocity = np.zeros_like(position) if velocity is None else np.atleast_2d(np.asarray(velocity, dtype=np.float64))
    return Foreign(position, velocity, np.ones(len(position)) if mass is None else mass, redshift, box)


def place(snapshots, field_deg=3.0, z=(2.4, 3.4), seed=1, lightcone=0):
    return place_boxes(snapshots, COSMOLOGY, field_deg, *z, seed, lightcone)


def test_density_is_that_of_the_box_everywhere():
    """Counts in sky and depth cells against n × volume, ∫ dx dy (1 + x² + y²)^(-3/2) in closed form."""
    rng = np.random.default_rng(0)
    n = 4000
    position, _, _ = place([snapshot(rng.uniform(0, BOX, (n, 3)))])
    near, far = COSMOLOGY.comoving_distance(np.array([2.4, 3.4]))
    half = np.radians(1.5)
    solid_angle = 4 * np.arctan(half**2 / np.sqrt(1 + 2 * half**2))
    expected = n / BOX**3 * solid_angle * (far**3 - near**3) / 3
    # each halo of the box comes back in many tiles, in each at an independent place: the count is Poisson to 1 %
    assert len(position) == pytest.approx(expected, rel=5 / np.sqrt(expected) + 0.01)
    distance = np.linalg.norm(position, axis=1)
    assert near <= distance.min() < distance.max() < far
    sky = position[:, :2] / position[:, 2:]
    assert np.abs(sky).max() <= half
    shells, _ = np.histogram(distance, (np.linspace(near**3, far**3, 21)) ** (1 / 3))
    np.testing.assert_allclose(shells, expected / 20, rtol=0.06)
    cells, _, _ = np.histogram2d(*sky.T, bins=np.linspace(-half, half, 5))
    np.testing.assert_allclose(cells, expected / 16, rtol=0.06)


def test_every_tile_that_the_cone_meets_is_listed_once():
    rng = np.random.default_rng(2)
    half, near, far = 0.03, 5800.0, 6900.0
    tiles = list(tiles_of_cone(BOX, half, near, far))
    assert len(set(tiles)) == len(tiles)
    sight = np.concatenate([rng.uniform(-half, half, (20000, 2)), np.ones((20000, 1))], axis=1)
    points = sight / np.linalg.norm(sight, axis=1, keepdims=True) * rng.uniform(near, far, (20000, 1))
    assert in_cone(points, half, near, far).all()
    index = np.floor(points / BOX + [0.5, 0.5, 0]).astype(int)
    assert {tuple(row) for row in index} <= set(tiles)


def test_pairs_keep_their_separation_and_their_velocities_turn_along():
    """Two halos d apart that move along d: in each tile d is permuted and mirrored, and the velocity is still along it."""
    d = np.array([1.0, 2.0, 4.0])
    pair = snapshot([[70, 70, 70], 70 + d], [100 * d, -50 * d], np.array([1e11, 2e11]))
    position, velocity, mass = place([pair], field_deg=5)
    tile = np.floor(position / BOX + [0.5, 0.5, 0]).astype(int)
    seen = set()
    for number in np.unique(tile, axis=0):
        members = np.flatnonzero((tile == number).all(axis=1))
        assert len(members) <= 2
        assert len(set(mass[members])) == len(members)
        if len(members) < 2:
            continue
        first, second = members[np.argsort(mass[members])]
        apart = position[second] - position[first]
        apart -= BOX * np.round(apart / BOX)
        np.testing.assert_allclose(np.sort(np.abs(apart)), d, atol=1e-9)
        np.testing.assert_allclose(velocity[first], 100 * apart, atol=1e-6)
        np.testing.assert_allclose(velocity[second], -50 * apart, atol=1e-6)
        seen.add(tuple(np.round(apart).astype(int)))
    assert len(seen) > 25  # of the 48 ways to turn and mirror a cube


def test_tiles_are_moved_independently():
    """One halo a box: its places within the tiles fill the box evenly along every axis."""
    position, _, _ = place([snapshot([10, 20, 30])], field_deg=4)
    inside = np.mod(position / BOX + [0.5, 0.5, 0], 1.0)
    assert len(inside) > 60
    for axis in range(3):
        counts, _ = np.histogram(inside[:, axis], 4, (0, 1))
        assert counts.min() > len(inside) / 12


def test_halos_depend_on_seed_and_lightcone_and_nothing_else():
    rng = np.random.default_rng(4)
    box = [snapshot(rng.uniform(0, BOX, (200, 3)), mass=rng.uniform(1, 2, 200))]
    wide, _, mass_wide = place(box, field_deg=3)
    narrow, _, _ = place(box, field_deg=1.5, z=(2.6, 3.0))
    assert {tuple(row) for row in narrow} <= {tuple(row) for row in wide}
    again, _, mass_again = place(box, field_deg=3)
    np.testing.assert_array_equal(wide, again)
    np.testing.assert_array_equal(mass_wide, mass_again)
    for other in (place(box, lightcone=1), place(box, seed=2)):
        assert not {tuple(row) for row in other[0]} & {tuple(row) for row in wide}


def test_each_halo_comes_from_the_snapshot_nearest_in_redshift():
    """Snapshots tagged by their mass; the same halos, so that a place in the cone changes tag but not position."""
    rng = np.random.default_rng(6)
    places, redshifts = rng.uniform(0, BOX, (500, 3)), [2.5, 2.8, 3.3]
    snapshots = [snapshot(places, mass=np.full(500, z), redshift=z) for z in redshifts]
    position, _, tag = place(snapshots)
    z = COSMOLOGY.redshift_at(np.linalg.norm(position, axis=1))
    nearest = np.array(redshifts)[np.argmin(np.abs(z[:, None] - np.array(redshifts)), axis=1)]
    clear = np.min(np.abs(z[:, None] - [2.65, 3.05]), axis=1) > 1e-6
    np.testing.assert_array_equal(tag[clear], nearest[clear])
    alone, _, _ = place([snapshots[0]])
    assert {tuple(row) for row in position} == {tuple(row) for row in alone}


def test_snapshots_outside_the_range_are_not_used():
    shells = snapshot_shells([1.0, 2.5, 6.0, 7.0], 2.4, 3.4)
    assert [low < high for low, high in shells] == [False, True, False, False]
    assert shells[1] == (2.4, 3.4)


def test_snapshots_must_fit_together():
    one = snapshot([1, 1, 1])
    for others, text in (
        ([one, snapshot([1, 1, 1], box=BOX / 0.7, redshift=3.2)], "boxes of 150 and 214.286 Mpc"),
        ([snapshot([1, 1, 1], box=1.0)], "a box of 1 Mpc"),
        ([snapshot([1, 1, 1], redshift=0.5)], "a snapshot within 0.75 of every redshift"),
    ):
        with pytest.raises(LimelightError, match=text):
            check_snapshots(others, 2.4, 3.4, 0.75, "lightcones.files")
    with pytest.raises(LimelightError, match="copies of it"):
        place([snapshot([1, 1, 1], box=6.0)], field_deg=9)


def test_turn_to_axis_is_a_rotation():
    rng = np.random.default_rng(8)
    for direction in [*rng.normal(size=(20, 3)), np.array([0, 0, 1.0]), np.array([0, 0, -1.0]), np.array([1.0, 0, 0])]:
        turn = turn_to_axis(direction)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1)
        np.testing.assert_allclose(turn @ direction, [0, 0, np.linalg.norm(direction)], atol=1e-9)


def test_a_hole_in_a_lightcone_is_found():
    rng = np.random.default_rng(9)
    half, near, far = 0.02, 5800.0, 6900.0
    sight = np.concatenate([rng.uniform(-half, half, (20000, 2)), np.ones((20000, 1))], axis=1)
    points = sight * rng.uniform(near**3, far**3, (20000, 1)) ** (1 / 3)
    band = tuple(float(COSMOLOGY.redshift_at(chi)) for chi in (near, far))
    given = half, band, COSMOLOGY, "tinker08", "cone.npz"
    mass = np.full(len(points), 2.5e10)
    check_cone(points, mass, *given)
    sky, distance = points[:, :2] / points[:, 2:], np.linalg.norm(points, axis=1)
    for left, where in (
        (sky[:, 0] < 0.95 * half, "x"),
        (np.abs(sky[:, 1]) < 0.95 * half, "y"),
        (distance < 6850, "distance"),
        (~((sky > 0.4 * half).all(axis=1) & (distance > 6600)), "x with y"),
    ):
        with pytest.raises(LimelightError, match=f"hardly any halos along {where}[ ,]"):
            check_cone(points[left], mass[left], *given)


def test_expected_density_is_colossus_own():
    volume = 3e8
    mass = tinker_masses(volume, 3.0, 2.5e10)
    thresholds = np.array([2.5e10, 1e11, 1e12])
    found = (mass[None] >= thresholds[:, None]).sum(axis=1) / volume
    np.testing.assert_allclose(expected_density(thresholds, 3.0, COSMOLOGY, "tinker08"), found, rtol=0.05)


@pytest.mark.parametrize(
    ("mass_factor", "volume_factor", "cause"),
    [
        (0.7, 1.0, "masses are in Msun/h but were read as Msun"),
        (1 / 0.7, 1.0, "masses are in Msun but were read as Msun/h"),
        (1.0, 0.343, "positions are in Mpc/h but were read as Mpc"),
        (0.7, 0.343, "masses and positions carry h but were read without"),
    ],
)
def test_h_confusion_is_named(mass_factor, volume_factor, cause):
    volume = 200.0**3
    mass = tinker_masses(volume, 3.0, 1e10)
    above = mass[mass >= 2.5e10]
    rows = check_abundance(above, [(3.0, volume)], 2.5e10, COSMOLOGY, "tinker08", 1.4, "box.list")
    assert len(rows) >= 3
    wrong = mass * mass_factor
    with pytest.raises(LimelightError, match=f"^box.list: found .* likely cause: {cause}"):
        check_abundance(
            wrong[wrong >= 2.5e10], [(3.0, volume * volume_factor)], 2.5e10, COSMOLOGY, "tinker08", 1.4, "box.list"
        )


def test_few_halos_are_not_judged_harshly():
    """A box of 20 Mpc holds a handful of halos, and its own density fluctuates: no verdict from that."""
    mass = tinker_masses(20.0**3, 3.0, 2.5e10)
    for part in (mass, mass[::2]):
        rows = compare_abundance(part, [(3.0, 20.0**3)], 2.5e10, COSMOLOGY, "tinker08")
        assert rows[0]["scatter"] > 0.15
        check_abundance(part, [(3.0, 20.0**3)], 2.5e10, COSMOLOGY, "tinker08", 1.4, "small")


def test_formation_redshift_follows_the_published_relation():
    """w at the formation redshift is the median of Giocoli et al. 2012; light halos form earlier."""
    mass, z = np.array([3e10, 1e12, 1e13]), np.full(3, 3.0)
    formed = formation_redshift(mass, z, COSMOLOGY)
    barrier = 1.686 / COSMOLOGY.growth(formed) - 1.686 / COSMOLOGY.growth(z)
    w = barrier / np.sqrt(COSMOLOGY.sigma(mass / 2) ** 2 - COSMOLOGY.sigma(mass) ** 2)
    alpha = 0.815 * np.exp(-0.25) / 0.5**0.707
    np.testing.assert_allclose(w, np.sqrt(2 * np.log(1 + alpha)), rtol=5e-3)
    assert np.all(np.diff(formed) < 0)
    assert np.all(formed > 3)
