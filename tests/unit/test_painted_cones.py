"""Painted light-cones: numbers, bytes and cells of a painter, the generator's halos below it, and painters refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.apart import ALIKE, APART, AlikeCells, keep_apart, too_close
from limelight.halos.box import periodic_slabs
from limelight.halos.config import Lightcones
from limelight.halos.generator import generate_lightcone, interpolate
from limelight.halos.massfunction import band_abundance
from limelight.halos.painted import born_displacements, draw_painted, paint_box, paint_lightcone
from limelight.halos.painter import Painter, check_painter
from limelight.matter.cells import lpt_overdensity
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, displacements, periodic_field
from limelight.matter.particle_mesh import cloud_in_cell
from limelight.probes.halo_field.boxes import cell_index, coarse_lpt_density

COSMOLOGY = Cosmology()
EDGES = (2e11, 1e12, 1e16)
CELL = 5.0
CONES = Lightcones.model_construct(field_deg=0.7, mass_min_msun=2e11, cell_mpc=CELL)
BAND = (2.9, 3.1)


def painter_of(numbers, told=False, **other):
    """A painter that answers what a function of what it is shown says."""
    given = {"path": "p.pt", "reach": 2, "cell_mpc": CELL, "edges_msun": EDGES, "redshifts": (2.9, 3.1)}
    return Painter(numbers=numbers, told_redshift=told, cosmology=COSMOLOGY, **{**given, **other})


def biased(shown):
    """Halos grow as (1 + δ)², heavier ones faster; with a dispersion of 0.3."""
    mean = torch.stack([2 * shown[0] - 2, 3 * shown[0] - 5])
    return mean, torch.full_like(mean, np.log(0.3))


def test_numbers_are_negative_binomial_cell_by_cell():
    mean, dispersion = np.array([0.3, 2.0, 7.0]), np.array([1.5, 0.4, 0.05])
    many = 40_000
    logs = [torch.from_numpy(np.log(np.repeat(one, many))).float().view(3, 200, 200) for one in (mean, dispersion)]
    place = draw_painted(*logs, np.random.default_rng(5)).numpy()
    cell = np.round(place).astype(int)
    assert np.abs(place - cell).max() <= 0.5
    counts = np.zeros((3, 200, 200), int)
    np.add.at(counts, tuple(cell[:, ::-1].T), 1)
    for found, m, phi in zip(counts.reshape(3, -1), mean, dispersion, strict=True):
        right = stats.nbinom.pmf(np.arange(9), 1 / phi, 1 / (1 + phi * m)) * many
        seen = np.bincount(found, minlength=9)[:9]
        assert (np.abs(seen - right) < 4.5 * np.sqrt(right + 1)).all()
    place = draw_painted(logs[0], None, np.random.default_rng(5)).numpy()
    found = np.bincount(np.round(place[:, 2]).astype(int), minlength=3)
    assert (np.abs(found - mean * many) < 4.5 * np.sqrt(mean * many)).all()


def test_density_on_cells_is_that_of_clouds_in_a_periodic_box():
    box = Box((12,) * 3, 4.0)
    with chunk_runner() as run:
        psi = displacements(periodic_field(box, COSMOLOGY, 3, "cpu", run), run)
    density = lpt_overdensity(psi, 4.0, lambda planes: (0.4, 0.05))
    axis = torch.arange(12, dtype=torch.float32) * 4
    position = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], dim=-1)
    position += 0.4 * psi[:3].permute(1, 2, 3, 0) + 0.05 * psi[3:].permute(1, 2, 3, 0)
    right = torch.from_numpy(cloud_in_cell(position.reshape(-1, 3).remainder(48.0).numpy(), 48.0, 12))
    torch.testing.assert_close(density, right, atol=2e-4, rtol=1e-4)


def test_a_painted_box_has_the_mass_function_and_the_painters_cells():
    painter = painter_of(biased)
    with chunk_runner() as run:
        field = periodic_field(Box((40,) * 3, CELL), COSMOLOGY, 3, "cpu", run)
    box = paint_box(CONES, painter, 200.0, 3.0, COSMOLOGY, 3, modes=field.modes.clone())
    masses = np.geomspace(EDGES[:-1], EDGES[1:], 40, axis=1)
    expected = band_abundance(masses, np.array([3.0]), COSMOLOGY, "tinker08")[0][0, :, -1] * 200.0**3
    density = torch.from_numpy(coarse_lpt_density(field, 3.0, COSMOLOGY, 40))
    for band, (low, high) in enumerate(zip(EDGES[:-1], EDGES[1:], strict=True)):
        chosen = (box.mass_msun >= low) & (box.mass_msun < high)
        assert chosen.sum() == pytest.approx(expected[band], rel=0.06)
        rate = torch.exp(biased(torch.log(1.05 + density)[None])[0][band]).numpy()
        index = cell_index(box.position_mpc[chosen] + 0.5 * CELL, 200.0, 40)  # cells lie about their particles
        counts = np.bincount(index, minlength=40**3).reshape(40, 40, 40)
        for dense in np.array_split(np.argsort(rate.ravel()), 5):
            right = rate.ravel()[dense].sum() / rate.sum() * counts.sum()
            spread = np.sqrt(right + 0.3 * (rate.ravel()[dense] ** 2).sum() * (counts.sum() / rate.sum()) ** 2)
            assert abs(counts.ravel()[dense].sum() - right) < 4 * spread
    light = np.histogram(np.log(box.mass_msun[box.mass_msun < 1e12]), np.log(masses[0][[0, 10, 20, 39]]))[0]
    share = np.diff(band_abundance(masses, np.array([3.0]), COSMOLOGY, "tinker08")[0][0, 0, [0, 10, 20, 39]])
    assert light == pytest.approx(share * light.sum() / share.sum(), rel=0.08)


def test_halos_inside_heavier_ones_are_placed_again_and_no_others():
    rng = np.random.default_rng(1)
    means = [torch.from_numpy(rng.normal(-2, 1, (12, 12, 12))).float() for _ in range(2)]
    places = [torch.from_numpy(11 * rng.random((n, 3))).float() for n in (600, 150)]
    masses = [np.geomspace(2e11, 9e11, 600)[::-1].copy(), np.geomspace(1e12, 5e12, 150)]
    sizes = [APART * (3 * m / (4 * np.pi * COSMOLOGY.matter_density)) ** (1 / 3) / 2.0 for m in masses]
    before = [place.clone() for place in places]
    lost = too_close([place.numpy() for place in places], masses, sizes)
    every, mass, size = np.concatenate(before), np.concatenate(masses), np.concatenate(sizes)
    apart = np.linalg.norm(every[:, None] - every, axis=-1) < size[:, None] + size
    right = np.flatnonzero((apart & (mass[:, None] < mass)).any(axis=1))
    np.testing.assert_array_equal(np.concatenate([lost[0], 600 + lost[1]]), right)
    assert 60 < len(right) < 700
    keep_apart(places, masses, means, 2.0, COSMOLOGY, rng)
    after = too_close([place.numpy() for place in places], masses, sizes)
    assert sum(map(len, after)) < 0.3 * len(right)
    heaviest = int(np.argmax(masses[1]))
    assert torch.equal(places[1][heaviest], before[1][heaviest])
    moved = np.flatnonzero((np.concatenate(places) != every).any(axis=1))
    assert set(right) <= set(moved)
    assert ((np.concatenate(places) > -0.5) & (np.concatenate(places) < 11.5)).all()


def test_a_halo_that_finds_no_room_goes_to_a_cell_of_about_the_same_number():
    """So halos that stand as expected numbers say do so afterwards, and those of the densest cells stay in dense ones."""
    rng = np.random.default_rng(3)
    means = torch.from_numpy(rng.normal(-2, 1.5, (20, 20, 20))).float()
    alike, share = AlikeCells(means), means.exp().flatten().double() / means.exp().sum()
    dense = torch.argsort(means.flatten())[-20:]
    found = alike.draw(dense.repeat(500), rng)
    above = torch.stack([share[means.flatten() >= means.flatten()[cell]].sum() for cell in found])
    beyond = float(share[dense].sum())
    assert beyond < float(above.max()) < beyond + ALIKE + float(share.max())
    many = torch.from_numpy(rng.choice(len(share), 400_000, p=share.numpy() / share.numpy().sum()))
    after = torch.bincount(alike.draw(many, rng), minlength=len(share)) / len(many)
    some = torch.argsort(means.flatten()).view(20, -1)
    assert after[some].sum(1).numpy() == pytest.approx(share[some].sum(1).numpy(), abs=4e-3)


def test_velocities_are_those_of_the_matter():
    box = paint_box(CONES, painter_of(biased), 200.0, 3.0, COSMOLOGY, 3)
    ratio = np.sqrt((box.velocity_kms**2).mean(axis=0) / (box.matter_kms**2).mean(axis=0))
    assert ratio == pytest.approx(np.ones(3), abs=0.06)


def test_the_matter_of_a_place_is_found_again():
    """Particles that start anywhere in a box, moved as far as their displacements say, by two amounts of growth."""
    cone, slabs = periodic_slabs(120.0, 2.0, 3.0)
    cone = replace(cone, margin_mpc=20.0)
    with chunk_runner() as run:
        psi = displacements(periodic_field(cone.box, COSMOLOGY, 3, "cpu", run), run)
    slab = slabs[3]
    block = psi.roll((1, 1, 1), (1, 2, 3))[:, slab.z[0] : slab.z[1] + 2].permute(1, 2, 3, 0).contiguous()
    size = torch.tensor([58.0, 58.0, 7.0])
    born = torch.rand((4000, 3), generator=torch.Generator().manual_seed(2)) * size
    right = interpolate(block, born)
    for growth, apart in ((0.05, 2e-3), (float(COSMOLOGY.growth(3.0)), 0.25)):
        place = born + (right[:, :3] * growth + right[:, 3:] * 3 / 7 * growth**2) / 2.0
        found = born_displacements(cone, slab, place, psi, [growth, 3 / 7 * growth**2], periodic=True)[0]
        assert float((found - right[:, :3]).square().mean().sqrt() / right[:, :3].std()) < apart


@pytest.fixture(scope="module")
def cones():
    """A light-cone down to a tenth of the painter's lightest halo, by the painter and by the generator."""
    settings = CONES.model_copy(update={"mass_min_msun": 5e10})
    painter = painter_of(lambda shown: biased(shown[:1]), told=True)
    painted = paint_lightcone(settings, painter, *BAND, COSMOLOGY, 7)
    return painted, generate_lightcone(settings, *BAND, COSMOLOGY, 7), painter, settings


def test_light_halos_are_the_generators_and_heavy_ones_as_many(cones):
    painted, generated, _, _ = cones
    for name in ("position_mpc", "velocity_kms", "mass_msun", "redshift", "redshift_observed"):
        light = [getattr(one, name)[one.mass_msun < EDGES[0]] for one in (painted, generated)]
        np.testing.assert_array_equal(*light)
    heavy = [np.count_nonzero(one.mass_msun >= EDGES[0]) for one in (painted, generated)]
    assert heavy[0] > 300
    assert heavy[0] == pytest.approx(heavy[1], rel=0.15)  # the field's own density moves both
    assert painted.geometry["painted_from_msun"] == EDGES[0]
    half = np.tan(np.radians(0.35)) * 1.001
    assert (np.abs(painted.position_mpc[:, :2]) <= half * painted.position_mpc[:, 2:]).all()


def test_a_rerun_gives_the_same_bytes_on_any_number_of_threads(cones):
    painted, _, painter, settings = cones
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        again = paint_lightcone(settings, painter, *BAND, COSMOLOGY, 7)
    finally:
        torch.set_num_threads(threads)
    for name in ("position_mpc", "velocity_kms", "mass_msun", "redshift_observed"):
        np.testing.assert_array_equal(getattr(painted, name), getattr(again, name))


@pytest.mark.parametrize(
    ("other", "cones", "words"),
    [
        ({"cell_mpc": 2.0}, {}, r"cells of 2 Mpc; expected 5 Mpc"),
        ({"cell_mpc": 8.0}, {}, r"cells of 8 Mpc; expected 5 Mpc"),
        ({"redshifts": (3.0, 3.5)}, {}, r"redshifts 3 to 3\.5; expected 2\.900 to 3\.100"),
        ({"redshifts": (2.0, 3.0)}, {}, r"redshifts 2 to 3; expected 2\.900 to 3\.100"),
        ({"edges_msun": (2e11, 1e12, 1e13)}, {}, r"mass bands up to 1e\+13 Msun"),
        ({}, {"mass_min_msun": 2e12}, r"last mass band from 1e\+12 Msun; expected several bands above 2e\+12"),
        ({"cosmology": Cosmology(sigma8=0.9)}, {}, r"sigma8 0\.9; expected sigma8 0\.82"),
    ],
)
def test_a_painter_that_does_not_fit_is_refused_in_one_line(other, cones, words):
    given = {**other}
    cosmology = given.pop("cosmology", COSMOLOGY)
    painter = painter_of(biased, **given)
    painter = Painter(**{**vars(painter), "cosmology": cosmology})
    with pytest.raises(LimelightError, match=words) as error:
        check_painter(painter, CONES.model_copy(update=cones), BAND, COSMOLOGY)
    assert "\n" not in str(error.value)
