"""Pieces of snapshots, doubled files, one snapshot for a band, and what a light-cone's own columns must hold."""

import asdf
import numpy as np
import pytest
from catalogue_files import (
    HEADER,
    box_halos,
    cone_halos,
    import_lightcone,
    observed,
    study,
    tinker_above,
    tinker_masses,
    write_peakpatch,
    write_rockstar,
)
from sound_catalogues import particle_mesh_box

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.abundance import check_abundance
from limelight.halos.catalogue import tangent_plane_deg
from limelight.halos.config import Lightcones
from limelight.halos.coverage import check_box, check_cone
from limelight.halos.evolution import abundance_over_band, evolution_text
from limelight.halos.formats.common import Foreign
from limelight.halos.pieces import read_files, repeated
from limelight.halos.speeds import check_observed
from limelight.probes.line_intensity.maps.expectation import expected_temperature_uk
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint

COSMOLOGY = Cosmology()
NO_CHECK = {"abundance_unchecked": "a toy catalogue"}
NEEDED = (2.3, 3.6)
BAND = (115.2712 / 34 - 1, 115.2712 / 26 - 1)


def reading(source: str = "rockstar", **catalogue) -> Lightcones:
    splits = {"train": [0], "validation": [1], "test": [2]}
    return Lightcones(field_deg=1.4, **splits, source=source, files="x", catalogue=catalogue, mass_min_msun=1e10)


def rockstar_pieces(folder, bounds: bool) -> tuple[list, np.ndarray]:
    """The 27 spatial pieces of a snapshot of 100 Mpc/h, each with its #Bounds if asked; and the places of all halos."""
    position, velocity, mass = box_halos(3000)
    third = np.floor(position / 100 * 3).astype(int)
    number = (third * [9, 3, 1]).sum(axis=1)
    paths = []
    for n in range(27):
        here = number == n
        path = write_rockstar(folder / f"halos_5.{n}.ascii", position[here], velocity[here], mass[here])
        if bounds:
            low = np.array([n // 9, n // 3 % 3, n % 3]) * 100 / 3
            corners = [", ".join(f"{value:.6f}" for value in corner) for corner in (low, low + 100 / 3)]
            size = "#Box size: 100.000000 Mpc/h"
            text = path.read_text()
            path.write_text(text.replace(size, f"#Bounds: ({corners[0]}) - ({corners[1]})\n{size}"))
        paths.append(path)
    return paths, position


@pytest.mark.parametrize("bounds", [True, False])
def test_pieces_of_a_rockstar_snapshot_are_joined_before_they_are_judged(tmp_path, bounds):
    paths, position = rockstar_pieces(tmp_path, bounds)
    (box,) = read_files(paths, reading(), COSMOLOGY, NEEDED)
    assert len(box) == 3000
    assert len(box.files) == 27
    np.testing.assert_allclose(box.position_mpc.sum(axis=0), position.sum(axis=0) / 0.7, rtol=1e-6)
    check_box(box, COSMOLOGY)
    # the column at low x and y: pieces 0, 1 and 2
    where = "x = 0 to 47.62, y = 0 to 47.62, z = 0 to 47.62 Mpc" if bounds else "x ≈ 0 to .*, y ≈ 0 to .* Mpc"
    with pytest.raises(LimelightError, match=where) as caught:
        check_box(*read_files(paths[3:], reading(), COSMOLOGY, NEEDED), COSMOLOGY)
    assert "piece" in str(caught.value)
    with pytest.raises(LimelightError, match="numbers 13 are not among the files") as caught:
        check_box(*read_files([*paths[:13], *paths[14:]], reading(), COSMOLOGY, NEEDED), COSMOLOGY)


def test_doubled_files_and_halos_are_refused(tmp_path):
    position, velocity, mass = box_halos(500)
    whole = write_rockstar(tmp_path / "out_5.list", position, velocity, mass)
    half = write_rockstar(tmp_path / "half.list", position[:250], velocity[:250], mass[:250])
    link = tmp_path / "link.list"
    link.symlink_to(whole)
    for paths, text in (
        ([whole, whole], "twice; expected every file once"),
        ([whole, link], "link.list, which is .*out_5.list; expected every file once"),
        ([whole, half], "250 of 750 halos at exactly the place of another"),
    ):
        with pytest.raises(LimelightError, match=text):
            read_files(paths, reading(), COSMOLOGY, NEEDED)


def test_rows_twice_in_one_file_are_refused(tmp_path):
    """Also where most halos share a coordinate with another, as rounded ones do."""
    position, velocity, mass = box_halos(500)
    position = np.round(position)
    columns = [np.concatenate([values, values[:100]]) for values in (position, velocity, mass)]
    path = write_rockstar(tmp_path / "out_5.list", *columns)
    with pytest.raises(LimelightError, match="100 of 600 halos with exactly the place and the mass of another"):
        read_files([path], reading(), COSMOLOGY, NEEDED)
    assert len(read_files([write_rockstar(path, position, velocity, mass)], reading(), COSMOLOGY, NEEDED)[0]) == 500


def test_repeated_rows_are_counted_as_numpy_counts_them():
    rows = np.random.default_rng(0).integers(-3, 4, (2000, 4)).astype(float)
    rows[::7] *= -0.0
    assert repeated(rows) == len(rows) - len(np.unique(rows, axis=0))
    assert repeated(np.random.default_rng(1).normal(size=(200_000, 3)).astype(np.float32)) == 0


def test_one_slab_of_many_names_missing_volume_and_orders_nothing(tmp_path):
    """One of 34 Abacus slabs: right masses, positions and header, and 3 % of the volume."""
    rng = np.random.default_rng(2)
    volume = (300.0 / 0.7) ** 3 / 34
    mass = tinker_masses(volume, 3.0, 1e11)
    place = rng.uniform(-0.5, 0.5, (len(mass), 3))
    place[:, 0] = place[:, 0] / 34
    header = {"BoxSizeHMpc": 300.0, "H0": 70.0, "Omega_M": 0.286, "Redshift": 3.0, "ParticleMassHMsun": 7e8}
    header |= {"VelZSpace_to_kms": 20000.0}
    speed = rng.normal(0, 150, place.shape) / 20000
    data = {"x_L2com": place, "v_L2com": speed, "N": np.round(mass / 1e9).astype(np.uint32)}
    path = tmp_path / "halo_info_000.asdf"
    asdf.AsdfFile({"header": header, "data": data}).write_to(path)
    settings = study(tmp_path, source="abacus", files=str(path), field_deg=1.4, mass_min_msun=1e11)
    with pytest.raises(LimelightError, match="along x|at x = ") as caught:
        import_lightcone(settings, 0)
    assert "likely cause: a missing piece or slab of the snapshot" in str(caught.value)
    # by its numbers alone, as in a box whose halos are everywhere but too few
    with pytest.raises(LimelightError, match=r"only 2\.\d % of the volume has halos .missing pieces") as caught:
        check_abundance(mass, [(3.0, volume * 34)], 1e11, COSMOLOGY, "tinker08", 1.4, path)
    assert "mend" not in str(caught.value)
    assert "check which it is" in str(caught.value)


def test_one_snapshot_for_a_band_is_told_with_its_numbers():
    """Against colossus alone; the box is as dense as the N-body one of which 0.88 … 2.24 are known."""
    side, excess = 300.0, 1.39
    thresholds = np.geomspace(1e12, 1e15, 600)
    there = float(tinker_above(thresholds, 2.9)[0])
    halos = round(excess * there * side**3)
    rng = np.random.default_rng(0)
    box = Foreign(rng.uniform(0, side, (halos, 3)), np.zeros((halos, 3)), np.full(halos, 2e12), 2.9, side)
    rows, lost = abundance_over_band([box], BAND, 2.5e10, COSMOLOGY, "tinker08")
    frequency = [33.2, 31.6, 30.0, 28.4, 26.8]  # the middles of five parts of 26 to 34 GHz
    redshifts = 115.2712 / np.array(frequency) - 1
    np.testing.assert_allclose([row["redshift"] for row in rows], redshifts, rtol=1e-9)
    expected = [excess * there / float(tinker_above(thresholds, z)[0]) for z in redshifts]
    ratios = [row["ratio"] for row in rows]
    np.testing.assert_allclose(ratios, expected, rtol=0.03)
    np.testing.assert_allclose(
        ratios, [0.88, 1.04, 1.37, 1.62, 2.24], rtol=0.08
    )  # of a light-cone, with its structures
    assert lost
    text = evolution_text(rows, BAND, "tinker08")
    assert f"for z = {BAND[0]:.3f} to {BAND[1]:.3f}" in text
    assert ", ".join(f"{ratio:.2f}" for ratio in ratios) in text
    assert not abundance_over_band([box], (2.88, 2.92), 2.5e10, COSMOLOGY, "tinker08")[1]


@pytest.mark.parametrize("name", ["h", "sigma8"])
def test_a_header_without_a_number_is_refused(tmp_path, name):
    path = write_peakpatch(tmp_path / "0.npz", *cone_halos(300), header=HEADER | {name: float("nan")})
    with pytest.raises(LimelightError, match=f"cosmo_header: found {name} = nan; expected a finite number"):
        read_files([path], reading("peakpatch", cosmology="adopt"), COSMOLOGY, NEEDED)


def test_own_observed_redshifts_must_hold_the_velocities(tmp_path):
    position, velocity, mass = cone_halos(2000)
    right, rest = observed(position, velocity), observed(position, 0 * velocity)
    for zhalo, text in (
        (2 * rest - right, "with velocities reversed"),
        (rest + (right - rest) / 4, "0.25 of .1 . z. v/c"),
        (right + 0.1, "differ by 0.1"),
    ):
        with pytest.raises(LimelightError, match=f"0.npz: found observed redshifts .*{text}"):
            check_observed(zhalo.astype(np.float32), rest, right, "0.npz")
    smooth = right + 2e-3 * (rest - 2.9) ** 2  # a cosmology that differs in the fourth digit
    check_observed(smooth.astype(np.float32), rest, right, "0.npz")
    check_observed(right[:40], rest[:40], right[:40], "0.npz")
    check_observed(right, rest, rest, "0.npz")  # no velocities in the file, redshifts that know them
    write_peakpatch(tmp_path / "0.npz", position, velocity, mass, zhalo=rest.astype(np.float32))
    files = str(tmp_path / "{lightcone}.npz")
    with pytest.raises(LimelightError, match="without peculiar velocities"):
        import_lightcone(study(tmp_path, source="peakpatch", files=files, field_deg=1.4, catalogue=NO_CHECK), 0)


def test_keys_of_another_kind_are_refused(tmp_path):
    cone = write_peakpatch(tmp_path / "0.npz", *cone_halos(300))
    box = write_rockstar(tmp_path / "out_5.list", *box_halos(300))
    for path, settings, text in (
        (
            cone,
            reading("peakpatch", box_mpc=500.0),
            "box_mpc: found a key for a box beside .*0.npz, which is a light-cone",
        ),
        (cone, reading("peakpatch", redshift=3.0), "redshift: found a key for a box"),
        (box, reading(line_of_sight=[1, 0, 0]), "line_of_sight: found a key for a light-cone beside .*a periodic box"),
    ):
        with pytest.raises(LimelightError, match=text):
            read_files([path], settings, COSMOLOGY, NEEDED)


def test_small_light_cones_are_judged_by_their_strips():
    position, _, mass = cone_halos(400, z=(2.4, 3.4))
    half, band = np.radians(0.7), (2.4, 3.4)
    sky = position[:, :2] / position[:, 2:]
    inside = (np.abs(sky) < half).all(axis=1)
    position, mass, sky = position[inside][:60], mass[inside][:60], sky[inside][:60]
    given = half, band, COSMOLOGY, "tinker08", "cone.npz"
    check_cone(position, 0 * mass + 2.5e10, *given)
    position, sky = np.abs(position), np.abs(sky)  # all in one quarter of the field
    for count in (40, 60):
        with pytest.raises(LimelightError, match="hardly any halos along x and y"):
            check_cone(position[:count], 0 * mass[:count] + 2.5e10, *given)
    check_cone(position[:39], 0 * mass[:39] + 2.5e10, *given)  # too few to tell


def test_a_particle_mesh_box_is_read_whole_and_refused_when_cut(tmp_path):
    box = particle_mesh_box(128.0, 64, 1.0, 0)
    assert len(box) > 400
    check_box(box, COSMOLOGY)
    keep = box.position_mpc[:, 0] < 96
    cut = Foreign(box.position_mpc[keep], box.velocity_kms[keep], box.mass_msun[keep], 1.0, 128.0, path=box.path)
    with pytest.raises(LimelightError, match=r"at x = 9[4-7]\.?\d* to 128 Mpc.*a cut box"):
        check_box(cut, COSMOLOGY)
    # the whole one, tiled and painted, is as bright as its own luminosity density makes it
    hosts = box.position_mpc * 0.7, box.velocity_kms, box.mass_msun * 0.7
    write_rockstar(tmp_path / "out_1.list", *hosts, a=0.5, box=128 * 0.7)
    band = {"freq_min_ghz": 115.27 / 2.3, "freq_max_ghz": 115.27 / 1.7}
    catalogue = NO_CHECK | {"frozen_evolution": True}
    files = {"files": str(tmp_path / "out_1.list"), "catalogue": catalogue}
    settings = study(tmp_path, source="rockstar", **files, field_deg=8.0, mass_min_msun=1e12, grid=band)
    halos, attributes = import_lightcone(settings, 0)
    assert not attributes["warnings"]
    grid = Grid(7.9, 8, 16, *band.values(), 115.27)
    sky = np.stack(tangent_plane_deg(halos.position_mpc), axis=1)
    given = halos.redshift, halos.redshift_observed, np.log10(halos.mass_msun) - 7
    cube = paint(sky, *given, grid, np.zeros(2), COSMOLOGY)
    middles = np.linspace(*band.values(), 33)[1::2]
    density = np.full(len(box), 1 / 128.0**3)
    luminosity = np.log10(box.mass_msun) - 7
    expected = [expected_temperature_uk(luminosity, density, 115.27 / nu - 1, 115.27, COSMOLOGY) for nu in middles]
    assert cube.mean(dtype=np.float64) == pytest.approx(np.mean(expected), rel=0.01)
