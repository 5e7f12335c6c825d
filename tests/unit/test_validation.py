"""The halo validation and its N-body reference, each measurement against a case whose answer is known."""

import numpy as np
import pytest
import torch

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.box import generate_box
from limelight.halos.catalogue import HaloCatalogue
from limelight.halos.conditional import SPREAD, calibrate_contrast, contrast_curvature, contrast_variance
from limelight.halos.config import Lightcones
from limelight.halos.exclusion import colliding, take_mass
from limelight.halos.reference import REFERENCES, box_of_reference, box_redshift, read_reference, write_reference
from limelight.halos.validation import (
    Row,
    abundance_rows,
    clustering_statistics,
    counts_in_cells,
    kaiser_rows,
    overdensity_modes,
    power_spectrum,
    reference_rows,
    square_solid_angle,
    table_text,
    velocity_scatter,
)
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import (
    Box,
    LinearField,
    field_variances,
    periodic_field,
    resampled,
    unresolved_variances,
)
from limelight.matter.particle_mesh import cloud_in_cell, friends_of_friends, run_particle_mesh
from limelight.matter.smoothing import smoothed
from limelight.probes.line_intensity.figures.halos import validation_page

COSMOLOGY = Cosmology()
SETTINGS = Lightcones.model_construct(mass_min_msun=1e11, cell_mpc=2.5)
FITTED = REFERENCES["fitted"]


@pytest.fixture(scope="module")
def reference_box():
    return box_of_reference(FITTED, SETTINGS, COSMOLOGY, cell_mpc=2.0)


def test_default_halos_match_the_n_body_run(reference_box):
    """Power, cells and voids within 10 % of N-body halos of the same phases, where halos are many; light within 20 %."""
    found = clustering_statistics(reference_box.position_mpc, reference_box.mass_msun, reference_box.side_mpc)
    for row in reference_rows(found, read_reference(found, FITTED.table), "fitted"):
        if row.case != "0.008 per Mpc³ (fitted)" or not row.expected:
            continue
        if "power" in row.quantity and row.at > 1:
            continue  # below the 2 Mpc cells of this quick test
        assert row.measured == pytest.approx(row.expected, rel=0.2 if "light" in row.quantity else 0.1), row


def test_barrier_halos_fill_voids_that_n_body_leaves_empty(reference_box):
    """The fault that the default repairs: the test above can fail."""
    barrier = box_of_reference(FITTED, SETTINGS.model_copy(update={"method": "barrier"}), COSMOLOGY, cell_mpc=2.0)
    empty = [
        clustering_statistics(b.position_mpc, b.mass_msun, b.side_mpc)["empty cells", 0.008, 8.0]
        for b in (reference_box, barrier)
    ]
    assert empty[1] < 0.8 * empty[0]


def test_poisson_points_have_no_clustering():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 100, (40_000, 3))
    cells = counts_in_cells(points, 100, 10)
    assert cells.variance == pytest.approx(0, abs=0.005)
    few = counts_in_cells(points[:1000], 100, 10)
    assert few.empty == pytest.approx(np.exp(-1), abs=0.04)
    modes = overdensity_modes(points, 100, 32)
    spectra = power_spectrum(modes, modes, 100, np.array([0.1, 0.3, 0.6]))
    assert spectra.monopole == pytest.approx(100**3 / 40_000, rel=0.25)  # the windows are divided out: 1/W² of it
    without = power_spectrum(modes, modes, 100, np.array([0.1, 0.3, 0.6]), 100**3 / 40_000)
    assert np.abs(without.monopole).max() < 0.1 * 100**3 / 40_000
    assert np.abs(spectra.quadrupole).max() < 0.3 * 100**3 / 40_000


def test_cell_moments_of_two_densities():
    """Half the cells hold Poisson(12), half Poisson(4): σ² = 1/4, and a symmetric field has no third moment."""
    rng = np.random.default_rng(2)
    cells = rng.permutation(np.repeat([12.0, 4.0], 4000))
    numbers = rng.poisson(cells)
    corner = np.stack(np.unravel_index(np.repeat(np.arange(8000), numbers), (20, 20, 20)), 1)
    points = (corner + rng.uniform(0, 1, corner.shape)) * 5.0
    measured = counts_in_cells(points, 100, 5)
    assert measured.variance == pytest.approx(0.25, rel=0.06)
    assert abs(measured.skewness) < 0.15


def test_power_of_one_wave():
    """A density 1 + A cos(kx) along z has its power in one mode, L³ A²/4, and a quadrupole 5 times it for μ = 1."""
    side, cells, amplitude = 50.0, 32, 0.1
    z = (np.arange(cells) + 0.5) / cells * side
    wave = amplitude * np.cos(2 * np.pi * 4 * z / side)
    modes = np.fft.rfftn(np.broadcast_to(wave, (cells, cells, cells)))
    k = 2 * np.pi * 4 / side
    spectra = power_spectrum(modes, modes, side, np.array([k * 0.999, k * 1.001]))
    window = np.sinc(4 / cells) ** 2  # of the nearest cell, which this exact wave has not been through
    total = spectra.monopole[0] * spectra.modes[0] * window
    assert total == pytest.approx(2 * side**3 * amplitude**2 / 4, rel=1e-6)
    assert spectra.quadrupole[0] == pytest.approx(5 * spectra.monopole[0], rel=1e-6)


def test_redshift_distortion_of_linear_matter_is_kaiser():
    box = generate_box(SETTINGS.model_copy(update={"mass_min_msun": 1e12, "cell_mpc": 5.0}), 640, 2.9, COSMOLOGY, 4)
    rows = kaiser_rows(box.matter_mpc, box.matter_kms, box.side_mpc, 2.9, COSMOLOGY, 1.0, k_max=0.06)
    for row in rows:
        assert row.measured == pytest.approx(row.expected, rel=0.06)


def test_abundance_of_a_planted_catalogue():
    """A catalogue drawn from the mass function has ratio 1; the same masses in h units stand out at once."""
    solid_angle = square_solid_angle(2.0)
    assert solid_angle == pytest.approx(np.radians(2) ** 2, rel=5e-4)
    box = generate_box(SETTINGS.model_copy(update={"cell_mpc": 4.0}), 200, 2.9, COSMOLOGY, 5)
    low, high = COSMOLOGY.redshift_at(
        COSMOLOGY.comoving_distance(2.9) + np.array([-0.5, 0.5]) * _depth(box, solid_angle)
    )
    n = len(box.mass_msun)
    z = np.random.default_rng(1).uniform(low, high, n).astype(np.float32)
    geometry = {"field_deg": 2.0, "redshift_min": float(low), "redshift_max": float(high), "mass_min_msun": 1e11}
    for factor, words in ((1.0, "right"), (0.7, "wrong")):
        halos = HaloCatalogue(
            np.zeros((n, 3), np.float32),
            np.zeros((n, 3), np.float32),
            box.mass_msun * factor,
            z,
            z,
            COSMOLOGY,
            geometry,
        )
        row = abundance_rows(halos, "tinker08", slices=1)[1]
        assert (abs(row.measured / row.expected - 1) < 0.05) == (words == "right")


def _depth(box, solid_angle: float) -> float:
    """Depth at which a cone of this solid angle holds the box's volume at z = 2.9."""
    return box.side_mpc**3 / (solid_angle * COSMOLOGY.comoving_distance(2.9) ** 2)


def test_contrast_by_monte_carlo():
    """⟨w⟩ = 1, ⟨w y⟩ = σ_y² D (b − 1) and the promised spread of y, for random Gaussian fields."""
    variance, growth, bias = np.array([3.0, 8.0]), np.array([0.33]), np.array([[3.5, 1.7]])
    rate = calibrate_contrast(variance, growth, bias)
    normal = np.random.default_rng(3).standard_normal(1_000_000)
    for band in range(2):
        y = np.sqrt(variance[band]) * normal
        w = rate.factor[0, band] * (rate.turn[0, band] - rate.tilt[0, band] * y)
        w = w * np.exp(-((rate.barrier[0, band] - rate.slope[0, band] * y) ** 2) * rate.width[0, band])
        assert w.mean() == pytest.approx(1, rel=0.01)
        mean = (w * y).mean()
        assert mean == pytest.approx(variance[band] * 0.33 * (bias[0, band] - 1), rel=0.02)
        spread = np.sqrt((w * (y - mean) ** 2).mean() / variance[band])
        assert spread == pytest.approx(SPREAD, rel=0.02)


def test_rate_of_unresolved_waves_is_the_mean_over_them():
    """y in two independent parts: the rate given the first is the mean of the whole rate over the second."""
    variance, growth, bias, hidden = np.array([5.0]), np.array([0.33]), np.array([[2.5]]), np.array([0.4])
    whole, seen = calibrate_contrast(variance, growth, bias), calibrate_contrast(variance, growth, bias, hidden)
    second = np.sqrt(5.0 * 0.4) * np.random.default_rng(4).standard_normal(400_000)

    def rate(of, y):
        return of.factor[0, 0] * np.exp(-((of.barrier[0, 0] - of.slope[0, 0] * y) ** 2) * of.width[0, 0])

    for first in (-2.0, 0.5, 3.0):
        assert rate(seen, first) == pytest.approx(rate(whole, first + second).mean(), rel=0.02)


@pytest.mark.parametrize("cell_mpc", [1.0, 2.5])
def test_waves_on_the_grid_and_beyond_are_all_waves(cell_mpc):
    """The variance behind a Gaussian of 0.7 Mpc is the integral of the power spectrum, whatever the cells."""
    box = Box((round(160 / cell_mpc),) * 3, cell_mpc)
    parts = field_variances(box, COSMOLOGY, periodic=True), unresolved_variances(box, COSMOLOGY)
    found = sum(np.sum(shares * np.exp(-squared_k * 0.49)) for squared_k, shares in parts)
    k = np.geomspace(2 * np.pi / 160, 20, 4000)
    spectrum = COSMOLOGY.linear_power(k) * k**3 / (2 * np.pi**2) * np.exp(-((0.7 * k) ** 2))
    assert found == pytest.approx(np.trapezoid(spectrum, np.log(k)), rel=0.02)


def test_larger_cells_give_the_same_clustering():
    """Cells of 2.5 and 1.25 Mpc, same phases: power for k < 0.5 per Mpc and variance within 3 %, k < 1 within 6 %."""
    with chunk_runner() as run:
        modes = periodic_field(Box((96,) * 3, 1.25), COSMOLOGY, 4, "cpu", run).modes
    found = {}
    for cell in (2.5, 1.25):
        settings = SETTINGS.model_copy(update={"cell_mpc": cell, "mass_min_msun": 2.5e10})
        boxes = [generate_box(settings, 120, 2.9, COSMOLOGY, seed, modes=modes) for seed in (1, 2)]
        powers = []
        for box in boxes:
            density = overdensity_modes(box.position_mpc, 120, 96)
            shot = 120**3 / len(box.mass_msun)
            powers.append(power_spectrum(density, density, 120, np.array([0.2, 0.5, 1.0]), shot).monopole)
        variance = np.mean([counts_in_cells(box.position_mpc, 120, 8).variance for box in boxes])
        found[cell] = np.append(np.mean(powers, axis=0), variance)
    assert np.all(np.abs(found[2.5] / found[1.25] - 1) < [0.03, 0.06, 0.03])


def test_filter_and_its_variance():
    """(1 − c∇²) and Gaussian on one plane wave, and the variance of two waves by hand."""
    box = Box((16, 16, 16), 2.0)
    z = torch.arange(16, dtype=torch.float32) * 2.0
    k = 2 * np.pi * 3 / 32
    wave = torch.cos(k * z)[:, None, None].expand(16, 16, 16)
    found, works = smoothed(LinearField(box, torch.fft.rfftn(wave)), 1.5, 0.8)
    for work in works:
        work()
    filtered = found.block((0, 16), (0, 16), (0, 16))
    expected = wave * np.exp(-0.5 * (k * 1.5) ** 2) * (1 + 0.8 * k**2)
    assert torch.allclose(filtered, expected, atol=1e-5)
    squared_k, shares = np.array([0.5, 2.0]), np.array([1.0, 3.0])
    curvature = contrast_curvature(np.array([1.8]), np.array([0.7]), squared_k, shares)
    variance = contrast_variance(np.array([0.7]), curvature, squared_k, shares)
    damped = shares * np.exp(-squared_k * 0.49)
    assert 1 + curvature[0] * np.sum(damped * squared_k) / damped.sum() == pytest.approx(1.52)
    assert variance[0] == pytest.approx(np.sum(damped * (1 + curvature[0] * squared_k) ** 2))


def test_resampled_modes_keep_the_long_waves():
    rng = np.random.default_rng(5)
    x = np.arange(32) / 32
    wave = np.cos(2 * np.pi * 3 * x)[:, None, None] * np.sin(2 * np.pi * 2 * x)[None, :, None] * np.ones(32)
    field = torch.from_numpy((wave + 0.1 * rng.standard_normal((1, 1, 1))).astype(np.float32))
    coarse = torch.fft.irfftn(resampled(torch.fft.rfftn(field), 16), s=(16, 16, 16))
    assert torch.allclose(coarse, field[::2, ::2, ::2], atol=1e-5)


def test_spheres_take_their_volume_and_keep_centres_apart():
    used = torch.zeros((20, 20, 20))
    mass = torch.tensor([1e13, 3e11], dtype=torch.float32)
    place = torch.tensor([[0.2, 10.0, 10.0], [15.0, 5.0, 5.3]])
    take_mass(used, (0, 0, 0), place, mass, 2.0, COSMOLOGY, periodic=True)
    assert used.sum().item() * 8.0 * COSMOLOGY.matter_density == pytest.approx(1.03e13, rel=1e-4)
    assert used[10, 10, 0] > 0.9
    assert used[10, 10, 19] > 0  # across the periodic edge
    near = torch.tensor([[5.0, 5.0, 5.0], [5.5, 5.0, 5.0], [9.0, 5.0, 5.0]])
    assert colliding(near, torch.tensor([1.0, 0.6, 0.6]), [], []).tolist() == [1]
    heavy = colliding(near, torch.tensor([0.1, 0.1, 0.1]), [torch.tensor([[9.5, 5.0, 5.0]])], [torch.tensor([1.0])])
    assert heavy.tolist() == [2]


def test_exclusion_keeps_the_mass_function():
    box = generate_box(SETTINGS.model_copy(update={"method": "exclusion"}), 200, 2.9, COSMOLOGY, 3)
    plain = generate_box(SETTINGS, 200, 2.9, COSMOLOGY, 3)
    assert len(box.mass_msun) == pytest.approx(len(plain.mass_msun), rel=0.02)


def test_particle_mesh_grows_waves_linearly():
    """Large waves grow by D(z)/D(z_start): 2LPT start, 8 steps, forces on the mesh."""
    side, n = 200.0, 64
    position, _, field = run_particle_mesh(side, n, 2.9, COSMOLOGY, 2, steps=8)
    density = torch.from_numpy(cloud_in_cell(position, side, n))
    found, start = torch.fft.rfftn(density), field.modes
    k = Box((n,) * 3, side / n).wavenumbers()
    k = np.sqrt(k[0][:, None, None] ** 2 + k[1][:, None] ** 2 + k[2] ** 2)
    large = torch.from_numpy((k > 0) & (k < 0.12))
    growth = (found * start.conj()).real[large].sum() / start.abs().square()[large].sum()
    assert float(growth) == pytest.approx(float(COSMOLOGY.growth(2.9)), rel=0.04)


def test_friends_of_friends_finds_planted_groups():
    rng = np.random.default_rng(6)
    background = rng.uniform(0, 50, (2000, 3))
    group = np.array([0.05, 25.0, 49.98]) + rng.normal(0, 0.15, (300, 3))  # across two periodic edges
    small = np.array([20.0, 20.0, 20.0]) + rng.normal(0, 0.1, (40, 3))
    position = np.concatenate([background, group, small])
    velocity = np.concatenate([0 * background, 0 * group + 100.0, 0 * small - 50.0])
    centre, speed, members = friends_of_friends(position, velocity, 50.0, linking=0.2, least=30)
    assert len(members) == 2
    assert members == pytest.approx([300, 40], abs=3)
    offset = centre[0] - np.array([0.05, 25.0, 49.98])
    assert np.abs(offset - 50 * np.round(offset / 50)).max() < 0.05
    assert speed[:, 0] == pytest.approx([100, -50], abs=1)


def test_the_box_stands_where_the_study_looks():
    assert box_redshift(2.39, 3.43) == 2.9  # the N-body runs'
    assert box_redshift(6.9, 7.2) == pytest.approx(7.05)


def test_tables_and_reference_files(tmp_path):
    values = {("cell variance", 0.008, 4.0): 1.5, ("empty cells", 0.008, 4.0): 0.2}
    write_reference(tmp_path / "r.csv", values)
    assert read_reference(values, tmp_path / "r.csv") == values
    rows = reference_rows({key: 2 * value for key, value in values.items()}, values, "fitted")
    assert table_text(rows).splitlines()[1] == "N-body: cell variance,0.008 per Mpc³ (fitted),4,3,1.5,0,2.0000,"
    with pytest.raises(LimelightError, match="make_halo_reference"):
        read_reference(values, tmp_path / "none.csv")
    with pytest.raises(LimelightError, match="10 in 128 Mpc.*mass floor"):
        clustering_statistics(np.zeros((10, 3)), np.ones(10), 128.0)
    with pytest.raises(LimelightError, match="another set"):
        read_reference({("halo power", 0.008, 4.0): 1.0}, tmp_path / "r.csv")


def test_page_draws_every_quantity_and_one_legend_for_the_n_body_runs():
    """A foreign catalogue's page has no N-body panels; a generated one's share a legend that names both runs."""
    foreign = [
        Row("mass function", "z 2-3", 11.0, 99.0, 100.0, 10.0),
        Row("rms velocity", "light-cone", 2.9, 200, 210, 3),
    ]
    nbody = [
        Row(f"N-body: {name}", f"0.008 per Mpc³ ({run})", at, 1.1, 1.0, 0.0)
        for name in ("cell variance", "empty cells")
        for run in ("fitted", "independent")
        for at in (4.0, 8.0)
    ]
    for rows, panels, legends in ((foreign, 2, 2), (foreign + nbody, 4, 3)):
        figure = validation_page(rows)
        titled = [axes for axes in figure.axes if axes.get_title()]
        assert len(titled) == panels
        drawn = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
        assert len(drawn) == legends
    assert [text.get_text()[-13:] for text in drawn[-1].get_texts()] == ["Mpc³ (fitted)", "(independent)"]
    ratio = titled[-1].lines[1].get_ydata()
    assert ratio == pytest.approx([1.1, 1.1])


def test_page_draws_the_mean_of_light_cones_and_single_points_side_by_side():
    rows = [
        Row("light-cone: bias", "halo-halo", 11.0, 2 * ratio, 2, 0.2, name) for ratio, name in ((1.2, "1"), (1, "2"))
    ]
    rows += [Row("redshift space", case, 0.15, 0.5, 0.5, 0.1) for case in ("quadrupole", "monopole")]
    bias, squashing = (axes for axes in validation_page(rows).axes if axes.get_title())
    assert bias.lines[1].get_ydata() == pytest.approx([1.1])
    (bar,) = bias.collections[-1].get_segments()
    assert np.diff(bar[:, 1]) == pytest.approx(2 * 0.1 / 2**0.5)
    assert [line.get_xdata()[0] for line in squashing.lines[1:3]] == [0, 1]
    assert table_text(rows).splitlines()[2].endswith("0.2,1.0000,2")


def test_the_scatter_of_the_rms_velocity_is_that_of_many_gaussian_fields() -> None:
    one_place = np.full(
        (5, 3), 1000.0
    )  # three Gaussian numbers: the variance of their mean square is 2/3 of it squared
    assert velocity_scatter(one_place, COSMOLOGY) == pytest.approx(0.5 * (2 / 3) ** 0.5, rel=1e-3)

    rng = np.random.default_rng(5)
    places = rng.uniform(0, [250, 250, 700], size=(300, 3))
    k = np.geomspace(1e-4, 3, 500)  # waves even in ln k, in any direction; v is along k, of variance P(k) dk
    rms = []
    for _ in range(300):
        direction = rng.normal(size=(k.size, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        size = np.sqrt(COSMOLOGY.linear_power(k) * k)
        phase = places @ (direction * k[:, None]).T
        a, b = rng.normal(size=(2, k.size)) * size
        velocity = (np.cos(phase) * a + np.sin(phase) * b) @ direction
        rms.append(np.sqrt(np.mean(velocity**2)))
    measured = np.std(rms) / np.mean(rms)
    assert velocity_scatter(places, COSMOLOGY) == pytest.approx(measured, rel=0.15)  # 3 σ of 300 draws
