"""Distances, growth and linear power against astropy, numerical integrals, colossus and CAMB."""

import camb
import numpy as np
import pytest
from colossus.cosmology import cosmology as colossus_cosmology
from scipy.integrate import quad

from limelight.cosmology import SPEED_OF_LIGHT_KMS, Cosmology
from limelight.errors import LimelightError

PEAK_PATCH = Cosmology()
OTHER = Cosmology(omega_m=0.31, omega_b=0.049, h=0.677, ns=0.967, sigma8=0.81)


def colossus(cosmology: Cosmology):
    parameters = {
        "flat": True,
        "H0": 100 * cosmology.h,
        "Om0": cosmology.omega_m,
        "Ob0": cosmology.omega_b,
        "sigma8": cosmology.sigma8,
        "ns": cosmology.ns,
        "relspecies": False,
    }
    return colossus_cosmology.setCosmology("test", params=parameters, persistence="")


@pytest.fixture(params=[PEAK_PATCH, OTHER], ids=["peak patch", "planck-like"])
def cosmology(request):
    return request.param


def test_distance_is_the_integral_over_hubble(cosmology):
    for z in (0.01, 0.5, 2.39, 3.43, 9.0):
        by_hand, _ = quad(lambda x: SPEED_OF_LIGHT_KMS / (100 * cosmology.h * np.sqrt(_e2(cosmology, x))), 0, z)
        assert cosmology.comoving_distance(z) == pytest.approx(by_hand, rel=1e-7)
        assert cosmology.redshift_at(by_hand) == pytest.approx(z, rel=1e-7)


def _e2(cosmology, z):
    return cosmology.omega_m * (1 + z) ** 3 + 1 - cosmology.omega_m


def test_distances_of_the_fiducial_band():
    """26 to 34 GHz of CO(1-0) lie at 5772 to 6840 Mpc (the published light-cones)."""
    assert PEAK_PATCH.comoving_distance(np.array([2.390, 3.434])) == pytest.approx([5772, 6840], abs=3)


def test_growth_and_its_rate(cosmology):
    reference = colossus(cosmology)
    z = np.array([0.0, 0.5, 2.9, 6.0])
    assert cosmology.growth(z) == pytest.approx(reference.growthFactor(z), rel=1e-4)
    step = 1e-4
    slope = (np.log(cosmology.growth(z + step)) - np.log(cosmology.growth(z - step))) / (2 * step)
    assert cosmology.growth_rate(z[1:]) == pytest.approx((-slope * (1 + z))[1:], rel=0.005)


def test_power_has_the_asked_sigma8(cosmology):
    """σ8 by a quadrature of its own, and within 1e-3 of CAMB's own integral of the same shape."""

    def integrand(log_k):
        k, x = np.exp(log_k), np.exp(log_k) * 8 / cosmology.h
        window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
        return cosmology.linear_power(k) * window**2 * k**3 / (2 * np.pi**2)

    variance, _ = quad(integrand, np.log(1e-4), np.log(20), limit=400)
    assert np.sqrt(variance) == pytest.approx(cosmology.sigma8, rel=1e-3)


def test_power_has_camb_s_shape():
    """Against a CAMB run of its own, at other wavenumbers and with finer sampling."""
    c, h2 = PEAK_PATCH, PEAK_PATCH.h**2
    run = camb.CAMBparams(WantCls=False)
    run.set_cosmology(H0=100 * c.h, ombh2=c.omega_b * h2, omch2=(c.omega_m - c.omega_b) * h2, mnu=0)
    run.InitPower.set_params(ns=c.ns)
    run.set_matter_power(redshifts=[0.0], kmax=5.0, k_per_logint=30)
    results = camb.get_results(run)
    interpolator = results.get_matter_power_interpolator(nonlinear=False, hubble_units=False, k_hunit=False)
    k = np.geomspace(1e-3, 3, 40)
    expected = interpolator.P(0.0, k) * (c.sigma8 / results.get_sigma8_0()) ** 2
    assert c.linear_power(k) == pytest.approx(expected, rel=3e-3)


def test_power_beyond_the_table_goes_on_smoothly():
    k = np.geomspace(20, 1000, 200)
    slope = np.diff(np.log(PEAK_PATCH.linear_power(k))) / np.diff(np.log(k))
    assert np.all(slope < -2.5)
    assert np.all(slope > -3.04 - 0.001)
    assert np.abs(np.diff(slope)).max() < 0.02
    assert PEAK_PATCH.linear_power(np.array([0.0]))[0] == 0


def test_sigma_of_mass_near_colossus(cosmology):
    """Eisenstein & Hu 1998 is good to a few percent of CAMB; a wrong radius or unit of h would be far off."""
    reference = colossus(cosmology)
    mass = np.logspace(10, 15, 6)
    radius = (3 * mass / (4 * np.pi * reference.rho_m(0) * 1e9 * cosmology.h**2)) ** (1 / 3)
    assert cosmology.sigma(mass) == pytest.approx(reference.sigma(radius * cosmology.h, 0.0), rel=0.02)
    step = 1.001
    slope = np.log(cosmology.sigma(mass * step) / cosmology.sigma(mass / step)) / (2 * np.log(step))
    assert cosmology.log_sigma_slope(mass) == pytest.approx(slope, rel=1e-4)


def test_displacement_and_velocity_in_linear_theory():
    variance, _ = quad(lambda k: PEAK_PATCH.linear_power(k) / (6 * np.pi**2), 1e-5, 0.1, limit=400)
    variance += quad(lambda k: PEAK_PATCH.linear_power(k) / (6 * np.pi**2), 0.1, 100, limit=400)[0]
    assert PEAK_PATCH.displacement_rms == pytest.approx(np.sqrt(variance), rel=2e-3)
    reference = colossus(PEAK_PATCH)
    a, hubble = 1 / 3.9, reference.Hz(2.9)
    expected = a * hubble * reference.Om(2.9) ** 0.55 * reference.growthFactor(2.9) * np.sqrt(variance)
    assert PEAK_PATCH.velocity_rms(2.9) == pytest.approx(expected, rel=5e-3)


def test_more_baryons_than_matter_are_refused():
    with pytest.raises(LimelightError, match="omega_b"):
        Cosmology(omega_m=0.2, omega_b=0.25).linear_power(np.array([0.1]))


def test_distances_of_many_are_those_of_the_spline_to_the_bit():
    spline = PEAK_PATCH._distance_splines[0]
    knots = spline.x
    everywhere = np.concatenate(
        [knots, np.nextafter(knots, 0), np.nextafter(knots, 30), np.linspace(-0.01, 25, 5001), [np.nan]]
    )
    for redshift in (everywhere, everywhere.astype(np.float32)):
        assert np.array_equal(PEAK_PATCH.comoving_distance(redshift), spline(redshift), equal_nan=True)


@pytest.mark.parametrize(
    ("name", "value"), [("h", 70.0), ("h", -0.7), ("omega_m", 30.0), ("sigma8", 0.0), ("ns", np.nan)]
)
def test_what_is_no_universe_is_refused(name, value):
    with pytest.raises(LimelightError, match=f"cosmology: {name}: found {value:g}; expected above"):
        Cosmology(**{name: value})


@pytest.mark.parametrize("redshift", [20.5, np.array([1.0, 30.0]), np.linspace(0, 25, 5000)])
def test_distances_end_where_their_table_does(redshift):
    with pytest.raises(LimelightError, match="redshift: found .*; expected at most 20"):
        Cosmology().comoving_distance(redshift)
