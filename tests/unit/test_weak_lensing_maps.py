"""Ray-traced maps: growth, lens planes, rays straight and bent; and readers of other people's maps."""

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits

from limelight.errors import LimelightError
from limelight.matter.chunks import chunk_runner
from limelight.matter.initial import Box, periodic_field
from limelight.matter.projected import Growth, fixed_amplitude, projected_boxes
from limelight.probe import load_probe
from limelight.probes.weak_lensing.config import Maps
from limelight.probes.weak_lensing.files import read_realisation
from limelight.probes.weak_lensing.probe import MapSettings
from limelight.probes.weak_lensing.raytracing import Slabs, bent, slabs_of, straight, trace_maps
from limelight.probes.weak_lensing.simulations import simulate_maps
from limelight.probes.weak_lensing.spectra import cosmology, lensing_strength

UNIVERSE = cosmology(0.3, 0.8)
PROBE = load_probe("weak_lensing")


# The particle mesh


def test_linear_waves_grow_as_linear_theory_has_them():
    """On a mesh as coarse as the particles, in a box so large that its waves stay linear."""
    times = [0.5, 0.75, 1.0]
    planes = projected_boxes(1500.0, 32, 32, 32, times, UNIVERSE, 1)
    box = Box((32,) * 3, 1500.0 / 32)
    with chunk_runner() as run:
        modes = fixed_amplitude(periodic_field(box, UNIVERSE, 1, "cpu", run).modes, box, UNIVERSE)
    linear = (modes[:, :, 0] * box.cell_mpc).numpy().T  # summed along x: (y, z)
    whole = np.fft.fft2(planes[:, 0].sum(axis=1))
    low = [(0, 1), (1, 0), (1, 1), (1, 31)]
    for plane, time in zip(whole, times, strict=True):
        ratio = np.mean([(plane[at] / linear[at]).real for at in low])
        assert ratio == pytest.approx(float(UNIVERSE.growth(1 / time - 1)), rel=0.05)


def test_kicks_and_drifts_are_those_of_the_equations_over_short_steps():
    grow = Growth(UNIVERSE)
    hubble = float(UNIVERSE.hubble(1.0))
    assert grow.drift(0.5, 0.499, 0.501) == pytest.approx(0.002 / (0.5**3 * hubble), rel=1e-3)
    assert grow.kick(0.5, 0.499, 0.501) == pytest.approx(0.002 / (0.5**2 * hubble), rel=1e-3)


def test_boxes_of_a_pair_have_opposite_waves_of_fixed_amplitude():
    box = Box((16,) * 3, 10.0)
    with chunk_runner() as run:
        field = periodic_field(box, UNIVERSE, 3, "cpu", run)
    modes = fixed_amplitude(field.modes, box, UNIVERSE)
    k = 2 * np.pi * 2 / 160
    expected = 16**3 * np.sqrt(UNIVERSE.linear_power(np.array([k]))[0] / box.volume)
    np.testing.assert_allclose(modes[[2, 0, 0], [0, 2, 0], [0, 0, 2]].abs().numpy(), expected, rtol=2e-3)
    torch.testing.assert_close(modes[1, 2, 3] / modes[1, 2, 3].abs(), field.modes[1, 2, 3] / field.modes[1, 2, 3].abs())
    planes = [projected_boxes(160.0, 16, 16, 16, [0.11, 0.12], UNIVERSE, 3, sign)[0, 0].sum(axis=0) for sign in (1, -1)]
    one, other = (np.fft.fft2(plane)[[0, 1, 1], [1, 0, 1]] for plane in planes)
    assert np.abs(one + other).max() < 0.15 * np.abs(one).max()
    assert np.abs(planes[0].mean()) < 1e-3 * planes[0].std()


# Rays


def test_weights_of_slabs_add_up_to_the_lensing_integral():
    slabs = slabs_of(UNIVERSE, 100.0, 1.0)
    far = float(UNIVERSE.comoving_distance(1.0))
    chi = (np.arange(20000) + 0.5) * far / 20000
    kernel = (1 + UNIVERSE.redshift_at(chi)) * chi * (far - chi) / far
    expected = lensing_strength(UNIVERSE) * kernel.mean() * far
    assert slabs.weight.sum() * 50.0 == pytest.approx(expected, rel=1e-4)
    assert slabs.far_mpc == far
    assert (np.diff(slabs.time) < 0).all()


def test_straight_rays_see_a_wave_at_its_angle():
    """One plane with one wave: κ is that wave, as often in the field as the plane's distance makes it."""
    side, m = 100.0, 256
    x = (np.arange(m) * side / m)[:, None] + np.zeros(m)
    plane = np.cos(2 * np.pi * x / side).astype(np.float32)
    slabs = Slabs(np.array([1000.0]), np.array([0.02]), np.array([0.8]), 2000.0)
    field = 0.1  # rad: the whole side at that distance
    found = straight([(plane, np.zeros(2))], slabs, side, field, 32)
    angle = (np.arange(32) + 0.5) / 32 * field - field / 2
    expected = 0.02 * np.cos(2 * np.pi * angle * 1000 / side)
    np.testing.assert_allclose(found.mean(axis=1), expected, atol=3e-4)
    assert found.std(axis=1).max() < 1e-6


def test_bent_rays_agree_with_straight_ones_where_lensing_is_weak():
    rng = np.random.default_rng(0)
    k = 2 * np.pi * np.fft.fftfreq(128)
    smooth = np.exp(-0.5 * (k[:, None] ** 2 + k[None] ** 2) * 6**2)
    planes = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((128, 128))) * smooth).real.astype(np.float32) for _ in "ab"]
    weak = Slabs(np.array([500.0, 1000.0]), np.array([1e-3, 1e-3]), np.array([0.9, 0.8]), 2000.0)
    drawn = [(plane - plane.mean(), np.array([10.0, 40.0])) for plane in planes]
    one, other = straight(drawn, weak, 100.0, 0.08, 24), bent(drawn, weak, 100.0, 0.08, 24)
    np.testing.assert_allclose(other, one, atol=0.03 * one.std())
    strong = Slabs(weak.distance_mpc, 5000 * weak.weight, weak.time, weak.far_mpc)
    assert np.corrcoef(bent(drawn, strong, 100.0, 0.08, 24).ravel(), one.ravel())[0, 1] < 0.99  # no longer the same


def test_maps_of_a_realisation_are_of_one_cosmology_and_can_be_made_again():
    boxes = {"side_mpc": 100, "particles": 16, "mesh": 32, "plane": 64, "times": 3}
    data = Maps(kind="ray_traced", pixels=16, pixel_arcmin=6, maps=3, boxes=boxes)
    maps, theta = simulate_maps(data, 5, "traced", 1, 3)
    again, _ = simulate_maps(data, 5, "traced", 1, 3)
    np.testing.assert_array_equal(maps, again)
    assert maps.shape == (3, 16, 16)
    assert (theta == theta[0]).all()
    assert not np.allclose(maps[0], maps[1])
    other, _ = simulate_maps(data, 5, "traced", 2, 3)
    assert not np.allclose(maps[0], other[0])
    far = data.model_copy(update={"boxes": data.boxes.model_copy(update={"sources": [[0.5, 1.0], [1.0, 1.0]]})})
    spread = simulate_maps(far, 5, "traced", 1, 3)[0]
    assert spread.std() < maps.std()  # nearer sources are lensed less
    bent_rays = far.model_copy(update={"boxes": far.boxes.model_copy(update={"bent": True})})
    assert (simulate_maps(bent_rays, 5, "traced", 1, 3)[0] - spread).std() < 0.16 * spread.std() < 0.16 * maps.std()
    rows = PROBE.simulate(MapSettings(5, data), "traced", 1)
    assert (rows.group == 1).all()
    with pytest.raises(LimelightError, match="lognormal or gaussian"):
        next(PROBE.fresh_rows(MapSettings(5, data), "traced", 0, 0, 2, []))


def test_traced_maps_scale_with_the_planes():
    rng = np.random.default_rng(1)
    planes = rng.standard_normal((2, 3, 2, 32, 32)).astype(np.float32)
    slabs = slabs_of(UNIVERSE, 200.0, 0.5)
    draw = {"maps": 2, "field_deg": 1.0, "pixels": 8}
    one = trace_maps([planes], [0.7, 1.0], 200.0, slabs, rng=np.random.default_rng(2), **draw)
    two = trace_maps([2 * planes], [0.7, 1.0], 200.0, slabs, rng=np.random.default_rng(2), **draw)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-7)


# Your own maps


@pytest.fixture
def folder(tmp_path):
    """Maps of two boxes in three formats, and the table that names them."""
    rng = np.random.default_rng(0)
    maps = rng.normal(0, 0.02, (3, 12, 12)).astype(np.float32)
    np.save(tmp_path / "a.npy", maps)
    fits.writeto(tmp_path / "b.fits", maps[0])
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["kappa"] = maps[:2]
    lines = [
        "file,omega_m,sigma8,realisation,dataset",
        "a.npy,0.3,0.8,0,",
        "b.fits,0.25,0.9,1,",
        "c.h5,0.25,0.9,1,kappa",
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path, maps


def own(folder, **more) -> Maps:
    return Maps(kind="files", pixels=12, files={"table": str(folder / "table.csv"), **more})


def test_own_maps_are_read_in_the_order_of_the_table(folder):
    path, maps = folder
    found, theta = read_realisation(own(path, scale=2.0), 1)
    np.testing.assert_array_equal(found, 2 * np.concatenate([maps[:1], maps[:2]]))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(theta, [[0.25, 0.9]] * 3)
    rows = PROBE.simulate(MapSettings(1, own(path)), "own", 0)
    assert len(rows) == 3
    assert (rows.theta == [0.3, 0.8]).all()
    assert PROBE.grid(rows.header) == ()


@pytest.mark.parametrize(
    ("said", "sound"),
    [
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -2 / 60, "CDELT2": 2 / 60}, True),
        ({"CUNIT1": "arcmin", "CUNIT2": "arcmin", "CDELT1": 2.0, "CDELT2": 2.0}, True),
        ({"CDELT1": 1.0, "CDELT2": 1.0}, True),  # of nothing: steps of a pixel
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1 / 60, "CDELT2": 1 / 60}, False),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -2 / 60, "CD2_2": 1.5 / 60}, False),
        ({"CUNIT1": "arcsec", "CUNIT2": "arcsec", "CDELT1": 2.0, "CDELT2": 2.0}, False),
    ],
)
def test_a_fits_map_of_other_pixels_is_refused(folder, said, sound):
    """The power of a map is at other scales if its pixels are; arrays alone do not say it."""
    path, maps = folder
    fits.writeto(path / "b.fits", maps[0], fits.Header(said), overwrite=True)
    if sound:
        np.testing.assert_array_equal(read_realisation(own(path), 1)[0][0], maps[0])
    else:
        with pytest.raises(LimelightError, match=r"b.fits: found pixels of .* expected data.pixel_arcmin, 2;"):
            read_realisation(own(path), 1)


def test_a_shard_of_own_maps_is_made_of_the_table_and_its_files(folder):
    path, _ = folder
    settings = MapSettings(1, own(path))
    assert PROBE.source_files(settings, 0) == [str(path / name) for name in ("table.csv", "a.npy")]
    assert PROBE.source_files(settings, 1) == [str(path / name) for name in ("table.csv", "b.fits", "c.h5")]
    (path / "table.csv").write_text("file\n")
    assert PROBE.source_files(settings, 0) == [str(path / "table.csv")]
    assert PROBE.source_files(MapSettings(1, Maps()), 0) == []


def table_of(path, rows: list[str]) -> None:
    (path / "table.csv").write_text("file,omega_m,sigma8,realisation,dataset\n" + "\n".join(rows) + "\n")


@pytest.mark.parametrize(("factor", "sound"), [(1.0, True), (1e9, False), (1e-6, False)])
def test_maps_in_other_units_than_kappa_are_refused(folder, factor, sound):
    """Surface densities, say: the survey's noise would be nothing beside them."""
    path, maps = folder
    np.save(path / "a.npy", factor * maps)
    if sound:
        assert len(read_realisation(own(path), 0)[0]) == 3
    else:
        with pytest.raises(
            LimelightError, match=r"a.npy: found values that spread by .*; expected κ, .* set files.scale"
        ):
            read_realisation(own(path), 0)
    np.testing.assert_allclose(read_realisation(own(path, scale=1 / factor), 0)[0], maps, rtol=1e-5)


def test_a_dataset_may_be_called_by_a_number(folder):
    path, maps = folder
    with h5py.File(path / "c.h5", "w") as file:
        file["0"], file["1"] = maps[:1], maps[1:2]
    table_of(path, ["c.h5,0.3,0.8,0,0", "c.h5,0.3,0.8,1,1"])
    np.testing.assert_array_equal(read_realisation(own(path), 1)[0], maps[1:2])


def test_larger_maps_are_averaged_and_cut(folder):
    """As of Columbia's suite: one FITS file per map, in folders named after the cosmology."""
    path, _ = folder
    whole = np.random.default_rng(1).normal(0, 0.02, (48, 48)).astype(np.float32)
    (path / "Om0.260_si0.800").mkdir()
    fits.writeto(path / "Om0.260_si0.800" / "WLconv_z1.00_0001r.fits", whole)
    table_of(path, ["Om0.260_si0.800/WLconv_z1.00_0001r.fits,0.26,0.8,0,"])
    found, theta = read_realisation(own(path, average=2), 0)
    assert found.shape == (4, 12, 12)
    np.testing.assert_allclose(found[1, 2, 3], whole[4:6, 30:32].mean(), rtol=1e-5)  # above, on the right
    np.testing.assert_allclose(found[2, 0, 0], whole[24:26, :2].mean(), rtol=1e-5)
    assert (theta == [0.26, 0.8]).all()
    with pytest.raises(LimelightError, match="n a multiple of 60"):
        read_realisation(own(path, average=5), 0)


def test_both_formats_of_kappatng_are_read(folder):
    """HDF5 with a group for each source redshift, and before that n, n² numbers of double length, n, further records."""
    path, _ = folder
    whole = np.random.default_rng(2).normal(0, 0.02, (24, 24))
    with h5py.File(path / "LP001_run001_maps.hdf5", "w") as file:
        file["z23/kappa"] = whole
    n = np.int32(24).tobytes()
    (path / "kappa23.dat").write_bytes(n + whole.tobytes() + n + n + whole.tobytes() + n)
    table_of(path, ["LP001_run001_maps.hdf5,0.31,0.82,0,z23/kappa", "kappa23.dat,0.31,0.82,1,"])
    first, second = (read_realisation(own(path), number)[0] for number in (0, 1))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second[3], whole[12:, 12:].astype(np.float32))
    (path / "kappa23.dat").write_bytes(n + whole.tobytes()[:-8])
    with pytest.raises(LimelightError, match="kappa23.dat: found no 24 behind"):
        read_realisation(own(path), 1)


def test_a_sky_is_cut_into_squares_that_do_not_overlap(folder):
    """As of CosmoGrid: HEALPix maps in groups of an HDF5 file. The sky is one of its own coordinates, so that each pixel
    says where it was looked up."""
    healpix = pytest.importorskip("ducc0.healpix")
    path, _ = folder
    nside, arcmin = 256, 30.0
    place = healpix.Healpix_Base(nside, "RING").pix2vec(np.arange(12 * nside**2))
    with h5py.File(path / "maps.h5", "w") as file:
        for axis, name in enumerate("xyz"):
            file[f"kg/{name}"] = place[:, axis].astype(np.float32)
    table_of(path, [f"maps.h5,0.3,0.8,{i},kg/{name}" for i, name in enumerate("xyz")])
    data = own(path).model_copy(update={"pixel_arcmin": arcmin})
    seen = np.stack([read_realisation(data, i)[0] for i in range(3)], axis=-1)
    assert seen.shape == (192, 12, 12, 3)  # of 6 by 6 degrees, about the centres of nside 4
    step = np.degrees(np.linalg.norm(np.diff(seen, axis=2), axis=-1)) * 60
    assert step.mean() == pytest.approx(arcmin, rel=0.01)
    corner = seen[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    middle = seen.mean(axis=(1, 2))
    reach = np.arccos((corner * middle[:, None]).sum(axis=-1) / np.linalg.norm(middle, axis=-1)[:, None]).max()
    apart = np.arccos(np.clip(middle @ middle.T, -1, 1))[~np.eye(len(middle), dtype=bool)].min()
    assert apart > 2 * reach
    with pytest.raises(LimelightError, match="a sky with 14' between its pixels"):
        read_realisation(data.model_copy(update={"pixel_arcmin": 10.0}), 0)
    with pytest.raises(LimelightError, match="data.pixels: found squares of 40°; expected at most 34°"):
        read_realisation(data.model_copy(update={"pixel_arcmin": 200.0}), 0)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: (p / "a.npy").unlink(), "no such file"),
        (lambda p: np.save(p / "a.npy", np.zeros((3, 12, 11))), "shape"),
        (lambda p: np.save(p / "a.npy", np.full((12, 12), np.nan)), "NaN or infinite"),
        (lambda p: np.save(p / "a.npy", np.array([{"a": 1}]), allow_pickle=True), "a.npy"),
        (lambda p: (p / "a.npy").write_bytes((p / "a.npy").read_bytes()[:300]), "a.npy"),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8,realisation\na.txt,0.3,0.8,0\n"), "no such file"),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8\na.npy,0.3,0.8\n"), "no column realisation"),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8,realisation\na.npy,x,0.8,0\n"), "omega_m"),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8,realisation\na.npy,0.3,0.8,7\n"), "no row of"),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8,realisation\nc.h5,0.3,0.8,0\n"), "no name of its"),
        (lambda p: (p / "table.csv").open("a").write("./a.npy,0.3,0.8,1,\n"), "a.npy in 2 rows; expected each once"),
        (lambda p: (p / "table.csv").open("a").write(f"../{p.name}/a.npy,0.3,0.8,1,\n"), "a.npy in 2 rows; expected"),
        (
            lambda p: ((p / "z.npy").symlink_to(p / "a.npy"), (p / "table.csv").open("a").write("z.npy,0.3,0.8,1,\n")),
            "a.npy in 2 rows; expected each once",
        ),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8,realisation\na.npy,0,0.8,0\n"), "numbers above 0"),
        (lambda p: (p / "table.csv").write_text("file,omega_m,sigma8,realisation\na.npy,30,0.8,0\n"), "0, up to 1"),
    ],
)  # fmt: skip
def test_what_readers_refuse_is_one_line(folder, spoil, words):
    path, _ = folder
    spoil(path)
    with pytest.raises(LimelightError) as error:
        read_realisation(own(path), 0)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_fits_and_hdf5_files_are_one_line(folder):
    path, _ = folder
    for name in ("b.fits", "c.h5"):
        whole = (path / name).read_bytes()
        (path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(LimelightError) as error:
            read_realisation(own(path), 1)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
        (path / name).write_bytes(whole)
