"""Foreign traces of showers, good and bad; and how well X_max can tell proton from iron."""

import h5py
import numpy as np
import pytest

from limelight.errors import LimelightError
from limelight.probes.air_shower.config import Station
from limelight.probes.air_shower.particles import (
    MASSES,
    ceiling,
    gumbel_parameters,
    moments,
    x_max_density,
)
from limelight.probes.air_shower.pulses import pulses
from limelight.probes.air_shower.traces_file import FIELDS, read_traces, station_traces
from limelight.section import plain

TIME_NS = np.arange(800) * 0.25
FIELD = np.exp(-0.5 * ((TIME_NS - 90) / 1.5) ** 2)  # a pulse of 1 at 90 ns


def draw_x_max(mass: int, log10_ev: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """X_max (count,) in g/cm²: e^(−z) of a generalised Gumbel distribution is gamma distributed with shape λ and mean 1."""
    mu, sigma, shape = gumbel_parameters(mass, log10_ev)
    return mu - sigma * np.log(rng.gamma(shape, 1 / shape, count))


def write_coreas(path, change=None):
    with h5py.File(path, "w") as file:
        for i in range(3):
            trace = np.column_stack([TIME_NS * 1e-9, FIELD, 2 * FIELD, 0 * FIELD])
            item = file.create_dataset(f"CoREAS/observers/ant_{i}", data=trace)
            item.attrs["position"] = [100.0 * i, 200.0, 300.0]
        if change:
            change(file)
    return path


def write_zhaires(path, change=None):
    kinds = [("ID", "S8"), ("X", "f8"), ("Y", "f8"), ("Z", "f8")]
    with h5py.File(path, "w") as file:
        places = np.array([(f"A{i}".encode(), 10.0 * i, 20.0, 30.0) for i in range(2)], kinds)
        file["shower/AntennaInfo"] = places
        for i in range(2):
            table = np.zeros(len(TIME_NS), [(name, "f8") for name in FIELDS])
            table["Time"], table["Ey"] = TIME_NS, FIELD
            file[f"shower/AntennaTraces/A{i}/efield"] = table
        if change:
            change(file)
    return path


def test_both_layouts_are_read_in_si_units(tmp_path):
    found = read_traces(write_coreas(tmp_path / "c.hdf5"))
    assert found.antennas == ["ant_0", "ant_1", "ant_2"]
    np.testing.assert_allclose(found.positions_m, [[i, 2, 3] for i in range(3)])
    np.testing.assert_allclose(found.time_ns[1], TIME_NS)
    np.testing.assert_allclose(found.field[1].max(axis=0), [29979.2458, 2 * 29979.2458, 0])
    found = read_traces(write_zhaires(tmp_path / "z.hdf5"))
    np.testing.assert_allclose(found.positions_m, [[0, 20, 30], [10, 20, 30]])
    np.testing.assert_allclose(found.field[0].max(axis=0), [0, 1e-6, 0])
    assert read_traces(tmp_path / "z.hdf5", "shower").antennas == ["A0", "A1"]


def test_a_station_filters_and_samples_the_field(tmp_path):
    station = plain(Station())
    found = station_traces(read_traces(write_coreas(tmp_path / "c.hdf5")), 0, station, 128)
    assert found.shape == (3, 128)
    np.testing.assert_allclose(np.abs(found).max(axis=1), 1)
    assert np.abs(found[0]).argmax() == 64
    mhz = np.fft.rfftfreq(128, 1 / station["sampling_mhz"])
    power = np.abs(np.fft.rfft(found[0])) ** 2
    assert power[(mhz > 40) & (mhz < 220)].sum() > 0.98 * power.sum()
    exact = np.exp(-0.5 * (2e-3 * np.pi * mhz * 1.5) ** 2)  # of the Gaussian pulse
    inside = (mhz > 75) & (mhz < 170)
    ratio = np.sqrt(power[inside]) / exact[inside]
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.05)
    assert pulses(np.array([100.0]), np.array([64.0]), station, 128).shape == found[:1].shape


def without_position(file):
    del file["CoREAS/observers/ant_1"].attrs["position"]


def not_finite(file):
    file["CoREAS/observers/ant_1"][5, 2] = np.nan


def uneven(file):
    file["CoREAS/observers/ant_1"][5, 0] += 1e-9


def of_three_columns(file):
    del file["CoREAS/observers/ant_1"]
    file["CoREAS/observers/ant_1"] = np.zeros((10, 3))


def empty(file):
    del file["CoREAS/observers"]
    file.create_group("CoREAS/observers")


def boundless(file):
    del file["CoREAS/observers/ant_1"]
    file.create_dataset("CoREAS/observers/ant_1", (10**12, 4), "f8", chunks=(1000, 4))


def of_another_program(file):
    file.move("CoREAS", "other")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_position, "the attribute `position`"),
        (not_finite, "NaN or infinite"),
        (uneven, "uneven steps"),
        (of_three_columns, r"\(samples, 4\)"),
        (empty, "0 antennas"),
        (boundless, "can hold"),
        (of_another_program, "AntennaTraces"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, change, words):
    path = write_coreas(tmp_path / "c.hdf5", change)
    with pytest.raises(LimelightError, match=words) as caught:
        read_traces(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_tables_are_refused_in_one_line(tmp_path):
    def without_field(file):
        del file["shower/AntennaTraces/A1/efield"]
        file["shower/AntennaTraces/A1/efield"] = np.zeros(9, [("Time", "f8"), ("Ex", "f8")])

    def without_place(file):
        file.move("shower/AntennaTraces/A1", "shower/AntennaTraces/A7")

    def of_two_events(file):
        file.copy("shower", "another")

    for change, words in ((without_field, "Ey, Ez"), (without_place, "no place"), (of_two_events, "give `event`")):
        with pytest.raises(LimelightError, match=words):
            read_traces(write_zhaires(tmp_path / "z.hdf5", change))
    (tmp_path / "t.hdf5").write_bytes((tmp_path / "z.hdf5").read_bytes()[:3000])
    with pytest.raises(LimelightError, match=r"t\.hdf5"):
        read_traces(tmp_path / "t.hdf5")


# Proton and iron


@pytest.mark.parametrize("name", MASSES)
def test_draws_of_x_max_follow_their_density(name):
    x = np.arange(300, 3000, 0.5)
    density = x_max_density(x, MASSES[name], 18.0)
    assert density.sum() * 0.5 == pytest.approx(1, abs=1e-4)
    drawn = draw_x_max(MASSES[name], 18.0, 20_000, np.random.default_rng(0))
    mean, spread = (x @ density) / density.sum(), drawn.std()
    assert drawn.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(20_000))
    cumulative = np.cumsum(density) / density.sum()
    np.testing.assert_allclose(
        np.interp(np.quantile(drawn, [0.1, 0.5, 0.9]), x, cumulative), [0.1, 0.5, 0.9], atol=0.01
    )


def test_the_ceiling_is_that_of_drawn_showers_and_falls_with_the_resolution():
    rng = np.random.default_rng(1)
    for resolution in (0.0, 40.0):
        deep, high = (
            draw_x_max(mass, 18.0, 20_000, rng) + resolution * rng.standard_normal(20_000) for mass in MASSES.values()
        )
        drawn = np.mean(rng.permutation(deep) > high)  # deeper for proton: all but the likelihood ratio
        assert drawn == pytest.approx(ceiling(18.0, resolution), abs=0.006)
    found = [ceiling(18.0, resolution) for resolution in (0, 20, 40, 80)]
    assert (np.diff(found) < 0).all()


def test_proton_and_iron_at_ten_to_the_nineteen_are_those_of_the_paper():
    assert gumbel_parameters(1, 19.0) == (775.589, 29.403, 0.563)
    mu, sigma, shape = gumbel_parameters(56, 19.0)
    ln_mass = np.log(56)
    assert mu == pytest.approx(775.589 - 7.047 * ln_mass - 2.427 * ln_mass**2)
    assert (sigma, shape) == pytest.approx((29.403 + 13.553 * ln_mass - 3.154 * ln_mass**2, 4.3648), rel=1e-4)


@pytest.mark.parametrize("name", MASSES)
@pytest.mark.parametrize("log10_ev", [18.0, 19.0])
def test_means_and_widths_of_x_max_are_those_that_auger_gives_for_the_same_model(name, log10_ev):
    """Another parametrisation of EPOS-LHC (Auger 2013, arXiv:1301.6637, with the numbers of ICRC 2013, arXiv:1307.5059)."""
    ln_mass, above = np.log(MASSES[name]), log10_ev - 19
    mean = 806.1 + 55.6 * (above - ln_mass / np.log(10)) + 0.15 * ln_mass + 0.83 * ln_mass * above
    proton = 3284 - 260 * above + 132 * above**2
    variance = proton * (1 + (-0.462 - 0.0008 * above) * ln_mass + 0.059 * ln_mass**2)
    assert moments(MASSES[name], log10_ev) == pytest.approx((mean, np.sqrt(variance)), abs=4)
    x = np.arange(300, 3000, 0.5)
    density = x_max_density(x, MASSES[name], log10_ev)
    found = x @ density / density.sum()
    assert found == pytest.approx(moments(MASSES[name], log10_ev)[0], abs=0.05)
    assert np.sqrt((x - found) ** 2 @ density / density.sum()) == pytest.approx(
        moments(MASSES[name], log10_ev)[1], 1e-3
    )


def test_an_unknown_energy_lowers_the_ceiling():
    rng, count = np.random.default_rng(2), 20_000
    energies = 18 + 2 * (rng.uniform(size=400) - 0.5)
    deep, high = (np.concatenate([draw_x_max(mass, e, 50, rng) for e in energies]) for mass in MASSES.values())
    drawn = np.mean(rng.permutation(deep) > high)
    assert count == len(deep)
    assert drawn == pytest.approx(ceiling(18.0, 0.0, decades=2.0), abs=0.015)
    assert ceiling(18.0, 20.0, decades=0.05) == pytest.approx(ceiling(18.0, 20.0), abs=1e-3)
