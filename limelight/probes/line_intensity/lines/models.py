"""Models of the line luminosity of halos: the published ones by name, and your own as `module:function`.

A model is a plain function of (mass_msun, redshift, parameters, rng). It returns log10(L/Lsun) as float64, −inf where a
halo has no line. A user's own gets masses and redshifts as float64; the published ones take float32 as well, as files hold
them. A model includes its scatter, each step of which keeps the linear mean. Luminosities stay logarithmic because wide
priors reach far beyond float32.

To add a model, write a module beside this one that holds the function and its LineModel, and give it a line in MODELS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from limelight.errors import problem
from limelight.normals import standard_normals
from limelight.probes.line_intensity.lines.own import load_function
from limelight.registry import Registry

Parameters = dict[str, float]
LN10 = float(np.log(10))

# L/Lsun of CO(1-0) per L′ in K km/s pc², as Li et al. 2016 and those after them print it. `lsun_per_lprime`
# gives 3.203e-11 (ν/GHz)³ = 4.906e-5; their rounding is kept so that numbers compare.
CO_LSUN_PER_LPRIME = 4.9e-5
# The published models were fitted to this line: a config must not paint another line with them.
CO_REST_FREQ_GHZ = 115.27

MODELS = Registry(
    "line model",
    {
        "li": "limelight.probes.line_intensity.lines.li:LI",
        "padmanabhan": "limelight.probes.line_intensity.lines.padmanabhan:PADMANABHAN",
        "breysse": "limelight.probes.line_intensity.lines.breysse:BREYSSE",
        "comap": "limelight.probes.line_intensity.lines.comap:COMAP",
        "silva": "limelight.probes.line_intensity.lines.silva:SILVA",
    },
    further="your own as module:function",
)


@dataclass(frozen=True)
class LineModel:
    """A line model with its published parameters.

    Attributes
    ----------
    name
        Its name in MODELS, or `module:function`.
    source
        The publication, or the file of a user's own function.
    parameters
        {name: (mean, sigma)}, the full published prior.
    log10_luminosity
        A function of (mass_msun (n,), redshift (n,), {name: value}, rng) that returns float64 (n,).
    positive
        Parameters that a draw must leave above 0. Those whose name starts with "sigma" never fall below 0 anyway.
    priors
        Further named priors, {name: (means, covariance)}, both in the order of `parameters`.
    rest_freq_ghz
        Of the line that the model was fitted to; None where it serves any line.
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
    scatter = standard_normals(rng, shape)
    scatter *= sigma_dex
    scatter -= LN10 * sigma_dex**2 / 2
    return scatter


def lsun_per_lprime(rest_freq_ghz: float) -> float:
    """L/Lsun per L′ in K km/s pc² of a line at rest_freq_ghz: 8π k ν³/c³, for models of other lines that give L′."""
    from astropy import constants
    from astropy import units as u

    nu, per_k_kms_pc2 = rest_freq_ghz * u.GHz, u.K * u.km / u.s * u.pc**2
    return float((8 * np.pi * constants.k_B * nu**3 / constants.c**3 * per_k_kms_pc2).to_value(u.L_sun))


def log10_sum(log_a: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """log10(10^a + 10^b) without overflow."""
    return np.logaddexp(LN10 * log_a, LN10 * log_b) / LN10


def get_model(name: str, overrides: dict | None = None) -> LineModel:
    """The model of a registered name, or a user's own function given as `module:function`.

    overrides (the config's `parameters`): {name: mean} replaces means; {name: {mean, sigma}} replaces σ as well. They also
    declare the parameters of a user's own function, where a bare number means σ = 0; those stand in alphabetical order, for
    their order decides what a random stream gives each, and the order of a config's keys means nothing.
    """
    if ":" in name:
        return with_overrides(_own_model(name), overrides or {})
    return with_overrides(MODELS.load(name), overrides or {})


def with_overrides(model: LineModel, overrides: dict) -> LineModel:
    """The model with some means replaced, in its named priors too, and some σ's where they are given."""
    parameters, names = dict(model.parameters), list(model.parameters)
    means = {name: mean.copy() for name, (mean, _) in model.priors.items()}
    for name, value in sorted(overrides.items()):
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
    function, source = load_function(name)
    return LineModel(name=name, source=source, parameters={}, log10_luminosity=function)
