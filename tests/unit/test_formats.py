"""Foreign catalogues: real files against what their makers publish, the other formats from files written by their layout."""

import hashlib
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
import yaml
from astropy.cosmology import FlatLambdaCDM
from catalogue_files import (
    ABACUS,
    BOLSHOI,
    DATA,
    ROOT,
    TNG,
    H,
    box_halos,
    cone_halos,
    observed,
    study,
    write_peakpatch,
    write_pksc,
    write_rockstar,
    write_subfind,
)
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.halo import mass_so

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.catalogue import HaloCatalogue, read_catalogue
from limelight.halos.foreign import import_lightcone
from limelight.halos.formats import FORMATS
from limelight.halos.formats.npz import read_npz
from limelight.halos.formats.peakpatch import write_peakpatch_npz

NO_CHECK = {"abundance_unchecked": "a toy catalogue"}
UM = DATA / "um_sfr_catalog_0.506185.txt"
LIGHTCONE = DATA / "abacus_lc_halo_info_z2.250.asdf"
TNG_CUT = DATA / "tng_halos_z7.00_cut68.npz"


def test_fixtures_are_what_their_readme_says():
    text = (DATA / "README.md").read_text()
    for path in (UM, LIGHTCONE, TNG_CUT):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text


def test_universemachine_masses_and_radii_obey_the_virial_overdensity():
    """The file's own R (comoving kpc/h) is the Bryan & Norman radius of M only if M is in Msun, not Msun/h."""
    halos = FORMATS["universemachine"](UM, {"box_mpc": 10 / 0.678}, Cosmology(**BOLSHOI))
    raw = np.loadtxt(UM)
    hosts = raw[raw[:, 2] < 0]
    assert len(halos) == len(hosts)
    assert halos.redshift == pytest.approx(1 / 0.506185 - 1, abs=1e-6)
    params = {"flat": True, "H0": 67.8, "Om0": 0.307, "Ob0": 0.048, "sigma8": 0.823, "ns": 0.96}
    colossus_cosmology.setCosmology("bolshoi", params=params, persistence="")
    radius = mass_so.M_to_R(halos.mass_msun * 0.678, halos.redshift, "vir") * (1 + halos.redshift)
    np.testing.assert_allclose(hosts[:, 15], radius, rtol=3e-3)
    assert halos.position_mpc.max() == pytest.approx(hosts[:, 5:8].max() / 0.678)
    np.testing.assert_array_equal(halos.velocity_kms, hosts[:, 8:11])


def test_universemachine_keeps_satellites_when_asked():
    everything = FORMATS["universemachine"](UM, {"box_mpc": 15.0, "subhalos": True}, Cosmology(**BOLSHOI))
    assert len(everything) == 1237


def test_abacus_lightcone_distances_are_those_of_its_redshifts():
    """pos_interp, brought to Mpc from the observer, lies where astropy puts redshift_interp."""
    pytest.importorskip("blosc")
    halos = FORMATS["abacus"](LIGHTCONE, {}, Cosmology(**ABACUS))
    assert halos.box_mpc is None
    assert 0 < len(halos) < 50  # some were merged away
    distance = np.linalg.norm(halos.position_mpc, axis=1)
    universe = FlatLambdaCDM(H0=67.36, Om0=0.315192, Tcmb0=0)
    edges = universe.comoving_distance([2.1347985, 2.363119]).value  # the extremes of redshift_interp
    assert distance.min() == pytest.approx(edges[0], rel=3e-4)
    assert distance.max() == pytest.approx(edges[1], rel=3e-4)
    assert halos.mass_msun.max() == pytest.approx(7370 * 2109081520.453063 / 0.6736)
    assert 250 < halos.velocity_kms.std() < 450
    assert halos.cosmology["omega_m"] == pytest.approx(0.315192)
    assert halos.cosmology["omega_b"] == pytest.approx(0.02237 / 0.6736**2)


def test_abacus_lightcone_becomes_a_lightcone(tmp_path):
    pytest.importorskip("blosc")
    # the file's halos lie around (1, 3582, 993) Mpc/h from the observer; 50 of them cannot be judged by their number
    settings = study(
        tmp_path,
        source="abacus",
        files=str(LIGHTCONE),
        field_deg=60,
        train=[0],
        study_cosmology=ABACUS,
        catalogue={"line_of_sight": [1, 3582, 993], **NO_CHECK},
        grid={"freq_min_ghz": 34.0, "freq_max_ghz": 38.0},
    )
    with pytest.raises(LimelightError, match="one light-cone for light-cones 0, 1, 2"):
        import_lightcone(settings, 0)
    settings["lightcones"]["files"] = str(LIGHTCONE).replace("info", "{lightcone}")
    name = settings["lightcones"]["files"]
    settings["lightcones"]["files"] = str(tmp_path / "{lightcone}.asdf")
    (tmp_path / "0.asdf").write_bytes(LIGHTCONE.read_bytes())
    assert name
    halos, attributes = import_lightcone(settings, 0)
    assert len(halos) > 10
    universe = FlatLambdaCDM(H0=67.36, Om0=0.315192, Tcmb0=0)
    distance = np.linalg.norm(halos.position_mpc, axis=1)
    np.testing.assert_allclose(universe.comoving_distance(halos.redshift).value, distance, rtol=1e-5)
    assert "merged away" in attributes["conversions"][0]


def tng_study(tmp_path, mass_unit: str, **catalogue) -> dict:
    return study(
        tmp_path,
        source="table",
        files=str(TNG_CUT),
        field_deg=1.0,
        mass_min_msun=1.1e10,
        study_cosmology=TNG,
        catalogue={
            "columns": {"x": "x", "y": "y", "z": "z", "mass": "m"},
            "units": {"position": "Mpc/h", "mass": mass_unit},
            "box_mpc": 68 / 0.6774,
            "redshift": 7.0,
            **catalogue,
        },
        grid={"freq_min_ghz": 14.0, "freq_max_ghz": 14.6},
    )


def test_tng_masses_pass_and_with_a_wrong_h_are_caught(tmp_path):
    """A cut of a real TNG halo table at z = 7: its mass unit decides whether it obeys Tinker08."""
    halos, attributes = import_lightcone(tng_study(tmp_path, "Msun"), 0)
    assert len(halos) > 1000
    assert all(0.6 < row["found"] / row["expected"] < 1.1 for row in attributes["abundance"][:2])
    with pytest.raises(LimelightError, match="likely cause: masses are in Msun but were read as Msun/h"):
        import_lightcone(tng_study(tmp_path, "Msun/h"), 0)
    import_lightcone(tng_study(tmp_path, "Msun/h", abundance_unchecked="a test"), 0)


@pytest.mark.parametrize("order", ["#ID DescID Mvir Vmax Vrms Rvir Rs Np X Y Z VX VY VZ PID"])
def test_rockstar_units_come_from_its_header(tmp_path, order):
    position, velocity, mass = box_halos()
    parents = np.where(np.arange(len(mass)) % 10 == 3, 2, -1)
    path = write_rockstar(tmp_path / "out_5.list", position, velocity, mass, names=order, parents=parents)
    halos = FORMATS["rockstar"](path, {}, Cosmology(h=0.5))  # the file's h counts, not the config's
    hosts = parents == -1
    np.testing.assert_allclose(halos.position_mpc, position[hosts] / H, atol=2e-5)
    np.testing.assert_allclose(halos.mass_msun, mass[hosts] / H, rtol=2e-5)
    np.testing.assert_allclose(halos.velocity_kms, velocity[hosts], atol=1e-5)
    assert (halos.redshift, halos.box_mpc) == (pytest.approx(3.0), pytest.approx(100 / H))
    assert halos.cosmology == {"h": 0.7, "omega_m": 0.286, "omega_l": 0.714}
    assert len(FORMATS["rockstar"](path, {"subhalos": True}, Cosmology())) == len(mass)


def test_consistent_trees_header_is_understood(tmp_path):
    """hlist_*.list numbers its columns, gives the scale factor as a column and the box as a comment."""
    path = tmp_path / "hlist_0.25000.list"
    path.write_text(
        "#scale(0) id(1) pid(5) upid(6) mvir(10) M200b(11) x(17) y(18) z(19) vx(20) vy(21) vz(22)\n"
        "#Omega_M = 0.286000; Omega_L = 0.714000; h0 = 0.700000\n#Full box size = 250.000000 Mpc/h\n"
        "0.2500 1 -1 -1 1.4e12 1.6e12 10 20 30 100 -200 300\n0.2500 2 1 1 1.0e11 1.0e11 11 20 30 0 0 0\n"
    )
    halos = FORMATS["rockstar"](path, {"mass_column": "M200b"}, Cosmology())
    np.testing.assert_allclose(halos.mass_msun, [1.6e12 / 0.7])
    np.testing.assert_allclose(halos.position_mpc, [[10 / 0.7, 20 / 0.7, 30 / 0.7]])
    assert (halos.redshift, halos.box_mpc) == (pytest.approx(3.0), pytest.approx(250 / 0.7))


def test_subfind_units_and_pieces(tmp_path):
    position, velocity, mass = box_halos()
    mass[:5] = 0  # spherical overdensity not reached: Subfind writes 0
    write_subfind(tmp_path / "fof.0.hdf5", position[:200], velocity[:200], mass[:200], total=300)
    write_subfind(tmp_path / "fof.1.hdf5", position[200:], velocity[200:], mass[200:], total=300)
    halos = FORMATS["subfind"](tmp_path / "fof.0.hdf5", {}, Cosmology(h=0.5))
    np.testing.assert_allclose(halos.position_mpc, position[5:200] / H, rtol=1e-6)
    np.testing.assert_allclose(halos.velocity_kms, velocity[5:200], rtol=1e-5)
    np.testing.assert_allclose(halos.mass_msun, mass[5:200] / H, rtol=1e-6)
    assert (halos.redshift, halos.box_mpc) == (3.0, pytest.approx(100 / H))
    both = study(tmp_path, source="subfind", files=str(tmp_path / "fof.*.hdf5"), field_deg=1.0, catalogue=NO_CHECK)
    cone, _ = import_lightcone(both, 0)
    whole = write_subfind(tmp_path / "whole.hdf5", position, velocity, mass)
    again, _ = import_lightcone(
        study(tmp_path, source="subfind", files=str(whole), field_deg=1.0, catalogue=NO_CHECK), 0
    )
    np.testing.assert_array_equal(cone.position_mpc, again.position_mpc)


def test_abacus_box_units(tmp_path):
    """CompaSO boxes: positions in box units (−½ to ½), velocities × VelZSpace_to_kms, N × particle mass."""
    asdf = pytest.importorskip("asdf")
    position, velocity, _ = box_halos()
    header = {
        **{"BoxSizeHMpc": 100.0, "H0": 70.0, "Omega_M": 0.286, "Omega_DE": 0.714, "Redshift": 3.0, "w0": -1.0},
        **{"ParticleMassHMsun": 2e9, "VelZSpace_to_kms": 20000.0, "n_s": 0.96, "omega_b": 0.047 * 0.49},
    }
    numbers = np.arange(300, dtype=np.uint32)
    data = {
        "x_L2com": (position / 100 - 0.5).astype(np.float32),
        "v_L2com": (velocity / 20000).astype(np.float32),
        "N": numbers,
    }
    path = tmp_path / "halo_info_000.asdf"
    asdf.AsdfFile({"header": header, "data": data}).write_to(path)
    halos = FORMATS["abacus"](path, {}, Cosmology())
    np.testing.assert_allclose(halos.position_mpc, (position[1:] - 50) / H, atol=1e-4)
    np.testing.assert_allclose(halos.velocity_kms, velocity[1:], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(halos.mass_msun, numbers[1:] * 2e9 / 0.7)
    assert (halos.redshift, halos.box_mpc) == (3.0, pytest.approx(100 / 0.7))


@pytest.mark.parametrize("width", [10, 11, 33])
def test_pksc_record_widths(tmp_path, width):
    position, velocity, mass = cone_halos(500)
    path = write_pksc(tmp_path / "cone.pksc", position, velocity, mass, width)
    halos = FORMATS["peakpatch"](path, {}, Cosmology())
    np.testing.assert_allclose(halos.position_mpc, position, rtol=1e-6)
    np.testing.assert_allclose(halos.velocity_kms, velocity, rtol=1e-6)
    np.testing.assert_allclose(halos.mass_msun, mass, rtol=1e-6)
    assert halos.box_mpc is None
    assert FORMATS["peakpatch"](path, {"box_mpc": 20000.0}, Cosmology()).redshift == 3.0


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


def test_peakpatch_field_off_axis_is_turned_to_the_axis(tmp_path):
    """A field centred at (cen_x_fov, cen_y_fov) = (3°, −2°) comes out centred, velocities and redshifts unchanged."""
    position, velocity, mass = cone_halos()
    ra, dec = np.radians([3.0, -2.0])
    forward = np.array([-np.sin(ra) * np.cos(dec), np.sin(dec), np.cos(ra) * np.cos(dec)])
    side = np.cross([0, 1, 0], forward) / np.linalg.norm(np.cross([0, 1, 0], forward))
    basis = np.stack([side, np.cross(forward, side), forward])  # rows: images of x, y, z
    header = {**HEADER_OFF, "cen_x_fov": 3.0, "cen_y_fov": -2.0}
    write_peakpatch(tmp_path / "0.npz", position @ basis, velocity @ basis, mass, header=header)
    files = str(tmp_path / "{lightcone}.npz")
    halos, _ = import_lightcone(study(tmp_path, source="peakpatch", files=files, field_deg=1.4, catalogue=NO_CHECK), 0)
    assert len(halos) > 2000
    assert abs(np.mean(halos.position_mpc[:, 0] / halos.position_mpc[:, 2])) < np.radians(0.05)
    assert abs(np.mean(halos.position_mpc[:, 1] / halos.position_mpc[:, 2])) < np.radians(0.05)
    np.testing.assert_allclose(halos.redshift_observed, observed(halos.position_mpc, halos.velocity_kms), atol=2e-5)


HEADER_OFF = {"Omega_M": 0.286, "Omega_B": 0.047, "Omega_L": 0.714, "h": 0.7, "ns": 0.96, "sigma8": 0.82}


def test_header_written_by_python_2_is_read(tmp_path):
    """Old Peak Patch headers were pickled by Python 2: protocol 2, byte strings, numpy scalars."""
    position, velocity, mass = cone_halos(300)
    header = {name: np.float64(value) for name, value in HEADER_OFF.items()}
    path = write_peakpatch(tmp_path / "0.npz", position, velocity, mass, header=header)
    assert read_npz(path, ("cosmo_header",), "")["cosmo_header"] == HEADER_OFF
    # by hand, what Python 2's pickle wrote of np.array({'h': 0.7}, dtype=object) in protocol 2
    payload = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01)cnumpy\ndtype\nU\x02O8"
        b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]}U\x01hG?\xe6ffffffsatb."
    )
    from catalogue_files import replace_header

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
    back = FORMATS["peakpatch"](tmp_path / "out.npz", {}, Cosmology())
    np.testing.assert_array_equal(back.position_mpc, halos.position_mpc)
    np.testing.assert_array_equal(back.redshift_observed, halos.redshift_observed)


@pytest.mark.parametrize("omega_m", np.linspace(0.1, 0.9, 33).tolist())
def test_exported_omegas_add_up_to_one_exactly(omega_m):
    assert omega_m + (1.0 - omega_m) == 1.0


def table_columns(tmp_path, suffix: str):
    """The same halos as a table in each kind of file; Mpc/h, Gadget snapshot velocities, log10 Msun/h."""
    position, velocity, mass = box_halos()
    columns = {
        **{f"pos_{name}": position[:, n] for n, name in enumerate("xyz")},
        **{f"u_{name}": velocity[:, n] * 2.0 for n, name in enumerate("xyz")},  # v = u √a, a = 1/4
        "lgm": np.log10(mass),
    }
    path = tmp_path / f"halos{suffix}"
    if suffix in (".csv", ".txt"):
        comma = "," if suffix == ".csv" else " "
        rows = np.stack(list(columns.values()), axis=1)
        np.savetxt(
            path, rows, fmt="%.8e", delimiter=comma, header=comma.join(columns), comments="" if comma == "," else "#"
        )
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["halos/pos"], file["halos/vel"], file["halos/lgm"] = position, velocity * 2.0, columns["lgm"]
    elif suffix == ".npz":
        np.savez(path, **columns)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table(columns), path)
    ours = {"x": "pos_x", "y": "pos_y", "z": "pos_z", "vx": "u_x", "vy": "u_y", "vz": "u_z", "mass": "lgm"}
    if suffix == ".h5":
        ours = {name: f"halos/pos[{n}]" for n, name in enumerate("xyz")} | {"mass": "halos/lgm"}
        ours |= {f"v{name}": f"halos/vel[{n}]" for n, name in enumerate("xyz")}
    units = {"position": "Mpc/h", "velocity": "km/s sqrt(a)", "mass": "log10 Msun/h"}
    return path, {"columns": ours, "units": units, "box_mpc": 100 / H, "redshift": 3.0}, (position, velocity, mass)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".h5", ".npz", ".parquet"])
def test_tables(tmp_path, suffix):
    path, options, (position, velocity, mass) = table_columns(tmp_path, suffix)
    halos = FORMATS["table"](path, options, Cosmology())
    np.testing.assert_allclose(halos.position_mpc, position / H, rtol=1e-6)
    np.testing.assert_allclose(halos.velocity_kms, velocity, rtol=1e-6)
    np.testing.assert_allclose(halos.mass_msun, mass / H, rtol=1e-5)
    assert (halos.redshift, halos.box_mpc) == (3.0, pytest.approx(100 / H))


def test_sky_table_agrees_with_astropy(tmp_path):
    """ra, dec, redshift around a centre: offsets as astropy's SkyOffsetFrame has them, distance as its cosmology."""
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(3)
    ra, dec, z = 150 + rng.uniform(-1, 1, 50), 2 + rng.uniform(-1, 1, 50), rng.uniform(2.4, 3.4, 50)
    np.savez(tmp_path / "sky.npz", RA=ra, DEC=dec, Z=z, ZOBS=z + 0.001, M=np.full(50, 1e12))
    options = {
        "columns": {"ra": "RA", "dec": "DEC", "redshift": "Z", "redshift_observed": "ZOBS", "mass": "M"},
        "center_deg": [150, 2],
    }
    halos = FORMATS["table"](tmp_path / "sky.npz", options, Cosmology())
    offset = SkyCoord(ra, dec, unit="deg").transform_to(SkyCoord(150, 2, unit="deg").skyoffset_frame())
    x, y, depth = halos.position_mpc.T
    np.testing.assert_allclose(np.degrees(np.arctan2(-x, depth)), offset.lon.wrap_at("180d").deg, atol=1e-9)
    chi = np.linalg.norm(halos.position_mpc, axis=1)
    np.testing.assert_allclose(np.degrees(np.arcsin(y / chi)), offset.lat.deg, atol=1e-9)
    universe = FlatLambdaCDM(H0=70, Om0=0.286, Tcmb0=0)
    np.testing.assert_allclose(chi, universe.comoving_distance(z).value, rtol=1e-6)
    np.testing.assert_allclose(observed(halos.position_mpc, halos.velocity_kms), z + 0.001, atol=1e-6)


def test_a_study_adopts_the_cosmology_of_its_files(tmp_path):
    position, velocity, mass = box_halos(2000)
    path = write_rockstar(tmp_path / "out.list", position, velocity, mass, Om=0.31, Ol=0.69, h=0.68)
    settings = study(tmp_path, source="rockstar", files=str(path), field_deg=1.0, catalogue=NO_CHECK)
    with pytest.raises(LimelightError, match=r"omega_m 0\.31, h 0\.68; expected omega_m 0\.286, h 0\.7"):
        import_lightcone(settings, 0)
    settings["lightcones"]["catalogue"]["cosmology"] = "adopt"
    halos, _ = import_lightcone(settings, 0)
    assert (halos.cosmology.omega_m, halos.cosmology.h, halos.cosmology.sigma8) == (0.31, 0.68, 0.82)


def test_script_writes_a_lightcone_and_exports_it(tmp_path):
    position, velocity, mass = box_halos(3000)
    path = write_rockstar(tmp_path / "out.list", position, velocity, mass)
    settings = study(tmp_path, source="rockstar", files=str(path), field_deg=1.0, catalogue=NO_CHECK)
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(settings))
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
    back = FORMATS["peakpatch"](tmp_path / "pp.npz", {}, Cosmology())
    np.testing.assert_array_equal(back.position_mpc, halos.position_mpc)


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr


def test_the_examples_of_the_guide_are_valid_configs(tmp_path):
    text = (ROOT / "docs" / "catalogues.md").read_text()
    blocks = [block for part in text.split("```yaml\n")[1:] for block in re.split(r"\n\n", part.split("```")[0])]
    assert len(blocks) == 6
    for block in blocks:
        section = yaml.safe_load(block)["lightcones"]
        assert section["source"] in FORMATS
        study(tmp_path, field_deg=1.4, **section)
