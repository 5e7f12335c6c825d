"""Every file says what made it: figures too, read back from PDF and PNG."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from limelight import __version__
from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.figures.style import save
from limelight.files import git_commit, library_versions, provenance, settings_hash, write_hdf5
from limelight.training.checkpoint import save_model


def drawn() -> Figure:
    figure = Figure()
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_figures_carry_what_made_them(tmp_path):
    sources = []
    for seed, width in ((7, 1), (7, 2), (8, 2)):
        sources.append(tmp_path / f"{seed}-{width}.h5")
        with write_hdf5(sources[-1], "thing", provenance({"width": width}, seed)) as file:
            file["a"] = np.ones(3)
    save(drawn(), tmp_path / "f.pdf", sources)
    hashes = f"config_hash: {settings_hash({'width': 1})}, {settings_hash({'width': 2})}"
    for name in ("f.pdf", "f.png"):
        lines = [line.strip() for line in describe(tmp_path / name).splitlines()]
        expected = [
            f"limelight_version: {__version__}",
            f"git_commit: {git_commit()}",
            f"libraries: {library_versions()}",
        ]
        assert lines[1:] == [*expected, hashes, "seed: 7, 8"]
    before = (tmp_path / "f.pdf").read_bytes() + (tmp_path / "f.png").read_bytes()
    save(drawn(), tmp_path / "f.pdf", sources)
    assert (tmp_path / "f.pdf").read_bytes() + (tmp_path / "f.png").read_bytes() == before


@pytest.mark.parametrize("name", ["f.pdf", "f.png"])
@pytest.mark.parametrize("content", ["drawn elsewhere", "text"])
def test_figures_of_others_are_refused(tmp_path, name, content):
    if content == "text":
        (tmp_path / name).write_text("not a figure")
    else:
        drawn().savefig(tmp_path / name)
    with pytest.raises(LimelightError, match=f"{name}: found a figure that limelight did not draw") as caught:
        describe(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_archives_that_are_no_network_are_foreign(tmp_path):
    """A light-cone exported for other codes is a zip file, as torch's are."""
    np.savez(tmp_path / "cone.npz", x=np.ones(3))
    with pytest.raises(LimelightError, match=r"cone.npz: found a file that limelight did not write"):
        describe(tmp_path / "cone.npz")


def test_a_history_says_what_its_network_says(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,step\n1,10\n")
    assert "config_hash" not in describe(tmp_path / "history.csv")
    save_model(tmp_path / "model.pt", {}, provenance({"a": 1}, 7))
    text = describe(tmp_path / "history.csv")
    assert "1 epochs" in text
    assert f"config_hash: {settings_hash({'a': 1})}" in text
