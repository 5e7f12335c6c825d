"""Model files: what is written depends on values alone, and what is damaged, foreign or hostile is refused."""

import io
import os
import pickle
from pathlib import Path

import pytest
import torch
from damaged_files import spoil
from training_toys import BINS, GRID, HEADER, PROBE, SHAPE, settings, toys

from limelight.data.axes import axis_from
from limelight.data.shard import header_from
from limelight.errors import LimelightError
from limelight.training.checkpoint import load_model, load_torch, save_model
from limelight.training.loop import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    content, _ = train(settings(epochs=1), PROBE, toys(8), toys(4, 1), folder / "checkpoints")
    save_model(folder / "model.pt", content, {"seed": 7})
    return content, (folder / "model.pt").read_bytes()


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    return path


def altered(tmp_path: Path, trained, change) -> Path:
    """A well-formed model file whose content was changed."""
    path = write(tmp_path, trained[1])
    content = load_torch(path, "network")
    change(content)
    torch.save(content, path)
    return path


def test_load_model_gives_back_network_and_all_it_needs(tmp_path, trained):
    module, info = load_model(write(tmp_path, trained[1]))
    assert not module.training
    for key, value in module.state_dict().items():
        assert torch.equal(value, trained[0]["state_dict"][key])
    assert module(torch.zeros(2, *SHAPE)).shape == (2, *BINS)
    assert info["probe"] == PROBE.name
    assert header_from(info["header"]) == HEADER
    assert info["header"]["geometry"]["size_deg"] == GRID.size_deg
    target = info["target"]
    assert (target["shape"], target["outputs"]) == (list(BINS), "target")
    assert target["mean"].shape == target["std"].shape == BINS
    assert len(axis_from(target["axis"]).centers) == BINS[0]
    assert info["label_statistics"]["percentiles"].shape == (5, *BINS)
    assert info["provenance"] == {"seed": 7}
    assert info["observation"]["noise"]["none"]["sigma_uk"] == 0
    assert PROBE.network(info["entry"]) == settings(epochs=1).network


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-was-here",)


def test_pickles_with_code_are_refused_unrun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, zipped = tmp_path / "plain.pt", tmp_path / "zipped.pt"
    plain.write_bytes(pickle.dumps(Hostile()))
    torch.save({"limelight_kind": "network", "limelight_format": 1, "state_dict": Hostile()}, zipped)
    for path in (plain, zipped):
        with pytest.raises(LimelightError) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
    assert "could run code" in str(caught.value)
    assert not (tmp_path / "hostile-was-here").exists()


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "missing tail"])
def test_damaged_model_files_are_refused(tmp_path, trained, damage):
    path = write(tmp_path, trained[1])
    spoil(path, damage)
    with pytest.raises(LimelightError, match="model.pt: found a truncated or foreign file"):
        load_model(path)


def test_a_flipped_weight_is_noticed(tmp_path, trained):
    weights = trained[0]["state_dict"]["dense.weight"].contiguous().numpy().tobytes()[:64]
    data = bytearray(trained[1])
    data[data.index(weights) + 5] ^= 1
    with pytest.raises(LimelightError, match="damaged data in"):
        load_model(write(tmp_path, bytes(data)))


def _nan(content):
    content["state_dict"]["output.bias"][0] = float("nan")


def _other_shape(content):
    content["options"] = {"filters": 8}


def _lacks_weight(content):
    del content["state_dict"]["output.bias"]


def _not_tensors(content):
    content["state_dict"] = {"output.bias": 3}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("target"), "no target"),
        (lambda c: c.update(limelight_kind="checkpoint"), "kind 'checkpoint'"),
        (lambda c: c.update(limelight_format=99), "format 99"),
        (lambda c: c.update(architecture="transformer"), "'transformer'"),
        (lambda c: c.update(options={"filter": 4}), "'filter'"),
        (lambda c: c["target"].update(shape=[7]), "target.mean: found"),
        (lambda c: c["header"]["axes"][0].pop("n"), "weights that do not fit"),
        (lambda c: c.update(header=7), "header: found a int"),
        (_other_shape, "weights that do not fit"),
        (_lacks_weight, "weights that do not fit"),
        (_not_tensors, "weights that do not fit"),
        (_nan, "NaN or infinite weights"),
    ],
)
def test_model_files_with_wrong_content_are_refused(tmp_path, trained, change, says):
    with pytest.raises(LimelightError, match=says) as caught:
        load_model(altered(tmp_path, trained, change))
    assert "model.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_torch_files_and_missing_ones_are_refused(tmp_path):
    with pytest.raises(LimelightError, match="no such file"):
        load_model(tmp_path / "none.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(LimelightError, match="kind None"):
        load_model(tmp_path / "tensor.pt")
    buffer = io.BytesIO()
    torch.save({"a": 1}, buffer, _use_new_zipfile_serialization=False)
    (tmp_path / "old.pt").write_bytes(buffer.getvalue())
    with pytest.raises(LimelightError, match="foreign"):
        load_model(tmp_path / "old.pt")


def test_the_bytes_depend_on_values_alone(tmp_path):
    weights = torch.arange(24.0).reshape(2, 3, 4)
    view = torch.arange(48.0).reshape(2, 2, 3, 4)[0].clone(memory_format=torch.preserve_format).transpose(0, 1)
    name = "".join(["na", "me"])
    save_model(tmp_path / "a.pt", {"name": "name", "w": weights, "x": ("name", 1.5)}, {"name": 1})
    save_model(tmp_path / "b.pt", {name: "".join(["na", "me"]), "w": weights.clone(), "x": ["name", 1.5]}, {name: 1})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    save_model(tmp_path / "c.pt", {"w": view}, {})
    save_model(tmp_path / "d.pt", {"w": view.contiguous()}, {})
    assert (tmp_path / "c.pt").read_bytes() == (tmp_path / "d.pt").read_bytes()
