"""The rival's stages: its config, its emulator and posteriors from files, its figure."""

from dataclasses import replace

import numpy as np
import pytest
from rival_toys import lightcone_file, toy_study

from limelight.errors import LimelightError
from limelight.halos.subfields import (
    read_subfield_halos,
    read_subfields,
)
from limelight.inference.intervals import read_intervals, write_intervals
from limelight.probes.line_intensity.figures.rival import rival_figure, rival_table
from limelight.probes.line_intensity.labels import EXTENSION_BINS, log10_lum_edges
from limelight.probes.line_intensity.maps.instrument import smooth
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.rival.stage import chosen_rows, emulator_stage, repaint, rival_intervals
from limelight.probes.line_intensity.selection import rival_tests
from limelight.probes.line_intensity.settings import emulator_settings, fine_grid, rival_settings
from limelight.section import plain
from limelight.study.config import resolve_study


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"line_model": "nobody"}, "one of li_full, li_fiducial"),
        ({"line_model": "li_fiducial"}, "whose parameters vary"),
        ({"line_model": "steep"}, "one of li, comap, breysse"),
        ({"line_model": "li_cut"}, "'li_cut' with log10_lum_cut 5"),
        ({"tests": ["nothing"]}, "some of over_prior"),
        ({"tests": ["in_front"]}, "no foregrounds"),
        ({"pool_pixels": 3}, "a divisor"),
        ({"temperature_uk": [100, 10]}, "low < high"),
        ({"observed": True, "quadrupole": True}, "false of a rival that is observed"),
        ({"walkrs": 3}, "walkers"),
    ],
)
def test_a_rival_that_makes_no_sense_is_one_line(changes, words, tmp_path):
    with pytest.raises(LimelightError, match=words) as error:
        resolve_study(toy_study(**changes), tmp_path / "toy.yaml")
    assert "\n" not in str(error.value)


def test_a_rival_takes_the_tests_that_its_likelihood_knows(tmp_path):
    study = resolve_study(toy_study(), tmp_path / "toy.yaml")
    assert rival_tests(study, "li") == ["over_prior"]
    settings = [emulator_settings(study, "li"), rival_settings(study, "li", "over_prior")]
    changed = resolve_study(toy_study(steps=50), tmp_path / "toy.yaml")
    again = [emulator_settings(changed, "li"), rival_settings(changed, "li", "over_prior")]
    assert settings[0] == again[0], "longer chains do not remake the emulator"
    assert settings[1] != again[1]


def test_repainted_maps_are_the_studys_own_without_the_sources_it_cuts(tmp_path):
    raw = toy_study()
    raw["tests"]["fainter"] = {"line_model": "li_cut", "noise": "some"}
    study = resolve_study(raw, tmp_path / "toy.yaml")
    path = lightcone_file(tmp_path, 7)
    table, grid, labels = read_subfields(path), fine_grid(study), plain(study.labels)
    for test in ("over_prior", "fainter"):
        settings = rival_settings(study, "li", test)
        name, model = settings.maps.name, settings.maps.dataset
        halos = read_subfield_halos(path)
        own = list(paint_subfields(table, halos, name, model, labels, grid, study.seed))
        found = list(repaint(settings, [path]))
        assert [row for row, *_ in found] == [row for row, *_ in chosen_rows(settings, {7: 4})]
        for row, lightcone, painted in found:
            assert (lightcone, painted.subfield, painted.draw) == (7, own[row].subfield, own[row].draw)
            np.testing.assert_array_equal(painted.n_above, own[row].n_above)
            mean = own[row].cube.reshape(16, 2, 16, 2, 20).mean(axis=(1, 3))
            cube = smooth(mean, settings.emulator.beam_fwhm_arcmin, 0.7 / 16)
            np.testing.assert_allclose(painted.cube, cube, rtol=1e-5, atol=1e-7)
            edges = log10_lum_edges(labels, EXTENSION_BINS)
            assert (painted.n_above[edges >= 5.0].sum() == 0) == (test == "fainter")


def test_stages_write_the_intervals_of_a_study(tmp_path):
    """Emulator of three light-cones, then posteriors of maps of a fourth, twice the same; as the scripts do it."""
    study = resolve_study(toy_study(), tmp_path / "toy.yaml")
    paths = {i: lightcone_file(tmp_path, i) for i in (0, 1, 2, 7)}
    emulator = emulator_stage(emulator_settings(study, "li"), [paths[0], paths[1], paths[2]])
    with pytest.raises(LimelightError, match="must stay unseen"):
        emulator_stage(emulator_settings(study, "li"), [paths[7]])
    settings = rival_settings(study, "li", "over_prior")
    result = rival_intervals(settings, emulator, [paths[7]], tmp_path / "chains")
    write_intervals(tmp_path / "r.h5", result, {"seed": 1})
    assert read_intervals(tmp_path / "r.h5").quantiles.shape == (3, 49, 5)
    assert list(zip(result.rows["subfield"], result.rows["draw"], strict=True)) == [(0, 0), (2, 0), (3, 1)]
    assert (result.seconds == 0).all() and result.extra["underlying"].shape == (3, 49, 3)  # noqa: PT018
    # the maps are those that the study paints: same parameters, same counts
    table = read_subfields(paths[7])
    grid, model, halos = fine_grid(study), study.line_models["li_full"], read_subfield_halos(paths[7])
    painted = list(paint_subfields(table, halos, "li_full", model, plain(study.labels), grid, study.seed))
    for i, row in enumerate(result.extra["row"].astype(int)):
        np.testing.assert_array_equal(result.parameters[i], list(painted[row].parameters.values()))
        np.testing.assert_array_equal(result.truth[i], -np.diff(painted[row].n_above[:50]))
    # more maps of the same test: the chains that stand are taken up, not run again
    before = {path: path.stat().st_ino for path in (tmp_path / "chains").rglob("*.h5")}
    wider = replace(settings, options=settings.options.model_copy(update={"maps": 4}))
    more = rival_intervals(wider, emulator, [paths[7]], tmp_path / "chains")
    after = {path: path.stat().st_ino for path in (tmp_path / "chains").rglob("*.h5")}
    shared = [i for i, row in enumerate(more.extra["row"]) if row in result.extra["row"]]
    assert 0 < len(shared) < 4
    assert {path: after[path] for path in before} == before
    assert len({path.parent for path in after}) == 1
    same = [i for i, row in enumerate(result.extra["row"]) if row in more.extra["row"]]
    np.testing.assert_array_equal(more.samples[shared], result.samples[same])
    again = rival_intervals(settings, emulator, [paths[7]], tmp_path / "other")
    np.testing.assert_array_equal(again.samples, result.samples)
    middle, large = read_intervals(tmp_path / "r.h5").settings["emulator_error_sigma"]
    assert 0 < middle <= large
    assert rival_table(result)[0]["maps"] == 3
    assert len(rival_figure([result, again]).axes) == 2
