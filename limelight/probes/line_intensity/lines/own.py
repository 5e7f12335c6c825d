"""A user's own line model: `module:function`, loaded, kept from doing harm, and held against what galaxies can be."""

import functools
import importlib
from collections.abc import Callable

import numpy as np

from limelight.errors import problem
from limelight.own_code import search_here

Function = Callable[[np.ndarray, np.ndarray, dict[str, float], np.random.Generator], np.ndarray]

ERG_S_PER_LSUN, W_PER_LSUN = 3.828e33, 3.828e26
LOG10_LUM_MAX = 14.0  # in Lsun; no galaxy shines brighter, in all its light together
MEAN_UK_MAX = 1e4  # of a map; lines of galaxies reach some 100 µK
FIX = "return log10(L/Lsun) of each halo, −inf for none"


def load_function(name: str) -> tuple[Function, str]:
    """(a user's function, the file that it stands in). Its module is sought on sys.path and in the working directory.

    The function is given copies of its arguments, masses and redshifts as float64, so that it may work in place; its every
    result is checked. LimelightError, one line, whatever it does wrong, sys.exit() included.
    """
    where = f"line model '{name}'"
    module_name, _, function_name = name.partition(":")
    search_here()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        fix = f"put {module_name.replace('.', '/')}.py into the working directory or on PYTHONPATH"
        if not isinstance(error, ModuleNotFoundError):
            fix = "mend it"
        raise problem(where, f"{type(error).__name__}: {error}", "a module that can be imported", fix) from None
    function = getattr(module, function_name, None)
    file = str(getattr(module, "__file__", None) or module_name)
    if not callable(function):
        found = "nothing of that name" if function is None else f"a {type(function).__name__}"
        raise problem(where, f"{found} in {file}", f"a function {function_name}", "define or rename it")

    @functools.wraps(function)
    def checked(mass_msun, redshift, parameters, rng):
        mass, redshift = (np.array(values, dtype=np.float64) for values in (mass_msun, redshift))
        try:
            answer = function(mass, redshift, dict(parameters), rng)
            kind = _loses_something(answer)
            log_l = np.array([] if kind else answer, dtype=np.float64)
        except (Exception, SystemExit) as error:
            raise problem(where, f"{type(error).__name__}: {error}", "log10(L/Lsun) of each halo", "mend it") from None
        if kind:
            raise problem(where, kind, "plain numbers, −inf for a halo without the line", FIX)
        if log_l.shape != np.shape(mass_msun):
            raise problem(
                where, f"an array of shape {log_l.shape}", f"{np.shape(mass_msun)}: one value per halo", "mend it"
            )
        bad = np.count_nonzero(np.isnan(log_l) | np.isposinf(log_l))
        if bad:
            raise problem(
                where, f"{bad} of {log_l.size} values NaN or +inf", "finite log10(L/Lsun), −inf for none", FIX
            )
        return log_l

    return checked, file


def _loses_something(answer: object) -> str:
    """What of an answer would be lost without a word if it were taken for plain numbers; empty where nothing is."""
    if np.ma.is_masked(answer):
        return "a masked array, whose mask would be lost"
    return "complex numbers" if np.iscomplexobj(answer) else ""


def check_answers(
    name: str,
    function: Function,
    parameters: dict[str, float],
    mass_msun: np.ndarray,
    redshift: np.ndarray,
    edges: tuple[float, float],
    lsun_per_lprime: float,
) -> None:
    """Try a function on halos (n,) of all masses: refuse luminosities no galaxy has, and answers that change on their own.

    parameters: their means; edges: of the label bins, log10 Lsun; lsun_per_lprime: L/Lsun per K km/s pc² of the line.
    """
    first, again = (function(mass_msun, redshift, parameters, np.random.default_rng(0)) for _ in range(2))
    where = f"line model '{name}'"
    if not np.allclose(first, again, rtol=1e-9, atol=1e-9):
        expected = "the same ones for the same parameters and random stream"
        fix = "draw from the rng that is given, and keep nothing from call to call"
        raise problem(where, "other luminosities at every call", expected, fix)
    if np.array_equal(first, function(mass_msun, redshift, parameters, np.random.default_rng(1))):  # it needs no rng
        alone = function(mass_msun[::-2], redshift[::-2], parameters, np.random.default_rng(0))
        if not np.allclose(first[::-2], alone, rtol=1e-9, atol=1e-9):
            found = "luminosities that change with the other halos that are shown"
            fix = "draw all scatter from the rng that is given, and take no means over the halos"
            raise problem(where, found, "those of each halo by itself", fix)
    lit = first[np.isfinite(first)]
    if not len(lit):
        halos = f"{mass_msun.min():.1e} to {mass_msun.max():.1e} Msun"
        raise problem(where, f"no light (−inf) from any halo of {halos}", "a line", FIX)
    if lit.max() < edges[0]:
        found = f"log10(L/Lsun) of {lit.min():.4g} to {lit.max():.4g}, all below the label bins"
        fix = f"{FIX}; or move labels.log10_lum_min and log10_lum_max"
        raise problem(where, found, _expected(edges), fix)
    check_brightness(where, lit, edges, lsun_per_lprime, mean_uk=float("nan"))


def check_brightness(
    where: str, log10_lum: np.ndarray, edges: tuple[float, float], lsun_per_lprime: float, mean_uk: float
) -> None:
    """Refuse luminosities (n,) that are too bright for galaxies. The line names the unit they are likely in.

    All above the label bins, or a mean temperature that no line has (µK; NaN where there is no map).
    """
    lit = log10_lum[np.isfinite(log10_lum)]
    if not len(lit) or (lit.min() <= edges[1] and lit.max() <= LOG10_LUM_MAX and not mean_uk > MEAN_UK_MAX):
        return
    raise problem(
        where,
        f"log10(L/Lsun) of {lit.min():.4g} to {lit.max():.4g}, mean temperature {mean_uk:.3g} µK",
        f"{_expected(edges)}, and at most {MEAN_UK_MAX:g} µK",
        f"{likely_unit(lit, edges, lsun_per_lprime)}; {FIX}; or move the labels' bins",
    )


def _expected(edges: tuple[float, float]) -> str:
    return f"luminosities among the label bins, 10^{edges[0]:g} to 10^{edges[1]:g} Lsun"


def likely_unit(log10_lum: np.ndarray, edges: tuple[float, float], lsun_per_lprime: float) -> str:
    """What luminosities that are too bright are likely given in: what would put their middle near the label bins."""
    middle = float(np.median(log10_lum))
    guesses = {
        "L itself, not its log10": np.log10(middle),
        "in erg/s": middle - np.log10(ERG_S_PER_LSUN),
        "in W": middle - np.log10(W_PER_LSUN),
        "L′ in K km/s pc²": middle + np.log10(lsun_per_lprime),
        "the natural logarithm": middle / np.log(10),
    }
    fitting = [words for words, value in guesses.items() if edges[0] - 1 <= value <= edges[1] + 1]
    return f"they look like {' or '.join(fitting)}" if fitting else "they are in another unit"
