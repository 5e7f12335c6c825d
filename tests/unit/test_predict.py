"""A trained network on a user's own cube, and files describing themselves."""

import csv
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits
from map_files import GRID as MAPS_GRID
from map_files import make_files

from limelight.data.shard import open_shard
from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.files import provenance, write_csv, write_hdf5
from limelight.networks import build
from limelight.probes.line_intensity.answer import Options, predict
from limelight.probes.line_intensity.apply import (
    bins_outside_training,
    luminosity_function,
    prepare_cube,
    trained,
)
from limelight.probes.line_intensity.columns import COLUMNS
from limelight.probes.line_intensity.maps.cube import cube_of
from limelight.probes.line_intensity.maps.fits import read_cube, wcs_header
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.instrument import load_instrument
from limelight.probes.line_intensity.shards import line_header
from limelight.summaries.inputs import input_statistics, ranges
from limelight.training.checkpoint import load_model, save_model

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid(1.4, 32, 8, 26.0, 34.0, 115.27, "uK", 2, 2)
EDGES = np.linspace(4, 7, 7)
LABELS = {"log10_lum_min": 4.0, "log10_lum_max": 7.0, "bins": 6}
COSMOLOGY = {"omega_m": 0.286, "omega_b": 0.047, "h": 0.7, "ns": 0.96, "sigma8": 0.82}


def model_content(
    beam: float = 0.0, transform: str = "asinh", quantity: str = "dn", cosmology: dict = COSMOLOGY
) -> dict:
    """What a model file of an untrained but sound network holds."""
    torch.manual_seed(0)
    header = line_header(GRID, beam, LABELS, cosmology)
    module = build("limelight", {"filters": 4}, header.shape, (6,))
    target = {"quantity": quantity, "transform": "log10_1p", "standardise": True}
    return {
        "probe": "line_intensity",
        "network": "mine",
        "architecture": "limelight",
        "options": {"filters": 4},
        "header": asdict(header),
        "entry": {
            "architecture": "limelight",
            "options": {"filters": 4},
            "line_models": ["li10"],
            "preprocessing": {"transform": transform, "scale_uk": 3.0},
            "target": target,
        },
        "observation": {"noise": {"none": {"sigma_uk": 0}}},
        "state_dict": module.state_dict(),
        "target": {
            "shape": [6],
            "outputs": "target",
            "mean": torch.linspace(3, 0.5, 6, dtype=torch.float64),
            "std": torch.full((6,), 0.1, dtype=torch.float64),
        },
        "label_statistics": {
            "mean_target": torch.linspace(3, 0.5, 6, dtype=torch.float64),
            "percentiles": torch.tensor([[0.0], [1], [2], [3], [1e9]]).repeat(1, 6),
        },
    }


@pytest.fixture
def model(tmp_path) -> Path:
    save_model(tmp_path / "model.pt", model_content(), provenance({}, 1))
    return tmp_path / "model.pt"


@pytest.fixture
def cube() -> np.ndarray:
    return np.random.default_rng(5).lognormal(0, 2, GRID.shape).astype(np.float32)


def write_fits(path: Path, cube: np.ndarray, pooled: bool = False, **changes) -> Path:
    header = wcs_header(GRID, np.zeros(2), pooled)
    header.update(changes)
    fits.PrimaryHDU(np.ascontiguousarray(cube.T), header).writeto(path)
    return path


def block_sums(cube: np.ndarray) -> np.ndarray:
    return sum(cube[i::2, j::2, k::2].astype(np.float64) for i in (0, 1) for j in (0, 1) for k in (0, 1))


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


class Says(torch.nn.Module):
    """Answers the same standardised numbers to everything."""

    def __init__(self, answer: list[float]) -> None:
        super().__init__()
        self.answer = torch.tensor([answer])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.answer


def info_of(**changes) -> dict:
    info = model_content(**changes)
    info["target"]["mean"], info["target"]["std"] = torch.zeros(6), torch.ones(6)
    return info


def test_volume_is_that_of_astropy():
    near, far = 115.27 / 34 - 1, 115.27 / 26 - 1
    volume = FlatLambdaCDM(70, 0.286, Tcmb0=0).comoving_volume
    half = np.radians(0.7)
    solid_angle = 4 * np.arctan(half * half / np.sqrt(1 + 2 * half**2))
    expected = (volume(far) - volume(near)).value * solid_angle / (4 * np.pi)
    assert trained(info_of()).volume_mpc3 == pytest.approx(expected, rel=1e-5)
    adopted = COSMOLOGY | {"omega_m": 0.3089, "h": 0.6774}  # of foreign halos, not of the study's config
    volume = FlatLambdaCDM(67.74, 0.3089, Tcmb0=0).comoving_volume
    expected = (volume(far) - volume(near)).value * solid_angle / (4 * np.pi)
    assert trained(info_of(cosmology=adopted)).volume_mpc3 == pytest.approx(expected, rel=1e-5)


def test_columns_follow_from_counts_by_hand():
    counts = np.array([1000.0, 300, 100, 20, 5, 0])
    table = luminosity_function(Says(list(np.log10(1 + counts))), info_of(), np.zeros(GRID.pooled_shape))
    assert list(table) == list(COLUMNS)
    assert table["dn"] == pytest.approx(counts, rel=1e-5, abs=1e-6)
    assert table["n_above"] == pytest.approx([1425, 425, 125, 25, 5, 0], rel=1e-5, abs=1e-5)
    width = 10 ** EDGES[1:] - 10 ** EDGES[:-1]
    assert table["phi"] == pytest.approx(counts / width / table["volume_mpc3"][0], rel=1e-5, abs=1e-20)
    assert table["l_phi"] == pytest.approx(table["phi"] * 10 ** ((EDGES[1:] + EDGES[:-1]) / 2), rel=1e-9)
    assert np.allclose(table["luminosity_lsun"], 10 ** (EDGES[:-1] + 0.25))


def test_counts_above_give_all_but_the_last_bin(tmp_path):
    above = np.array([1425.0, 425, 125, 25, 5, 2])
    info = info_of(quantity="n_above")
    table = luminosity_function(Says(list(np.log10(1 + above))), info, np.zeros(GRID.pooled_shape))
    assert table["n_above"] == pytest.approx(above, rel=1e-5)
    assert table["dn"][:-1] == pytest.approx([1000, 300, 100, 20, 3], rel=1e-4)
    assert np.isnan(table["dn"][-1])
    assert np.isfinite(table["phi"][:-1]).all()
    write_csv(tmp_path / "lf.csv", table, digits=8)
    last = read_csv(tmp_path / "lf.csv")[-1]
    assert last["dn"] == ""
    assert float(last["n_above"]) == pytest.approx(2, rel=1e-4)


def test_a_fine_cube_is_summed_and_a_pooled_one_taken_as_it_is(cube, tmp_path):
    info = info_of()
    fine = prepare_cube(read_cube(write_fits(tmp_path / "fine.fits", cube)), info, "fine")[0]
    assert fine == pytest.approx(block_sums(cube), rel=1e-5)
    pooled = prepare_cube(read_cube(write_fits(tmp_path / "p.fits", fine, pooled=True)), info, "pooled")[0]
    assert np.array_equal(pooled, fine)


def test_a_beam_is_applied_to_simulated_maps_that_have_none(tmp_path):
    info = info_of(beam=8.0)
    point = np.zeros(GRID.shape, np.float32)
    point[16, 16, 3] = 100
    bare = write_fits(tmp_path / "bare.fits", point, LLBEAM=0.0)
    smoothed = prepare_cube(read_cube(bare), info, "bare")[0]
    assert smoothed.sum() == pytest.approx(100, rel=1e-3)
    assert smoothed.max() < 50
    measured = write_fits(tmp_path / "measured.fits", point)  # says nothing of its beam: it has its own
    assert prepare_cube(read_cube(measured), info, "measured")[0].max() == 100


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"CDELT1": 0.05, "CDELT2": 0.05}, "size_deg"),
        ({"CRVAL3": 31e9}, "freq_min_ghz"),
        ({"CDELT3": 2e9}, "freq"),
        ({"RESTFRQ": 230.538e9}, "rest_freq_ghz"),
        ({"BUNIT": "Jy/sr"}, "unit"),
        ({"BUNIT": "erg"}, "BUNIT"),
        ({"CTYPE3": "VRAD", "CUNIT3": "m/s"}, "VRAD"),
        ({"LLBEAM": 4.0}, "beam_fwhm_arcmin"),
    ],
)
def test_cubes_of_another_kind_are_refused_in_one_line(changes, says, cube, tmp_path):
    path = write_fits(tmp_path / "cube.fits", cube, **changes)
    with pytest.raises(LimelightError, match=says) as error:
        prepare_cube(read_cube(path), info_of(), path)
    assert "\n" not in str(error.value)


def test_other_shapes_nan_and_negative_values_are_refused(cube, tmp_path):
    path = write_fits(tmp_path / "few.fits", cube[:, :, :6])
    with pytest.raises(LimelightError, match="channels"):
        prepare_cube(read_cube(path), info_of(), path)
    with pytest.raises(LimelightError, match="negative values"):
        prepare_cube(read_cube(write_fits(tmp_path / "c.fits", -cube)), info_of(transform="log10_offset"), "c")
    cube[3, 3, 3] = np.nan
    path = write_fits(tmp_path / "nan.fits", cube)
    with pytest.raises(LimelightError, match="1 of 8192 voxels missing"):
        prepare_cube(read_cube(path), info_of(), path)


def test_predictions_beyond_the_training_maps_are_counted():
    info = info_of()
    info["label_statistics"]["percentiles"] = torch.tensor([[10.0], [11], [12], [13], [14]]).repeat(1, 6)
    table = luminosity_function(
        Says(list(np.log10(1 + np.array([9.0, 12, 12, 15, 12, 10.5])))), info, np.zeros(GRID.pooled_shape)
    )
    assert bins_outside_training(table, info) == 2


def test_a_model_file_of_no_luminosity_function_is_refused():
    info = info_of(quantity="line_model")
    with pytest.raises(LimelightError, match="answers the line model; expected one that answers a luminosity function"):
        luminosity_function(Says([0.0]), info, np.zeros(GRID.pooled_shape))
    with pytest.raises(LimelightError, match="one of the probe gaussian_field"):
        prepare_cube(cube_of(np.zeros(GRID.pooled_shape), GRID, 0.0), {**info_of(), "probe": "gaussian_field"}, "cube")


def test_an_answer_that_is_not_finite_is_refused():
    with pytest.raises(LimelightError, match="check the cube's unit and values"):
        luminosity_function(Says([np.nan] * 6), info_of(), np.zeros(GRID.pooled_shape))


def test_a_shard_and_a_maps_file_are_cubes_too(tmp_path):
    maps, shard = make_files(tmp_path, beam=4.0)
    header = line_header(MAPS_GRID, 4.0, LABELS, COSMOLOGY)
    info = {**info_of(), "header": asdict(header)}
    pooled = prepare_cube(read_cube(shard, 1), info, shard)[0]
    with open_shard(shard) as file:
        np.testing.assert_array_equal(pooled, file["x"][1, 0])
    np.testing.assert_allclose(prepare_cube(read_cube(maps, 1), info, maps)[0], pooled, rtol=1e-4, atol=1e-5)


def run(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def test_the_script_by_hand(model, cube, tmp_path):
    path = write_fits(tmp_path / "my.fits", cube)
    done = run("predict.py", "--network", model, "--cube", path, "--output", tmp_path / "out" / "lf.csv")
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "out" / "lf.csv")
    assert list(rows[0]) == list(COLUMNS)
    module, info = load_model(model)
    with torch.no_grad():
        answer = module(torch.asinh(torch.as_tensor(block_sums(cube)).float() / 3)[None, None]).double()[0]
    expected = 10 ** (answer * info["target"]["std"] + info["target"]["mean"]).numpy() - 1
    assert [float(row["dn"]) for row in rows] == pytest.approx(expected, rel=1e-3)
    assert (tmp_path / "out" / "lf.png").stat().st_size > 5000
    assert (tmp_path / "out" / "lf.pdf").read_bytes().startswith(b"%PDF")

    wrong = write_fits(tmp_path / "wrong.fits", cube[:16, :16])
    done = run("predict.py", "--network", model, "--cube", wrong, "--output", tmp_path / "x.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("limelight: error: ")
    assert done.stderr.count("\n") == 1
    assert "as the network was trained" in done.stderr
    assert not (tmp_path / "x.csv").exists()


def judged_model(folder: Path, cubes: list[np.ndarray]) -> Path:
    """A model file that holds what its training maps ranged over."""
    pooled = torch.as_tensor(np.stack([block_sums(cube) for cube in cubes])).float()[:, None]
    content = {**model_content(), "input_ranges": ranges([input_statistics(pooled)])}
    content["observation"]["instrument"] = load_instrument("comap")
    save_model(folder / "judged.pt", content, provenance({}, 1))
    return folder / "judged.pt"


def test_a_network_without_a_zero_level_answers_alike_whatever_the_cubes_mean(cube):
    content = model_content()
    content["entry"]["preprocessing"] = {"transform": "none", "remove_means": "map"}
    fine = replace(GRID, pool_pixels=1, pool_channels=1)
    cubes = [prepare_cube(cube_of(values, fine, 0.0), content, "here")[0] for values in (cube, cube + 3)]
    assert not trained(content).uses_zero_level
    low, high = (trained(content).inputs(values) for values in cubes)
    torch.testing.assert_close(low, high, atol=1e-3, rtol=0)
    assert abs(low.double().mean()) < 1e-4


def test_the_script_names_what_is_off_and_what_it_read(model, tmp_path):
    rng = np.random.default_rng(3)
    cubes = [rng.lognormal(0, 1, GRID.shape).astype(np.float32) for _ in range(60)]
    judged = judged_model(tmp_path, cubes[:59])
    removed = cubes[59] - cubes[59].mean((0, 1))
    paths = {name: tmp_path / f"{name}.fits" for name in ("sound", "removed")}
    for path, values in zip(paths.values(), (cubes[59], removed), strict=True):
        write_fits(path, values)

    def said(network: Path, cube: Path) -> list[str]:
        done = run("predict.py", "--network", network, "--cube", cube, "--output", tmp_path / "lf.csv")
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()

    sound = said(judged, paths["sound"])
    assert sound[0].endswith("sound.fits: HDU 0 of 1")
    assert "absolute zero level" in sound[1]
    assert any("an offset or a wrong gain" in line and "cannot be seen" in line for line in sound)
    assert not any("sound.fits: " in line for line in sound[2:] if "warning" in line)
    assert any(
        "warning" in line and "the mean of every channel is 0" in line for line in said(judged, paths["removed"])
    )
    older = said(model, paths["removed"])
    assert any("holds no ranges to judge the cube's values by" in line for line in older)
    assert any("the mean of every channel is 0" in line for line in older)


def test_the_script_reprojects_on_request(model, tmp_path):
    rng = np.random.default_rng(3)
    cube = np.repeat(np.repeat(rng.lognormal(0, 1, (20, 20, 8)), 2, axis=0), 2, axis=1).astype(np.float32)
    wide = write_fits(
        tmp_path / "wide.fits", cube, CRPIX1=20.5, CRPIX2=20.5
    )  # 40 pixels of which the middle 32 are wanted
    output = tmp_path / "lf.csv"
    done = run("predict.py", "--network", model, "--cube", wide, "--output", output)
    assert done.returncode == 1
    assert "size_deg" in done.stderr
    done = run("predict.py", "--network", model, "--cube", wide, "--output", output, "--reproject")
    assert done.returncode == 0, done.stderr
    assert "regridded about RA 0.0000°" in done.stderr
    cut = write_fits(tmp_path / "cut.fits", cube[4:36, 4:36], CRPIX1=16.5, CRPIX2=16.5)
    expected = tmp_path / "cut.csv"
    assert run("predict.py", "--network", model, "--cube", cut, "--output", expected).returncode == 0
    for mine, other in zip(read_csv(output), read_csv(expected), strict=True):
        assert float(mine["dn"]) == pytest.approx(float(other["dn"]), rel=1e-3)
    shard = make_files(tmp_path)[1]
    done = run("predict.py", "--network", model, "--cube", shard, "--output", output, "--reproject")
    assert done.stderr.count("\n") == 1
    assert "--reproject" in done.stderr
    with pytest.raises(LimelightError, match="--map: found 3 of a FITS file"):  # as without --reproject
        predict(wide, model, options=Options(index=3, reproject=True))


def test_describe_knows_its_own_files_and_refuses_others(model, tmp_path):
    text = describe(model)
    assert "network, format 1" in text
    assert "weights:" in text
    assert "seed: 1" in text
    with write_hdf5(tmp_path / "m.h5", "maps", {**provenance({"grid": 1}, 3), "unit": "uK"}) as file:
        file["maps"] = np.zeros((2, 3), np.float32)
        file["maps"].attrs["unit"] = "uK"
    text = describe(tmp_path / "m.h5")
    assert "maps: 2 × 3 float32 [uK]" in text
    assert "unit: uK" in text
    (tmp_path / "history.csv").write_text("epoch,train_loss\n1,0.5\n2,0.25\n")
    assert "2 epochs" in describe(tmp_path / "history.csv")
    assert "train_loss: 0.5 … 0.25" in describe(tmp_path / "history.csv")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    (tmp_path / "cut.pt").write_bytes(model.read_bytes()[:20000])
    (tmp_path / "cut.h5").write_bytes((tmp_path / "m.h5").read_bytes()[:3000])
    for name in ("cut.h5", "foreign.h5", "notes.txt", "empty", "other.pt", "cut.pt", "absent.h5"):
        with pytest.raises(LimelightError) as error:
            describe(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
