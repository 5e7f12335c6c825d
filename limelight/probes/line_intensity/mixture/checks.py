"""Checks of a study of several lines that span keys."""

from collections.abc import Iterator

from limelight.errors import LimelightError, problem
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.lines.priors import draw_parameters
from limelight.probes.line_intensity.mixture.config import Cubes, Line, MixtureStudy, noise_range
from limelight.seeds import generator

SAME_BAND = 1e-4  # relative: a tenth of a channel and less


def mixture_faults(study: MixtureStudy) -> Iterator[str]:
    """One line for each fault."""
    for name, data in study.data.items():
        yield from _data_faults(f"data.{name}", data)
    for name, network in study.networks.items():
        data = [study.data[one] for one in network.data if one in study.data]
        yield from _seen_faults(f"networks.{name}", network, data)
        for one in data:
            known = [*one.maps, *one.catalogues]
            yield from _unknown(f"networks.{name}.sees", network.sees or [], known)
            if not network.sees or any(seen in one.maps for seen in network.sees):
                continue
            yield _fault(f"networks.{name}.sees", network.sees, f"a map among them: {', '.join(one.maps)}", "add one")
        yield from _target_faults(f"networks.{name}.target", network.target, data)
    for name, test in study.tests.items():
        data = [study.data[test.data]] if test.data in study.data else []
        yield from _seen_faults(f"tests.{name}", test, data)
        if test.estimators and data and not data[0].images:
            yield _fault(f"tests.{name}.estimators", test.estimators, "images: true of its data", "set it")
        if data and test.pca_modes >= data[0].channels // data[0].cuts:
            expected = f"fewer than the {data[0].channels // data[0].cuts} channels of a row"
            yield _fault(f"tests.{name}.pca_modes", test.pca_modes, expected, "remove fewer")


def _fault(where: str, found: object, expected: str, fix: str) -> str:
    return str(problem(where, found, expected, fix))


def _unknown(where: str, names: list[str], known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield _fault(where, f"'{name}'", f"one of {', '.join(known)}", "mend the name")


def _seen_faults(where: str, entry, data: list[Cubes]) -> Iterator[str]:
    low, high = noise_range(entry.noise_uk)
    if low > high:
        yield _fault(f"{where}.noise_uk", [low, high], "[lowest, highest]", "swap them")
    for one in data:
        yield from _unknown(f"{where}.lines", entry.lines or [], list(one.lines))


def _target_faults(where: str, target, data: list[Cubes]) -> Iterator[str]:
    if target.quantity == "counts" and len(target.lines) != 1:
        yield _fault(f"{where}.lines", target.lines, "one line, whose counts are answered", "choose one")
    for one in data:
        yield from _unknown(f"{where}.lines", target.lines, list(one.lines))
        if target.quantity == "images" and not one.images:
            yield _fault(where, "images", "images: true of its data", "set it")


def _data_faults(where: str, data: Cubes) -> Iterator[str]:
    both = sorted(set(data.maps) & set(data.catalogues))
    if both := both or sorted(set(data.lines) & set(data.catalogues)):
        yield _fault(f"{where}.catalogues", ", ".join(both), "names that no map and no line has", "rename them")
    if data.channels % data.cuts:
        found = f"{data.channels} channels in {data.cuts} parts"
        yield _fault(f"{where}.cuts", found, f"a divisor of {data.channels}", "change it")
    for name, band in data.maps.items():
        if not band.freq_min_ghz < band.freq_max_ghz:
            found = f"{band.freq_min_ghz:g} to {band.freq_max_ghz:g} GHz"
            yield _fault(f"{where}.maps.{name}", found, "freq_min_ghz < freq_max_ghz", "swap them")
    for name, line in data.lines.items():
        yield from _line_faults(f"{where}.lines.{name}", line, data)
    for name, catalogue in data.catalogues.items():
        place = f"{where}.catalogues.{name}"
        yield from _unknown(f"{place}.line", [catalogue.line], list(data.lines))
        if catalogue.log10_mass_min is None and catalogue.log10_lum_min is None:
            yield _fault(place, "no selection", "log10_mass_min or log10_lum_min", "give one")


def _line_faults(where: str, line: Line, data: Cubes) -> Iterator[str]:
    if line.map not in data.maps:
        yield _fault(f"{where}.map", f"'{line.map}'", f"one of {', '.join(data.maps)}", "mend the name")
        return
    band = data.maps[line.map]
    if band.freq_max_ghz >= line.rest_freq_ghz:
        found, expected = f"{line.rest_freq_ghz:g} GHz", f"more than the band's {band.freq_max_ghz:g} GHz"
        yield _fault(f"{where}.rest_freq_ghz", found, expected, "the light is redshifted: mend it or the map")
    if not line.log10_lum_min < line.log10_lum_max:
        found = [line.log10_lum_min, line.log10_lum_max]
        yield _fault(f"{where}.log10_lum_min", found, "log10_lum_min < log10_lum_max", "swap them")
    yield from _shared_faults(where, line, data) if line.halos is not None else _model_faults(where, line)


def _model_faults(where: str, line: Line) -> Iterator[str]:
    """Of a line with a light-cone of its own."""
    if line.model is None:
        yield _fault(where, "no model", "a line model, or `halos`: a line that it shines with", "give one")
        return
    try:
        model = get_model(line.model, line.parameters)
        draw_parameters(model, line.prior, line.parameters, generator(0, "check"))
    except LimelightError as error:
        yield f"{where}: {error}"
        return
    fitted = model.rest_freq_ghz
    if fitted and line.lprime_ratio is None and abs(line.rest_freq_ghz / fitted - 1) > SAME_BAND:
        expected = f"{fitted:g} GHz, which {line.model} was fitted to, or an lprime_ratio to that line"
        yield _fault(f"{where}.rest_freq_ghz", f"{line.rest_freq_ghz:g} GHz", expected, "mend it, or give the ratio")
    if line.ratio_sigma_dex:
        found = f"{line.ratio_sigma_dex:g} dex of a line of its own halos"
        yield _fault(f"{where}.ratio_sigma_dex", found, "0: the model's own parameters vary", "leave it out")


def _shared_faults(where: str, line: Line, data: Cubes) -> Iterator[str]:
    """Of a line that shines with the halos of another."""
    own = {name: one for name, one in data.lines.items() if one.halos is None and one is not line}
    if line.halos not in own:
        expected = f"a line with a light-cone of its own: {', '.join(own) or 'there is none'}"
        yield _fault(f"{where}.halos", f"'{line.halos}'", expected, "mend the name")
        return
    if line.model is not None or line.lprime_ratio is None:
        found = "a model" if line.model is not None else "no lprime_ratio"
        yield _fault(where, found, f"lprime_ratio alone: it shines with {line.halos}", "mend it")
    first = own[line.halos]
    if first.map not in data.maps:
        return
    factor, mine, its = line.rest_freq_ghz / first.rest_freq_ghz, data.maps[line.map], data.maps[first.map]
    edges = [(mine.freq_min_ghz, its.freq_min_ghz), (mine.freq_max_ghz, its.freq_max_ghz)]
    if any(abs(a / (factor * b) - 1) > SAME_BAND for a, b in edges):
        found = f"{mine.freq_min_ghz:g} to {mine.freq_max_ghz:g} GHz"
        expected = f"{factor * its.freq_min_ghz:g} to {factor * its.freq_max_ghz:g} GHz, where these halos are"
        yield _fault(f"{where}.map", found, expected, "mend the map's band")
