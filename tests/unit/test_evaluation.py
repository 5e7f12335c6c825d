"""Evaluation of networks whose answers are known beforehand, and the evaluation file."""

import dataclasses

import numpy as np
import pytest
import torch
from damaged_files import edited
from judging_toys import judging
from training_toys import PROBE, settings

from limelight.data.shard import Rows
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import GROUPS, MADE_BY, read_evaluation, read_history, write_evaluation
from limelight.evaluation.predict import check_geometry, observed
from limelight.evaluation.predict import evaluate as evaluate_by
from limelight.files import provenance
from limelight.probes.line_intensity.labels import EXTENSION_BINS, QUANTITIES, quantity
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.shards import line_header
from limelight.probes.line_intensity.targets import LuminosityTarget

BINS = 6
LABELS = {"log10_lum_min": 4.0, "log10_lum_max": 7.0, "bins": BINS}
EDGES = np.linspace(4, 7, BINS + 1)
GRID = Grid(1.0, 8, 4, 26.0, 34.0, 115.27, "uK", 2, 2)
HEADER = line_header(GRID, 0.0, LABELS, {})


class Oracle(torch.nn.Module):
    """Reads log10(1 + N) of bin i off pixel (i, 0, 0): the tests write it there. `gain` scales what it says."""

    def __init__(self, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.gain, self.offset, self.seen = gain, offset, []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen.append(inputs.clone())
        return self.gain * inputs[:, 0].flatten(1)[:, :BINS] + self.offset


def evaluate(module: torch.nn.Module, info: dict, how, data: Rows, history: dict):
    return evaluate_by(module, info, how, PROBE, data, history)


def study(sigma_uk: float | list[float] = 0.0, transform: str = "none", quantity_name: str = "dn"):
    """(info, settings, data, history) of a test of 50 maps whose voxels hold the answer."""
    rng = np.random.default_rng(0)
    dn = rng.poisson(np.geomspace(1000, 0.5, BINS) * rng.lognormal(0, 0.3, (50, 1)))
    n_above = np.c_[np.cumsum(dn[:, ::-1], axis=1)[:, ::-1], np.zeros((50, 1 + EXTENSION_BINS), int)]
    x = np.zeros((50, 1, 4, 4, 2), np.float32)
    x.reshape(50, -1)[:, :BINS] = np.log10(1 + dn)
    target = torch.as_tensor(np.log10(1 + dn))
    entry = {
        "line_models": ["li10"],
        "preprocessing": {"transform": transform, "scale_uk": 1.0},
        "target": {"quantity": quantity_name, "transform": "log10_1p"},
    }
    trained = settings(network=entry)
    trained = dataclasses.replace(trained, seed=11, splits={"train": [0, 1, 2], "validation": [3]})
    info = {
        "network": "oracle",
        "probe": "line_intensity",
        "header": dataclasses.asdict(HEADER),
        "entry": {"target": {**entry["target"], "standardise": True}},
        "target": {
            "shape": [BINS],
            "outputs": "target",
            "mean": torch.zeros(BINS, dtype=torch.float64),
            "std": torch.ones(BINS, dtype=torch.float64),
        },
        "label_statistics": {
            "mean": torch.as_tensor(dn.mean(axis=0)),
            "mean_target": target.mean(dim=0),
            "percentiles": torch.zeros(5, BINS),
        },
    }
    data = Rows(
        header=HEADER,
        x=x,
        y={"n_above": n_above, "volume_mpc3": np.linspace(1e6, 2e6, 50)},
        theta=np.zeros((50, 1)),
        parameter_names=["alpha"],
        group=np.repeat([9, 10], 25),
        dataset=np.repeat("li10", 50),
        rows={"subfield": np.arange(50), "draw": np.zeros(50, int), "center_deg": np.zeros((50, 2))},
        examples={"fine": np.zeros((2, 8, 8), np.float32)},
    )
    how = judging(trained, {"sigma_uk": sigma_uk}, header=HEADER, dataset="li10")
    return info, how, data, {"epoch": np.array([1.0]), "train_loss": np.array([0.5])}


def presentation_of(how):
    return PROBE.presentation(how.trained.network, how.observation, HEADER)


def test_a_network_that_knows_the_answer_has_no_error():
    info, settings, data, history = study()
    result = evaluate(Oracle(), info, settings, data, history)
    assert result.predicted == pytest.approx(result.truth, abs=1e-3)
    assert result.truth == pytest.approx(-np.diff(data.y["n_above"][:, : BINS + 1], axis=1))
    assert result.totals["mse_dex"] < 1e-12
    assert result.totals["gain_dex"] > 1e6
    assert result.statistics["spread_ratio"] == pytest.approx(np.ones(BINS), abs=1e-5)
    assert result.statistics["n_used"].tolist() == (result.truth > 0).sum(axis=0).tolist()
    assert result.statistics["n_used"][-1] < 50
    assert np.allclose(result.blank["clean"], 0)
    assert result.settings["noise_sigma_uk"] == 0


def test_a_network_that_ignores_the_map_has_no_spread_and_gains_nothing():
    info, settings, data, history = study()
    info["target"]["mean"] = info["label_statistics"]["mean_target"]
    result = evaluate(Oracle(gain=0.0), info, settings, data, history)
    assert result.statistics["spread_ratio"] == pytest.approx(np.zeros(BINS))
    assert result.totals["gain_target"] == pytest.approx(1)
    assert result.totals["gain_dex"] == pytest.approx(1)
    expected = 10 ** info["label_statistics"]["mean_target"].numpy() - 1
    assert result.blank["clean"] == pytest.approx(expected)  # an empty map gives the memorised answer


@pytest.mark.parametrize("name", ["phi", "l_phi"])
def test_a_network_that_knows_the_density_has_no_error(name):
    """The oracle reads log10(1 + N); log10(one source + phi) is that plus the logarithm of one source."""
    info, settings, data, history = study(quantity_name=name)
    data.y["volume_mpc3"][:] = 1e6
    one = quantity(np.arange(BINS, -1, -1), EDGES, 1e6, name)
    info["target"]["mean"] = torch.as_tensor(np.log10(one))
    info["label_statistics"]["mean_target"] += torch.as_tensor(np.log10(one))
    result = evaluate(Oracle(), info, settings, data, history)
    assert result.predicted == pytest.approx(result.truth, rel=1e-4, abs=1e-4 * one.min())
    assert result.totals["mse_dex"] < 1e-9
    assert result.totals["gain_dex"] > 1e4


def test_standardisation_is_undone():
    info, settings, data, history = study()
    info["target"]["mean"], info["target"]["std"] = torch.full((BINS,), 2.0), torch.full((BINS,), 0.5)
    halves = Oracle(gain=2.0, offset=-4.0)  # (t - 2) / 0.5
    assert evaluate(halves, info, settings, data, history).predicted == pytest.approx(
        evaluate(Oracle(), *study()[:1], settings, data, history).predicted, rel=1e-5
    )


def test_noise_has_the_pooled_sigma_and_hangs_on_the_map_not_on_the_batch():
    info, settings, data, history = study(sigma_uk=3.0)
    oracle = Oracle()
    evaluate(oracle, info, settings, data, history)
    noisy = torch.cat(oracle.seen)[:50].numpy() - data.x
    assert noisy.std() == pytest.approx(3 * np.sqrt(8), rel=0.05)  # 2 x 2 x 2 voxels a block
    assert abs(noisy.mean()) < 4 * 3 * np.sqrt(8 / noisy.size)
    assert not np.allclose(noisy[0], noisy[1])
    how = presentation_of(settings)
    alone = next(observed(data.x[:3], how, 11, "noise of test t"))
    assert torch.equal(alone, torch.cat(oracle.seen)[:3])
    other = next(observed(data.x[:3], how, 11, "noise of test u"))
    assert not torch.equal(other, alone)


def test_random_noise_strength_differs_from_map_to_map():
    info, settings, data, history = study(sigma_uk=[1.0, 100.0])
    data.x[:] = 0
    quiet = Oracle(gain=1e-3)
    how = presentation_of(settings)
    spread = torch.cat(list(observed(data.x, how, 11, "s"))).flatten(1).std(dim=1).numpy() / np.sqrt(8)
    assert spread.min() < 20 < 80 < spread.max()
    assert evaluate(quiet, info, settings, data, history).settings["noise_sigma_uk"] == [1.0, 100.0]


@pytest.mark.parametrize("name", QUANTITIES)
def test_sources_undo_the_quantity(name):
    n_above = np.array([[100, 40, 10, 3, 1, 1, 0], [7, 7, 0, 0, 0, 0, 0]])
    y = {"n_above": n_above, "volume_mpc3": np.array([1e6, 3e6])}
    found = LuminosityTarget(name, "log10_1p", tuple(EDGES)).sources(
        quantity(n_above, EDGES, y["volume_mpc3"], name), y
    )
    expected = n_above[:, :-1] if name == "n_above" else n_above[:, :-1] - n_above[:, 1:]
    assert found == pytest.approx(expected)


def test_predictions_below_nothing_are_nothing():
    target = LuminosityTarget("dn", "log10_1p", (4.0, 5.0, 6.0, 7.0))
    found = target.decode(np.array([[-0.3, 0.0, 1.0]]), {"volume_mpc3": np.array([1e6])})
    assert found[0] == pytest.approx([0, 0, 9])


def test_evaluation_file_gives_back_what_was_written(tmp_path):
    result = evaluate(Oracle(), *study(sigma_uk=2.0))
    write_evaluation(tmp_path / "e.h5", result, provenance({"a": 1}, 11))
    back = read_evaluation(tmp_path / "e.h5")
    made = provenance({"a": 1}, 11)
    assert back.made_by == {name: str(made[name]) for name in MADE_BY}
    result.made_by = back.made_by
    for field in dataclasses.fields(result):
        was, found = getattr(result, field.name), getattr(back, field.name)
        if field.name in GROUPS:
            assert list(was) == list(found)
            assert all(np.array_equal(found[key], was[key], equal_nan=True) for key in was)
        else:
            assert np.all(was == found), field.name
    write_evaluation(tmp_path / "again.h5", evaluate(Oracle(), *study(sigma_uk=2.0)), provenance({"a": 1}, 11))
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "e.h5").read_bytes()


def spoil(path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
        return
    with edited(path) as file:
        if how == "NaN":
            file["predicted"][3, 2] = np.nan
        elif how == "ragged":
            del file["truth"]
            file["truth"] = np.zeros((4, BINS))
        elif how == "lacking":
            del file["statistics"]
        elif how == "lacking a column":
            del file["rows/group"]
        elif how == "kind":
            file.attrs["limelight_kind"] = "maps"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("truncated", "cut short"),
        ("NaN", "NaN"),
        ("ragged", "shapes"),
        ("lacking", "statistics"),
        ("lacking a column", "group in group 'rows'"),
        ("kind", "kind 'maps'"),
    ],
)
def test_bad_evaluation_files_are_refused_in_one_line(how, says, tmp_path):
    path = tmp_path / "e.h5"
    write_evaluation(path, evaluate(Oracle(), *study()), provenance({}, 0))
    spoil(path, how)
    with pytest.raises(LimelightError, match=says) as error:
        read_evaluation(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"), [("pixels", 16), ("freq_min_ghz", 27.0), ("unit", "Jy/sr"), ("beam_fwhm_arcmin", 4.0)]
)
def test_maps_of_another_geometry_are_refused(key, value):
    info, settings, data, history = study()
    ours = HEADER.geometry
    data.header = dataclasses.replace(HEADER, geometry={**ours, key: value})
    with pytest.raises(LimelightError, match=key):
        evaluate(Oracle(), info, settings, data, history)
    check_geometry(ours | {"size_deg": 1.0 + 1e-9}, ours, "rounding is forgiven")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"unit": "K"}, "unit K"),
        ({"channels": ("another",)}, "another"),
        ({"axes": HEADER.axes[::-1]}, "axes"),
        ({"axes": (*HEADER.axes[:2], dataclasses.replace(HEADER.axes[2], unit="MHz"))}, "axis frequency: unit.* MHz"),
    ],
)
def test_data_of_another_unit_channel_or_axis_are_refused(change, says):
    info, settings, data, history = study()
    data.header = dataclasses.replace(HEADER, **change)
    with pytest.raises(LimelightError, match=says):
        evaluate(Oracle(), info, settings, data, history)


def test_maps_that_training_saw_and_other_bins_are_refused():
    info, settings, data, history = study()
    data.group[30:] = 2
    with pytest.raises(LimelightError, match=r"realisations \[2\]"):
        evaluate(Oracle(), info, settings, data, history)
    info, settings, data, history = study()
    data.header = dataclasses.replace(HEADER, truths={"labels": {**LABELS, "log10_lum_min": 4.1}})
    with pytest.raises(LimelightError, match="log10_lum_min"):
        evaluate(Oracle(), info, settings, data, history)


def test_maps_of_another_line_model_or_split_are_refused():
    info, settings, data, history = study()
    data.dataset = np.repeat("breysse", 50)
    with pytest.raises(LimelightError, match="breysse; expected li10"):
        evaluate(Oracle(), info, settings, data, history)
    info, settings, data, history = study()
    data.group[:] = 3
    with pytest.raises(LimelightError, match="test realisations"):
        evaluate(Oracle(), info, settings, data, history)


def test_noise_on_a_network_that_cannot_read_negative_values_is_refused():
    with pytest.raises(LimelightError, match="log10_offset"):
        evaluate(Oracle(), *study(sigma_uk=1.0, transform="log10_offset"))


def test_a_network_gone_wild_is_refused():
    with pytest.raises(LimelightError, match="not finite"):
        evaluate(Oracle(gain=float("nan")), *study())


def test_history_is_read_or_refused(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,train_loss\n1,0.5\n2,0.25\n")
    found = read_history(path)
    assert found["train_loss"].tolist() == [0.5, 0.25]
    for text in ("", "epoch,train_loss\n", "epoch,train_loss\n1,much\n", "epoch,a\n1\n", "time,a\n1,2\n"):
        path.write_text(text)
        with pytest.raises(LimelightError, match="history"):
            read_history(path)
