"""Every figure from made-up but realistic evaluations: it draws, shows what was planted, and gives the same bytes twice."""

import dataclasses
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
from evaluation_toys import EDGES, sample
from PIL import Image

from limelight import figures
from limelight.data.axes import OutputAxis
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import Evaluation
from limelight.figures.style import save
from limelight.files import ROOT, resource_path
from limelight.probes.line_intensity import FIGURES as LINE_FIGURES
from limelight.probes.line_intensity import published
from limelight.probes.line_intensity.figures import EACH_NETWORK
from limelight.probes.line_intensity.figures.common import noise_words
from limelight.probes.line_intensity.published import paper_sigma_uk, published_bands


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    return [sample("no_noise", 0.0, 0.02), sample("paper_noise", 3.47, 0.05), sample("comap_noise", 21.4, 0.12)]


@pytest.mark.parametrize("name", EACH_NETWORK)
def test_figure_draws_and_saves_the_same_bytes_twice(name, evaluations, tmp_path):
    for copy in ("a", "b"):
        save(figures.draw_figure(name, evaluations), tmp_path / f"{copy}.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # letters embedded
    assert b"CreationDate" not in pdf
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 5


def legend_words(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_luminosity_function_shows_the_planted_ratio(evaluations):
    e = evaluations[0]
    planted = dataclasses.replace(e, predicted=1.25 * e.truth)
    figure = figures.draw_figure("luminosity_function", [planted], [4])
    bottom = figure.axes[1]
    ratio = next(line for line in bottom.lines if len(line.get_xdata()) == 49).get_ydata()
    assert np.isnan(ratio[e.truth[4] == 0]).all()
    assert ratio[e.truth[4] > 0] == pytest.approx(1.25)
    assert bottom.get_xlabel() == r"line luminosity $L$ [$L_\odot$]"


def test_published_bands_stand_beside_their_scenario_only(evaluations):
    clean, quiet, loud = (published_bands(e) for e in evaluations)
    assert [label for label, *_ in clean] == ["published CNN (1905.10376), no noise"]
    assert "3.47" in quiet[0][0]
    assert "MCMC" in loud[0][0]
    assert len(clean) == len(quiet) == len(loud) == 1
    table = np.genfromtxt(
        resource_path("published_cnn_errors.csv"), delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    row = table[(table["scenario"] == "no_noise__li_10pct")][3]
    assert (clean[0][1][3], clean[0][2][3]) == (row["luminosity_lsun"], row["frac_err_p25"])
    other = dataclasses.replace(
        evaluations[0],
        settings=evaluations[0].settings | {"line_model": {"name": "p", "model": "padmanabhan", "prior": "10%"}},
    )
    assert published_bands(other) == []
    assert not any("published" in words for words in legend_words(figures.draw_figure("error_bands", [other])))


def test_noise_on_the_published_voxel_by_hand(evaluations):
    # 1.4 deg / 128 and 8 GHz / 50 against 1.4 deg / 256 and 8 GHz / 100: eight times the volume, sigma times sqrt(8)
    assert paper_sigma_uk(evaluations[1]) == pytest.approx(3.47 * np.sqrt(8))


def test_noise_in_words(evaluations):
    quiet, paper = evaluations[:2]
    assert noise_words(quiet) == "no noise"
    assert noise_words(paper) == r"$\sigma$ = 3.47 µK per map voxel"
    uneven = dataclasses.replace(paper, settings=paper.settings | {"noise": {"sigma_uk": 3.47, "edge_ratio": 3}})
    assert noise_words(uneven).endswith("µK per map voxel, × 3 towards the edges")
    drawn = dataclasses.replace(paper, settings=paper.settings | {"noise_sigma_uk": [0.0, 5.0], "foregrounds": "radio"})
    assert noise_words(drawn) == r"$\sigma$ = 0–5 µK per map voxel, radio sources"


def test_two_networks_are_told_apart(evaluations):
    other = dataclasses.replace(evaluations[1], network="rival")
    words = legend_words(figures.draw_figure("spread_ratio", [evaluations[0], other]))
    assert words[0].startswith("limelight, ")
    assert words[1].startswith("rival, ")
    for name in ("loss_history", "training_spread", "blank_map"):
        titles = {axes.get_title() for axes in figures.draw_figure(name, [evaluations[0], other]).axes}
        assert {"limelight", "rival"} <= titles


@pytest.mark.parametrize("name", EACH_NETWORK)
def test_a_test_of_two_maps_with_empty_bins_still_draws(name, evaluations, tmp_path, recwarn):
    e = sample("few", [1.0, 5.0], 0.1, maps=2)
    save(
        figures.draw_figure(name, [dataclasses.replace(e, settings=e.settings | {"foregrounds": {"slope": 2}})]),
        tmp_path / "f.pdf",
    )
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning | UserWarning)]


@pytest.mark.parametrize(
    ("name", "maps", "says"),
    [
        ("pie", None, "one of loss_history"),
        ("luminosity_function", [999], "below 128"),
        ("luminosity_function", [-1], "from 0 up"),
        ("map_slices", [3], "below 3"),
    ],
)
def test_wrong_requests_are_refused(name, maps, says, evaluations):
    with pytest.raises(LimelightError, match=says):
        figures.draw_figure(name, evaluations, maps)


def test_other_bins_are_not_drawn_together(evaluations):
    other = dataclasses.replace(evaluations[1], axis=OutputAxis("luminosity", "Lsun", True, edges=tuple(EDGES + 0.1)))
    with pytest.raises(LimelightError, match="with another axis; expected evaluations of the same axis"):
        figures.draw_figure("error_bands", [evaluations[0], other])


def test_no_files_and_files_of_another_kind_are_refused(evaluations):
    with pytest.raises(LimelightError, match="no files"):
        figures.draw_figure("error_bands", [])
    with pytest.raises(
        LimelightError, match="figure filters: found a file of kind 'evaluation'; expected one layers file"
    ):
        figures.draw_figure("filters", evaluations)


def test_what_answers_no_luminosity_function_is_refused(evaluations):
    e = evaluations[0]
    without = {name: values for name, values in e.statistics.items() if name != "mean_counts"}
    with pytest.raises(LimelightError, match="limelight/no_noise without mean_counts"):
        figures.draw_figure("error_bands", [dataclasses.replace(e, statistics=without)])


def every_figure() -> dict:
    """Every figure by name; the lines' own beside those of every probe."""
    return {("", name): figures.FIGURES.load(name) for name in figures.FIGURES} | {
        ("line_intensity", name): LINE_FIGURES.load(name) for name in LINE_FIGURES
    }


def test_every_figure_has_its_caption():
    used = set()
    for (_, name), figure in every_figure().items():
        path = ROOT / "workflow" / "report" / figure.caption
        assert len(path.read_text(encoding="utf-8")) > 100, name
        assert path.stem == name
        used.add(path)
    own = set((ROOT / "workflow" / "report" / "line_intensity").glob("*.rst"))
    assert own <= used, "no caption is left over"


def test_every_figure_says_where_it_stands_and_what_it_reads():
    for (_, name), figure in every_figure().items():
        assert figure.reads in ("evaluation", "layers", "audit", "saliency"), name
        assert figure.chapter, name
        assert all(resource_path(table).is_file() for table in figure.tables), name
    assert set(EACH_NETWORK) <= {*figures.FIGURES, *LINE_FIGURES}


def test_figures_that_show_rows_say_so_and_others_refuse_them(evaluations):
    for name, figure in every_figure().items():
        asks = list(inspect.signature(figure.function).parameters.values())[1]
        assert figure.rows == (asks.default is inspect.Parameter.empty), name
    with pytest.raises(LimelightError, match="shown: found rows for error_bands"):
        figures.draw_figure("error_bands", evaluations[:1], [0])


def test_figures_name_the_published_tables_that_they_draw(evaluations, monkeypatch):
    """The workflow draws a figure again when one of these changes."""
    rows = {"subfield": np.arange(128), "draw": np.zeros(128, int)}
    shown = [
        dataclasses.replace(e, network=network, rows=e.rows | rows, settings=e.settings | {"training_rows": maps})
        for e in (evaluations[0], evaluations[2])
        for network, maps in (("limelight", 500), ("other", 1000))
    ]
    read = set()
    monkeypatch.setattr(published, "resource_path", lambda name: read.add(name) or resource_path(name))
    for name in (name for name in LINE_FIGURES if LINE_FIGURES.load(name).reads == "evaluation"):
        read.clear()
        published.published_table.cache_clear()
        figures.draw_figure(name, shown)
        assert read == set(LINE_FIGURES.load(name).tables), name


def test_a_probe_s_own_figure_comes_first():
    mine = figures.figures_of("line_intensity")
    assert mine.load("spread_ratio") is LINE_FIGURES.load("spread_ratio")
    assert mine.load("loss_history") is figures.FIGURES.load("loss_history")
    assert figures.figures_of("gaussian_field").load("spread_ratio") is figures.FIGURES.load("spread_ratio")


def test_naming_figures_loads_none():
    """`--help` of a script, and the rules, ask for the names alone."""
    ask = "import sys, limelight.figures, limelight.probes.line_intensity.figures; print('matplotlib' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_figures_of_evaluations_wait_for_no_slow_library():
    """A study draws dozens, each in a process of its own; torch takes longer to load than any takes to draw."""
    ask = (
        "import sys, limelight.describe, limelight.evaluation.evaluation_file\n"
        "from limelight.figures import figures_of\n"
        "found = figures_of('line_intensity')\n"
        "drawn = [found.load(n) for n in found if 'audit' not in n and 'saliency' not in n]\n"
        "print(len(drawn) > 20, [name for name in ('torch', 'scipy', 'astropy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "True []"


def test_every_caption_that_a_rule_names_is_there():
    """Snakemake itself notices only when it writes the report."""
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    named = re.findall(r'caption="\.\./report/([\w/]+\.rst)"', rules)
    assert "comparison.rst" in named
    for name in named:
        assert (ROOT / "workflow" / "report" / name).is_file(), name
