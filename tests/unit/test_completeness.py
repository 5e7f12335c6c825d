"""Where a luminosity function ends because its catalogue does: against halos below the catalogue's lightest."""

import numpy as np
import pytest

from benchmarks.complete_bins import bins_of
from limelight.files import ROOT, provenance
from limelight.probe import load_probe
from limelight.probes.line_intensity.apply import complete_at_means
from limelight.probes.line_intensity.lines.completeness import complete_from
from limelight.probes.line_intensity.lines.models import get_model
from limelight.seeds import generator
from limelight.study.config import load_study
from limelight.study.settings import network_settings

BAND = (2.4, 3.4)


@pytest.mark.parametrize("name", ["padmanabhan", "li"])
def test_lighter_halos_change_the_counts_below_and_not_above(name):
    model, rng = get_model(name), np.random.default_rng(1)
    parameters = {key: mean for key, (mean, _) in model.parameters.items()}
    mass = 1e9 * (1 - rng.random(400_000)) ** (-1 / 0.95)  # more light halos than heavy ones, as in nature
    log10_lum = model.log10_luminosity(mass, rng.uniform(*BAND, len(mass)), parameters, generator(1, "test"))
    limit = complete_from(model, parameters, 2.5e10, BAND)
    edges = limit + 0.1 * np.arange(-10, 6)
    every = np.histogram(log10_lum, edges)[0]
    heavy = np.histogram(log10_lum[mass >= 2.5e10], edges)[0]
    assert (heavy[10:] >= 0.9 * every[10:]).all()
    assert heavy[:4].sum() < 0.5 * every[:4].sum()
    if name == "padmanabhan":
        np.testing.assert_array_equal(heavy[10:], every[10:])


def test_without_scatter_the_limit_is_the_brightest_of_the_lightest_halos():
    model = get_model("padmanabhan")
    parameters = {key: mean for key, (mean, _) in model.parameters.items()}
    redshift = np.linspace(*BAND, 1000)
    found = model.log10_luminosity(np.full(1000, 2.5e10), redshift, parameters, generator(1, "test"))
    assert complete_from(model, parameters, 2.5e10, BAND) == pytest.approx(found.max(), abs=1e-3)


def test_bins_are_complete_above_the_limit_of_each_map():
    counts = np.tile([9.0, 99.0], (40, 1))
    counts[:20, 0] = 0
    first, second = bins_of("li", np.array([3.0, 4.0, 5.0]), counts, np.repeat([3.5, 2.0], 20))
    assert (first["complete"], second["complete"]) == (0.5, 1)
    assert first["range_95_all"] == pytest.approx(1)
    assert first["range_95_complete"] == 0, "what varied was the end of the catalogue"


def test_the_settings_of_a_study_tell_the_limit_of_each_map_and_of_a_network():
    study = load_study(ROOT / "config" / "demo.yaml")
    settings = network_settings(study, next(iter(study.networks)))
    (made,) = settings.datasets.values()
    model = get_model(made.maps.dataset.model, made.maps.dataset.parameters)
    low, high = 115.27 / study.grid.freq_max_ghz - 1, 115.27 / study.grid.freq_min_ghz - 1
    means = {key: mean for key, (mean, _) in model.parameters.items()}
    brighter = {**means, "beta": means["beta"] - 1}  # L′ grows as 10^(−β/α)
    expected = [complete_from(model, one, study.lightcones.mass_min_msun, (low, high)) for one in (means, brighter)]
    assert expected[1] > expected[0] + 0.5
    names = ["of another model", *model.parameters]
    theta = np.array([[np.nan, *one.values()] for one in (means, brighter)])
    found = load_probe("line_intensity").complete_from(made, theta, names)
    assert found == pytest.approx(expected)
    edges = np.linspace(3.5, 7, 50)
    info = {"provenance": provenance(settings, 1)}
    np.testing.assert_array_equal(complete_at_means(info, edges), edges[:-1] >= expected[0])
    assert complete_at_means({"provenance": {}}, edges) is None
