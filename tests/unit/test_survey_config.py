"""The config of a survey's observation: every way to get it wrong in one line, and settings that follow the files."""

import copy

import pytest
import yaml
from survey_toys import survey_file

from limelight.errors import LimelightError
from limelight.files import settings_hash
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.survey import load_survey, save_survey
from limelight.probes.line_intensity.maps.weighted import edges_of, light_weights
from limelight.probes.line_intensity.settings import shard_settings
from limelight.study.config import ROOT, resolve_study
from limelight.study.selection import suitable_tests
from limelight.study.settings import network_settings

SURVEY = yaml.safe_load((ROOT / "config" / "survey.yaml").read_text())
GRID = Grid(1.4, 48, 40, 26.0, 34.0, 115.27, "uK", 2, 2)
FILTER = ("observation", "filters", "waves")


def changed(*path_and_value: object) -> dict:
    """The study with one key set."""
    *path, last, value = path_and_value
    raw = copy.deepcopy(SURVEY)
    node = raw
    for key in path:
        node = node.setdefault(key, {})
    node[last] = value
    return raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            changed("observation", "noise", "season2", "sigma_uk", 3),
            "found several; expected one of sigma_uk, radiometer",
        ),
        (changed("observation", "noise", "season2", {}), "season2: found none; expected one of sigma_uk"),
        (changed("observation", "noise", "season2", "survey", ""), "season2: found none; expected one of sigma_uk"),
        (changed("observation", "noise", "season2", "edge_ratio", 3), "a survey beside edge_ratio"),
        (changed("observation", "noise", "season2_even", "mask", False), "season2_even: found sigma_factor or mask"),
        (changed("observation", "noise", "season2", "sigma_factor", [2, 1]), "season2.sigma_factor"),
        (changed("observation", "noise", "season2", "survey", "gone.h5"), "gone.h5: found no such file"),
        (changed("observation", "noise", "season2", "survey", "another"), "a name in resources/surveys"),
        (changed("grid", "pixels", 64), "24 × 24 × 20 voxels; expected 32 × 32 × 20"),
        (changed("networks", "means", "filter", "others"), "networks.means.filter: found 'others'"),
        (changed("tests", "season2_means", "filter", "others"), "tests.season2_means.filter: found 'others'"),
        (changed(*FILTER, "pca_modes", 20), "waves.pca_modes: found 20; expected fewer than the 20 pooled channels"),
        (changed(*FILTER, "transfer", "t.csv"), "waves.transfer: found both"),
        (changed("observation", "filters", "means", "transfer", "t.csv"), "means.transfer: t.csv"),
        (changed("observation", "filters", "means", "efficiency", [0.8, 0.7]), "means.efficiency"),
        (changed("networks", "means", "preprocessing", "transform", "log10_offset"), "networks.means.preprocessing"),
        (changed("rival", "li", {"line_model": "lifull", "tests": ["season2"]}), "rival.li.tests: found 'season2'"),
        (changed("saliency", "why", {"network": "waves"}), "saliency.why.network: found 'waves', which sees snr"),
    ],
)
def test_a_fault_is_named_in_one_line(raw, words):
    with pytest.raises(LimelightError) as caught:
        resolve_study(raw, "survey.yaml")
    assert [line for line in str(caught.value).splitlines() if words in line], str(caught.value)


def test_reports_of_two_posteriors_do_not_share_a_file():
    """your_map calls them posterior_test: one was answered from the other's page."""
    networks = {"waves": {**SURVEY["networks"]["even"], "noise": ["season2", "season2_seen"], "tests": None}}
    raw = {**SURVEY, "networks": networks, "comparisons": {}, "audit": {"networks": "none"}}
    raw["posteriors"] = {name: {"network": "waves", "kind": "mdn"} for name in ("w", "w_deep")}
    shallow, deep = ({"line_model": "lifull", "noise": noise} for noise in ("season2", "season2_seen"))
    raw["tests"] = {"deep_shallow": shallow, "future": deep}
    assert resolve_study(raw, "survey.yaml")  # the first test of each noise is the map's own
    raw["tests"] = {"deep_shallow": shallow, "shallow": deep}
    with pytest.raises(LimelightError, match="posteriors: found posterior w on deep_shallow and .* w_deep on shallow"):
        resolve_study(raw, "survey.yaml")


def test_networks_take_tests_of_their_own_noise_and_filter():
    study = resolve_study(changed("networks", "means", "tests", None), "survey.yaml")
    assert "season2_waves" in suitable_tests(study, "means")  # it can be tried on any; the audit prefers what it knows
    assert suitable_tests(study, "waves") == ["season2_waves", "future_waves"]


def test_settings_follow_what_the_files_hold(tmp_path):
    """Another σ under the same path trains again; another name or place of the same file would too, as it is a setting."""
    path = survey_file(tmp_path / "mine.h5", GRID)
    raw = changed("observation", "noise", "season2", {"survey": str(path)})
    before = settings_hash(network_settings(resolve_study(raw, "survey.yaml"), "mask"))
    assert settings_hash(network_settings(resolve_study(raw, "survey.yaml"), "mask")) == before
    survey_file(path, GRID, fine=True)
    assert settings_hash(network_settings(resolve_study(raw, "survey.yaml"), "mask")) != before


def test_a_transfer_function_of_another_content_is_another_setting(tmp_path):
    path = tmp_path / "t.csv"
    raw = changed("observation", "filters", "waves", {"transfer": str(path)})
    found = set()
    for value in (0.5, 0.6, 0.5):
        rows = "".join(f"{a},{b},{value}\n" for a in (0, 1) for b in (0, 1))
        path.write_text("k_perp_per_mpc,k_par_per_mpc,transfer\n" + rows, encoding="utf-8")
        found.add(settings_hash(network_settings(resolve_study(raw, "survey.yaml"), "waves")))
    assert len(found) == 2


def weighed(path, sigma_times=1.0):
    """A file with what the light in its own voxels, two along each side and ten channels, counts for in the study's."""
    survey_file(path, GRID, fine=True)
    fine, study = load_survey(path), load_survey(survey_file(path, GRID))
    fine.sigma_uk[::2] *= sigma_times
    save_survey(
        path, study, light_weights(fine, *(edges_of(one) for one in (study.x_deg, study.y_deg, study.frequency_ghz)))
    )
    return str(path)


def part_of(path, **grid) -> dict:
    """The study on maps that are a part of a survey's, which no network turns."""
    raw = changed("grid", "survey", str(path))
    raw["grid"] |= grid
    raw["training"] |= {"flips": False, "quarter_turns": False}
    return raw


def test_maps_that_are_a_part_of_a_survey_follow_what_its_light_counts_for(tmp_path):
    raw = part_of(weighed(tmp_path / "mine.h5"))
    before = settings_hash(shard_settings(resolve_study(raw, "survey.yaml"), "lifull"))
    weighed(tmp_path / "mine.h5")  # the same, made again
    assert settings_hash(shard_settings(resolve_study(raw, "survey.yaml"), "lifull")) == before
    weighed(tmp_path / "mine.h5", 1.5)
    assert settings_hash(shard_settings(resolve_study(raw, "survey.yaml"), "lifull")) != before


def test_faults_of_the_survey_that_maps_are_a_part_of(tmp_path):
    path, plain = weighed(tmp_path / "mine.h5"), str(survey_file(tmp_path / "plain.h5", GRID))
    raws = {
        "grid.survey: gone.h5: found no such file": part_of("gone.h5"),
        "grid.survey: " + plain + ": found no light_weights": part_of(plain),
        "grid.survey: found 26 to 34 along frequency": part_of(path, freq_max_ghz=35.0),
        "networks.even.training: found maps that are turned": changed("grid", "survey", path),
    }
    for words, raw in raws.items():
        with pytest.raises(LimelightError) as caught:
            resolve_study(raw, "survey.yaml")
        assert words in str(caught.value), str(caught.value)
