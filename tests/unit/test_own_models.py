"""A user's own line model: what it does to its arguments, what it imports, and what it answers."""

import copy
import math
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from map_files import GRID, LABELS, subfields

from limelight.errors import LimelightError
from limelight.files import settings_hash
from limelight.own_code import own_code_hash, own_files
from limelight.probes.line_intensity.config import MapDataset
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.settings import map_settings
from limelight.study.config import ROOT, resolve_study

DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
SOUND = "5.5 + np.log10(mass_msun / 1e12)"  # about 1 µK


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes modules into the working directory; what was imported from there is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def one(text: str, name: str = "my_line.py") -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    yield one
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def body(answer: str, before: str = "pass") -> str:
    return f"""
        import numpy as np

        def cii(mass_msun, redshift, parameters, rng):
            {before}
            return {answer}
        """


def study(entry: dict | None = None, **sections) -> object:
    raw = copy.deepcopy(DEMO) | sections
    raw["line_models"]["li10"] = {"model": "my_line:cii", "draws": 2, **(entry or {})}
    return resolve_study(raw, "mine.yaml")


def fault(entry: dict | None = None, **sections) -> str:
    with pytest.raises(LimelightError) as caught:
        study(entry, **sections)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def painted(draws: int = 3, parameters: dict | None = None) -> list:
    table, halos = subfields(3)
    settings = MapDataset(model="my_line:cii", draws=draws, parameters=parameters or {})
    return list(paint_subfields(table, halos, "mine", settings, LABELS, GRID, study_seed=5))


def test_work_in_place_leaves_the_next_draw_as_it_was(write):
    write(body(SOUND, "mass_msun *= 0.7; redshift += 1; parameters.clear()"))
    first, again, *_ = painted(parameters={"a": 3.0})
    assert np.array_equal(first.cube, again.cube)
    assert first.parameters == {"a": 3.0}
    write(body(SOUND.replace("mass_msun", "(0.7 * mass_msun)")), "plain.py")
    log_l = get_model("my_line:cii").log10_luminosity(np.array([1e12], "f4"), np.array([3.0], "f4"), {}, None)
    assert log_l == pytest.approx([5.5 + math.log10(0.7)], rel=1e-7)


def test_arguments_are_float64_and_the_answer_is_no_memory_of_the_function(write):
    write(
        """
        import numpy as np
        KEPT = np.full(2, 5.0, np.float32)

        def cii(mass_msun, redshift, parameters, rng):
            assert mass_msun.dtype == redshift.dtype == np.float64
            return KEPT
        """
    )
    ask = get_model("my_line:cii").log10_luminosity
    first = ask(np.ones(2, "f4"), np.ones(2, "f4"), {}, None)
    first -= 1
    assert ask(np.ones(2, "f4"), np.ones(2, "f4"), {}, None).tolist() == [5.0, 5.0]
    assert first.dtype == np.float64


@pytest.mark.parametrize("code", [0, None, "'done'", 3])
def test_a_model_that_exits_is_an_error(write, code):
    write(body(SOUND, f"raise SystemExit({code})"))
    assert "SystemExit" in fault()
    write(f"import sys\nsys.exit({code})", "gone.py")
    assert "SystemExit" in fault({"model": "gone:cii"})


def test_the_order_of_parameters_changes_nothing(write):
    write(body("parameters['a'] + parameters['b'] * np.log10(mass_msun / 1e12)"))
    one = {"a": {"mean": 5.5, "sigma": 0.3}, "b": {"mean": 1.0, "sigma": 0.1}}
    settings = [{"parameters": p, "prior": "full"} for p in (one, dict(reversed(one.items())))]
    hashes = {settings_hash(map_settings(study(each), "li10")) for each in settings}
    assert len(hashes) == 1
    cubes = []
    for each in settings:
        table, halos = subfields(3)
        entry = MapDataset(model="my_line:cii", **each)
        cubes += [next(iter(paint_subfields(table, halos, "mine", entry, LABELS, GRID, study_seed=5)))]
    assert cubes[0].parameters == cubes[1].parameters
    assert np.array_equal(cubes[0].cube, cubes[1].cube)


# ---- units


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (f"{SOUND} + 33.583", "they look like in erg/s;"),
        (f"{SOUND} + 26.583", "in W;"),
        (f"10 ** ({SOUND})", "L itself, not its log10;"),
        (f"{SOUND} - 33.583", "all below the label bins"),
        ("np.full(len(mass_msun), -np.inf)", r"no light (−inf)"),
        ("np.zeros(len(mass_msun))", "all below the label bins"),
        ("np.full(len(mass_msun), np.nan)", "2000 of 2000 values NaN"),
        ("rng.normal(12, 1, len(mass_msun))", "mine.yaml: line_models.li10: line model 'my_line:cii'"),
        ("np.random.normal(5, 1, len(mass_msun))", "other luminosities at every call"),
        ("np.random.default_rng(3).normal(5, 1, len(mass_msun))", "change with the other halos that are shown"),
        ("5 + np.log10(mass_msun / mass_msun.mean())", "change with the other halos that are shown"),
        ("4 + 1j * np.log10(mass_msun / 1e12)", "found complex numbers"),
        ("np.ma.masked_array(np.full(len(mass_msun), 5.0), mass_msun < 1e12)", "found a masked array"),
    ],
)
def test_luminosities_that_no_galaxy_has(write, answer, says):
    write(body(answer))
    assert says in fault()


def test_luminosities_in_kelvin_per_parsec_are_seen_in_the_map(write):
    """L′ of bright halos is far above the bins, of faint ones among them: the temperature tells."""
    write(body("np.where(rng.random(len(mass_msun)) < 0.2, 6.5, 11.5)"))
    with pytest.raises(LimelightError, match=r"mean temperature .* µK.*they look like L′ in K km/s pc²"):
        painted()


@pytest.mark.parametrize("model", ["li", "comap", "padmanabhan", "breysse"])
def test_published_models_would_pass_as_a_users_own(write, model):
    write(
        f"""
        from limelight.probes.line_intensity.lines.models import get_model

        def cii(mass_msun, redshift, parameters, rng):
            model = get_model("{model}")
            means = {{name: mean for name, (mean, _) in model.parameters.items()}}
            return model.log10_luminosity(mass_msun, redshift, means, rng)
        """
    )
    study()
    assert len(painted(1)) == 2


def test_a_line_that_one_halo_in_a_hundred_has_is_no_fault(write):
    write(body(f"np.where(rng.random(len(mass_msun)) < 0.01, {SOUND}, -np.inf)"))
    study()


# ---- priors


@pytest.mark.parametrize("prior", [None, "fiducial", 0, "0%"])
def test_a_width_that_no_prior_uses_is_refused(write, prior):
    write(body("parameters['a'] + np.log10(mass_msun / 1e12)"))
    entry = {"parameters": {"a": {"mean": 5.5, "sigma": 0.3}}} | ({} if prior is None else {"prior": prior})
    assert "a σ of a beside prior" in fault(entry)
    entry["parameters"]["a"]["sigma"] = 0
    study(entry)
    study({"parameters": {"a": {"mean": 5.5, "sigma": 0.3}}, "prior": "full"})


def test_a_width_beside_a_named_prior_is_refused(write):
    entry = {"model": "comap", "prior": "um", "parameters": {"A": {"mean": -1.0, "sigma": 0.1}}}
    assert "a σ of A beside prior: um" in fault(entry)


@pytest.mark.parametrize("prior", [10, "10", 5.1])
def test_ten_sigma_are_not_ten_percent(prior):
    assert f"write {float(prior):g}% for" in fault({"model": "li", "prior": prior})
    for sound in ("10%", 0.1, "0.1", 3.0):
        study({"model": "li", "prior": sound})


# ---- what an edit repaints


def test_all_that_a_model_imports_counts(write):
    write("from helper import scale\nimport numpy, json\ndef cii(m, z, p, r): return scale(m)")
    write("from lines.rates import A\nimport lines.other as other\ndef scale(m): return A * m", "helper.py")
    write("", "lines/__init__.py")
    write("A = 3.0\n", "lines/rates.py")
    write("from . import rates\nT = 'rates.txt'\n", "lines/other.py")
    write("1 2 3\n", "lines/rates.txt")
    assert set(own_files("my_line")) == {"my_line", "helper", "lines", "lines.rates", "lines.other"}
    seen = {own_code_hash("my_line")}
    for name, text in {
        "lines/rates.py": "A = 3.1\n",
        "lines/rates.txt": "1 2 4\n",
        "lines/__init__.py": "X = 1\n",
        "helper.py": "from lines.rates import A\nimport lines.other\ndef scale(m): return A + m",
    }.items():
        write(text, name)
        assert (changed := own_code_hash("my_line")) not in seen, name
        seen.add(changed)
    write("# the constant\n'''Rates.'''\nX = 1  # of all\n", "lines/__init__.py")
    assert own_code_hash("my_line") in seen, "comments and docstrings are no code"


def test_settings_of_the_maps_follow_a_helper(write):
    write("from helper import A\nimport numpy as np\ndef cii(m, z, p, r): return A + np.log10(m / 1e12)")
    write("A = 5.5\n", "helper.py")
    before = settings_hash(map_settings(study(), "li10"))
    assert settings_hash(map_settings(study(), "li10")) == before
    write("A = 5.6\n", "helper.py")
    assert settings_hash(map_settings(study(), "li10")) != before


def test_code_of_limelight_counts_as_far_as_a_model_uses_it(write, monkeypatch, tmp_path):
    """An edit of a published model that a user's own calls; other code of limelight is left out."""
    import shutil

    from limelight import codehash

    shutil.copytree(ROOT / "limelight", tmp_path / "root" / "limelight", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(codehash, "ROOT", tmp_path / "root")
    write("from limelight.probes.line_intensity.lines.comap import comap\ndef cii(*a): return comap(*a)")
    before = own_code_hash("my_line")
    lines = tmp_path / "root" / "limelight" / "probes" / "line_intensity" / "lines"
    edit(lines / "li.py", "np.hypot", "np.maximum")
    assert own_code_hash("my_line") == before
    edit(lines / "comap.py", 'parameters["log10_C"]', 'parameters["log10_C"] + 1')
    assert own_code_hash("my_line") != before


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
