"""The light-cone generator against colossus, astropy, linear theory and the shell theorem."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from astropy.cosmology import FlatLambdaCDM
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.lss import bias as colossus_bias
from colossus.lss import mass_function as colossus_mass_function
from colossus.lss import peaks

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos import draw, generator
from limelight.halos.box import generate_box
from limelight.halos.catalogue import HaloCatalogue, tangent_plane_deg, write_catalogue
from limelight.halos.conditional import calibrated_rate, moving_barrier
from limelight.halos.config import Lightcones
from limelight.halos.generator import generate_lightcone
from limelight.halos.massfunction import mass_function
from limelight.matter.chunks import chunk_runner, together
from limelight.matter.initial import Box, LinearField, displacements, field_variances, linear_field, periodic_field

COSMOLOGY = Cosmology()
SETTINGS = Lightcones.model_construct(field_deg=1.4, mass_min_msun=1e11, cell_mpc=4.0)
BAND = (2.39, 3.434)
COLUMNS = ("position_mpc", "velocity_kms", "mass_msun", "redshift", "redshift_observed")


@pytest.fixture(scope="module")
def cone():
    return generate_lightcone(SETTINGS, *BAND, COSMOLOGY, 7)


@pytest.fixture(scope="module")
def box():
    """A periodic cube of 300 Mpc at z = 2.9 down to 2.5e10 Msun."""
    return generate_box(SETTINGS.model_copy(update={"mass_min_msun": 2.5e10, "cell_mpc": 2.5}), 300, 2.9, COSMOLOGY, 3)


@pytest.fixture(scope="module")
def colossus(tmp_path_factory):
    """colossus with limelight's linear power as its table: its σ(M), mass function and bias are its own integrals."""
    c = COSMOLOGY
    parameters = {"flat": True, "H0": 70, "Om0": c.omega_m, "Ob0": c.omega_b, "sigma8": c.sigma8, "ns": c.ns}
    table = tmp_path_factory.mktemp("power") / "power.txt"
    k = np.geomspace(1e-5, 300, 4000)
    np.savetxt(table, np.log10(np.stack([k / c.h, c.linear_power(k) * c.h**3], 1)))

    def set_cosmology() -> dict:
        colossus_cosmology.setCosmology("truth", params=parameters | {"relspecies": False}, persistence="r")
        return {"model": "limelight", "path": str(table)}

    return set_cosmology


def expected_density(low: float, high: float, z: float, set_cosmology) -> float:
    """Halos per Mpc³ between two masses (Msun): colossus' Tinker08, 200m."""
    ps_args = set_cosmology()
    mass = np.geomspace(low, high, 60)
    dndlnm = colossus_mass_function.massFunction(
        mass * 0.7, z, q_in="M", q_out="dndlnM", mdef="200m", model="tinker08", ps_args=ps_args
    )
    return float(np.trapezoid(dndlnm, np.log(mass))) * 0.7**3


def test_mass_function_is_colossus_with_our_power(colossus):
    mass = np.geomspace(1e10, 1e14, 9)
    ours = mass_function(mass, 2.9, COSMOLOGY, "tinker08")
    ps_args = colossus()
    theirs = colossus_mass_function.massFunction(
        mass * 0.7, 2.9, q_in="M", q_out="dndlnM", mdef="200m", model="tinker08", ps_args=ps_args
    )
    assert ours == pytest.approx(theirs * 0.7**3, rel=0.01)


def test_published_number_density():
    """N(>2.5e10) of a 1.4° light-cone is 9.6e5, N(>1e12) 9.1e3 (a feasibility study's integral of Tinker08)."""
    z = np.linspace(*BAND, 30)
    shell = COSMOLOGY.comoving_distance(z) ** 2 * 299792.458 / COSMOLOGY.hubble(z) * np.radians(1.4) ** 2
    for low, total in ((2.5e10, 9.6e5), (1e12, 9.1e3)):
        mass = np.geomspace(low, 1e16, 300)
        density = [np.trapezoid(mass_function(mass, each, COSMOLOGY, "tinker08"), np.log(mass)) for each in z]
        assert np.trapezoid(shell * density, z) == pytest.approx(total, rel=0.03)


@pytest.mark.parametrize("half_dex", range(5))
def test_halo_masses_follow_the_mass_function(box, colossus, half_dex):
    """Within 3 % per half-dex, or 3 σ of Poisson where that is more."""
    low, high = 2.5e10 * 10 ** (half_dex / 2), 2.5e10 * 10 ** (half_dex / 2 + 0.5)
    expected = expected_density(low, high, 2.9, colossus) * box.side_mpc**3
    found = np.count_nonzero((box.mass_msun >= low) & (box.mass_msun < high))
    assert abs(found / expected - 1) < max(0.03, 3 / np.sqrt(expected))


def test_mass_floor_of_1e10(colossus):
    """The lightest halos that a light-cone can be asked for: numbers within 3 % in both half-dexes."""
    box = generate_box(SETTINGS.model_copy(update={"mass_min_msun": 1e10, "cell_mpc": 2.5}), 120, 2.9, COSMOLOGY, 3)
    assert box.mass_msun.min() >= 1e10
    for low in (1e10, 10**10.5):
        expected = expected_density(low, low * 10**0.5, 2.9, colossus) * box.side_mpc**3
        found = np.count_nonzero((box.mass_msun >= low) & (box.mass_msun < low * 10**0.5))
        assert found == pytest.approx(expected, rel=0.03)


def density_modes(position: np.ndarray, side: float, cells: int) -> np.ndarray:
    """Fourier modes of the overdensity, each point in its nearest cell."""
    index = (position * (cells / side)).astype(np.int64) % cells
    flat = (index[:, 2] * cells + index[:, 1]) * cells + index[:, 0]
    counts = np.bincount(flat, minlength=cells**3).reshape((cells,) * 3)
    return np.fft.rfftn(counts / counts.mean() - 1)


@pytest.mark.parametrize(("low", "high"), [(2.5e10, 1e11), (1e11, 1e12)])
def test_large_scale_bias_is_tinker10(box, colossus, low, high):
    """The halo-matter cross spectrum over the matter's for k < 0.2/Mpc; common phases cancel the cosmic variance."""
    ps_args = colossus()
    mass = np.geomspace(low, high, 40)
    height = peaks.peakHeight(mass * 0.7, 2.9, ps_args=ps_args)
    values = colossus_bias.haloBiasFromNu(height, 2.9, "200m", model="tinker10")
    expected = np.average(values, weights=mass_function(mass, 2.9, COSMOLOGY, "tinker08"))
    chosen = (box.mass_msun >= low) & (box.mass_msun < high)
    halos = density_modes(box.position_mpc[chosen], box.side_mpc, 64)
    matter = density_modes(box.matter_mpc, box.side_mpc, 64)
    step = 2 * np.pi / box.side_mpc
    k = np.fft.fftfreq(64) * 64 * step
    k = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + (np.arange(33) * step) ** 2)
    large = (k > 0) & (k < 0.2)
    bias = np.sum((halos * matter.conj()).real[large]) / np.sum(np.abs(matter[large]) ** 2)
    assert bias == pytest.approx(expected, rel=0.05)


def test_box_velocities_are_linear_theory(box):
    """Against the rms that the box's own modes should have; 2LPT adds little at z = 2.9."""
    k2, variance = field_variances(Box((120, 120, 120), 2.5), COSMOLOGY, periodic=True)
    displacement = np.sqrt(np.sum(variance / k2) / 3)
    z = 2.9
    speed = COSMOLOGY.hubble(z) / (1 + z) * COSMOLOGY.growth_rate(z) * COSMOLOGY.growth(z) * displacement
    assert np.sqrt(np.mean(box.matter_kms**2)) == pytest.approx(speed, rel=0.1)  # few modes carry it
    assert np.sqrt(np.mean(box.velocity_kms**2)) == pytest.approx(np.sqrt(np.mean(box.matter_kms**2)), rel=0.05)


def test_long_narrow_boxes_have_linear_velocities_on_every_axis():
    """Averaged over seeds, the displacement along and across the line of sight is linear theory's (no box effects)."""
    shape = Box((120, 24, 24), 10.0)
    rms = []
    with chunk_runner() as run:
        for seed in range(6):
            field = linear_field(shape, COSMOLOGY, seed, "cpu", run)
            psi = displacements(field, run)
            rms.append((psi[:3].double() ** 2).mean((1, 2, 3)).numpy())
    k = np.geomspace(1e-4, 0.7 * np.pi / 10, 3000)  # waves that cells of 10 Mpc hold
    expected = np.sqrt(np.trapezoid(COSMOLOGY.linear_power(k) * k, np.log(k)) / (6 * np.pi**2))
    x, y, z = np.sqrt(np.mean(rms, axis=0))
    assert x == pytest.approx(expected, rel=0.12)
    assert y == pytest.approx(expected, rel=0.12)
    assert z == pytest.approx(expected, rel=0.12)


def test_density_has_the_linear_power():
    """The box's power per band of k against CAMB's, within 4 σ of its number of modes."""
    shape = Box((96, 96, 96), 4.0)
    with chunk_runner() as run:
        modes = periodic_field(shape, COSMOLOGY, 1, "cpu", run).modes.numpy()
    kz, ky, kx = shape.wavenumbers()
    k = np.sqrt(kz[:, None, None] ** 2 + ky[:, None] ** 2 + kx**2)
    measured = np.abs(modes) ** 2 * shape.volume / np.prod(shape.shape) ** 2.0
    for low, high in ((0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 0.7)):
        inside = (k >= low) & (k < high)
        ratio = np.mean(measured[inside] / COSMOLOGY.linear_power(k[inside]))
        assert abs(ratio - 1) < 4 / np.sqrt(inside.sum())


def test_second_order_displacement_of_a_sphere():
    """Shell theorem: a shell that encloses a mean overdensity Δ moves by −(r/3)(DΔ + D²Δ²/7) to second order."""
    shape = Box((96, 96, 96), 1.0)
    axis = torch.arange(96, dtype=torch.float64) - 48
    radius = torch.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    width, height = 6.0, 0.3
    density = height * torch.exp(-(radius**2) / (2 * width**2))
    with chunk_runner() as run:
        field = LinearField(shape, torch.fft.rfftn(density.float()))
        psi = displacements(field, run).double()
    for distance in (6, 9, 12):
        r = np.linspace(0, distance, 4001)
        enclosed = 3 / distance**3 * np.trapezoid(height * np.exp(-(r**2) / (2 * width**2)) * r**2, r)
        along_x = psi[:, 48, 48, 48 + distance]
        background = height * (2 * np.pi) ** 1.5 * width**3 / 96**3  # the periodic box's mean is removed
        assert along_x[0] == pytest.approx(-distance / 3 * (enclosed - background), rel=0.02)
        assert along_x[3] * 3 / 7 == pytest.approx(-distance / 3 * enclosed**2 / 7, rel=0.1)
        assert abs(along_x[4]) < 1e-4


def test_barrier_series_against_differences():
    """T(s, S) − B(s) is the Taylor series of B(S) − B(s) in orders 1 to 5 about s."""
    s, variance, growth = np.array([4.0]), np.array([3.6]), np.array([0.33])
    barrier, turn = moving_barrier(s, variance, growth)
    there, _ = moving_barrier(variance, variance, growth)
    assert turn - barrier == pytest.approx(there - barrier, rel=1e-4)
    by_hand = np.sqrt(0.707) * (1.686 / 0.33) * (1 + 0.485 * (4.0 * 0.33**2 / (0.707 * 1.686**2)) ** 0.615)
    assert barrier[0] == pytest.approx(by_hand, rel=1e-12)


def test_calibration_by_monte_carlo():
    """⟨w⟩ = 1 and ⟨wδ⟩/S = D(b − 1) for random Gaussian densities."""
    s, growth, bias = np.array([9.0, 4.0]), np.array([0.33]), np.array([[1.7, 3.0]])
    variance = 0.4 * s
    rate = calibrated_rate(s, variance, growth, bias)
    assert np.abs(rate.bias_error).max() < 1e-6
    normal = np.random.default_rng(1).standard_normal(2_000_000)
    for band in range(2):
        delta = np.sqrt(variance[band]) * normal
        shift = rate.slope[0, band] * delta
        w = rate.factor[0, band] * np.maximum(rate.turn[0, band] - shift, 0)
        w = w * np.exp(-((rate.barrier[0, band] - shift) ** 2) * rate.width[0, band])
        assert w.mean() == pytest.approx(1, rel=0.01)
        assert (w * delta).mean() / variance[band] == pytest.approx(0.33 * (bias[0, band] - 1), rel=0.02)


def test_redshifts_of_the_cone(cone):
    """Cosmological redshift from astropy at each distance; observed redshift by the Doppler term of each halo."""
    position = cone.position_mpc[::50].astype(np.float64)
    chi = np.linalg.norm(position, axis=1)
    astropy = FlatLambdaCDM(H0=70, Om0=0.286, Tcmb0=0)
    assert astropy.comoving_distance(cone.redshift[::50].astype(float)).value == pytest.approx(chi, abs=0.005)
    v_los = np.sum(position * cone.velocity_kms[::50], axis=1) / chi
    expected = cone.redshift[::50] + (1 + cone.redshift[::50].astype(float)) * v_los / 299792.458
    assert cone.redshift_observed[::50] == pytest.approx(expected, abs=1e-6)
    assert np.abs(v_los).max() > 300


def test_cone_velocities_are_linear_theory(cone):
    speed = cone.velocity_kms.astype(np.float64)
    assert np.sqrt(np.mean(speed**2)) == pytest.approx(COSMOLOGY.velocity_rms(2.85), rel=0.1)
    assert speed.std(axis=0) == pytest.approx(COSMOLOGY.velocity_rms(2.85), rel=0.2)  # less the bulk flow of the field


def test_cone_fills_its_footprint_and_band(cone, colossus):
    """Nothing outside, no thinning at the edges, and numbers per redshift that follow the mass function."""
    x, y = tangent_plane_deg(cone.position_mpc)
    assert max(np.abs(x).max(), np.abs(y).max()) <= 0.7
    assert max(np.abs(x).max(), np.abs(y).max()) > 0.699
    for angle in (x, y, -x, -y):
        assert np.mean(angle > 0.63) == pytest.approx(0.05, abs=0.01)
    assert cone.redshift_observed.min() < BAND[0] < cone.redshift.min() + 0.03
    assert cone.redshift_observed.max() > BAND[1] > cone.redshift.max() - 0.03
    half = np.radians(0.7)
    solid_angle = 4 * np.arctan(half**2 / np.sqrt(1 + 2 * half**2))
    edges = np.linspace(*BAND, 5)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        z = 0.5 * (low + high)
        volume = solid_angle / 3 * np.diff(COSMOLOGY.comoving_distance(np.array([low, high])) ** 3)[0]
        expected = expected_density(1e11, 1e15, z, colossus) * volume
        found = np.count_nonzero((cone.redshift_observed >= low) & (cone.redshift_observed < high))
        assert found == pytest.approx(expected, rel=0.12)  # clustering makes a slice vary by 4 %


NARROW = {"field_deg": 1.0, "mass_min_msun": 1e11, "cell_mpc": 3.0}
SHORT = (Lightcones.model_construct(**NARROW), 2.85, 3.0)


@pytest.fixture(scope="module")
def short_cone():
    return generate_lightcone(*SHORT, COSMOLOGY, 7)


@pytest.mark.parametrize("method", ["contrast", "exclusion"])
def test_same_seed_same_halos_whatever_the_threads(method):
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            made.append(generate_lightcone(SHORT[0].model_copy(update={"method": method}), *SHORT[1:], COSMOLOGY, 7))
    finally:
        torch.set_num_threads(before)
    for name in COLUMNS:
        first, second, third = (getattr(halos, name).tobytes() for halos in made)
        assert first == second
        assert first == third


def test_same_seed_same_halos_whatever_the_chunks(short_cone, monkeypatch):
    monkeypatch.setattr(draw, "CHUNK", 777)
    monkeypatch.setattr(generator, "CHUNK", 777)
    made = generate_lightcone(*SHORT, COSMOLOGY, 7)
    for name in COLUMNS:
        assert getattr(made, name).tobytes() == getattr(short_cone, name).tobytes()


def test_another_process_makes_the_same_halos(short_cone):
    """With two OpenMP threads throughout, CAMB and imports included."""
    code = (
        "import sys; from limelight.cosmology import Cosmology; from limelight.halos.generator import generate_lightcone;"
        "from limelight.halos.config import Lightcones;"
        f"h = generate_lightcone(Lightcones.model_construct(**{NARROW!r}), *{SHORT[1:]!r}, Cosmology(), 7);"
        "sys.stdout.buffer.write(h.position_mpc.tobytes() + h.mass_msun.tobytes())"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "2"}, capture_output=True, check=True
    )
    assert made.stdout == short_cone.position_mpc.tobytes() + short_cone.mass_msun.tobytes()


def test_other_seed_other_halos(short_cone):
    other = generate_lightcone(*SHORT, COSMOLOGY, 8)
    size = min(len(other), len(short_cone))
    assert not np.array_equal(other.position_mpc[:size], short_cone.position_mpc[:size])


def test_another_mass_function_changes_the_abundance():
    """Sheth–Tormen holds 20 to 30 % more halos above 1e12 Msun than Tinker08 here (fof against 200m)."""
    mass = np.geomspace(1e12, 1e15, 100)
    totals = {
        name: np.trapezoid(mass_function(mass, 2.9, COSMOLOGY, name), np.log(mass)) for name in ("tinker08", "sheth99")
    }
    assert 1.15 < totals["sheth99"] / totals["tinker08"] < 1.4


@pytest.mark.parametrize(
    ("change", "band", "words"),
    [
        ({"mass_function": "tinker80"}, BAND, "mass_function.*tinker80.*tinker08"),
        ({"mass_function": "diemer20"}, BAND, "mass_function.*splashback"),
        ({}, (3.4, 2.4), "freq_min_ghz.*lowest < highest"),
        ({}, (-0.1, 0.5), "freq_min_ghz.*redshifts"),
        ({}, (2.4, 40.0), "freq_min_ghz.*40"),
        ({}, (0.002, 0.1), "freq_max_ghz.*observer"),
        ({"field_deg": 45.0}, BAND, "field_deg.*45.*20 degrees"),
        ({"field_deg": 0.0}, BAND, "field_deg"),
        ({"mass_min_msun": 1e15}, BAND, "mass_min_msun.*lower it"),
    ],
)
def test_impossible_settings_are_refused(change, band, words):
    with pytest.raises(LimelightError, match=words) as caught:
        generate_lightcone(SETTINGS.model_copy(update=change), *band, COSMOLOGY, 1)
    assert "\n" not in str(caught.value)


def test_files_hold_what_hdf5_would_have_compressed(tmp_path, monkeypatch):
    """Chunks are packed on several threads, past HDF5's own filters: any reader unpacks them, the last one cut to size."""
    monkeypatch.setattr("limelight.halos.catalogue.CHUNK_ROWS", 100)
    rng = np.random.default_rng(1)
    columns = [rng.normal(5000, 100, (257, 3)), rng.normal(0, 200, (257, 3)), *rng.uniform(1, 2, (3, 257))]
    halos = HaloCatalogue(*(column.astype(np.float32) for column in columns), COSMOLOGY, {"field_deg": 1.0})
    files = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            write_catalogue(tmp_path / "cone.h5", halos, {})
            files.append((tmp_path / "cone.h5").read_bytes())
    finally:
        torch.set_num_threads(before)
    assert files[0] == files[1]
    with h5py.File(tmp_path / "cone.h5") as file:
        for name in COLUMNS:
            assert (file[name].compression, file[name].shuffle) == ("gzip", True)
            np.testing.assert_array_equal(file[name][...], getattr(halos, name))
        assert file["velocity_kms"].id.get_num_chunks() == 3


def test_works_done_together_come_back_in_their_order_and_fail_aloud():
    with chunk_runner() as run:
        assert together(run, *(lambda i=i: i**2 for i in range(50))) == [i**2 for i in range(50)]
        with pytest.raises(ZeroDivisionError):
            together(run, lambda: 1, lambda: 1 / 0)
