"""Line models and their priors against scalar arithmetic from the cited equations and the table's own lines."""

import math
import random
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from scipy import constants as si
from scipy.interpolate import RegularGridInterpolator

from limelight.errors import LimelightError
from limelight.files import resource_path
from limelight.probes.line_intensity.lines import star_formation
from limelight.probes.line_intensity.lines.models import (
    CO_LSUN_PER_LPRIME,
    MODELS,
    get_model,
    lsun_per_lprime,
)
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.lines.star_formation import behroozi_sfr, log10_sfr

MASSES, REDSHIFTS = (2.6e10, 1.234e11, 7.7e11, 1e12, 3.3e12), (2.4, 2.9, 3.0, 3.4)


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def fiducial(name: str, **changes: float) -> dict[str, float]:
    return {key: mean for key, (mean, _) in get_model(name).parameters.items()} | changes


def luminosity(name: str, mass: float, redshift: float, parameters: dict) -> float:
    """L/Lsun of one halo without scatter."""
    model = get_model(name).log10_luminosity
    return 10 ** float(model(np.array([mass], np.float64), np.array([redshift], np.float64), parameters, rng())[0])


def table_lines() -> dict[tuple[float, float], float]:
    """{(1+z, log10 M): SFR} as printed in the release."""
    lines = {}
    for line in (resource_path("sfr_behroozi_release.dat")).read_text().splitlines():
        if not line.startswith("#"):
            one_plus_z, log_mass, log_sfr, _ = map(float, line.split())
            lines[one_plus_z, log_mass] = 10**log_sfr if log_sfr > -1000 else 0.0
    return lines


def sfr_by_hand(mass: float, redshift: float, lines: dict) -> float:
    """Bilinear interpolation between the four printed neighbours, written out."""
    x, y = math.log10(mass), math.log10(1 + redshift)
    masses, redshifts = sorted({key[1] for key in lines}), sorted({key[0] for key in lines})
    m0 = max(m for m in masses if m <= x)
    m1 = min(m for m in masses if m > x)
    z0 = max(z for z in redshifts if math.log10(z) <= y)
    z1 = min(z for z in redshifts if math.log10(z) > y)
    a = (x - m0) / (m1 - m0)
    b = (y - math.log10(z0)) / (math.log10(z1) - math.log10(z0))
    return (
        (1 - a) * (1 - b) * lines[z0, m0]
        + a * (1 - b) * lines[z0, m1]
        + (1 - a) * b * lines[z1, m0]
        + a * b * lines[z1, m1]
    )


@pytest.mark.parametrize("redshift", REDSHIFTS)
@pytest.mark.parametrize("mass", MASSES)
def test_li_by_hand(mass, redshift):
    sfr = sfr_by_hand(mass, redshift, table_lines())
    for delta, alpha, beta in ((0.0, 1.37, -1.74), (0.2, 1.17, 0.21)):
        l_ir = sfr * 1e10 / 10**delta
        l_prime = 10 ** ((math.log10(l_ir) - beta) / alpha)
        parameters = fiducial("li", log10_delta_mf=delta, alpha=alpha, beta=beta, sigma_sfr=0.0, sigma_lco=0.0)
        assert luminosity("li", mass, redshift, parameters) == pytest.approx(4.9e-5 * l_prime, rel=1e-9)


def test_compiled_luminosities_are_those_of_numpy_to_the_bit():
    mass, z = (10 ** rng().uniform(10, 14, 40_000)).astype(np.float32), rng(8).uniform(2, 4, 40_000)
    p = {**fiducial("li"), "log10_delta_mf": 0.1}
    with np.errstate(divide="ignore"):
        log_l = np.log10(behroozi_sfr(np.log10(mass, dtype=np.float64), z))
    log_l = log_l + (10 - 0.1 - np.log(10) * p["sigma_sfr"] ** 2 / 2 - p["beta"])
    log_l = log_l / p["alpha"] + (np.log10(4.9e-5) - np.log(10) * p["sigma_lco"] ** 2 / 2)
    scatter = np.hypot(p["sigma_sfr"] / p["alpha"], p["sigma_lco"]) * rng(9).standard_normal(40_000)
    assert np.array_equal(get_model("li").log10_luminosity(mass, z, p, rng(9)), log_l + scatter)


def test_what_is_not_a_number_has_no_star_formation_rate_of_another():
    found = behroozi_sfr(np.array([np.nan, 12.0, 12.0]), np.array([2.9, np.nan, 2.9]))
    assert np.isnan(found[:2]).all()
    assert found[2] > 0


def test_table_interpolation_equals_scipy_everywhere():
    lines = table_lines()
    masses, redshifts = sorted({key[1] for key in lines}), sorted({key[0] for key in lines})
    table = np.array([[lines[z, m] for z in redshifts] for m in masses])
    truth = RegularGridInterpolator((masses, np.log10(redshifts)), table)
    x, y = rng().uniform(9, 15.05, 200_000), rng(8).uniform(0, np.log10(redshifts[-1]), 200_000)
    np.testing.assert_allclose(behroozi_sfr(x, 10**y - 1), truth(np.stack([x, y], axis=1)), rtol=1e-10, atol=1e-12)
    nodes_x, nodes_y = np.repeat(masses, len(redshifts)), np.tile(redshifts, len(masses)) - 1
    np.testing.assert_allclose(behroozi_sfr(nodes_x, nodes_y), table.ravel(), rtol=1e-10, atol=1e-12)
    # beyond the table its edge holds
    assert behroozi_sfr(np.array([16.0]), np.array([2.9])) == behroozi_sfr(np.array([masses[-1]]), np.array([2.9]))
    assert behroozi_sfr(np.array([12.0]), np.array([11.0])) == behroozi_sfr(np.array([12.0]), np.array([7.953687]))


def test_li_is_none_where_the_table_has_none():
    lines = table_lines()
    empty = next((z, m) for (z, m), sfr in lines.items() if sfr == 0 and m > 9.5)
    log_l = get_model("li").log10_luminosity(
        np.array([10 ** empty[1], 1e12]), np.array([empty[0] - 1, 2.9]), fiducial("li"), rng()
    )
    assert log_l[0] == -np.inf
    assert np.isfinite(log_l[1])


@pytest.mark.parametrize("redshift", REDSHIFTS)
@pytest.mark.parametrize("mass", MASSES)
def test_padmanabhan_by_hand(mass, redshift):
    f = redshift / (1 + redshift)
    m1 = 10 ** (math.log10(4.17e12) - 1.17 * f)
    n, b, y = 0.0033 + 0.04 * f, 0.95 + 0.48 * f, 0.66 - 0.33 * f
    l_prime = 2 * n * mass / ((mass / m1) ** -b + (mass / m1) ** y)
    assert luminosity("padmanabhan", mass, redshift, fiducial("padmanabhan")) == pytest.approx(4.9e-5 * l_prime)


@pytest.mark.parametrize("mass", MASSES)
def test_breysse_by_hand(mass):
    assert luminosity("breysse", mass, 2.9, fiducial("breysse")) == pytest.approx(2e-6 * mass)
    assert luminosity("breysse", mass, 2.9, {"A": 3e-7, "b": 1.1}) == pytest.approx(3e-7 * mass**1.1)


@pytest.mark.parametrize("mass", MASSES)
def test_comap_by_hand(mass):
    ratio = mass / 10**12.3
    l_prime = 10**10.63 / (ratio**-2.85 + ratio**-0.42)
    assert luminosity("comap", mass, 2.9, fiducial("comap", sigma=0.0)) == pytest.approx(4.9e-5 * l_prime)


def test_extreme_parameters_stay_finite_in_the_logarithm():
    extreme = fiducial("comap", A=-60.0, B=60.0, log10_C=400.0)
    log_l = get_model("comap").log10_luminosity(np.array([1e10, 1e15]), np.array([3.0, 3.0]), extreme, rng())
    assert np.all(np.isfinite(log_l))
    log_l = get_model("li").log10_luminosity(
        np.array([1e11, 1e12]), np.array([3.0, 3.0]), fiducial("li", alpha=0.01), rng()
    )
    assert np.all(log_l > 308)


def test_lprime_constant_from_si():
    joule = 8 * math.pi * si.k * (115.27e9 / si.c) ** 3 * 1e3 * si.parsec**2  # of 1 K km/s pc²
    assert lsun_per_lprime(115.27) == pytest.approx(joule / 3.828e26, rel=1e-9)
    assert lsun_per_lprime(115.27) == pytest.approx(CO_LSUN_PER_LPRIME, rel=2e-3)
    assert lsun_per_lprime(230.54) == pytest.approx(8 * lsun_per_lprime(115.27))


@pytest.mark.parametrize(
    ("name", "scatter"),
    [
        ("li", {"sigma_sfr": 0.3, "sigma_lco": 0.3}),
        ("li", {"sigma_sfr": 0.0, "sigma_lco": 0.4}),
        ("comap", {"sigma": 0.42}),
    ],
)
def test_scatter_keeps_the_linear_mean_of_luminosity(name, scatter):
    n = 400_000
    mass, redshift = np.full(n, 5e11), np.full(n, 2.9)
    none = dict.fromkeys(scatter, 0.0)
    base = get_model(name).log10_luminosity(mass[:1], redshift[:1], fiducial(name, **none), rng())[0]
    offset = get_model(name).log10_luminosity(mass, redshift, fiducial(name, **scatter), rng()) - base
    if name == "li":
        # by hand: SFR × lognormal of mean 1 and spread s, to the power 1/α, × lognormal of mean 1 and spread l
        s, spread_l, alpha = scatter["sigma_sfr"] * math.log(10), scatter["sigma_lco"] * math.log(10), 1.37
        mean = math.exp(-(s**2) / 2 / alpha + (s / alpha) ** 2 / 2)
        width = math.hypot(s / alpha, spread_l) / math.log(10)
    else:
        mean, width = 1.0, 0.42
    assert offset.std() == pytest.approx(width, rel=5e-3)
    linear = 10**offset
    assert linear.mean() == pytest.approx(mean, abs=5 * linear.std() / math.sqrt(n))


def test_li_scatter_against_two_separate_draws():
    """Each step drawn for itself in plain Python: the same distribution."""
    random.seed(5)
    s, alpha, n = 0.3 * math.log(10), 1.37, 100_000
    draws = []
    for _ in range(n):
        sfr = random.lognormvariate(-(s**2) / 2, s)
        draws.append(math.log10(sfr ** (1 / alpha) * random.lognormvariate(-(s**2) / 2, s)))
    halos = np.full(n, 5e11), np.full(n, 2.9)
    base = get_model("li").log10_luminosity(*halos, fiducial("li", sigma_sfr=0.0, sigma_lco=0.0), rng())
    offset = get_model("li").log10_luminosity(*halos, fiducial("li"), rng()) - base
    np.testing.assert_allclose(
        np.percentile(offset, [1, 16, 50, 84, 99]), np.percentile(draws, [1, 16, 50, 84, 99]), atol=0.012
    )


def test_same_stream_same_luminosities():
    mass, redshift = np.geomspace(3e10, 1e13, 1000).astype(np.float32), np.linspace(2.4, 3.4, 1000, dtype=np.float32)
    for model in map(get_model, MODELS):
        first, again = (
            model.log10_luminosity(mass, redshift, draw_parameters(model, "10%", {}, rng()), rng()) for _ in range(2)
        )
        assert first.dtype == np.float64
        assert np.array_equal(first, again)


# ---- priors


def draws(name: str, prior, overrides=None, n: int = 4000) -> dict[str, np.ndarray]:
    stream, model = rng(3), get_model(name, overrides)
    sets = [draw_parameters(model, prior, overrides, stream) for _ in range(n)]
    return {key: np.array([s[key] for s in sets]) for key in sets[0]}


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize(("prior", "factor"), [("10%", 0.1), ("20%", 0.2), (0.05, 0.05)])
def test_draws_have_the_published_means_and_widths(name, prior, factor):
    for key, values in draws(name, prior).items():
        mean, sigma = get_model(name).parameters[key]
        assert values.mean() == pytest.approx(mean, abs=4 * factor * sigma / math.sqrt(4000))
        assert values.std() == pytest.approx(factor * sigma, rel=0.06)


def test_li_widths_are_those_of_the_notes():
    ten_percent = {"log10_delta_mf": 0.03, "alpha": 0.037, "beta": 0.374, "sigma_sfr": 0.01, "sigma_lco": 0.01}
    for key, sigma in ten_percent.items():
        assert draws("li", "10%")[key].std() == pytest.approx(sigma, rel=0.06)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("prior", ["full", 3.0])
def test_wide_draws_stay_positive_where_they_must(name, prior):
    drawn = draws(name, prior, n=1500)
    for key in (*get_model(name).positive, *(key for key in drawn if key.startswith("sigma"))):
        assert drawn[key].min() >= 0
    free = [key for key in drawn if key not in get_model(name).positive and not key.startswith("sigma")]
    for key in free:
        mean, sigma = get_model(name).parameters[key]
        width = sigma * (1.0 if prior == "full" else prior)
        assert drawn[key].mean() == pytest.approx(mean, abs=5 * width / math.sqrt(1500))


def test_fiducial_is_the_mean_and_overrides_replace_it():
    assert draw_parameters(get_model("li"), "fiducial", {}, rng()) == fiducial("li")
    overrides = {"alpha": 1.17, "beta": {"mean": 0.21, "sigma": 0.5}}
    assert draw_parameters(get_model("li", overrides), "fiducial", overrides, rng())["alpha"] == 1.17
    drawn = draws("li", "full", overrides)
    assert drawn["beta"].mean() == pytest.approx(0.21, abs=0.04)
    assert drawn["beta"].std() == pytest.approx(0.5, rel=0.06)
    assert draws("comap", "data_driven", {"B": 1.5})["B"].mean() == pytest.approx(1.5, abs=0.08)
    assert draws("li", "10%", {"sigma_lco": {"mean": 0, "sigma": 0}}, n=5)["sigma_lco"].tolist() == [0.0] * 5
    assert get_model("li").parameters["alpha"] == (1.37, 0.37)  # the registry is not touched
    assert get_model("comap").priors["data_driven"][0][1] == 0.45687856


def test_named_priors():
    drawn = draws("li", "ihle2018")
    assert drawn["beta"].mean() == pytest.approx(0.21, abs=0.25)
    um = draws("comap", "um")
    for key, mean, sigma in zip(
        ["A", "B", "log10_C", "log10_Mstar"], (-1.66, 0.04, 10.25, 12.41), (2.33, 1.26, 5.29, 1.77), strict=True
    ):
        assert um[key].mean() == pytest.approx(mean, abs=4 * sigma / math.sqrt(4000))
        assert um[key].std() == pytest.approx(sigma, rel=0.06)


def test_correlated_prior_has_the_published_covariance():
    drawn = draws("comap", "data_driven", n=20_000)
    columns = np.array([drawn[key] for key in ("A", "B", "log10_C", "log10_Mstar")])
    expected = [
        [2.20772089, 0.08729876, 0.16230234, 0.19120324],
        [0.08729876, 0.99506924, 0.19754548, 0.08097735],
        [0.16230234, 0.19754548, 0.22875155, 0.16540717],
        [0.19120324, 0.08097735, 0.16540717, 0.15713717],
    ]
    # the scatter's cut at 0 removes the 0.7 % of draws beyond −2.44 σ and with them ~1–3 % of the covariance
    width = np.sqrt(np.diag(expected))
    assert np.abs((np.cov(columns) - expected) / np.outer(width, width)).max() < 0.035
    np.testing.assert_allclose(columns.mean(axis=1), [-3.614278, 0.45687856, 10.68714991, 12.47593157], atol=0.04)
    assert drawn["sigma"].min() >= 0
    assert np.corrcoef(drawn["log10_Mstar"], drawn["sigma"])[0, 1] == pytest.approx(
        -0.02256431 / math.sqrt(0.15713717 * 0.02119048), abs=0.03
    )


@pytest.mark.parametrize("prior", ["ful", "-10%", -1, "nan", "%", "data_driven", math.inf])
def test_bad_priors_are_one_clear_line(prior):
    with pytest.raises(LimelightError, match="prior of line model li: found") as caught:
        draw_parameters(get_model("li"), prior, {}, rng())
    assert "\n" not in str(caught.value)


def test_hopeless_prior_ends():
    never_positive = replace(get_model("breysse"), parameters={"A": (-1.0, 1e-3), "b": (1.0, 0.1)})
    with pytest.raises(LimelightError, match="no acceptable draw"):
        draw_parameters(never_positive, "full", {}, rng())


# ---- names and a user's own function


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("lee", {}),
        ("li", {"alfa": 1.0}),
        ("li", {"alpha": "steep"}),
        ("li", {"alpha": -1.0}),
        ("li", {"alpha": 0}),
        ("li", {"sigma_sfr": -0.1}),
        ("li", {"alpha": {"mean": 1, "spread": 2}}),
        ("li", {"alpha": {"sigma": 2}}),
        ("li", {"alpha": {"mean": 1, "sigma": -2}}),
        ("li", {"alpha": math.nan}),
        ("li", {"alpha": True}),
    ],
)
def test_bad_models_and_parameters_are_one_clear_line(name, overrides):
    with pytest.raises(LimelightError, match=": found .*; expected .*; ") as caught:
        get_model(name, overrides)
    assert "\n" not in str(caught.value)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Writes the body of a module `my_line` into the working directory."""

    def write(body: str, name: str = "my_line") -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(body))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield write
    sys.modules.pop("my_line", None)


def test_own_function_with_its_parameters(own_module):
    own_module(
        """
        import numpy as np
        def cii(mass_msun, redshift, parameters, rng):
            return parameters["a"] + parameters["b"] * np.log10(mass_msun) + rng.normal(0, 1e-9, len(mass_msun))
        """
    )
    parameters = {"a": {"mean": -5.0, "sigma": 0.2}, "b": 1.0}
    model = get_model("my_line:cii", parameters)
    assert model.parameters == {"a": (-5.0, 0.2), "b": (1.0, 0.0)}
    drawn = [draw_parameters(model, "full", parameters, rng(i)) for i in range(2000)]
    assert np.std([d["a"] for d in drawn]) == pytest.approx(0.2, rel=0.08)
    assert {d["b"] for d in drawn} == {1.0}
    log_l = model.log10_luminosity(np.array([1e12]), np.array([3.0]), {"a": -5.0, "b": 1.0}, rng())
    assert log_l == pytest.approx([7.0])
    assert draw_parameters(get_model("my_line:cii"), "10%", {}, rng()) == {}


@pytest.mark.parametrize(
    ("body", "name", "says"),
    [
        ("", "no_such_module_here:cii", "ModuleNotFoundError"),
        ("", "my_line:", "nothing of that name"),
        ("def other(): pass", "my_line:cii", "nothing of that name"),
        ("cii = 3", "my_line:cii", "a int"),
        ("def cii(: pass", "my_line:cii", "SyntaxError"),
        ("1 / 0", "my_line:cii", "ZeroDivisionError"),
        ("import not_installed_anywhere", "my_line:cii", "not_installed_anywhere"),
        ("", ":cii", "found"),
    ],
)
def test_own_function_that_cannot_be_loaded(own_module, body, name, says):
    own_module(body)
    with pytest.raises(LimelightError, match=says) as caught:
        get_model(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def cii(m, z, p, r): return 5.0", r"shape \(\)"),
        ("def cii(m, z, p, r): return [5.0, 6.0]", r"shape \(2,\)"),
        ("def cii(m, z, p, r): return m * float('nan')", "3 of 3 values NaN"),
        ("def cii(m, z, p, r): return m * float('inf')", "inf"),
        ("def cii(m, z, p, r): return 'bright'", "ValueError"),
        ("def cii(m, z, p, r): return p['missing']", "KeyError"),
        ("def cii(m): return m", "TypeError"),
        ("def cii(m, z, p, r): return None", "NaN|shape|TypeError"),
    ],
)
def test_own_function_that_answers_badly(own_module, body, says):
    own_module(body)
    model = get_model("my_line:cii")
    with pytest.raises(LimelightError, match=says) as caught:
        model.log10_luminosity(np.array([1e11, 1e12, 1e13]), np.full(3, 3.0), {}, rng())
    assert "my_line:cii" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_own_function_may_leave_halos_dark(own_module):
    own_module("import numpy as np\ndef cii(m, z, p, r): return np.where(m > 1e12, 5.0, -np.inf)")
    log_l = get_model("my_line:cii").log10_luminosity(np.array([1e11, 1e13]), np.full(2, 3.0), {}, rng())
    assert log_l.tolist() == [-math.inf, 5.0]


def test_star_formation_is_kept_of_halos_that_cannot_change_alone():
    mass, z = np.array([1e11, 1e12], np.float32), np.array([2.5, 3.0])
    once = log10_sfr(mass, z)
    assert once == pytest.approx(np.log10(behroozi_sfr(np.log10(mass.astype(float)), z)), rel=1e-14)
    mass[0] = 1e13  # these can change, and did
    assert log10_sfr(mass, z)[0] > once[0] + 0.5
    for column in (mass, z):
        column.flags.writeable = False
    kept = log10_sfr(mass, z)
    assert log10_sfr(mass, z) is kept
    assert not kept.flags.writeable
    known = len(star_formation._known)
    del mass, column
    assert len(star_formation._known) == known - 1
