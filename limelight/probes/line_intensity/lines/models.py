"""From halos to line luminosity: published models, and your own named as `module:function`.

A model is a plain function of (mass_msun, redshift, parameters, rng) that returns log10(L/Lsun) as float64, −inf where a
halo has no line. It includes the model's scatter, each step of which keeps the linear mean. Luminosities stay logarithmic
because wide priors reach far beyond float32. To add a model: a function, and its entry in MODELS.
"""

import functools
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from astropy import constants
from astropy import units as u

from limelight.errors import problem
from limelight.files import resource_path

Parameters = dict[str, float]
LN10 = float(np.log(10))
CHUNK = 1 << 16  # halos at a time, so that what is in between stays in the cache

# L/Lsun of CO(1-0) per L′ in K km/s pc², as Li et al. 2016 and those after them print it. `lsun_per_lprime`
# gives 3.203e-11 (ν/GHz)³ = 4.906e-5; their rounding is kept so that numbers compare.
CO_LSUN_PER_LPRIME = 4.9e-5
CO_REST_FREQ_GHZ = 115.27  # the line that the models below were fitted to: the config must not paint them as another


@dataclass(frozen=True)
class LineModel:
    """A line model with its published parameters.

    parameters: {name: (mean, sigma)}, the full published prior; positive: those that a draw must leave above 0 (names that
    start with "sigma" never fall below 0 anyway); priors: further named priors, {name: (means, covariance)} with both in the
    order of `parameters`; rest_freq_ghz: of the line it was fitted to, None where it serves any;
    log10_luminosity(mass_msun (n,), redshift (n,), {name: value}, rng) -> float64 (n,).
    """

    name: str
    source: str
    parameters: dict[str, tuple[float, float]]
    log10_luminosity: Callable[[np.ndarray, np.ndarray, Parameters, np.random.Generator], np.ndarray]
    positive: tuple[str, ...] = ()
    priors: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    rest_freq_ghz: float | None = None


def lognormal_scatter(sigma_dex: float, shape: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """log10 of a log-normal factor of mean 1 and spread sigma_dex: normal about −ln(10) σ²/2 dex (μ = −σ²/2 in nats)."""
    scatter = rng.standard_normal(shape)
    scatter *= sigma_dex
    scatter -= LN10 * sigma_dex**2 / 2
    return scatter


def lsun_per_lprime(rest_freq_ghz: float) -> float:
    """L/Lsun per L′ in K km/s pc² of a line at rest_freq_ghz: 8π k ν³/c³, for models of other lines that give L′."""
    nu, per_k_kms_pc2 = rest_freq_ghz * u.GHz, u.K * u.km / u.s * u.pc**2
    return float((8 * np.pi * constants.k_B * nu**3 / constants.c**3 * per_k_kms_pc2).to_value(u.L_sun))


@functools.lru_cache(maxsize=1)
def _behroozi_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log10 M (m,), log10(1+z) (z,) and the SFR in Msun/yr (m, z), 0 where there is none."""
    rows = np.loadtxt(resource_path("sfr_behroozi_release.dat"))
    log_mass, log_1z = np.unique(rows[:, 1]), np.log10(np.unique(rows[:, 0]))
    log_sfr = rows[:, 2].reshape(len(log_mass), len(log_1z))
    return log_mass, log_1z, np.where(log_sfr > -999, 10.0**log_sfr, 0.0)


def behroozi_sfr(log10_mass: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Mean star formation rate, Msun/yr, of halos (n,) in Behroozi et al. 2013 (arXiv:1207.6105); float64 (n,).

    Bilinear in log10 M and log10(1+z) on the SFR itself; 0 where the table has none. Outside the table the edge value holds.
    """
    log_mass, log_1z, table = _behroozi_table()
    sfr, flat = np.empty(len(log10_mass)), table.ravel()
    for start in range(0, len(sfr), CHUNK):
        part = slice(start, start + CHUNK)
        corner, w = _cell(log10_mass[part], log_mass)
        column, v = _cell(np.log10(1 + redshift[part].astype(np.float64)), log_1z)
        corner *= len(log_1z)
        corner += column
        low = flat[corner]
        low += v * (flat[corner + 1] - low)
        corner += len(log_1z)
        high = flat[corner]
        high += v * (flat[corner + 1] - high)
        sfr[part] = low + w * (high - low)
    return sfr


def _cell(x: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) of the cell between sorted nodes that holds each x, and the place 0–1 in it.

    The nodes are equally spaced but for the rounding of their printed digits (2e-4 of a step), so division finds the cell or
    the one before it, and one comparison settles which: several times faster than a search.
    """
    x, last = np.clip(x, nodes[0], nodes[-1]), len(nodes) - 2
    cell = ((x - nodes[0]) * ((last + 1) / (nodes[-1] - nodes[0])) - 1e-3).astype(np.int32)
    np.minimum(cell, last, out=cell)
    cell += x >= nodes[1:][cell]
    np.minimum(cell, last, out=cell)
    return cell, (x - nodes[cell]) / (nodes[1:] - nodes[:-1])[cell]


def li(mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """Li et al. 2016 (arXiv:1503.08833), CO(1-0): M → SFR (Behroozi) → L_IR = SFR 1e10/δ_MF → log L_IR = α log L′ + β → L.

    Log-normal scatter of the SFR (σ_SFR dex) and of L′ (σ_LCO dex), each with linear mean 1. The SFR's reaches L′ divided by
    α; both together are one normal number a halo, since a sum of two normals is normal.
    """
    alpha, beta = parameters["alpha"], parameters["beta"]
    sigma_sfr, sigma_lco = parameters["sigma_sfr"], parameters["sigma_lco"]
    with np.errstate(divide="ignore"):
        log_l = np.log10(behroozi_sfr(np.log10(mass_msun, dtype=np.float64), redshift))  # −inf where no stars form
    log_l += 10 - parameters["log10_delta_mf"] - LN10 * sigma_sfr**2 / 2 - beta
    log_l /= alpha
    log_l += np.log10(CO_LSUN_PER_LPRIME) - LN10 * sigma_lco**2 / 2
    scatter = rng.standard_normal(len(log_l))
    scatter *= np.hypot(sigma_sfr / alpha, sigma_lco)
    log_l += scatter
    return log_l


def padmanabhan(
    mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator
) -> np.ndarray:
    """Padmanabhan 2018 (arXiv:1706.01471), CO(1-0): L′ = 2 N M / [(M/M1)^−b + (M/M1)^y], without scatter.

    log10 M1 = log10 M10 + M11 z/(1+z), and N, b, y = (value at z = 0) + slope z/(1+z).
    """
    z = np.asarray(redshift, np.float64)
    run = z / (1 + z)
    log_mass = np.log10(mass_msun, dtype=np.float64)
    norm, b, y = (parameters[f"{name}10"] + parameters[f"{name}11"] * run for name in ("N", "b", "y"))
    log_ratio = log_mass - (np.log10(parameters["M10"]) + parameters["M11"] * run)
    return np.log10(CO_LSUN_PER_LPRIME * 2 * norm) + log_mass - _log10_sum(-b * log_ratio, y * log_ratio)


def breysse(
    mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator
) -> np.ndarray:
    """Breysse et al. 2014 (arXiv:1405.0489) power law, CO(1-0): L/Lsun = A (M/Msun)^b, without scatter."""
    return np.log10(parameters["A"]) + parameters["b"] * np.log10(mass_msun, dtype=np.float64)


def comap(mass_msun: np.ndarray, redshift: np.ndarray, parameters: Parameters, rng: np.random.Generator) -> np.ndarray:
    """Chung et al. 2022 (COMAP Early Science V, arXiv:2111.05931), CO(1-0): L′ = C / [(M/M*)^A + (M/M*)^B].

    M and M* in Msun; log-normal scatter of sigma dex with linear mean 1.
    """
    log_ratio = np.log10(mass_msun, dtype=np.float64) - parameters["log10_Mstar"]
    log_l = lognormal_scatter(parameters["sigma"], len(log_ratio), rng)
    log_l += np.log10(CO_LSUN_PER_LPRIME) + parameters["log10_C"]
    log_l -= _log10_sum(parameters["A"] * log_ratio, parameters["B"] * log_ratio)
    return log_l


def _log10_sum(log_a: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """log10(10^a + 10^b) without overflow."""
    return np.logaddexp(LN10 * log_a, LN10 * log_b) / LN10


_COMAP_UM = np.array([-1.66, 0.04, 10.25, 12.41, 0.4])  # "UM" prior of Chung et al. 2022, Table 1
_COMAP_UM_SIGMA = np.array([2.33, 1.26, 5.29, 1.77, 0.1])
_COMAP_DATA_MEAN = np.array([-3.614278, 0.45687856, 10.68714991, 12.47593157, 0.35517494])
_COMAP_DATA_COVARIANCE = np.array(
    [
        [2.20772089, 0.08729876, 0.16230234, 0.19120324, -0.02930135],
        [0.08729876, 0.99506924, 0.19754548, 0.08097735, 0.02139264],
        [0.16230234, 0.19754548, 0.22875155, 0.16540717, -0.02105480],
        [0.19120324, 0.08097735, 0.16540717, 0.15713717, -0.02256431],
        [-0.02930135, 0.02139264, -0.02105480, -0.02256431, 0.02119048],
    ]
)

MODELS = {
    "li": LineModel(
        name="li",
        source="Li et al. 2016, arXiv:1503.08833",
        parameters={
            "log10_delta_mf": (0.0, 0.3),
            "alpha": (1.37, 0.37),
            "beta": (-1.74, 3.74),
            "sigma_sfr": (0.3, 0.1),
            "sigma_lco": (0.3, 0.1),
        },
        log10_luminosity=li,
        rest_freq_ghz=CO_REST_FREQ_GHZ,
        positive=("alpha",),
        # the same widths about the (α, β) of Ihle et al. 2019
        priors={
            "ihle2018": (np.array([0, 1.17, 0.21, 0.3, 0.3]), np.diag(np.square([0.3, 0.37, 3.74, 0.1, 0.1]))),
        },
    ),
    "padmanabhan": LineModel(
        name="padmanabhan",
        source="Padmanabhan 2018, arXiv:1706.01471",
        parameters={
            "M10": (4.17e12, 2.03e12),
            "M11": (-1.17, 0.85),
            "N10": (0.0033, 0.0016),
            "N11": (0.04, 0.03),
            "b10": (0.95, 0.46),
            "b11": (0.48, 0.35),
            "y10": (0.66, 0.32),
            "y11": (-0.33, 0.24),
        },
        log10_luminosity=padmanabhan,
        rest_freq_ghz=CO_REST_FREQ_GHZ,
        positive=("M10", "N10", "N11"),  # else the luminosity would be negative at some redshift
    ),
    "breysse": LineModel(
        name="breysse",
        source="Breysse, Kovetz & Kamionkowski 2014, arXiv:1405.0489",
        parameters={"A": (2e-6, 5e-7), "b": (1.0, 0.125)},
        log10_luminosity=breysse,
        rest_freq_ghz=CO_REST_FREQ_GHZ,
        positive=("A",),
    ),
    "comap": LineModel(
        name="comap",
        source="Chung et al. 2022 (COMAP Early Science V), arXiv:2111.05931; means UM+COLDz+COPSS, σ of the UM prior",
        parameters={
            "A": (-2.85, 2.33),
            "B": (-0.42, 1.26),
            "log10_C": (10.63, 5.29),
            "log10_Mstar": (12.3, 1.77),
            "sigma": (0.42, 0.1),
        },
        log10_luminosity=comap,
        rest_freq_ghz=CO_REST_FREQ_GHZ,
        priors={
            "um": (_COMAP_UM, np.diag(_COMAP_UM_SIGMA**2)),
            "data_driven": (_COMAP_DATA_MEAN, _COMAP_DATA_COVARIANCE),
        },
    ),
}


def get_model(name: str, overrides: dict | None = None) -> LineModel:
    """The model of a registered name, or a user's own function given as `module:function`.

    overrides (the config's `parameters`): new means {name: mean} for a registered model; {name: {mean, sigma}} also sets σ
    and is how the parameters of one's own function are declared (a bare number there means σ = 0).
    """
    if ":" in name:
        return with_overrides(_own_model(name), overrides or {})
    if name not in MODELS:
        raise problem(
            "line model",
            f"'{name}'",
            f"one of {', '.join(MODELS)}, or your own as module:function",
            "mend `model` in the config",
        )
    return with_overrides(MODELS[name], overrides or {})


def with_overrides(model: LineModel, overrides: dict) -> LineModel:
    """The model with some means (and σ's, where given) replaced, in its named priors too."""
    parameters, names = dict(model.parameters), list(model.parameters)
    means = {name: mean.copy() for name, (mean, _) in model.priors.items()}
    for name, value in overrides.items():
        where = f"parameters.{name} of line model {model.name}"
        if name not in parameters and model.name in MODELS:
            raise problem(where, "an unknown parameter", f"one of {', '.join(names)}", "rename or drop it")
        entry = value if isinstance(value, dict) else {"mean": value}
        sigma = entry.get("sigma", parameters.get(name, (0.0, 0.0))[1])
        numbers = (entry.get("mean"), sigma)
        if not set(entry) <= {"mean", "sigma"} or not all(_is_number(number) for number in numbers) or sigma < 0:
            raise problem(where, f"{value!r}", "a number, or {mean: …, sigma: ≥ 0}", "mend it in the config")
        if (name in model.positive and entry["mean"] <= 0) or (name.startswith("sigma") and entry["mean"] < 0):
            raise problem(
                where, f"{entry['mean']:g}", "a value above 0 (a scatter: 0 or more)", "mend it in the config"
            )
        parameters[name] = (float(entry["mean"]), float(sigma))
        for mean in means.values():
            mean[names.index(name)] = entry["mean"]
    priors = {name: (means[name], covariance) for name, (_, covariance) in model.priors.items()}
    return replace(model, parameters=parameters, priors=priors)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def _own_model(name: str) -> LineModel:
    """A LineModel around a user's function, whose every result is checked. The module is sought on sys.path and here."""
    where = f"line model '{name}'"
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's code may raise anything
        fix = f"put {module_name.replace('.', '/')}.py into the working directory or on PYTHONPATH"
        if not isinstance(error, ModuleNotFoundError):
            fix = "mend it"
        raise problem(where, f"{type(error).__name__}: {error}", "a module that can be imported", fix) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        found = "nothing of that name" if function is None else f"a {type(function).__name__}"
        raise problem(where, f"{found} in {module.__file__}", f"a function {function_name}", "define or rename it")

    @functools.wraps(function)
    def checked(mass_msun, redshift, parameters, rng):
        try:
            log_l = np.asarray(function(mass_msun, redshift, parameters, rng), dtype=np.float64)
        except Exception as error:
            raise problem(where, f"{type(error).__name__}: {error}", "log10(L/Lsun) of each halo", "mend it") from None
        if log_l.shape != np.shape(mass_msun):
            raise problem(
                where, f"an array of shape {log_l.shape}", f"{np.shape(mass_msun)}: one value a halo", "mend it"
            )
        bad = np.count_nonzero(np.isnan(log_l) | np.isposinf(log_l))
        if bad:
            raise problem(
                where, f"{bad} of {log_l.size} values NaN or +inf", "finite log10(L/Lsun), −inf for none", "mend it"
            )
        return log_l

    return LineModel(name=name, source=str(module.__file__), parameters={}, log10_luminosity=checked)
