"""The chain over catalogues of a blended image: against its prior, against catalogues that can be read off, and blends."""

import numpy as np
import pytest

from limelight.probes.galaxy_field.blended import (
    add_sources,
    image_fisher,
    image_score,
    scores_of_fields,
)
from limelight.probes.galaxy_field.config import GalaxyField
from limelight.probes.galaxy_field.fields import REACH, catalogue_fisher, paint

THETA = np.array([1.5, 0.0, -1.0])  # ln φ*, ln L*, α
EMPTY = np.zeros((0, 4))


def test_a_painted_source_tells_how_the_squares_change():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 20, 20))
    before, flux, places = np.square(images).sum(), rng.uniform(0.5, 2, (3, 2)), rng.uniform(0, 20, (3, 2))
    expected = images + paint(flux[:, 0], places, np.log(flux / flux[:, :1]), 20, 1.2)
    change = add_sources(images, flux, places, 1.2, REACH)
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert change == pytest.approx(np.square(images).sum() - before)


def test_without_an_image_the_chain_draws_from_the_prior():
    """Of an image that is all noise nothing is known: its score is zero. Every step must leave the prior as it is."""
    data, scale = GalaxyField(pixels=16), np.sqrt(np.diag(catalogue_fisher(THETA, 0.1)))
    chains = [
        image_score(np.zeros((2, 16, 16)), 1e3, THETA, data, 30_000, np.random.default_rng(seed), EMPTY)[0] / scale
        for seed in range(24)
    ]
    error = np.std(chains, axis=0) / np.sqrt(24)
    assert (error < 0.03).all()
    assert (np.abs(np.mean(chains, axis=0)) < 4 * error).all()


def test_galaxies_that_can_be_told_apart_are_counted():
    """Far from one another and far above the noise: the score of the image is that of the catalogue, from either start."""
    data = GalaxyField(pixels=32, l_min=0.5)
    light, places = np.array([0.8, 2.0, 0.6, 1.1]), np.array([[5.2, 5.7], [21.5, 8.1], [8.3, 22.9], [24.0, 25.5]])
    colours = np.column_stack([np.zeros(4), [0.3, 0.1, 0.5, 0.2]])
    rng = np.random.default_rng(3)
    image = paint(light, places, colours, 32, data.psf_sigma) + 0.002 * rng.standard_normal((2, 32, 32))
    true = np.column_stack([places, light[:, None] * np.exp(colours)])
    sums = np.array([len(light), light.sum(), np.log(light).sum()])  # of ∂ ln n at L* = 1 and α = −1
    for start in (true, EMPTY):
        found, scatter = image_score(image, 0.002, THETA, data, 30_000, rng, start)
        np.testing.assert_allclose(found, sums - catalogue_fisher(THETA, 0.5)[0], atol=0.1)
        assert (scatter.diagonal() < 0.05).all()


def test_an_image_knows_less_than_its_catalogue_and_less_under_more_noise():
    data = GalaxyField(pixels=16, ln_phi_star=[1, 2])
    most, shares = catalogue_fisher(THETA, data.l_min)[:2, :2], []
    for noise in (0.003, 0.1):
        known = image_fisher(*scores_of_fields(data, noise, 16, 8000, 5), most)
        shares.append(np.linalg.det(known) / np.linalg.det(most))
    assert 0 < shares[1] < 0.5 < shares[0] < 1.0


def test_without_an_image_all_of_the_catalogue_is_missing():
    """The covariance of scores under the prior is the catalogue's F, however short a chain is: nothing is known."""
    data, most = GalaxyField(pixels=16, ln_phi_star=[1, 2]), catalogue_fisher(THETA, 0.1)
    found = image_fisher(*scores_of_fields(data, 1e3, 20, 12_000, 6), most)
    scale = np.sqrt(np.outer(np.diag(most), np.diag(most)))
    np.testing.assert_allclose(found / scale, 0, atol=0.15)


def test_chains_that_saw_too_little_do_not_make_less_missing():
    """Two short chains of correlated draws of a Gaussian: what their own scatter lacks is in their distance."""
    rng, n = np.random.default_rng(1), 20_000
    shared, own = rng.standard_normal((n, 2, 1, 3)), rng.standard_normal((n, 2, 6, 3))
    draws = np.sqrt([2.0, 1.0, 0.5]) * (np.sqrt(0.4) * shared + np.sqrt(0.6) * own)
    means, centred = draws.mean(axis=2), draws - draws.mean(axis=2, keepdims=True)
    covariances = np.einsum("ncki,nckj->ncij", centred, centred) / 6
    found = image_fisher(means, covariances, np.diag([4.0, 9.0, 1.0]))
    np.testing.assert_allclose(found, np.diag([2.0, 8.0, 0.5]), atol=0.06)
