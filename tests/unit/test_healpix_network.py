"""Convolutions on the sphere: turned skies, frames of Q and U, neighbours; and the fully connected network."""

import numpy as np
import pytest
import torch
from skies import drawn_alm

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.networks.disco import (
    directions,
    disco,
    disco_rows,
    filters_near,
    halved,
    near,
    pixel_areas,
    resampling,
    row_filters,
    seen_from,
    taps,
)
from limelight.networks.healpix import chebyshev, neighbours, nine_weights, spin_rings
from limelight.probes.reionisation.harmonics import flat_matrix, multipoles, symmetries

NSIDE, LMAX = 8, 12
N = 12 * NSIDE**2


def polarised(seed: int, kind: str = "e") -> np.ndarray:
    """Q and U (2, npix) of a sky of E (or B) alone, power as ℓ^−2."""
    ells = multipoles(LMAX)
    some, none = np.random.default_rng(seed).standard_normal(len(ells)) / ells, np.zeros(len(ells))
    return (flat_matrix(NSIDE, LMAX) @ np.concatenate([some, none] if kind == "e" else [none, some])).reshape(2, N)


def test_rings_of_an_e_sky_are_even_and_of_a_b_sky_odd():
    matrix = spin_rings(NSIDE, 6)
    for kind in ("e", "b"):
        even, odd = (matrix @ polarised(0, kind).ravel()).reshape(2, 6, N)
        large, small = (even, odd) if kind == "e" else (odd, even)
        assert (small.std(axis=1)[1:] < 0.2 * large.std(axis=1)[1:]).all()


def test_rings_do_not_depend_on_the_frames_of_q_and_u():
    """A sky turned by any angle about any axis: the rings' scalars turn with it; the plain sums of its Q do not."""
    healpy = pytest.importorskip("healpy")
    rng = np.random.default_rng(1)
    alm = drawn_alm(np.concatenate([[0, 0], np.arange(2, LMAX + 1.0) ** -2]), rng)
    turn = healpy.Rotator(rot=rng.uniform(0, 90, 3))
    turned = turn.rotate_alm(np.array([0 * alm, alm, 0 * alm]), lmax=LMAX)[1]
    first, second = (np.array(healpy.alm2map([0 * one, one, 0 * one], NSIDE, lmax=LMAX)[1:]) for one in (alm, turned))
    rings = [(spin_rings(NSIDE, 6) @ one.ravel()).reshape(12, N)[2] for one in (first, second)]
    moved = healpy.alm2map(turn.rotate_alm(healpy.map2alm(rings[0], lmax=LMAX, iter=10)), NSIDE, lmax=LMAX)
    assert np.corrcoef(moved, rings[1])[0, 1] > 0.97
    around = neighbours(NSIDE)
    ring = healpy.nest2ring(NSIDE, np.arange(N))
    plain = [one[0][ring][around].mean(axis=1)[np.argsort(ring)] for one in (first, second)]
    moved = healpy.alm2map(turn.rotate_alm(healpy.map2alm(plain[0], lmax=LMAX, iter=10)), NSIDE, lmax=LMAX)
    assert np.corrcoef(moved, plain[1])[0, 1] < 0.9


@pytest.mark.parametrize("kind", ["neighbours", "chebyshev", "disco", "disco_equiangular"])
def test_a_quarter_turn_of_the_sky_about_the_poles_changes_no_answer(kind):
    """An exact symmetry of the pixels, and of the nine neighbours' order, as long as the pixels' weights are even."""
    torch.manual_seed(0)
    network = build("healpix", {"kind": kind, "filters": 4, "layers": 3, "spin": 2, "dense": 8}, (2, N), (1,)).eval()
    pixels, _ = symmetries(NSIDE)
    x = torch.from_numpy(np.stack([polarised(2)]).astype(np.float32))
    with torch.no_grad():
        answer, turned = network(x), network(x[:, :, pixels[4]])  # a quarter turn, no mirror image
        other = network(x.flip(-1))
    torch.testing.assert_close(turned, answer, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(other, answer, rtol=1e-3)


def test_neighbours_are_those_of_healpy():
    healpy = pytest.importorskip("healpy")
    found = neighbours(4)
    expected = healpy.get_all_neighbours(4, np.arange(192), nest=True).T
    for pixel, (own, theirs) in enumerate(zip(found, expected, strict=True)):
        assert set(own) == {pixel, *theirs[theirs >= 0]}


def test_layers_weigh_and_average_neighbours():
    """Against sums that are written out, pixel by pixel."""
    around, random = torch.from_numpy(neighbours(2)), torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, generator=random) for shape in ((48, 3, 2), (5, 18)))
    expected = torch.stack([sum(weight.view(5, 2, 9)[:, :, k] @ x[p[k]].T for k in range(9)).T for p in around])
    torch.testing.assert_close(nine_weights(x, around, weight), expected)
    found = chebyshev(x, around, 2)
    mean = x[around[:, 1:]].mean(dim=1)
    torch.testing.assert_close(found[..., :2], x)
    torch.testing.assert_close(found[..., 2:4], mean)
    torch.testing.assert_close(found[..., 4:], 2 * mean[around[:, 1:]].mean(dim=1) - x)
    even = torch.ones(48, 1, 1)
    torch.testing.assert_close(chebyshev(even, around, 4), torch.ones(48, 1, 5))  # T_k(1) = 1


def test_discrete_continuous_filters_take_means_and_derivatives():
    """Of smooth fields: the hats give them back, cos φ the slope towards the south, sin φ that towards the east."""
    ducc0 = pytest.importorskip("ducc0")
    nside = 16
    theta, phi = ducc0.healpix.Healpix_Base(nside, "NEST").pix2ang(np.arange(12 * nside**2)).T
    around, filters = torch.from_numpy(near(nside)), torch.from_numpy(filters_near(nside))
    z, x = np.cos(theta), np.sin(theta) * np.cos(phi)
    fields = torch.from_numpy(np.stack([np.ones_like(z), z, x], axis=1)[:, None].astype(np.float32))
    found = disco(fields, around, filters)[:, 0].reshape(-1, 6, 3).numpy()
    assert np.abs(found[:, :2, 0] - 1).max() < 1e-5
    assert np.abs(found[:, 2:, 0]).max() < 1e-5
    assert np.abs(found[:, :2, 1] - z[:, None]).max() < 0.03
    seen = np.abs(z) < 0.9
    size = np.sqrt(np.pi / 3) / nside  # the mean of ρ cos² φ over a hat about ρ = 1 is 7/12
    for tap, field, slope in ((2, 1, -np.sin(theta)), (2, 2, np.cos(theta) * np.cos(phi)), (3, 2, -np.sin(phi))):
        expected = slope[seen] * size * 7 / 12
        got = found[seen, tap, field]
        assert np.corrcoef(got, expected)[0, 1] > 0.98
        assert abs(np.sum(got * expected) / np.sum(expected**2) - 1) < 0.05
    alone = sum(filters[2, 5, k] * fields[around[5, k]] for k in range(around.shape[1]))
    torch.testing.assert_close(disco(fields, around, filters)[5, 0, 6:9], alone[0])


def on_rows(nside: int, *fields: np.ndarray) -> torch.Tensor:
    """(18 nside², 1, fields) of functions of z and x of the equiangular grid."""
    return torch.from_numpy(np.stack(fields, axis=1)[:, None].astype(np.float32))


def test_filters_on_rows_are_sums_that_are_written_out_and_turn_with_the_sky():
    """Against a sum over all pixels, one by one; turned about the poles by any number of pixels the answer turns, too."""
    nside, rows = 2, 6
    x = torch.randn(18 * nside**2, 3, 2, generator=torch.Generator().manual_seed(0))
    filters = torch.from_numpy(row_filters(nside))
    found = disco_rows(x, filters)
    assert found.shape == (72, 3, 12)
    theta, phi = directions(nside)
    for row, column, tap in ((0, 0, 0), (2, 5, 3), (5, 11, 4)):
        pixel = row * 2 * rows + column
        around = seen_from(theta[pixel : pixel + 1], phi[pixel : pixel + 1], theta, phi)
        weight = taps(around[0] * rows / np.pi, np.arctan2(around[2], around[1]), np.sin(theta))[tap, 0]
        expected = torch.einsum("p,pbc->bc", torch.from_numpy(weight.astype(np.float32)), x)
        torch.testing.assert_close(found[row * 2 * rows + column, :, 2 * tap : 2 * tap + 2], expected)
    turned = x.view(rows, 2 * rows, 3, 2).roll(5, dims=1).reshape(x.shape)
    torch.testing.assert_close(
        disco_rows(turned, filters), found.view(rows, 2 * rows, 3, 12).roll(5, dims=1).reshape(found.shape)
    )


def test_filters_on_rows_take_the_means_and_derivatives_that_those_on_healpix_take():
    """Of smooth fields, at any latitude but beside the poles; brought there from HEALPix the sky is the same."""
    ducc0 = pytest.importorskip("ducc0")
    nside = 16
    (theta, phi), (sky_theta, sky_phi) = (
        directions(nside),
        ducc0.healpix.Healpix_Base(nside, "RING").pix2ang(np.arange(12 * nside**2)).T,
    )
    z, x = np.cos(theta), np.sin(theta) * np.cos(phi)
    found = disco_rows(on_rows(nside, np.ones_like(z), z, x), torch.from_numpy(row_filters(nside)))
    found = found[:, 0].reshape(-1, 6, 3).numpy()
    assert np.abs(found[:, :2, 0] - 1).max() < 1e-5
    assert np.abs(found[:, 2:, 0]).max() < 1e-5
    assert np.abs(found[:, :2, 1] - z[:, None]).max() < 0.03
    size = np.pi / (3 * nside)
    seen = np.abs(z) < 0.95
    for tap, field, slope in ((2, 1, -np.sin(theta)), (2, 2, np.cos(theta) * np.cos(phi)), (3, 2, -np.sin(phi))):
        expected = slope[seen] * size * 7 / 12  # as on HEALPix, above, whose pixels are of another size
        got = found[seen, tap, field]
        assert np.corrcoef(got, expected)[0, 1] > 0.98
        assert abs(np.sum(got * expected) / np.sum(expected**2) - 1) < 0.05
    moved = resampling(nside) @ np.stack([np.cos(sky_theta), np.sin(sky_theta) * np.cos(sky_phi)], axis=1)
    np.testing.assert_allclose(moved, np.stack([z, x], axis=1), atol=0.02)
    half = np.cos(directions(nside // 2)[0])
    np.testing.assert_allclose(halved(on_rows(nside, z))[:, 0, 0], half, atol=0.01)
    np.testing.assert_allclose(np.sum(pixel_areas(nside) * z**2) / len(z), 1 / 3, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "shape", "line"),
    [
        ({}, (2, 767), "767 pixels for healpix"),
        ({"layers": 5}, (2, 768), "768 pixels for healpix"),
        ({"kind": "planar"}, (2, 768), "networks.options.kind"),
        ({"spin": 1}, (2, 768), "networks.options.spin"),
        ({"spin": 2}, (3, 768), "2 of 3 channels"),
        ({}, (2, 16, 48), "data of 2 axes for healpix"),
    ],
)
def test_options_and_shapes_that_do_not_fit_end_in_one_line(options, shape, line):
    with pytest.raises(LimelightError, match=line):
        build("healpix", options, shape, (1,))


def test_a_dense_network_sees_squares_where_asked():
    torch.manual_seed(0)
    x = torch.randn(5, 2, 7)
    for squares, inputs in ((False, 14), (True, 28)):
        network = build("dense", {"hidden": 6, "squares": squares}, (2, 7), (3,))
        assert network.layers[0].in_features == inputs
        torch.testing.assert_close(network(x), network.output(network.features(x)))
    with pytest.raises(LimelightError, match=r"networks.options.squares: found 'yes'"):
        build("dense", {"squares": "yes"}, (2, 7), (3,))


def test_a_dense_network_keeps_its_inputs_beside_its_features_where_asked():
    """What its output and heads on it see then holds the inputs as they are."""
    torch.manual_seed(0)
    x = torch.randn(5, 2, 7)
    network = build("dense", {"hidden": 6, "skip": True, "squares": True}, (2, 7), (3,))
    found = network.features(x)
    assert found.shape == (5, 6 + 28)
    torch.testing.assert_close(found[:, 6:20], x.flatten(1))
    torch.testing.assert_close(network(x), network.output(found))
    assert build("dense", {"hidden": 6}, (2, 7), (3,)).features(x).shape == (5, 6)


@pytest.mark.parametrize("kind", ["neighbours", "disco_equiangular"])
def test_a_network_is_rebuilt_from_its_options_and_weights_alone(kind):
    """As model files are read: built without numbers, then given its weights; tables of pixels are no weights."""
    options = {"kind": kind, "filters": 4, "layers": 2, "spin": 2, "dense": 8}
    network = build("healpix", options, (2, 192), (1,))
    assert not list(network.buffers())
    with torch.device("meta"):
        bare = build("healpix", options, (2, 192), (1,))
    bare.load_state_dict(network.state_dict(), assign=True)
    x = torch.randn(2, 2, 192)
    torch.testing.assert_close(bare(x), network(x))
