"""A study made for a survey's map: field, voxels, noise, and a config that is sound."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from survey_files import sky, unseen, write_new

from limelight.errors import LimelightError
from limelight.files import ROOT
from limelight.probes.line_intensity.maps.survey import SurveyMap, load_light_weights, load_survey
from limelight.probes.line_intensity.selection import map_reports
from limelight.probes.line_intensity.survey_plan import (
    Machine,
    Wanted,
    field_of,
    filter_of,
    grid_for,
    make_plan,
    on_grid,
    write_plan,
)
from limelight.probes.line_intensity.survey_words import noise_ratio
from limelight.study.config import load_study

LAPTOP = Machine(hours=2, cores=2, gpus=0, memory_gb=30)


def survey(nx: int = 60, ny: int = 60, nf: int = 64, aspect: float = 1.0, **changes) -> SurveyMap:
    """Pixels of 2′ (times aspect along x); σ 30 µK in the middle and e-fold larger at 0.4°; a rim that was not seen."""
    x, y = ((np.arange(n) - (n - 1) / 2) * side / 30 for n, side in ((nx, aspect), (ny, 1.0)))
    r2 = x[:, None] ** 2 + y**2
    sigma = np.broadcast_to((30 * np.exp(r2 / 0.4**2))[..., None], (nx, ny, nf))
    mask = np.broadcast_to((r2 < 0.95**2)[..., None], sigma.shape).copy()
    mask[..., :1] = mask[..., -1:] = False
    rng = np.random.default_rng(2)
    values = np.where(mask, rng.normal(0, 1, sigma.shape) * sigma, 0).astype(np.float32)
    made = SurveyMap(
        values,
        np.where(mask, sigma, np.inf).astype(np.float32),
        mask,
        x,
        y,
        26 + 8 * (np.arange(nf) + 0.5) / nf,
        4.5,
        0.72,
        5,
        True,
        "toy",
        (170.0, 52.0),
    )
    return replace(made, **changes)


def test_the_field_is_where_sigma_is_low():
    x, y, side = field_of(survey(), None)
    assert (x, y) == pytest.approx((0, 0), abs=1e-9)
    assert side == pytest.approx(2 * 0.4 * np.sqrt(np.log(3)), abs=2 / 30)  # σ = 3 times the middle's, to a pixel
    moved = replace(survey(), x_deg=survey().x_deg + 0.25)
    assert field_of(moved, None)[0] == pytest.approx(0.25, abs=1e-9)
    assert field_of(survey(), 0.5)[2] == 0.5
    with pytest.raises(LimelightError, match="--size-deg: found 5; expected at most 2"):
        field_of(survey(), 5)
    for size in (0.01, 0.0, -1.0, np.nan):  # of 2′ pixels
        with pytest.raises(
            LimelightError, match="--size-deg: found a field of [^;]*; expected 0.133 at least, 4 of the"
        ):
            field_of(survey(), size)
    with pytest.raises(LimelightError, match="found no σ"):
        field_of(replace(survey(), sigma_uk=np.where(survey().mask, 0, np.inf)), None)


def test_square_pixels_are_pooled_in_whole_blocks():
    one = survey()
    grid = grid_for(one, field_of(one, 0.8), 12, 16)
    made = on_grid(one, grid)
    assert made.mask.shape == (12, 12, 16)  # 24 pixels in blocks of 2, 64 channels in blocks of 4
    block = (slice(18, 20), slice(18, 20), slice(4, 8))
    weight = 1 / one.sigma_uk[block].astype(float) ** 2
    assert made.sigma_uk[0, 0, 1] == pytest.approx(weight.sum() ** -0.5, rel=1e-5)
    assert made.temperature_uk[0, 0, 1] == pytest.approx(
        (weight * one.temperature_uk[block]).sum() / weight.sum(), rel=1e-4
    )
    assert made.mask[..., 0].all()  # three of four channels of the first block were observed
    assert grid.frequency_edges[[0, -1]] == pytest.approx([26, 34])
    assert grid.pool_pixels == 4  # fine pixels of 1′ in a beam of 4.5′
    assert noise_ratio(made) == pytest.approx(1, abs=0.05)


def test_other_pixels_are_cut_at_new_edges_and_keep_their_noise():
    one = survey(nx=80, aspect=0.75)
    made = on_grid(one, grid_for(one, field_of(one, 0.8), 24, 16))
    assert made.mask.shape == (24, 24, 16)
    np.testing.assert_allclose(made.pixel_deg, 1 / 30, rtol=1e-9)
    assert noise_ratio(made) == pytest.approx(1, abs=0.05)


def test_unseen_ends_of_the_band_are_left_out():
    one = survey()
    mask = one.mask.copy()
    mask[..., :10] = mask[..., -7:] = False
    gone = replace(
        one, mask=mask, sigma_uk=np.where(mask, one.sigma_uk, np.inf), temperature_uk=one.temperature_uk * mask
    )
    edges = grid_for(gone, field_of(gone, 0.8), 24, 12).frequency_edges
    assert edges == pytest.approx(26 + np.arange(10, 57, 4) / 8)  # 47 channels: 11 blocks of 4


def test_blocks_of_channels_are_widened_a_little_where_less_is_left_out():
    one = survey(nf=256)
    mask = one.mask & (np.arange(256) % 255 > 0)  # as COMAP's, whose first and last channel are empty
    gone = replace(
        one, mask=mask, sigma_uk=np.where(mask, one.sigma_uk, np.inf), temperature_uk=one.temperature_uk * mask
    )
    blocks = {}
    for channels in (48, 24, 16, 12):
        edges = grid_for(gone, field_of(gone, 0.8), 24, channels).frequency_edges
        width = one.channel_ghz
        blocks[channels] = (len(edges) - 1, round((edges[1] - edges[0]) / width))
    assert blocks == {48: (42, 6), 24: (23, 11), 16: (16, 16), 12: (11, 23)}  # 12 of 22 would leave out a twentieth


def test_the_filter_takes_the_modes_that_the_survey_took():
    wanted, one = Wanted("a"), survey()
    assert filter_of(one, wanted) == {
        "means": "removed_weighted",
        "pca_modes": 5,
        "high_pass_perp": [0.04, 0.01],
        "filters_noise": "true",
    }
    assert filter_of(one, replace(wanted, transfer="t.csv"))["transfer"] == "t.csv"
    with pytest.raises(LimelightError, match="--transfer: found --high-pass beside it; expected one of them"):
        filter_of(one, replace(wanted, transfer="t.csv", high_pass=(0.1, 0.02)))
    plain = replace(one, modes_removed=0, means_removed=False)
    assert filter_of(plain, wanted) == {}
    assert filter_of(plain, replace(wanted, high_pass=(0.1, 0.02))) == {
        "high_pass_perp": [0.1, 0.02],
        "filters_noise": "true",
    }


def test_channels_are_the_surveys_own_where_modes_were_taken():
    """A mode may be one channel that a bright source fills; without modes, as few channels as there is time for."""
    files = {"survey": "mine.survey.h5", "instrument": "mine.instrument.yaml"}
    one, free = survey(nf=256), replace(survey(nf=256), modes_removed=0)
    laptop = Machine(hours=1, cores=1, gpus=0, memory_gb=30)
    made = make_plan(one, Wanted("mine", size_deg=0.6), laptop, files)
    assert made.survey.frequency_ghz == pytest.approx(one.frequency_ghz)
    assert not any("times smaller than the study's" in line for line in made.words), (
        "pixels are the survey's own as well"
    )
    weight = [np.square(1 / each.sigma_uk[each.mask].astype(float)).sum() for each in (made.survey, one)]
    assert any(f"modes: {100 * (1 - weight[0] / weight[1]):.2g} % of the weight" in line for line in made.words)
    assert not any("modes:" in line for line in make_plan(one, Wanted("mine", size_deg=1.9), LAPTOP, files).words)
    assert make_plan(free, Wanted("mine"), replace(laptop, hours=0.3), files).survey.mask.shape[2] < 60
    with pytest.raises(LimelightError, match="the machine: found 0.02 hours"):
        make_plan(one, Wanted("mine"), replace(laptop, hours=0.02), files)


@pytest.mark.parametrize("kept", [False, True])
def test_the_study_is_sound_and_fits(tmp_path, monkeypatch, kept):
    monkeypatch.chdir(tmp_path)
    one = replace(survey(), modes_removed=0, means_removed=False, beam_fwhm_arcmin=0.0) if kept else survey()
    files = {"survey": "mine.survey.h5", "instrument": "mine.instrument.yaml"}
    plan = make_plan(one, Wanted("mine"), LAPTOP, files)
    write_plan(plan, tmp_path / "mine.yaml", files)
    study, written = load_study(tmp_path / "mine.yaml"), load_survey("mine.survey.h5")
    assert plan.hours <= LAPTOP.hours
    assert study.subfields.size_deg == pytest.approx(written.pixel_deg[0] * written.mask.shape[0])
    assert study.grid.channels == written.mask.shape[2]
    light = load_light_weights(study.grid.survey)
    block = one.mask.shape[2] // written.mask.shape[2]
    assert light.values.shape[2] == block * written.mask.shape[2], "the survey's own channels"
    blocks = light.values.reshape(*light.values.shape[:2], -1, block).mean(3)  # pixels stay the survey's own
    assert blocks == pytest.approx(1, abs=1e-5)
    assert map_reports(study) == [("mdn", "prior")]
    network = study.networks["survey"]
    assert network.preprocessing.remove_means == (None if kept else "channels")
    assert (network.filter is None) == kept
    assert ("least_waves" in network.options) == (not kept), "where a pipeline left something in the longest waves"
    assert study.posteriors["mdn"].stream == "prior"
    fields = len(study.splits["train"]) * study.subfields.per_side**2
    assert 2000 <= study.streams["prior"].draws * fields <= 5200, "thousands of simulations, whatever the light-cones"
    assert study.observation.beam == (not kept)
    less = make_plan(one, Wanted("mine"), replace(LAPTOP, hours=0.1), files)
    assert less.hours < plan.hours
    assert less.survey.mask.size < plan.survey.mask.size or "0-31" not in less.text
    with pytest.raises(LimelightError, match="the machine: found 0.001 hours on 2 cores"):
        make_plan(one, Wanted("mine"), replace(LAPTOP, hours=0.001), files)


def test_a_study_that_is_refused_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"survey": "mine.survey.h5", "instrument": "mine.instrument.yaml"}
    plan = make_plan(survey(), Wanted("mine", transfer="none.csv"), LAPTOP, files)
    with pytest.raises(LimelightError, match=r"none\.csv"):
        write_plan(plan, tmp_path / "mine.yaml", files)
    assert not list(tmp_path.iterdir())
    own = {
        "mine.yaml": b"study: mine\n",
        "mine.survey.h5": b"another map",
    }  # of an earlier plan, with its user's changes
    for name, text in own.items():
        (tmp_path / name).write_bytes(text)
    with pytest.raises(LimelightError, match=r"none\.csv"):
        write_plan(plan, tmp_path / "mine.yaml", files)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == own


def test_the_scripts_by_hand(tmp_path):
    """describe with a figure, and plan, on a COMAP file."""
    write_new(tmp_path / "co2.h5", unseen(sky(), "nan"))

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path, check=False
        )

    said = run(ROOT / "scripts/describe.py", "co2.h5", "--figure", "co2.png")
    assert said.returncode == 0, said.stderr
    assert "co2.h5: survey map, 12 × 10 × 32 voxels" in said.stdout
    assert "removed by the pipeline: means of channels and 5 PCA modes" in said.stdout
    assert "--efficiency was not given" in said.stdout
    assert (tmp_path / "co2.png").stat().st_size > 10_000
    planned = run(ROOT / "scripts/plan.py", "co2.h5", "--efficiency", "0.72", "--output", "mine.yaml", "--hours", "1")
    assert planned.returncode == 0, planned.stderr
    assert "next: snakemake your_map --configfile mine.yaml" in planned.stdout
    assert sorted(path.name for path in tmp_path.glob("mine*")) == [
        "mine.instrument.yaml",
        "mine.survey.h5",
        "mine.yaml",
    ]
