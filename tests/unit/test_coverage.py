"""Halos that do not fill their box are refused with the likely cause; sound clustered boxes are read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalogue_files import cone_halos

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.agreement import adopted_text, agreed_cosmology
from limelight.halos.box import generate_box
from limelight.halos.config import Lightcones
from limelight.halos.coverage import check_box, missing_numbers
from limelight.halos.formats.common import Foreign
from limelight.halos.formats.text import check_header
from limelight.halos.pieces import config_redshifts
from limelight.halos.speeds import box_variance, check_speeds, cone_scatter, linear_rms

COSMOLOGY = Cosmology()
SIDE = 100 / 0.7
SPLITS = {"field_deg": 1.4, "train": [0], "validation": [1], "test": [2]}


def halos(n: int = 20000, side: float = SIDE) -> Foreign:
    rng = np.random.default_rng(1)
    mass = 8e10 / rng.uniform(3e-3, 1, n)
    return Foreign(rng.uniform(0, side, (n, 3)), rng.normal(0, 200, (n, 3)), mass, 2.9, side, path=Path("box.csv"))


def part(box: Foreign, keep: np.ndarray) -> Foreign:
    columns = {name: getattr(box, name)[keep] for name in ("position_mpc", "velocity_kms", "mass_msun")}
    return replace(box, **columns)


def test_what_is_missing_is_named():
    box = halos()
    check_box(box, COSMOLOGY)
    third = np.floor(box.position_mpc / SIDE * 3)
    for wrong, text in (
        (
            replace(box, position_mpc=box.position_mpc * 0.7),
            r"likely cause: positions are in Mpc/h but were read as Mpc",
        ),
        (replace(box, position_mpc=box.position_mpc / 3.9), "likely cause: positions are physical, not comoving"),
        (part(box, box.position_mpc[:, 0] < 0.75 * SIDE), r"at x = 107\.\d to 142\.9 Mpc.*a missing piece"),
        (part(box, box.position_mpc[:, 2] < 0.98 * SIDE), r"at z = 140 to 142\.9 Mpc"),
        (part(box, (third != 1).any(axis=1)), "a missing piece or slab"),
    ):
        with pytest.raises(LimelightError, match=text):
            check_box(wrong, COSMOLOGY)


@pytest.mark.parametrize(("side", "redshift", "floor"), [(40.0, 2.9, 2.5e10), (80.0, 2.9, 1e12), (80.0, 0.5, 1e11)])
def test_sound_clustered_boxes_are_read(side, redshift, floor):
    settings = Lightcones(**SPLITS, mass_min_msun=floor, cell_mpc=2.0)
    for seed in range(2):
        box = generate_box(settings, side, redshift, COSMOLOGY, seed)
        read = Foreign(box.position_mpc, box.velocity_kms, box.mass_msun, redshift, box.side_mpc)
        check_box(read, COSMOLOGY)
        assert not check_speeds(read.velocity_kms, read.position_mpc, redshift, COSMOLOGY, "box", read.box_mpc)


def test_speeds_are_checked_on_both_sides():
    """A box as fast as the waves that fit it; beside units of other kinds, the factor 1 + z must not pass."""
    box = halos(2000)
    given = box.position_mpc, 2.9, COSMOLOGY, "box", SIDE
    share, scatter = box_variance(SIDE, COSMOLOGY)
    assert linear_rms(2.9, COSMOLOGY) == pytest.approx(float(COSMOLOGY.velocity_rms(2.9)))
    velocity = box.velocity_kms / box.velocity_kms.std() * linear_rms(2.9, COSMOLOGY) * np.sqrt(share)
    to_mpch = 3.9 / (100 * np.sqrt(0.286 * 3.9**3 + 0.714))
    for luck in (-2, 0, 2):
        moving = velocity * np.sqrt(1 + luck * scatter)
        assert not check_speeds(moving, *given)
        for factor, text in ((to_mpch, "displacements in Mpc/h"), (1000, "in m/s"), (1 / 3.9, "rms"), (3.9, "rms")):
            with pytest.raises(LimelightError, match=text):
                check_speeds(moving * factor, *given)
    for factor, text in ((1 / 3.9, "lack a factor 1 . z"), (3.9, "a factor 1 . z too many")):
        with pytest.raises(LimelightError, match=text):
            check_speeds(velocity * factor, *given)
    with pytest.raises(LimelightError, match="right columns"):
        check_speeds(velocity * [1, 1, 1e-3], *given)
    assert "at rest" in check_speeds(0 * velocity, *given)


@pytest.mark.parametrize(("side", "says"), [(100.0, ""), (250.0, "√a"), (500.0, None)])
def test_speeds_twice_those_of_linear_theory_are_odd_or_refused_as_the_volume_allows(side, says):
    """Gadget's own velocities lack √a. The few long waves of a small box may do as much, those of a large one not."""
    rng = np.random.default_rng(5)
    position, share = rng.random((3000, 3)) * side, box_variance(side, COSMOLOGY)[0]
    sound = rng.normal(0, linear_rms(2.9, COSMOLOGY) * np.sqrt(share), (3000, 3))
    assert not check_speeds(sound, position, 2.9, COSMOLOGY, "box", side)
    if says is None:
        with pytest.raises(LimelightError, match="velocities of rms"):
            check_speeds(2 * sound, position, 2.9, COSMOLOGY, "box", side)
    else:
        word = check_speeds(2 * sound, position, 2.9, COSMOLOGY, "box", side)
        assert (says in word) if says else (word == "")


@pytest.mark.parametrize("field_deg", [1.4, 10.0])
def test_the_speeds_of_a_light_cone_are_checked_on_both_sides(field_deg):
    position, velocity, _ = cone_halos(4000, field_deg)
    assert not check_speeds(velocity, position, 2.9, COSMOLOGY, "cone")
    for factor, text in ((1 / 3.9, "lack a factor 1 . z"), (3.9, "a factor 1 . z too many")):
        with pytest.raises(LimelightError, match=text):
            check_speeds(velocity * factor, position, 2.9, COSMOLOGY, "cone")
    assert cone_scatter(position, COSMOLOGY) < (0.25 if field_deg < 5 else 0.08)


def test_the_scatter_of_a_light_cone_has_its_limits():
    """Halos in one place move as one: the variance scatters by √2. Halos that are far apart: by √(2/n)."""
    rng = np.random.default_rng(4)
    together = np.array([0, 0, 6000.0]) + rng.normal(0, 0.1, (200, 3))
    assert cone_scatter(together, COSMOLOGY) == pytest.approx(np.sqrt(2), rel=0.01)
    sight = rng.normal(size=(200, 3))
    apart = sight / np.linalg.norm(sight, axis=1)[:, None] * 15000.0
    assert cone_scatter(apart, COSMOLOGY) == pytest.approx(np.sqrt(2 / 200), rel=0.1)


def test_the_speeds_of_boxes_scatter_as_their_waves_do():
    """Mean and scatter of the velocity variance against 60 Gaussian draws of a small box's own waves."""
    side, cells, rng = 150.0, 24, np.random.default_rng(3)
    k = 2 * np.pi / side * np.stack(np.meshgrid(*[np.fft.fftfreq(cells, 1 / cells)] * 3, indexing="ij"))
    squared = (k**2).sum(axis=0)
    squared[0, 0, 0] = np.inf
    amplitude = np.sqrt(COSMOLOGY.linear_power(np.sqrt(np.minimum(squared, 1e3)).ravel()).reshape(squared.shape))
    amplitude *= (squared < (2 * np.pi / side * 12) ** 2) / np.sqrt(squared * 3 * side**3)
    white = [np.fft.fftn(rng.normal(size=(cells,) * 3)) / cells**1.5 for _ in range(60)]
    found = np.array([np.sum(np.abs(draw * amplitude) ** 2) for draw in white])
    share, scatter = box_variance(side, COSMOLOGY)
    longer_than = linear_rms(0.0, COSMOLOGY, side / 12) / linear_rms(0.0, COSMOLOGY) * COSMOLOGY.displacement_rms
    expected = share * COSMOLOGY.displacement_rms**2
    assert found.mean() + longer_than**2 == pytest.approx(expected, rel=5 * scatter / np.sqrt(60))
    assert found.std() / expected == pytest.approx(scatter, rel=0.35)


def test_redshifts_are_tied_to_names():
    paths = [Path("close_10.csv"), Path("close_9.csv")]

    def given(redshift, files="close_*.csv"):
        return Lightcones(**SPLITS, source="table", files=files, catalogue={"redshift": redshift})

    with pytest.raises(LimelightError, match="in the order close_10.csv, close_9.csv"):
        config_redshifts(paths, given([3.15, 2.75]))
    assert config_redshifts(paths, given({"close_9.csv": 3.15, "close_10.csv": 2.75})) == [2.75, 3.15]
    assert config_redshifts(paths, given([2.75, 3.15], ["close_10.csv", "close_9.csv"])) == [2.75, 3.15]
    with pytest.raises(LimelightError, match="no redshift for close_10.csv"):
        config_redshifts(paths, given({"close_9.csv": 3.15}))


def test_an_adopted_cosmology_names_what_the_header_lacks():
    box = replace(halos(10), cosmology={"omega_m": 0.31, "h": 0.68})
    adopted = agreed_cosmology([box], COSMOLOGY, adopt=True)
    assert "lack omega_b 0.047, ns 0.96, sigma8 0.82, taken from the config" in adopted_text(adopted, box.cosmology)
    for name in ("h", "sigma8"):
        with pytest.raises(LimelightError, match=f"{name} = nan"):
            agreed_cosmology([replace(box, cosmology={name: np.nan})], COSMOLOGY, adopt=True)


def test_header_words_and_columns_agree():
    names = ["x", "y", "z", "m", "[Msun]", "vx", "vy", "vz", "spin"]
    with pytest.raises(LimelightError, match="9 column names .* over 8 columns"):
        check_header(Path("t.txt"), names, ["x"], "1 2 3 4 5 6 7 8")
    check_header(Path("t.txt"), names, ["x"], "1 2 3 4 5 6 7 8 9")


def test_numbers_that_files_leave_out():
    assert missing_numbers([f"halos_5.{n}.ascii" for n in (0, 1, 4)]) == "2, 3"
    assert missing_numbers(["halos_5.0.ascii", "halos_5.1.ascii"]) == ""
