"""Foreign catalogues: real files against what their makers publish, the other formats from files written by their layout."""

import hashlib
import re
import tracemalloc

import asdf
import h5py
import numpy as np
import pyarrow.parquet
import pytest
import yaml
from altered import altered
from astropy.cosmology import FlatLambdaCDM
from bad_catalogues import abacus_box
from catalogue_files import (
    ABACUS,
    BOLSHOI,
    DATA,
    ROOT,
    TNG,
    H,
    box_halos,
    import_lightcone,
    observed,
    study,
    write_rockstar,
    write_subfind,
)
from colossus.cosmology import cosmology as colossus_cosmology
from colossus.halo import mass_so

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.config import Catalogue
from limelight.halos.formats import FORMATS
from limelight.halos.formats.common import Foreign
from limelight.probes.line_intensity.config import LineStudy

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
    halos = FORMATS["universemachine"](UM, Catalogue(box_mpc=10 / 0.678), Cosmology(**BOLSHOI))
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
    everything = FORMATS["universemachine"](UM, Catalogue(box_mpc=15.0, subhalos=True), Cosmology(**BOLSHOI))
    assert len(everything) == len(np.loadtxt(UM)), "hosts and satellites: every row of the file"


def test_universemachine_halos_obey_the_mass_function(tmp_path):
    """The real file through the whole import, at its own redshift, with the comparison to Tinker08 on."""
    settings = study(
        tmp_path,
        source="universemachine",
        files=str(UM),
        field_deg=0.5,
        mass_min_msun=1e10,
        study_cosmology=BOLSHOI,
        catalogue={"box_mpc": 10 / 0.678},
        grid={"freq_min_ghz": 57.5, "freq_max_ghz": 58.5},
    )
    halos, attributes = import_lightcone(settings, 0)
    assert len(halos) > 100
    row = attributes["abundance"][0]
    assert 0.5 < row["found"] / row["expected"] < 1.5
    assert np.abs(halos.redshift_observed - halos.redshift).max() < 2 * 1200 / 299792.458


def test_abacus_lightcone_distances_are_those_of_its_redshifts():
    """pos_interp, brought to Mpc from the observer, lies where astropy puts redshift_interp."""
    halos = FORMATS["abacus"](LIGHTCONE, Catalogue(), Cosmology(**ABACUS))
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
    settings = altered(settings, {"lightcones.files": str(tmp_path / "{lightcone}.asdf")})
    (tmp_path / "0.asdf").write_bytes(LIGHTCONE.read_bytes())
    halos, attributes = import_lightcone(settings, 0)
    assert len(halos) > 10
    universe = FlatLambdaCDM(H0=67.36, Om0=0.315192, Tcmb0=0)
    distance = np.linalg.norm(halos.position_mpc, axis=1)
    np.testing.assert_allclose(universe.comoving_distance(halos.redshift).value, distance, rtol=1e-5)
    assert 0 < sum(attributes["left_out"][0].values()) < 50


def tng_study(tmp_path, mass_unit: str, **catalogue) -> LineStudy:
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


def test_rockstar_units_come_from_its_header(tmp_path):
    position, velocity, mass = box_halos()
    parents = np.where(np.arange(len(mass)) % 10 == 3, 2, -1)
    path = write_rockstar(tmp_path / "out_5.list", position, velocity, mass, parents=parents)
    halos = FORMATS["rockstar"](path, Catalogue(), Cosmology(h=0.5))  # the file's h counts, not the config's
    hosts = parents == -1
    np.testing.assert_allclose(halos.position_mpc, position[hosts] / H, atol=2e-5)
    np.testing.assert_allclose(halos.mass_msun, mass[hosts] / H, rtol=2e-5)
    np.testing.assert_allclose(halos.velocity_kms, velocity[hosts], atol=1e-5)
    assert (halos.redshift, halos.box_mpc) == (pytest.approx(3.0), pytest.approx(100 / H))
    assert halos.cosmology == {"h": 0.7, "omega_m": 0.286, "omega_l": 0.714}
    assert len(FORMATS["rockstar"](path, Catalogue(subhalos=True), Cosmology())) == len(mass)


def test_consistent_trees_header_is_understood(tmp_path):
    """hlist_*.list numbers its columns, gives the scale factor as a column and the box as a comment."""
    path = tmp_path / "hlist_0.25000.list"
    path.write_text(
        "#scale(0) id(1) pid(5) upid(6) mvir(10) M200b(11) x(17) y(18) z(19) vx(20) vy(21) vz(22)\n"
        "#Omega_M = 0.286000; Omega_L = 0.714000; h0 = 0.700000\n#Full box size = 250.000000 Mpc/h\n"
        "0.2500 1 -1 -1 1.4e12 1.6e12 10 20 30 100 -200 300\n0.2500 2 1 1 1.0e11 1.0e11 11 20 30 0 0 0\n"
    )
    halos = FORMATS["rockstar"](path, Catalogue(mass_column="M200b"), Cosmology())
    np.testing.assert_allclose(halos.mass_msun, [1.6e12 / 0.7])
    np.testing.assert_allclose(halos.position_mpc, [[10 / 0.7, 20 / 0.7, 30 / 0.7]])
    assert (halos.redshift, halos.box_mpc) == (pytest.approx(3.0), pytest.approx(250 / 0.7))


def test_snapshots_that_no_shell_needs_are_left_alone(tmp_path):
    """A folder of snapshots: those near the band fill it, the rest (here without a halo above the floor) do not matter."""
    position, velocity, mass = box_halos(2000)
    for scale in (0.1, 0.2326, 0.2632, 0.2857, 1.0):
        heavy = mass if 0.2 < scale < 0.5 else np.full(2000, 1e9)
        write_rockstar(tmp_path / f"out_{scale}.list", position, velocity, heavy * (1 + scale), a=scale)
    settings = study(tmp_path, source="rockstar", files=str(tmp_path / "out_*.list"), field_deg=1.0, catalogue=NO_CHECK)
    halos, attributes = import_lightcone(settings, 0)
    assert len(attributes["conversions"]) == 3
    z = halos.redshift
    for low, high, scale in ((2.4, 2.64, 0.2857), (2.66, 3.04, 0.2632), (3.06, 3.43, 0.2326)):
        lightest = halos.mass_msun[(z > low) & (z < high)].min()
        assert lightest == pytest.approx(mass.min() * (1 + scale) / H, rel=1e-4)


def test_a_folder_of_snapshots_takes_the_memory_of_those_that_the_band_needs(tmp_path, monkeypatch):
    """Of 24 snapshots the band needs 3; of each file a halo in 4 is above the floor. One file at a time is held whole."""
    count, side = 60_000, 400.0

    def read(path, options, cosmology):
        rng = np.random.default_rng(int(path.stem))
        mass = np.where(np.arange(count) % 4, 1e9, 1e12)
        velocity = rng.normal(0, 220, (count, 3))
        return Foreign(rng.uniform(0, side, (count, 3)), velocity, mass, int(path.stem) / 100, side)

    monkeypatch.setitem(FORMATS, "rockstar", read)
    redshifts = [*range(0, 200, 20), 250, 290, 330, *range(400, 1050, 60)]
    assert len(redshifts) == 24
    for name in ("some", "all"):
        (tmp_path / name).mkdir()
        for z in redshifts:
            if name == "all" or 240 < z < 340:
                (tmp_path / name / f"{z:04d}.list").touch()
    found, peaks = [], []
    for name in ("some", "all"):
        files = str(tmp_path / name / "*.list")
        settings = study(tmp_path, source="rockstar", files=files, field_deg=0.5, catalogue=NO_CHECK)
        tracemalloc.start()
        found.append(import_lightcone(settings, 0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    (few, notes), (many, same_notes) = found
    for name in ("position_mpc", "velocity_kms", "mass_msun", "redshift_observed"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name))
    assert len(notes["conversions"]) == len(same_notes["conversions"]) == 3
    file_bytes = 7 * 8 * count
    assert peaks[1] < peaks[0] + file_bytes
    assert peaks[1] < 3 * file_bytes


def test_subfind_units_and_pieces(tmp_path):
    position, velocity, mass = box_halos()
    mass[:5] = 0  # spherical overdensity not reached: Subfind writes 0
    write_subfind(tmp_path / "fof.0.hdf5", position[:200], velocity[:200], mass[:200], total=300)
    write_subfind(tmp_path / "fof.1.hdf5", position[200:], velocity[200:], mass[200:], total=300)
    halos = FORMATS["subfind"](tmp_path / "fof.0.hdf5", Catalogue(), Cosmology(h=0.5))
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
    halos = FORMATS["abacus"](path, Catalogue(), Cosmology())
    np.testing.assert_allclose(halos.position_mpc, (position[1:] - 50) / H, atol=1e-4)
    np.testing.assert_allclose(halos.velocity_kms, velocity[1:], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(halos.mass_msun, numbers[1:] * 2e9 / 0.7)
    assert (halos.redshift, halos.box_mpc) == (3.0, pytest.approx(100 / 0.7))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"sigma8_m": 0.807952, "sigma8_cb": 0.811355}, 0.807952),
        ({"sigma8_cb": 0.811355}, 0.811355),
        ({"sigma8": 0.79}, 0.79),
        # grown 76.9 times since z = 99 for Ωm = 0.286 (the fit of Carroll, Press & Turner 1992)
        ({"ZD_Pk_sigma": 0.01, "ZD_Pk_norm": 8.0, "InitialRedshift": 99.0}, 0.769),
        ({"ZD_Pk_sigma": 0.0, "ZD_Pk_norm": 8.0, "InitialRedshift": 99.0}, None),
        ({"ZD_Pk_sigma_ratio": 0.0211, "ZD_Pk_norm": 8.0, "InitialRedshift": 99.0}, None),
    ],
)
def test_abacus_headers_hold_sigma8_in_several_ways(tmp_path, entries, expected):
    _, path, _ = abacus_box(tmp_path, **entries)
    found = FORMATS["abacus"](path, Catalogue(), Cosmology()).cosmology
    assert found.get("sigma8") == (pytest.approx(expected, rel=0.003) if expected else None)


def abacus_shell(path, low_mpc: float, high_mpc: float, n: int, seed: int, h: float = 0.7, half: float = 0.04):
    """A light-cone shell as AbacusSummit publishes it: n halos around +z of an observer at (−50, −50, −50) Mpc/h."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(low_mpc**3, high_mpc**3, n) ** (1 / 3)
    direction = np.concatenate([rng.uniform(-half, half, (n, 2)), np.ones((n, 1))], axis=1)
    position = distance[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    header = {"BoxSizeHMpc": 2000.0, "H0": 100 * h, "Omega_M": 0.286, "Redshift": seed / 10, "ParticleMassHMsun": 2e9}
    header |= {"VelZSpace_to_kms": 20000.0, "LightConeOrigins": np.full((1, 3), -50.0)}
    data = {
        "pos_interp": (position * h - 50.0).astype(np.float32),
        "vel_interp": rng.normal(0, 200, (n, 3)).astype(np.float32),
        "N_interp": rng.integers(20, 5000, n).astype(np.uint32),
    }
    asdf.AsdfFile({"header": header, "data": data}).write_to(path)
    return position


def test_abacus_lightcone_of_several_shells(tmp_path):
    """AbacusSummit publishes a light-cone as one file a redshift: together they fill the band, and one alone does not."""
    universe = FlatLambdaCDM(H0=70, Om0=0.286, Tcmb0=0)
    edges = universe.comoving_distance([2.85, 2.95, 3.04, 3.15]).value
    sizes = (2600, 2400, 2800)
    shells = []
    for n, (low, high, size) in enumerate(zip(edges[:-1], edges[1:], sizes, strict=True)):
        shells.append(abacus_shell(tmp_path / f"7_z{n}.asdf", low, high, size, 29 + n))
    grid = {"freq_min_ghz": 115.27 / 4.1, "freq_max_ghz": 115.27 / 3.9}  # z = 2.9 to 3.1
    given = {"source": "abacus", "field_deg": 4.0, "mass_min_msun": 5e10, "train": [7], "grid": grid}
    settings = study(tmp_path, **given, files=str(tmp_path / "{lightcone}_z*.asdf"), catalogue=NO_CHECK)
    halos, attributes = import_lightcone(settings, 7)
    assert [path[-9:] for path in attributes["source_files"]] == ["7_z0.asdf", "7_z1.asdf", "7_z2.asdf"]
    everything = np.concatenate(shells)
    inside = np.all(np.abs(everything[:, :2] / everything[:, 2:]) < np.radians(2.0), axis=1)
    distance = np.linalg.norm(everything, axis=1)
    near, far = universe.comoving_distance([2.9, 3.1]).value
    expected = np.sort(distance[inside & (distance > near + 1) & (distance < far - 1)])
    found = np.linalg.norm(halos.position_mpc.astype(float), axis=1)
    found = np.sort(found[(found > near + 1) & (found < far - 1)])
    np.testing.assert_allclose(found, expected, atol=0.01)
    (tmp_path / "7_z1.asdf").unlink()
    with pytest.raises(LimelightError, match="stretches with hardly any halos along.*distance"):
        import_lightcone(settings, 7)


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
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    ours = {"x": "pos_x", "y": "pos_y", "z": "pos_z", "vx": "u_x", "vy": "u_y", "vz": "u_z", "mass": "lgm"}
    if suffix == ".h5":
        ours = {name: f"halos/pos[{n}]" for n, name in enumerate("xyz")} | {"mass": "halos/lgm"}
        ours |= {f"v{name}": f"halos/vel[{n}]" for n, name in enumerate("xyz")}
    units = {"position": "Mpc/h", "velocity": "km/s sqrt(a)", "mass": "log10 Msun/h"}
    return path, {"columns": ours, "units": units, "box_mpc": 100 / H, "redshift": 3.0}, (position, velocity, mass)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".h5", ".npz", ".parquet"])
def test_tables(tmp_path, suffix):
    path, options, (position, velocity, mass) = table_columns(tmp_path, suffix)
    halos = FORMATS["table"](path, Catalogue.model_validate(options), Cosmology())
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
    halos = FORMATS["table"](tmp_path / "sky.npz", Catalogue.model_validate(options), Cosmology())
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
    settings = altered(settings, {"lightcones.catalogue.cosmology": "adopt"})
    halos, _ = import_lightcone(settings, 0)
    assert (halos.cosmology.omega_m, halos.cosmology.h, halos.cosmology.sigma8) == (0.31, 0.68, 0.82)


def test_the_examples_of_the_guide_are_valid_configs(tmp_path):
    text = (ROOT / "docs" / "catalogues.md").read_text()
    blocks = [block for part in text.split("```yaml\n")[1:] for block in re.split(r"\n\n", part.split("```")[0])]
    sections = [yaml.safe_load(block)["lightcones"] for block in blocks]
    assert {section["source"] for section in sections} == set(FORMATS), "one of each format"
    for section in sections:
        study(tmp_path, field_deg=1.4, **section)
