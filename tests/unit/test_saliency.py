"""The stage of saliency, its shares against known pictures, its files, figures and config."""

import copy
from dataclasses import asdict, fields

import matplotlib.table
import numpy as np
import pytest
import torch
from altered import altered
from damaged_files import edited
from torch import nn

from limelight import figures
from limelight.data.answers import answer_weights, place_of
from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header
from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.evaluation.audit import Intervention, response
from limelight.figures.style import save
from limelight.files import ROOT, provenance
from limelight.networks import build
from limelight.probe import load_probe
from limelight.saliency import shares
from limelight.saliency.answers import Explained, row_weights, scale_of
from limelight.saliency.checks import CHECKS, faults
from limelight.saliency.methods import Method, Shown
from limelight.saliency.responses import responses
from limelight.saliency.saliency_file import Saliency, in_words, read_saliency, write_saliency, write_table
from limelight.saliency.sanity import attribution
from limelight.saliency.stage import explain, shown
from limelight.study.config import resolve_study
from limelight.study.cost import costs
from limelight.study.saliency import Answer, SaliencyRun, SaliencyThresholds
from limelight.study.selection import header_of, trained_networks
from limelight.study.settings import saliency_settings
from limelight.study.yaml import read_yaml

RAW = read_yaml(ROOT / "config" / "gaussian_field.yaml")
RUN = {
    "network": "reader",
    "answers": {"slope": {"outputs": ["slope"]}, "both": {"weights": [1.0, -0.5]}},
    "maps": 6,
    "checked_maps": 3,
    "steps": 16,
    "smooth_samples": 4,
}
SQUARE = Header(
    "gaussian_field", (Axis("x", "pixel", 0, 16, 16), Axis("y", "pixel", 0, 16, 16)), ("field",), "1", {}, {}
)


def study(path: str = "mine.yaml", saliency: dict | None = None, **sections):
    raw = {**copy.deepcopy(RAW), **sections, "saliency": {"look": {**RUN, **(saliency or {})}}}
    raw["data"] = {"fields": {"pixels": 16, "fields": 12}}
    raw["networks"] = {"reader": {**RAW["networks"]["reader"], "options": {"filters": 4, "dense": 16}}}
    return resolve_study(raw, path)


def untrained(header: Header, outputs: int = 2) -> tuple[nn.Module, dict]:
    """(network, info as load_model gives it) of weights as torch begins with them."""
    torch.manual_seed(3)
    module = build("convnet", {"filters": 4, "dense": 16}, header.shape, (outputs,)).eval()
    axis = {"label": "parameter", "unit": "", "log10": False, "names": ["log10_amplitude", "slope"], "edges": []}
    target = {"outputs": "target", "shape": [outputs], "axis": axis}
    target |= {"mean": torch.zeros(outputs).double(), "std": torch.tensor([2.0, 0.5]).double()}
    return module, {
        "network": "reader",
        "header": asdict(header),
        "target": target,
        "entry": {"target": {"standardise": True}},
        "provenance": {"config_hash": "abc"},
    }


def run(found, control: bool = False) -> Saliency:
    probe, settings = load_probe(found.probe), saliency_settings(found, "look")
    rows = probe.simulate(probe.dataset_settings(found, "fields"), "fields", found.splits["test"][0])
    network = untrained(rows.header)
    other = ({**network[1], "network": "reader-permuted"},)
    return explain(*network, settings, probe, rows, (network[0], *other) if control else None)


@pytest.fixture(scope="module")
def explained():
    return run(study())


# The stage


def test_every_method_is_tried_on_every_answer_or_left_out_with_a_reason(explained):
    """The network has no ReLU: guided backprop and deconvolution are nothing for it."""
    assert list(explained.left_out) == ["guided_backprop", "deconvolution"]
    assert "no ReLU" in explained.left_out["deconvolution"]
    assert set(explained.pictures) == {(a, m) for a in ("slope", "both") for m in explained.methods}
    assert explained.stages[-1] == "convolutions.0"
    for (answer, method), one in explained.pictures.items():
        assert one.mean.shape == (1, 16, 16)
        assert one.mean.sum() == pytest.approx(1)
        assert one.examples.shape == (2, 1, 16, 16)
        assert one.tables["value"].sum() == pytest.approx(1)
        assert one.tables["wave"].sum() == pytest.approx(1)
        assert one.tables["direction"].sum() == pytest.approx(1)
        assert list(one.tried.checks) == list(CHECKS)
        assert one.tried.checks["randomised"] == one.tried.cascade[-1]
        assert np.isnan(one.tried.checks["control"])
        assert np.isfinite(one.tried.checks["completeness"]) == (method in ("integrated_gradients", "deeplift")), answer
        assert one.tried.deletion[[0, -1]] == pytest.approx([0, 1], abs=1e-6)
    assert explained.pixels_by_value.sum() == pytest.approx(1)
    gradient = explained.pictures["slope", "gradient"]
    assert "ignores the weights" not in gradient.faults
    assert "depends on where zero is" not in gradient.faults
    assert explained.pictures["slope", "deeplift"].tried.checks["completeness"] < 0.01
    assert "can be trusted" in in_words(explained)


def test_a_control_that_shows_the_same_condemns_every_method():
    found = run(study(saliency={"control": True, "methods": ["gradient"], "answers": {}}), control=True)
    one = found.pictures["all", "gradient"]
    assert one.tried.checks["control"] == pytest.approx(1)
    assert "shows the same of permuted labels" in one.faults
    assert "no method can be trusted" in in_words(found)
    assert found.control == "reader-permuted"


def test_the_gradient_is_of_the_encoded_target_with_standardisation_undone():
    """An answer of weights 1 and −½, of outputs whose standard deviations are 2 and ½."""
    module, info = untrained(SQUARE)
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    explained = Explained(module, scale_of(info))(x, torch.tensor([[1.0, -0.5]]))
    (gradient,), raw = torch.autograd.grad(explained.sum(), x), module(x)[0]
    each = [torch.autograd.grad(raw[i], x, retain_graph=True)[0] for i in range(2)]
    assert torch.allclose(gradient, 2 * each[0] - 0.25 * each[1], rtol=1e-4)


def test_the_gradient_foresees_what_a_linear_network_does_when_data_are_changed():
    """An intervention that adds a known field: the tangent of a linear network is the network."""
    found = study(saliency={"methods": ["gradient"]})
    probe, settings = load_probe(found.probe), saliency_settings(found, "look")
    rows = probe.simulate(probe.dataset_settings(found, "fields"), "fields", found.splits["test"][0])
    module, info = untrained(rows.header)
    presentation = probe.presentation(settings.evaluation.trained.network, settings.evaluation.observation, rows.header)

    def adding(question):
        more = np.ones_like(question.few.x) * np.linspace(0.5, 3, 16, dtype=np.float32)
        change = question.ask(question.few.x + more) - question.before
        return Intervention(response(change, np.full_like(change, 2.0)))

    class Changing(type(probe)):
        def interventions(self, audit_settings, presentation):
            return {"adding": adding}

    weight = torch.randn(2, 256, generator=torch.Generator().manual_seed(4))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    linear[1].weight.data = weight
    for network, same in ((linear.eval(), True), (module, False)):
        one = responses(network, info, settings, Changing(), presentation, rows)["adding"]
        assert (np.abs(one["network"] - one["gradient"]).max() < 1e-3 * np.abs(one["network"]).max()) == same
    more = torch.linspace(0.5, 3, 16).repeat(16)
    expected = (weight @ more).numpy() * [2.0, 0.5] / 2
    assert responses(linear, info, settings, Changing(), presentation, rows)["adding"]["network"] == pytest.approx(
        expected, rel=1e-4
    )


def test_a_network_that_sees_other_pixels_than_the_datas_is_refused_in_one_line():
    """A histogram of a map has no place on the sky for its shares by wave and distance."""
    found = study()
    probe, settings = load_probe(found.probe), saliency_settings(found, "look")
    rows = probe.simulate(probe.dataset_settings(found, "fields"), "fields", found.splits["test"][0])
    plain = probe.presentation(settings.evaluation.trained.network, settings.evaluation.observation, rows.header)

    class Counted(type(plain)):
        def observe(self, x, random):
            return super().observe(x, random).flatten(2)[..., :40]

        def bare(self):
            return plain.bare()

    counted = Counted(**{field.name: getattr(plain, field.name) for field in fields(plain)})
    with pytest.raises(
        LimelightError, match=r"saliency.look.network: found a network that sees 40 .* of 16 × 16"
    ) as error:
        shown(rows, counted, settings, "cpu")
    assert len(str(error.value).splitlines()) == 1


# Files and figures


def test_files_come_back_as_they_were_and_are_described(explained, tmp_path):
    path = tmp_path / "look.h5"
    write_saliency(path, explained, provenance({}, 7))
    again = read_saliency(path)
    assert again.methods == explained.methods
    for key, one in explained.pictures.items():
        other = again.pictures[key]
        assert other.faults == one.faults
        assert other.mean == pytest.approx(one.mean, rel=1e-5)
        assert other.tried.cascade == pytest.approx(one.tried.cascade)
        for name, table in one.tables.items():
            assert other.tables[name] == pytest.approx(table)
    assert (again.left_out, again.answers, again.stages) == (explained.left_out, explained.answers, explained.stages)
    assert "look" in describe(path)
    assert "gradient" in describe(path)
    write_table(tmp_path / "look.csv", explained)
    lines = (tmp_path / "look.csv").read_text().splitlines()
    assert len(lines) == 1 + len(explained.pictures) + 2
    assert "not to be had: it has no ReLU" in lines[-1]
    for figure in ("saliency_maps", "saliency_shares", "saliency_checks"):
        save(figures.draw_figure(figure, [again]), tmp_path / f"{figure}.pdf", [path])
        assert (tmp_path / f"{figure}.png").stat().st_size > 10_000


def test_a_condemned_method_is_marked_on_every_figure(explained, tmp_path):
    spoilt = copy.deepcopy(explained)
    for (_, method), one in spoilt.pictures.items():
        one.faults = ["ignores the weights"] if method == "smoothgrad" else []
    for figure, words in (("saliency_maps", "FAILS: ignores the weights"), ("saliency_shares", "SmoothGrad (FAILS)")):
        drawn = figures.draw_figure(figure, [spoilt])
        found = [text.get_text().replace("\n", " ") for text in drawn.findobj(lambda part: hasattr(part, "get_text"))]
        assert [text for text in found if words in text], figure
        assert not [text for text in found if "FAILS" in text and "weights" not in text and "Smooth" not in text], (
            figure
        )
    (table,) = figures.draw_figure("saliency_checks", [spoilt]).findobj(matplotlib.table.Table)
    cells = [cell.get_text().get_text() for cell in table.get_celld().values()]
    assert cells.count("ignores the weights") == 2
    assert cells.count("passes") == len(spoilt.pictures) - 2


@pytest.mark.parametrize(
    "name", ["inputs", "chance/deletion", "pictures/slope/gradient/tables", "pictures/both/deeplift/mean"]
)
def test_an_incomplete_file_is_refused_in_one_line(explained, tmp_path, name):
    path = tmp_path / "look.h5"
    write_saliency(path, explained, {})
    with edited(path) as file:
        del file[name]
    with pytest.raises(LimelightError) as error:
        read_saliency(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


# Images


def toy_image(answer: Answer, module: nn.Module) -> Saliency:
    """One run over a network that answers an image, without a study: its shares alone."""
    x = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    weights = row_weights(answer_weights(answer, (1, 16, 16), OutputAxis("kappa"), "here"), answer, 8, 1, "a")
    one = Method("gradient", module.eval(), None, SaliencyRun(network="toy"), x[:2])
    return shares.normalised(attribution(one.saliency(Shown(x, torch.zeros_like(x)), weights)))


def test_the_saliency_of_a_pixel_of_a_convolution_is_its_kernel_turned():
    module = nn.Conv2d(1, 1, 5, padding=2, bias=False)
    answer = Answer(pixel=[7, 9])
    found = toy_image(answer, module)[0, 0]
    kernel = module.weight.detach()[0, 0].double().square().numpy()
    assert found[5:10, 7:12] == pytest.approx(kernel / kernel.sum(), abs=1e-6)
    assert found[5:10, 7:12].sum() == pytest.approx(1)
    radius, within = shares.by_distance(found[None, None], place_of(answer))
    distance = np.hypot(*np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij"))
    for r in range(3):
        inside = np.round(distance) <= r
        assert within[r] == pytest.approx((kernel * inside).sum() / kernel.sum())
    assert radius[0] == pytest.approx(kernel[2, 2] / kernel.sum())
    expected = (kernel * distance).sum() / kernel.sum()
    radii = shares.radii(found[None, None], place_of(answer))
    assert radii["mean_radius"] == pytest.approx(expected)
    size = np.sqrt(kernel)
    assert radii["saliency_radius"] == pytest.approx((size * distance).sum() / size.sum())
    assert radii["receptive"] == pytest.approx(np.hypot(2, 2))
    ordered = np.argsort(distance, axis=None)
    enough = np.searchsorted(np.cumsum(kernel.ravel()[ordered]), 0.95 * kernel.sum())
    assert radii["reach_95"] == pytest.approx(distance.ravel()[ordered][enough])


def test_strides_leave_their_pattern_and_a_flat_network_leaves_none():
    """Random signs add up every pixel's own squared saliency; a circular convolution treats all pixels alike."""
    torch.manual_seed(1)
    flat = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False)
    strided = nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 2, 2))
    answer = Answer(signs="random")
    (even, scatter), (odd, _) = (shares.by_stride(toy_image(answer, module)) for module in (flat, strided))
    assert even.shape == odd.shape == (4, 4)
    assert (np.abs(even - 1) < 4 * scatter).all(), "a flat network's classes differ by chance alone"
    assert odd.std() > 3 * even.std()
    assert odd[:2, :2] == pytest.approx(odd[2:, 2:], rel=0.5), "the stride is 2: the pattern repeats"
    for signs, equal in (("random", True), ("same", False)):
        module = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), padding_mode="circular", bias=False)
        module.weight.data = torch.tensor([[[[0.0, 1.0, -1.0]]]])
        found = toy_image(Answer(signs=signs), module)
        assert (found.sum() > 0) == equal, "a difference of neighbours cancels in a sum of all"


# Answers and the config


@pytest.mark.parametrize(
    ("answer", "shape", "words"),
    [
        ({"outputs": [2]}, (2,), "2"),
        ({"outputs": ["sigma_8"]}, (2,), "'sigma_8'"),
        ({"outputs": [0], "weights": [1.0, 2.0]}, (2,), "2 numbers"),
        ({"pixel": [1, 1]}, (2,), "a part of an image"),
        ({"outputs": [0]}, (1, 8, 8), "channel, pixel or region"),
        ({"pixel": [1]}, (1, 8, 8), "a place of 1 axes"),
        ({"pixel": [8, 1]}, (1, 8, 8), "below 8"),
        ({"channel": 1}, (1, 8, 8), "from 0 to 0"),
        ({"region": [[3, 1], [0, 7]]}, (1, 8, 8), "first ≤ last"),
    ],
)
def test_answers_that_do_not_fit_are_refused_in_one_line(answer, shape, words):
    axis = OutputAxis("parameter", names=("omega_m", "slope"))
    with pytest.raises(LimelightError) as error:
        answer_weights(Answer.model_validate(answer), shape, axis, "saliency.look.answers.one")
    assert words in str(error.value)
    assert str(error.value).startswith("saliency.look.answers.one")


def test_answers_are_the_outputs_and_places_that_they_name():
    axis = OutputAxis("parameter", names=("omega_m", "sigma_8", "h"))

    def of(shape=(3,), **keys):
        return answer_weights(Answer.model_validate(keys), shape, axis, "here").tolist()

    assert of() == [1, 1, 1]
    assert of(outputs=["h", "omega_m"], weights=[2.0, -1.0]) == [-1, 0, 2]
    assert of(outputs="1-2") == [0, 1, 1]
    assert of((2, 2, 2), channel=1, pixel=[0, 1]) == [[[0, 0], [0, 0]], [[0, 1], [0, 0]]]
    assert of((1, 2, 3), region=[[0, 1], [1, 2]]) == [[[0, 1, 1], [0, 1, 1]]]
    assert place_of(Answer(region=[[0, 1], [1, 2]])).tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("saliency", "words"),
    [
        ({"network": "writer"}, "saliency.look.network: found 'writer'"),
        ({"test": "none"}, "saliency.look.test"),
        ({"methods": ["lrp"]}, "saliency.look.methods.0"),
        ({"answers": {"one": {"outputs": ["tilt"]}}}, "saliency.look.answers.one.outputs"),
        ({"answers": {"one": {"pixel": [1, 2]}}}, "saliency.look.answers.one"),
        ({"maps": 1}, "saliency.look.maps"),
        ({"baselin": "mean"}, "unknown key 'baselin'"),
    ],
)
def test_faults_of_the_config_are_lines(saliency, words):
    with pytest.raises(LimelightError) as error:
        study(saliency=saliency)
    assert words.partition(": found")[0] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_figures_of_runs_are_nothing_for_networks_and_comparisons():
    for sections in (
        {"figures": {"each_network": ["saliency_maps"]}},
        {"comparisons": {"a": {"figure": "saliency_maps"}}},
    ):
        with pytest.raises(LimelightError, match="found 'saliency_maps'"):
            figures.check_figures(study(**sections))


def test_a_single_run_needs_no_name():
    raw = {**copy.deepcopy(RAW), "saliency": {"network": "reader", "maps": 6}}
    found = resolve_study(raw, "mine.yaml")
    assert list(found.saliency) == ["reader"]
    assert found.saliency["reader"].maps == 6
    with pytest.raises(LimelightError, match="saliency.writer.network: found 'writer'"):
        resolve_study({**raw, "saliency": {"network": "writer"}}, "mine.yaml")


def test_runs_are_compared_by_the_figures_of_several_runs_alone():
    """Strides and reach are drawn of runs; other figures are not, and runs stand without networks and tests."""
    figures.check_figures(study(comparisons={"a": {"figure": "saliency_strides", "runs": ["look"]}}))
    for comparison, words in (
        ({"figure": "reconstruction", "runs": ["look"]}, "one of saliency_strides, saliency_reach"),
        ({"figure": "saliency_reach"}, "found 'saliency_reach'"),
    ):
        with pytest.raises(LimelightError, match=words):
            figures.check_figures(study(comparisons={"a": comparison}))
    for comparison, words in (
        ({"figure": "saliency_reach", "runs": ["glance"]}, "comparisons.a.runs: found 'glance'"),
        ({"figure": "saliency_reach", "runs": ["look"], "networks": ["reader"]}, "runs beside networks"),
    ):
        with pytest.raises(LimelightError, match=words):
            study(comparisons={"a": comparison})


def test_a_control_is_trained_for_saliency_and_costs_are_known():
    plain, controlled = study(), study(saliency={"control": True})
    assert list(trained_networks(plain)) == ["reader"]
    assert list(trained_networks(controlled)) == ["reader", "reader-permuted"]
    assert saliency_settings(controlled, "look").control.network.training.permute_labels
    (row,) = costs(plain, {"saliency": 1})
    assert row["minutes"] > 0
    assert header_of(plain, "fields").shape == (1, 16, 16)


def test_limits_decide_and_missing_checks_do_not():
    fine = dict.fromkeys(CHECKS, np.nan) | {"randomised": 0.1, "shift": 0.9}
    limits = SaliencyThresholds()
    assert faults(fine, limits) == []
    for change, words in (
        ({"randomised": 0.35}, "ignores the weights"),
        ({"control": 0.5}, "shows the same of permuted labels"),
        ({"completeness": 0.2}, "is not complete"),
        ({"shift": 0.4}, "depends on where zero is"),
        ({"deletion_gain": 0.9, "insertion_gain": 0.8}, "no better than a random order"),
    ):
        assert faults(fine | change, limits) == [words]
    assert faults(fine | {"deletion_gain": 0.9, "insertion_gain": 1.3}, limits) == []
    assert faults(fine | {"randomised": 0.35}, altered(limits, {"randomised": 0.5})) == []
