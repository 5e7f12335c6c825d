"""Checks of a study of line-intensity maps that span keys: geometry that fits, names that exist, priors that draw."""

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from limelight.cosmology import Cosmology
from limelight.data.targets import LIKELIHOODS
from limelight.errors import LimelightError
from limelight.halos.cone import MAX_FIELD_DEG
from limelight.halos.massfunction import mass_definition
from limelight.kept import kept
from limelight.probes.line_intensity.config import LineNetwork, LineStudy, LineTest, MapDataset
from limelight.probes.line_intensity.lines.models import LineModel, get_model, lsun_per_lprime
from limelight.probes.line_intensity.lines.own import check_answers
from limelight.probes.line_intensity.lines.priors import draw_parameters, number
from limelight.probes.line_intensity.maps.config import Filter
from limelight.probes.line_intensity.maps.instrument import load_instrument
from limelight.probes.line_intensity.maps.survey_noise import survey_noise
from limelight.probes.line_intensity.rival.shapes import get_shape
from limelight.probes.line_intensity.selection import map_reports, reads_negative, rival_cannot_take, rival_tests
from limelight.probes.line_intensity.settings import pooled_grid
from limelight.probes.line_intensity.shards import EXAMPLES
from limelight.probes.line_intensity.survey_checks import part_of_survey
from limelight.seeds import generator
from limelight.study.checks import taken, unknown
from limelight.study.faults import fault

FIDUCIAL = ("fiducial", 0, "0", "0%")  # priors that draw nothing
SIGMAS_MAX = 5.0  # the largest bare number that a prior may be; 10 is more likely meant as 10 %
SWAP = "[low, high] with low < high"
VOXELS_MAX, BINS_MAX = 2**31, 10_000  # of a map, of a label: numbers beyond are slips
TRIED_HALOS = 1000  # of masses up to TRIED_MAX_MSUN, at either end of the band
TRIED_MAX_MSUN = 1e15


def check(study: LineStudy) -> Iterator[str]:
    """One line for each fault, without the file's name."""
    yield from _halos(study)
    yield from _grid(study)
    yield from part_of_survey(study)
    yield from _observation(study)
    yield from _line_models(study)
    yield from _observed(study)
    for name, network in study.networks.items():
        yield from _network(study, name, network)
    yield from _audit(study)
    yield from _saliency(study)
    yield from _posteriors(study)
    for name in study.rival:
        yield from _rival(study, name)
    yield from _reports(study)
    if study.rival:
        yield from taken("networks", study.networks, "rival", "figures/rival holds the rivals' figures")
        yield from taken("tests", study.tests, "emulator", "a rival's emulator is called so")


def _reports(study: LineStudy) -> Iterator[str]:
    """Reports on maps are files of the names of a posterior and a test: two pairs must not make one name."""
    used = [
        ({one.network for one in study.posteriors.values()}, study.networks),
        ({test for one in study.networks.values() for test in one.tests or []}, study.tests),
        ({one.noise for one in study.tests.values()}, study.observation.noise),
    ]
    if any(names - set(known) for names, known in used):  # which is told elsewhere
        return
    seen: dict[str, str] = {}
    for posterior, test in map_reports(study):
        name, pair = f"{posterior}_{test}", f"posterior {posterior} on {test}"
        if (other := seen.setdefault(name, pair)) != pair:
            expected = "names that differ when put together: your_map calls their reports so"
            yield fault("posteriors", f"{other} and {pair}, both {name}", expected, "rename one")


def _tried(key: str, function, *arguments) -> Iterator[str]:
    """The fault that a function finds in what the config gave it."""
    try:
        function(*arguments)
    except LimelightError as error:
        yield f"{key}: {error}"


def _halos(study: LineStudy) -> Iterator[str]:
    cones, cuts = study.lightcones, study.subfields
    needed = cuts.size_deg * cuts.per_side
    if needed > cones.field_deg * (1 + 1e-9):
        found = f"{cuts.per_side} × {cuts.size_deg:g}° = {needed:g}° in a light-cone of {cones.field_deg:g}°"
        yield fault(
            "subfields", found, "subfields inside the light-cone", "cut fewer or smaller ones, or widen field_deg"
        )
    if cones.source in ("generate", "painted") and cones.field_deg > MAX_FIELD_DEG:
        expected = f"at most {MAX_FIELD_DEG:g}° of light-cones that limelight generates"
        yield fault("lightcones.field_deg", f"{cones.field_deg:g}°", expected, "make narrower ones, or use catalogues")
    yield from _tried("lightcones.mass_function", _known_mass_function, cones.mass_function)
    yield from _painter(study)


def _known_mass_function(name: str) -> None:
    """One that colossus has, which takes a second to import."""
    kept(("mass function", name, version("colossus")), lambda: mass_definition(name))


def _painter(study: LineStudy) -> Iterator[str]:
    """A painter where light-cones are painted and nowhere else, and one that fits them."""
    cones, grid = study.lightcones, study.grid
    if cones.source != "painted":
        if cones.painter:
            yield fault("lightcones.painter", f"a painter beside source: {cones.source}", "source: painted", "set it")
        return
    if not cones.painter:
        yield fault("lightcones.painter", "nothing", "model.pt of a painter", "add it (docs/halos.md)")
        return
    if cones.method == "exclusion":
        expected = "contrast or barrier: the light halos know nothing of the painted ones"
        yield fault("lightcones.method", "exclusion beside source: painted", expected, "choose one")
    if grid.freq_min_ghz < grid.freq_max_ghz < grid.rest_freq_ghz:
        yield from _tried("lightcones.painter", _fits, study)


def _fits(study: LineStudy) -> None:
    from limelight.halos.painter import check_painter  # torch, which other studies are read without
    from limelight.training.painter import load_painter

    cosmology = Cosmology(**vars(study.cosmology))
    check_painter(load_painter(str(study.lightcones.painter)), study.lightcones, study.grid.redshift_range, cosmology)


def _grid(study: LineStudy) -> Iterator[str]:
    grid, labels = study.grid, study.labels
    if not grid.freq_min_ghz < grid.freq_max_ghz < grid.rest_freq_ghz:
        found = f"{grid.freq_min_ghz:g}, {grid.freq_max_ghz:g}, rest {grid.rest_freq_ghz:g} GHz"
        yield fault("grid", found, "freq_min_ghz < freq_max_ghz < rest_freq_ghz", "put the frequencies in order")
    for key, section in [("grid", grid), *((f"line_models.{name}", own) for name, own in study.line_models.items())]:
        for axis in ("pixels", "channels"):
            block, n = getattr(section, f"pool_{axis}") or 1, getattr(grid, axis)
            if n % block:
                yield fault(f"{key}.pool_{axis}", f"{n} {axis} in blocks of {block}", f"a divisor of {n}", "choose one")
    voxels = grid.pixels**2 * grid.channels
    if voxels > VOXELS_MAX:
        yield fault("grid", f"{voxels:.3g} voxels", f"at most {VOXELS_MAX:.3g} (8 GB a map)", "choose fewer")
    if labels.bins > BINS_MAX:
        yield fault("labels.bins", labels.bins, f"at most {BINS_MAX}", "choose fewer")
    if not labels.log10_lum_min < labels.log10_lum_max:
        found = f"{labels.log10_lum_min:g} to {labels.log10_lum_max:g}"
        yield fault("labels", found, "log10_lum_min < log10_lum_max", "put them in order")
    if min(study.figures.maps, default=EXAMPLES) >= EXAMPLES:
        expected = f"at least one below {EXAMPLES}: of so many maps a slice is stored"
        yield fault("figures.maps", study.figures.maps, expected, "add one")


def _observation(study: LineStudy) -> Iterator[str]:
    observation = study.observation
    yield from _tried("observation.instrument", load_instrument, observation.instrument)
    for name, noise in observation.noise.items():
        key = f"observation.noise.{name}"
        given = [noise.radiometer, noise.sigma_uk is not None, bool(noise.survey)]
        if sum(given) != 1:
            found = "several" if any(given) else "none"
            yield fault(key, found, "one of sigma_uk, radiometer: true and survey", "give one of them")
        elif noise.survey and (noise.edge_ratio is not None or noise.per_voxel_of != "map"):
            expected = "a survey alone: its file says how σ varies, and whose voxel it belongs to"
            yield fault(key, "a survey beside edge_ratio or per_voxel_of", expected, "leave those out")
        elif not noise.survey and (noise.sigma_factor is not None or noise.mask is not None):
            yield fault(key, "sigma_factor or mask", "a survey that they belong to", "add survey, or leave them out")
        elif noise.survey and not noise.sigma_range[0] <= noise.sigma_range[1]:
            yield fault(f"{key}.sigma_factor", noise.sigma_factor, "[low, high] with low ≤ high", "swap them")
        elif not noise.survey and not noise.radiometer and not noise.sigma_range[0] <= noise.sigma_range[1]:
            yield fault(f"{key}.sigma_uk", noise.sigma_uk, "[low, high] with low ≤ high", "swap them")
    for name, sources in observation.foregrounds.items():
        key = f"observation.foregrounds.{name}"
        if not sources.flux_min_mjy < sources.flux_max_mjy:
            found = f"{sources.flux_min_mjy:g} to {sources.flux_max_mjy:g} mJy"
            yield fault(key, found, "flux_min_mjy < flux_max_mjy", "put them in order")
        if name == "none":
            yield fault(key, "a setting", "no such name: 'none' means no sources", "rename it")
    for name, setting in observation.filters.items():
        yield from _filter(study, f"observation.filters.{name}", setting)


def _filter(study: LineStudy, key: str, setting: Filter) -> Iterator[str]:
    """Factors in order, one way to say a transfer function, and no more modes taken off than there are channels."""
    if isinstance(setting.efficiency, list) and not setting.efficiency[0] <= setting.efficiency[1]:
        yield fault(f"{key}.efficiency", setting.efficiency, "[low, high] with low ≤ high", "swap them")
    if setting.transfer and (setting.high_pass_perp or setting.high_pass_par or setting.passed != 1):
        expected = "either a file or high_pass_perp, high_pass_par and passed"
        yield fault(f"{key}.transfer", "both", expected, "leave one out")
    elif setting.transfer:
        from limelight.probes.line_intensity.maps.filters import read_transfer  # torch, which other studies do without

        yield from _tried(f"{key}.transfer", read_transfer, setting.transfer)
    pooled = study.grid.channels // study.grid.pool_channels
    if setting.pca_modes >= pooled:
        yield fault(f"{key}.pca_modes", setting.pca_modes, f"fewer than the {pooled} pooled channels", "remove fewer")
    if setting.ripple_uk and study.grid.unit != "uK":
        yield fault(f"{key}.ripple_uk", f"a ripple on maps in {study.grid.unit}", "maps in uK", "leave it out")


def _line_models(study: LineStudy) -> Iterator[str]:
    for name, entry in study.line_models.items():
        key, limits = f"line_models.{name}", entry.mean_temperature_uk
        if limits and not limits[0] < limits[1]:
            yield fault(f"{key}.mean_temperature_uk", limits, SWAP, "swap them")
        try:
            model = get_model(entry.model, entry.parameters)
            draw_parameters(model, entry.prior, entry.parameters, generator(0, "check"))
        except LimelightError as error:
            yield f"{key}: {error}"
            continue
        yield from _prior(key, entry, model)
        if ":" in entry.model:
            yield from _tried(key, _try_own, study, model)
        fitted, rest = model.rest_freq_ghz, study.grid.rest_freq_ghz
        redshifted = rest > study.grid.freq_max_ghz  # else _grid has said so
        if fitted and not entry.parameters and redshifted and abs(rest / fitted - 1) > 0.005:
            expected = f"{fitted:g} GHz, the line that {entry.model} was fitted to"
            yield fault(
                "grid.rest_freq_ghz", f"{rest:g} GHz", expected, "mend it, or give the model parameters of your line"
            )


def _prior(key: str, entry: MapDataset, model: LineModel) -> Iterator[str]:
    """A prior that means what it looks like: no σ that it does not use, no number that may be meant as a percentage."""
    widths = [name for name, value in entry.parameters.items() if isinstance(value, dict) and value.get("sigma")]
    named = isinstance(entry.prior, str) and entry.prior in model.priors
    if widths and (named or entry.prior in FIDUCIAL):
        found = f"a σ of {', '.join(widths)} beside prior: {entry.prior}, which does not use it"
        fix = "set prior, or leave sigma out (of an entry that it is like: set sigma: 0)"
        yield fault(f"{key}.parameters", found, "prior: full, a percentage or a factor on σ", fix)
    bare = number(entry.prior)
    if bare is not None and bare > SIGMAS_MAX:
        expected = f"a factor of at most {SIGMAS_MAX:g}, or a percentage"
        yield fault(f"{key}.prior", f"{bare:g}, a factor on σ", expected, f"write {bare:g}% for {bare / 100:g} σ")


def _try_own(study: LineStudy, model: LineModel) -> None:
    """A user's own line model answers as a line of galaxies does, at the means of its parameters."""
    if not study.grid.freq_min_ghz < study.grid.freq_max_ghz < study.grid.rest_freq_ghz:
        return  # reported by _grid
    mass = np.geomspace(min(study.lightcones.mass_min_msun, TRIED_MAX_MSUN / 10), TRIED_MAX_MSUN, TRIED_HALOS)
    redshift = np.repeat(study.grid.redshift_range, TRIED_HALOS)
    means = {name: mean for name, (mean, _) in model.parameters.items()}
    edges, per_lprime = (
        (study.labels.log10_lum_min, study.labels.log10_lum_max),
        lsun_per_lprime(study.grid.rest_freq_ghz),
    )
    check_answers(model.name, model.log10_luminosity, means, np.tile(mass, 2), redshift, edges, per_lprime)


def _observed(study: LineStudy) -> Iterator[str]:
    """Noise and foregrounds that networks and tests name are defined."""
    known, sources = study.observation.noise, {**study.observation.foregrounds, "none": None}
    entries = [(f"networks.{name}", entry, entry.noise) for name, entry in study.networks.items()]
    entries += [(f"tests.{name}", entry, [entry.noise]) for name, entry in study.tests.items()]
    for key, entry, noises in entries:
        for noise in noises:
            yield from unknown(f"{key}.noise", noise, known, "observation.noise")
        yield from unknown(f"{key}.foregrounds", entry.foregrounds, sources, "observation.foregrounds")
        if entry.filter is not None:
            yield from unknown(f"{key}.filter", entry.filter, study.observation.filters, "observation.filters")
        if not list(_grid(study)):
            yield from _surveys(study, key, entry, noises)


def _surveys(study: LineStudy, key: str, entry: LineNetwork | LineTest, noises: list[str]) -> Iterator[str]:
    """Survey files of the noise that a network or a test names lie on the grid of its maps."""
    datasets = entry.datasets if isinstance(entry, LineNetwork) else [entry.dataset]
    for noise in noises:
        survey = study.observation.noise[noise].survey if noise in study.observation.noise else None
        if survey and set(datasets) <= set(study.line_models):
            where = f"{key}.noise: observation.noise.{noise}.survey"
            yield from _tried(where, survey_noise, survey, pooled_grid(study, datasets[0]))


def _network(study: LineStudy, name: str, network: LineNetwork) -> Iterator[str]:
    where, training, target = f"networks.{name}", network.training, network.target
    blank, dim = training.blank_fraction, training.dim_fraction
    if blank + dim > 1 + 1e-9:
        found = f"blank_fraction {blank:g} and dim_fraction {dim:g}"
        yield fault(f"{where}.training", found, "shares that add up to 1 at most", "lower one of them")
    if training.loss in LIKELIHOODS and (target.quantity, target.transform) != ("dn", "log10_1p"):
        found = f"{target.quantity}, {target.transform} with the loss {training.loss}"
        yield fault(f"{where}.target", found, "dn, log10_1p: a likelihood is one of counts", "change one")
    if network.classifies:
        for key, found in (("blank_fraction", "empty maps"), ("superpose_fraction", "two maps in one")):
            if getattr(training, key) > 0:
                expected = "none: no one line model painted them"
                yield fault(f"{where}.training.{key}", found, expected, "set it to 0")
    settings = study.observation.noise
    if not reads_negative(network) and (network.preprocessing.remove_means or network.filter is not None):
        expected = "a transform that exists for the negative T that are left without a mean"
        yield fault(f"{where}.preprocessing", network.preprocessing.transform, expected, "use signed_log or asinh")
    noisy = [noise for noise in network.noise if noise in settings and not settings[noise].quiet]
    if noisy and not reads_negative(network):
        expected = "maps without noise: log10(T + 1e-6) + 6 does not exist for the negative T that noise makes"
        yield fault(f"{where}.noise", ", ".join(noisy), expected, "use signed_log or asinh")


def _audit(study: LineStudy) -> Iterator[str]:
    """A range about 1 must hold the right answer."""
    for name in ("dimming_response", "superposing_response"):
        low, high = limits = getattr(study.audit.thresholds, name)
        if not low < 1 < high:
            yield fault(f"audit.thresholds.{name}", limits, "[low, high] with low < 1 < high", "1 is the right answer")


def _saliency(study: LineStudy) -> Iterator[str]:
    """What attribution is told by are pixels of the map: a network that sees more of each is not explained."""
    for name, run in study.saliency.items():
        network = study.networks.get(run.network)
        if network is not None and network.preprocessing.inputs:
            found = f"'{run.network}', which sees {', '.join(network.preprocessing.inputs)} beside the map"
            yield fault(f"saliency.{name}.network", found, "a network without preprocessing.inputs", "name another")


def _posteriors(study: LineStudy) -> Iterator[str]:
    """An IMNN, and parameters, need one line model that varies; an IMNN paints the training subfields."""
    for name, entry in study.posteriors.items():
        key, network = f"posteriors.{name}", study.networks.get(entry.network)
        if entry.kind == "imnn" and "subfields" not in study.keep:
            yield fault("keep", "no subfields", "subfields, which imnn paints about the prior's mean", "add it")
        if network is None or not set(network.line_models) <= set(study.line_models):
            continue
        if (entry.kind == "imnn" or entry.of == "parameters") and not _varies(study, network):
            found = f"{entry.network}, trained on {', '.join(network.line_models)}"
            fix = "use of: bins (mdn, npe), or another network"
            yield fault(f"{key}.network", found, "one line model with parameters that vary", fix)


def _varies(study: LineStudy, network: LineNetwork) -> bool:
    """Whether a network learns from one line model, whose parameters vary."""
    one = study.line_models[network.line_models[0]]
    try:
        parameters = get_model(one.model, one.parameters).parameters
    except LimelightError:
        return True  # reported already
    return len(network.line_models) == 1 and one.prior not in ("fiducial", 0) and bool(parameters)


def _rival(study: LineStudy, name: str) -> Iterator[str]:
    """A rival needs a prior that it can sample, tests that its likelihood knows, and bins that fit the grid."""
    where, entry, grid = f"rival.{name}", study.rival[name], study.grid
    yield from unknown(f"{where}.line_model", entry.line_model, study.line_models, "line_models")
    if entry.line_model in study.line_models:
        model = study.line_models[entry.line_model]
        yield from _tried(f"{where}.line_model", get_shape, model.model)
        if model.prior in FIDUCIAL:
            expected = "a line model whose parameters vary: its prior is what the MCMC samples under"
            yield fault(f"{where}.line_model", f"'{entry.line_model}' of prior {model.prior}", expected, "name another")
        if model.log10_lum_cut is not None:  # the emulator paints at one amplitude and scales; a cut stays where it is
            found = f"'{entry.line_model}' with log10_lum_cut {model.log10_lum_cut:g}"
            expected = "a line model whose light scales with its amplitude, which a cut breaks"
            yield fault(f"{where}.line_model", found, expected, "name one without log10_lum_cut")
    for test in entry.tests or []:
        if test not in study.tests:
            yield fault(f"{where}.tests", f"'{test}'", f"some of {', '.join(study.tests)}", "mend it")
        elif _known(study, name, test) and (expected := rival_cannot_take(study, name, test)):
            yield fault(f"{where}.tests", f"'{test}'", expected, "leave it out")
    for axis in ("pixels", "channels"):
        n, block = getattr(grid, axis), getattr(entry, f"pool_{axis}")
        if n % block and not entry.observed:
            yield fault(f"{where}.pool_{axis}", f"{n} {axis} in blocks of {block}", "a divisor", "choose one")
    if entry.observed and entry.quadrupole:
        yield fault(f"{where}.quadrupole", "true", "false of a rival that is observed", "leave one of them out")
    if entry.observed and (entry.classes != sorted(entry.classes) or min(entry.classes, default=2) <= 1):
        yield fault(f"{where}.classes", entry.classes, "rising numbers above 1", "put them in order")
    if entry.observed and all(_known(study, name, test) for test in study.tests) and not rival_tests(study, name):
        yield fault(where, "no test that it can take", "one with noise", "add one, or leave the rival out")
    for key in ("log10_k", "temperature_uk", "noise_units"):
        low, high = limits = getattr(entry, key)
        if not low < high:
            yield fault(f"{where}.{key}", limits, SWAP, "swap them")
    if grid.unit != "uK":
        yield fault("grid.unit", grid.unit, "uK: a rival bins temperatures", "paint in µK")


def _known(study: LineStudy, rival: str, test: str) -> bool:
    """Whether all that a rival and a test name is defined; what is not has been reported."""
    entry = study.tests[test]
    return entry.noise in study.observation.noise and {entry.line_model, study.rival[rival].line_model} <= set(
        study.line_models
    )
