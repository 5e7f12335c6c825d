"""Peak Patch files in and out, and the scripts that import and export light-cones."""

import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import yaml
from catalogue_files import (
    HEADER,
    ROOT,
    box_halos,
    cone_halos,
    import_lightcone,
    observed,
    replace_header,
    study,
    write_peakpatch,
    write_pksc,
    write_rockstar,
)

from limelight.cosmology import Cosmology
from limelight.halos.catalogue import HaloCatalogue, read_catalogue
from limelight.halos.config import Catalogue
from limelight.halos.formats import FORMATS
from limelight.halos.formats.npz import read_npz
from limelight.halos.formats.peakpatch import write_peakpatch_npz
from limelight.section import plain

NO_CHECK = {"abundance_unchecked": "a toy catalogue"}


@pytest.mark.parametrize("width", [10, 11, 33])
def test_pksc_record_widths(tmp_path, width):
    position, velocity, mass = cone_halos(500)
    path = write_pksc(tmp_path / "cone.pksc", position, velocity, mass, width)
    halos = FORMATS["peakpatch"](path, Catalogue(), Cosmology())
    np.testing.assert_allclose(halos.position_mpc, position, rtol=1e-6)
    np.testing.assert_allclose(halos.velocity_kms, velocity, rtol=1e-6)
    np.testing.assert_allclose(halos.mass_msun, mass, rtol=1e-6)
    assert halos.box_mpc is None
    assert FORMATS["peakpatch"](path, Catalogue(box_mpc=20000.0), Cosmology()).redshift == 3.0


def test_peakpatch_npz_lightcone_is_cut_to_the_field(tmp_path):
    position, velocity, mass = cone_halos()
    for number in range(3):
        write_peakpatch(tmp_path / f"pp_{number:02d}.npz", position, velocity, mass)
    files = str(tmp_path / "pp_{lightcone:02d}.npz")
    settings = study(tmp_path, source="peakpatch", files=files, field_deg=1.4, catalogue=NO_CHECK)
    halos, _ = import_lightcone(settings, 2)
    ra, dec = np.arctan2(-position[:, 0], position[:, 2]), np.arctan2(position[:, 1], position[:, 2])
    half = np.arctan(np.radians(0.7))
    inside = (np.abs(ra) <= half) & (np.abs(dec) <= half)
    z = Cosmology().redshift_at(np.linalg.norm(position, axis=1))
    low, high = 115.27 / 34 - 1, 115.27 / 26 - 1
    surely = inside & (z > low) & (z < high)
    assert surely.sum() <= len(halos) <= inside.sum()
    assert set(np.float32(mass[surely])) <= set(halos.mass_msun)
    np.testing.assert_allclose(halos.redshift_observed, observed(halos.position_mpc, halos.velocity_kms), atol=2e-5)
    assert halos.geometry["redshift_min"] == pytest.approx(low)


def test_a_catalogue_cut_at_the_floor_of_the_study_reaches_it(tmp_path):
    """Its lightest halo is a hair above; one whose halos begin well above is used from its lightest on."""
    position, velocity, mass = cone_halos()
    write_peakpatch(tmp_path / "0.npz", position, velocity, mass)
    given = {"source": "peakpatch", "files": str(tmp_path / "{lightcone}.npz"), "field_deg": 1.4, "catalogue": NO_CHECK}
    lightest = float(np.float32(mass).min())
    assert 3e10 < lightest < 3.03e10
    for floor, reached in ((3e10, 3e10), (2.5e10, lightest)):
        halos, _ = import_lightcone(study(tmp_path, **given, mass_min_msun=floor), 0)
        assert halos.geometry["mass_min_msun"] == reached


def test_peakpatch_field_off_axis_is_turned_to_the_axis(tmp_path):
    """A field centred at (cen_x_fov, cen_y_fov) = (3°, −2°) comes out centred, velocities and redshifts unchanged."""
    position, velocity, mass = cone_halos()
    ra, dec = np.radians([3.0, -2.0])
    forward = np.array([-np.sin(ra) * np.cos(dec), np.sin(dec), np.cos(ra) * np.cos(dec)])
    side = np.cross([0, 1, 0], forward) / np.linalg.norm(np.cross([0, 1, 0], forward))
    basis = np.stack([side, np.cross(forward, side), forward])  # rows: images of x, y, z
    header = {**HEADER, "cen_x_fov": 3.0, "cen_y_fov": -2.0}
    write_peakpatch(tmp_path / "0.npz", position @ basis, velocity @ basis, mass, header=header)
    files = str(tmp_path / "{lightcone}.npz")
    halos, _ = import_lightcone(study(tmp_path, source="peakpatch", files=files, field_deg=1.4, catalogue=NO_CHECK), 0)
    assert len(halos) > 2000
    assert abs(np.mean(halos.position_mpc[:, 0] / halos.position_mpc[:, 2])) < np.radians(0.05)
    assert abs(np.mean(halos.position_mpc[:, 1] / halos.position_mpc[:, 2])) < np.radians(0.05)
    np.testing.assert_allclose(halos.redshift_observed, observed(halos.position_mpc, halos.velocity_kms), atol=2e-5)


def test_header_written_by_python_2_is_read(tmp_path):
    """Old Peak Patch headers were pickled by Python 2: protocol 2, byte strings, numpy scalars."""
    position, velocity, mass = cone_halos(300)
    header = {name: np.float64(value) for name, value in HEADER.items()}
    path = write_peakpatch(tmp_path / "0.npz", position, velocity, mass, header=header)
    assert read_npz(path, ("cosmo_header",), "")["cosmo_header"] == HEADER
    # by hand, what Python 2's pickle wrote of np.array({'h': 0.7}, dtype=object) in protocol 2
    payload = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01)cnumpy\ndtype\nU\x02O8"
        b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]}U\x01hG?\xe6ffffffsatb."
    )
    assert read_npz(replace_header(path, payload), ("cosmo_header",), "")["cosmo_header"] == {"h": 0.7}


def test_export_has_what_limlam_mocker_reads(tmp_path):
    """Keys, types and signs of limlam_mocker's loader: ra = atan2(−x, z), dec = asin(y/χ), zhalo with velocities."""
    position, velocity, mass = cone_halos(1000)
    redshift = Cosmology().redshift_at(np.linalg.norm(position, axis=1))
    halos = HaloCatalogue(*(np.float32(v) for v in (position, velocity, mass, redshift, observed(position, velocity))))
    write_peakpatch_npz(tmp_path / "out.npz", halos, np.full(1000, 5.0))
    read = np.load(tmp_path / "out.npz", allow_pickle=True)  # our own file: what limlam_mocker does
    header = read["cosmo_header"][()]
    assert read["cosmo_header"].shape == ()
    assert b"_core" not in zipfile.ZipFile(tmp_path / "out.npz").read(
        "cosmo_header.npy"
    )  # numpy 1 and Python 2 read it
    assert read["cosmo_header"].dtype == object
    assert set(header) >= {"Omega_M", "Omega_B", "Omega_L", "h", "ns", "sigma8"}
    assert header["Omega_M"] + header["Omega_L"] == 1.0
    assert set(read.files) == {"cosmo_header", "x", "y", "z", "vx", "vy", "vz", "M", "zhalo", "zform"}
    assert all(read[name].dtype == np.float32 and read[name].shape == (1000,) for name in read.files if len(name) < 6)
    chi = np.sqrt(read["x"] ** 2 + read["y"] ** 2 + read["z"] ** 2)
    ra, dec = np.degrees(np.arctan2(-read["x"], read["z"])), np.degrees(np.arcsin(read["y"] / chi))
    np.testing.assert_allclose(np.tan(np.radians(ra)), -position[:, 0] / position[:, 2], atol=1e-6)
    np.testing.assert_allclose(np.sin(np.radians(dec)), position[:, 1] / np.linalg.norm(position, axis=1), atol=1e-6)
    approaching = (position * velocity).sum(axis=1) < 0  # comes towards the observer: seen at a lower redshift
    assert np.all((read["zhalo"] < redshift + 1e-6)[approaching])
    back = FORMATS["peakpatch"](tmp_path / "out.npz", Catalogue(), Cosmology())
    np.testing.assert_array_equal(back.position_mpc, halos.position_mpc)
    np.testing.assert_array_equal(back.redshift_observed, halos.redshift_observed)


@pytest.mark.parametrize("omega_m", np.linspace(0.1, 0.9, 33).tolist())
def test_exported_omegas_add_up_to_one_exactly(omega_m):
    assert omega_m + (1.0 - omega_m) == 1.0


def test_script_writes_a_lightcone_and_exports_it(tmp_path):
    position, velocity, mass = box_halos(3000)
    path = write_rockstar(tmp_path / "out.list", position, velocity, mass)
    settings = study(tmp_path, source="rockstar", files=str(path), field_deg=1.0, catalogue=NO_CHECK)
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(plain(settings)))
    output = tmp_path / "3.h5"
    run("import_lightcone.py", "--config", config, "--lightcone", "3", "--output", output)
    halos = read_catalogue(output)
    again, attributes = import_lightcone(settings, 3)
    np.testing.assert_array_equal(halos.position_mpc, again.position_mpc)
    np.testing.assert_array_equal(halos.redshift_observed, again.redshift_observed)
    with h5py.File(output) as file:
        assert file.attrs["source"] == "rockstar"
        assert "with h = 0.7" in file.attrs["conversions"]
    assert "training and test" in attributes["conversions"][0]["shared"]
    assert len(import_lightcone(settings, 4)[0]) != len(halos)
    run("export_peakpatch.py", "--lightcone", output, "--output", tmp_path / "pp.npz")
    back = FORMATS["peakpatch"](tmp_path / "pp.npz", Catalogue(), Cosmology())
    np.testing.assert_array_equal(back.position_mpc, halos.position_mpc)


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
