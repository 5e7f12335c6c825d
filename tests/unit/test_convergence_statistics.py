"""Peaks, minima and Minkowski functionals against the closed forms of Gaussian fields and against scikit-image."""

import numpy as np
import pytest
import torch
from scipy.special import erfc

from limelight.errors import LimelightError
from limelight.networks import build
from limelight.summaries.convergence import histogram, minkowski, peak_counts, smoothed

N, MAPS, SCALE = 128, 24, 6.0  # SCALE: σ in pixels of the Gaussian that white noise is smoothed with


@pytest.fixture(scope="module")
def field() -> tuple[torch.Tensor, tuple[float, float, float]]:
    """Gaussian fields (b, n, n) of variance 1, and σ0, σ1, σ2 of their spectrum exp(−k² SCALE²)."""
    rng = np.random.default_rng(0)
    k = 2 * np.pi * np.fft.fftfreq(N)
    k2 = k[:, None] ** 2 + k[None] ** 2
    power = np.exp(-k2 * SCALE**2) * (k2 > 0)
    power /= power.mean()
    maps = np.fft.ifft2(np.fft.fft2(rng.standard_normal((MAPS, N, N))) * np.sqrt(power)).real
    return torch.from_numpy(maps), tuple(np.sqrt((power * k2**i).mean()) for i in range(3))


def test_minkowski_functionals_of_a_gaussian_field_are_tomitas(field):
    maps, (_, slope, _) = field
    edges = torch.linspace(-2.5, 2.5, 11, dtype=torch.float64)
    found = minkowski(maps, edges, periodic=True)
    low, middle = edges[:-1].numpy(), (edges[:-1] + edges[1:]).numpy() / 2
    gradient = slope**2  # ⟨|∇u|²⟩
    expected = [
        0.5 * erfc(low / np.sqrt(2)),
        np.sqrt(gradient) / (8 * np.sqrt(2)) * np.exp(-(middle**2) / 2),
        gradient / 2 / (2 * np.pi) ** 1.5 * middle * np.exp(-(middle**2) / 2),
    ]
    error = found.std(dim=0).numpy() / np.sqrt(MAPS)
    for got, want, spread, coarse in zip(found.mean(dim=0).numpy(), expected, error, (0.003, 0.04, 0.05), strict=True):
        assert (np.abs(got - want) < 4 * spread + coarse * np.abs(want).max()).all()


def test_euler_characteristics_are_those_of_scikit_image(field):
    """Of what is above a threshold, from maps that fall off towards their edges, so that no region is cut."""
    measure = pytest.importorskip("skimage.measure")
    x = torch.linspace(-1, 1, N, dtype=torch.float64)
    maps = smoothed(field[0], 2.0, True) - 6 * torch.maximum(x[:, None].abs(), x.abs()) ** 12
    for threshold in (-0.5, 0.0, 0.5, 1.0):
        edges = torch.tensor([threshold - 0.05, threshold + 0.05], dtype=torch.float64)
        ours = minkowski(maps, edges, periodic=False)[:, 2, 0].sum().item() * (N - 2) ** 2
        theirs = np.mean(
            [sum(measure.euler_number(one, connectivity=2) for one in (maps > level).numpy()) for level in edges]
        )
        assert ours == pytest.approx(theirs, abs=0.04 * abs(theirs) + 0.6 * MAPS)  # the turn scatters within a bin


def test_peaks_of_a_gaussian_field_are_bond_and_efstathious(field):
    maps, (_, first, second) = field
    edges = torch.linspace(-2, 4, 13, dtype=torch.float64)
    found = peak_counts(maps, edges, periodic=True)
    gamma, star = first**2 / second, np.sqrt(2) * first / second
    nu = np.linspace(-2, 4, 1201)
    x = gamma * nu
    rest = 1 - gamma**2
    tail = 1 - 0.5 * erfc(x / np.sqrt(2 * rest))
    wide = 1 - 0.5 * erfc(x / np.sqrt(2 * rest * (3 - 2 * gamma**2)))
    g = (x**2 - gamma**2) * tail + x * rest * np.exp(-(x**2) / 2 / rest) / np.sqrt(2 * np.pi * rest)
    g += np.exp(-(x**2) / (3 - 2 * gamma**2)) / np.sqrt(3 - 2 * gamma**2) * wide
    density = np.exp(-(nu**2) / 2) * g / ((2 * np.pi) ** 1.5 * star**2)
    expected = np.array([np.trapezoid(density[i : i + 101], nu[i : i + 101]) for i in range(0, 1200, 100)]) * N**2
    counted = found.sum(dim=0).numpy()
    assert (np.abs(counted - MAPS * expected) < 4 * np.sqrt(MAPS * expected + 1) + 0.03 * MAPS * expected).all()
    assert counted.sum() > 500
    torch.testing.assert_close(peak_counts(-maps, edges, True), peak_counts(-maps.flip(1), edges, True))


def test_counts_by_hand():
    one = torch.zeros(1, 6, 6)
    one[0, 2, 3], one[0, 0, 0] = 2.0, 5.0
    edges = torch.tensor([1.0, 3.0, 6.0])
    assert peak_counts(one, edges, periodic=True).tolist() == [[1.0, 1.0]]
    assert peak_counts(one, edges, periodic=False).tolist() == [[1.0, 0.0]]  # the corner has no eight neighbours
    assert histogram(torch.tensor([[0.5, 1.0, 2.9, 3.0, 9.0]]), torch.ones(1, 5), edges).tolist() == [[2.0, 1.0]]
    assert minkowski(one, torch.tensor([-1.0, 1.0, 3.0]), True)[0, 0].tolist() == pytest.approx([1, 2 / 36])


@pytest.mark.parametrize("periodic", [True, False])
def test_smoothing_keeps_the_mean_of_constants_and_damps_waves_as_a_gaussian_does(periodic):
    x = 2 * np.pi * np.arange(64) / 16
    wave = torch.from_numpy(np.cos(x)[None, :, None] + 0 * x[None, None]) + 3
    found = smoothed(wave, 1.5, periodic)[0, 16:48, 20]
    expected = 3 + np.cos(x)[16:48] * np.exp(-0.5 * (2 * np.pi / 16 * 1.5) ** 2)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_network_of_statistics_says_where_each_kind_stands():
    torch.manual_seed(0)
    module = build("statistics", {"bins": 6, "periodic": True, "convolutions": True}, (1, 32, 32), (2,)).eval()
    x = torch.randn(12, 1, 32, 32)
    module.calibrate(x)
    found = module.features(x)
    kinds = module.kinds
    assert list(kinds) == ["power", "peaks", "minima", "minkowski", "convolutions"]
    assert kinds["convolutions"].stop == found.shape[1] == module.output[0].in_features
    assert module(x).shape == (12, 2)
    assert found[:, kinds["power"]].mean(dim=0).abs().max() < 1e-4
    moved = module.features(x.roll((3, 5), (2, 3)).flip(2).transpose(2, 3))  # an equal map: no statistic may move
    statistics = slice(0, kinds["minkowski"].stop)
    torch.testing.assert_close(moved[:, statistics], found[:, statistics], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        ({"smoothing": []}, (1, 32, 32), "list of numbers"),
        ({"smoothing": [5.0]}, (1, 32, 32), "from 0 to 4"),
        ({"periodic": 1}, (1, 32, 32), "true or false"),
        ({}, (2, 32, 32), "one channel"),
        ({}, (1, 32), "two axes"),
    ],
)
def test_what_statistics_refuse(options, shape, words):
    with pytest.raises(LimelightError, match=words):
        build("statistics", options, shape, (2,))


def test_the_published_network_has_the_published_layers():
    """On 512 pixels 6 × 6 are left for the last average; weights counted by hand from the paper's list."""
    from limelight.networks.lensing import LEAST, left

    assert left(512) == 6
    assert left(LEAST) == 1
    assert left(LEAST - 1) < 1
    module = build("kappa_published", {}, (1, LEAST, LEAST), (2,)).eval()
    kernels = [one for one in module.modules() if isinstance(one, torch.nn.Conv2d)]
    assert [one.out_channels for one in kernels] == [
        *(32, 32, 64, 64, 128, 64, 128, 256, 128, 256, 512, 256, 512, 512, 256, 512, 256, 512)
    ]
    assert sum(one.kernel_size == (1, 1) for one in kernels) == 5
    assert module(torch.randn(1, 1, LEAST, LEAST)).shape == (1, 2)
    with pytest.raises(LimelightError, match=f"at least {LEAST} pixels"):
        build("kappa_published", {}, (1, 64, 64), (2,))
    small = build("kappa_published", {"padding": True}, (1, 64, 64), (2,)).eval()
    assert [one.shape for one in small.parameters()] == [one.shape for one in module.parameters()]
    assert small.layers(torch.randn(1, 1, 64, 64)).shape == (1, 512, 2, 2)
    with pytest.raises(LimelightError, match="at least 32 pixels"):
        build("kappa_published", {"padding": True}, (1, 16, 16), (2,))
    with pytest.raises(LimelightError, match="padding"):
        build("kappa_published", {"padding": 1}, (1, 64, 64), (2,))


@pytest.mark.parametrize("name", ["kappa_small", "kappa_residual"])
def test_small_networks_answer_from_features(name):
    module = build(name, {}, (1, 32, 32), (2,)).eval()
    x = torch.randn(3, 1, 32, 32)
    torch.testing.assert_close(module(x), module.output(module.features(x)))
