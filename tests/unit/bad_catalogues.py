"""How to make bad catalogues, and what the line must say of each: CASES, for test_formats_bad.py."""

import h5py
import numpy as np
import pyarrow.parquet
from catalogue_files import (
    DATA,
    HEADER,
    box_halos,
    cone_halos,
    write_peakpatch,
    write_pksc,
    write_rockstar,
    write_subfind,
)

UNCHECKED = {"abundance_unchecked": "a toy catalogue"}
TABLE = {"columns": {"x": "x", "y": "y", "z": "z", "mass": "m"}, "box_mpc": 100.0, "redshift": 3.0}


def cut_short(path, part=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    return path


def peakpatch(tmp, **change):
    halos = change.pop("halos", cone_halos(500))
    return "peakpatch", write_peakpatch(tmp / "0.npz", *halos, **change), {}


def spoiled(column, row, value):
    """Box halos with one value replaced; column 0, 1, 2: positions, velocities, masses."""
    halos = box_halos()
    halos[column][row] = value
    return halos


def rockstar(tmp, halos=None, **header):
    return "rockstar", write_rockstar(tmp / "out_1.list", *(halos or box_halos()), **header), {}


def subfind(tmp, halos=None, **header):
    return "subfind", write_subfind(tmp / "fof.0.hdf5", *(halos or box_halos()), **header), {}


def table(tmp, options=None, **columns):
    position, _, mass = box_halos()
    values = {**dict(zip("xyz", position.T, strict=True)), "m": mass} | columns
    np.savez(tmp / "table.npz", **values)
    return "table", tmp / "table.npz", TABLE | (options or {})


def parquet(tmp, **columns):
    position, _, mass = box_halos()
    values = {**dict(zip("xyz", position.T, strict=True)), "m": mass} | columns
    values = {name: column for name, column in values.items() if column is not None}
    pyarrow.parquet.write_table(pyarrow.table(values), tmp / "table.parquet")
    return "table", tmp / "table.parquet", TABLE


def csv(tmp, text, **options):
    (tmp / "table.csv").write_text(text)
    return "table", tmp / "table.csv", TABLE | options


def edited(made, old, new):
    source, path, options = made
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return source, path, options


def truncated(made, part=0.6):
    source, path, options = made
    return source, cut_short(path, part), options


def subfind_without(tmp, name):
    source, path, options = subfind(tmp)
    with h5py.File(path, "a") as file:
        del file[name]
    return source, path, options


def abacus_copy(tmp, part):
    path = tmp / "0.asdf"
    path.write_bytes((DATA / "abacus_lc_halo_info_z2.250.asdf").read_bytes())
    return "abacus", cut_short(path, part), {}


def abacus_box(tmp, **change):
    import asdf

    position, velocity, _ = box_halos()
    header = {"BoxSizeHMpc": 100.0, "H0": 70.0, "Omega_M": 0.286, "Redshift": 3.0, "ParticleMassHMsun": 2e9}
    header |= {"VelZSpace_to_kms": 20000.0} | change
    header = {name: value for name, value in header.items() if value is not None}
    data = {"x_L2com": position / 100 - 0.5, "v_L2com": velocity / 20000, "N": np.arange(300, dtype=np.uint32)}
    asdf.AsdfFile({"header": header, "data": data}).write_to(tmp / "halo_info_000.asdf")
    return "abacus", tmp / "halo_info_000.asdf", {}


def pksc(tmp, width=33, extra=b"", count=None):
    path = write_pksc(tmp / "0.pksc", *cone_halos(300), width=width)
    data = bytearray(path.read_bytes() + extra)
    if count is not None:
        data[:4] = np.array([count], "<i4").tobytes()
    path.write_bytes(data)
    return "peakpatch", path, {}


def universemachine(tmp, name="sfr_catalog_0.250000.txt", options=None, text=None):
    path = tmp / name
    path.write_text(text if text is not None else (DATA / "um_sfr_catalog_0.506185.txt").read_text())
    return "universemachine", path, {"box_mpc": 15.0} if options is None else options


def hosts(header):
    return {**HEADER, **header}


def other_file(tmp, source, name, data=b"neither fish nor fowl " * 50, options=None):
    (tmp / name).write_bytes(data)
    return source, tmp / name, options or {}


# name: (how to make it, what the line must say of what was found, and of what to do)
CASES = {
    "npz column missing": (lambda t: peakpatch(t, vz=None), "no array 'vz'", "limlam_mocker"),
    "npz header missing": (
        lambda t: ("peakpatch", np.savez(t / "0.npz", x=np.ones(3)) or t / "0.npz", {}),
        "no array 'cosmo_header'",
        "give a Peak Patch file",
    ),
    "npz truncated": (lambda t: truncated(peakpatch(t)), "truncated or damaged", "again"),
    "npz is something else": (lambda t: other_file(t, "peakpatch", "0.npz"), "truncated or damaged", "again"),
    "npz columns of different lengths": (lambda t: peakpatch(t, y=np.ones(7, "f4")), "shapes", "again"),
    "npz masses of another length": (lambda t: peakpatch(t, M=np.ones(7, "f4")), "beside 7 masses", "equally long"),
    "npz with NaN": (lambda t: peakpatch(t, vx=np.full(500, np.nan, "f4")), "500 of 1500 velocities NaN", "drop"),
    "npz column of objects": (lambda t: peakpatch(t, vx=np.array([{}] * 500)), "Python objects", "plain numbers"),
    "npz column of text": (lambda t: peakpatch(t, vx=np.array(["fast"] * 500)), "type <U4", "plain numbers"),
    "npz header holds an object": (lambda t: peakpatch(t, header={"h": np.ones(3)}), "shape (3,)", "do not open"),
    "npz header without numbers": (lambda t: peakpatch(t, header=hosts({"h": "seventy"})), "'seventy'", "mend"),
    "npz cosmology differs": (lambda t: peakpatch(t, header=hosts({"h": 0.6774})), "h 0.6774", "adopt"),
    "npz universe not flat": (lambda t: peakpatch(t, header=hosts({"Omega_L": 0.6})), "ΩΛ 0.6", "flat"),
    "npz zhalo of another universe": (
        lambda t: peakpatch(t, halos=cone_halos(4000), zhalo=np.full(4000, 2.9, "f4")),
        "observed redshifts that differ",
        "cosmology",
    ),
    "npz in kpc": (
        lambda t: peakpatch(t, halos=(cone_halos(500)[0] * 1000, *cone_halos(500)[1:])),
        "a halo at",
        "position unit",
    ),
    "lightcone nearer than the band": (
        lambda t: peakpatch(t, halos=(cone_halos(500)[0] * 0.3, *cone_halos(500)[1:])),
        "no halos within",
        "line_of_sight",
    ),
    "lightcone narrower than the field": (
        lambda t: peakpatch(t, halos=cone_halos(9000, field_deg=0.8)),
        "stretches with hardly any halos along x and y",
        "lower field_deg",
    ),
    "pksc of an unknown width": (lambda t: pksc(t, width=12), "a record of 12.000 numbers", "10, 11 or 33"),
    "pksc with bytes over": (lambda t: pksc(t, extra=b"abc"), "a record of 33.002 numbers", "copy the file"),
    "pksc truncated": (lambda t: truncated(pksc(t)), "for 300 halos", "copy the file"),
    "pksc without a header": (lambda t: other_file(t, "peakpatch", "0.pksc", b"abc"), "3 bytes", "copy the file"),
    "pksc of minus one halo": (lambda t: pksc(t, count=-1), "a header of -1 halos", "copy the file"),
    "peakpatch of unknown ending": (lambda t: other_file(t, "peakpatch", "0.dat"), "ending '.dat'", "rename"),
    "rockstar NaN": (lambda t: rockstar(t, spoiled(0, 7, np.nan)), "3 of 900 positions NaN", "drop"),
    "rockstar negative mass": (lambda t: rockstar(t, spoiled(2, 7, -1e11)), "1 of 300 masses", "mass column"),
    "rockstar velocities in m/s": (
        lambda t: rockstar(t, (box_halos()[0], box_halos()[1] * 1000, box_halos()[2])),
        "a speed of",
        "velocity unit",
    ),
    "rockstar positions outside the box": (
        lambda t: rockstar(t, box=50.0),
        "in a box of 71.43 Mpc",
        "units of positions",
    ),
    "rockstar box in kpc": (lambda t: rockstar(t, box=1000.0), "of a box of 1429 Mpc", "units of positions and box"),
    "rockstar without column names": (
        lambda t: rockstar(t, names="#Rockstar 0.99.9-RC3"),
        "no column names",
        "source: table",
    ),
    "rockstar without velocities": (
        lambda t: rockstar(t, names="#ID DescID Mvir Vmax Vrms Rvir Rs Np X Y Z A B C PID"),
        "no column 'vx'",
        "column names",
    ),
    "rockstar text among numbers": (
        lambda t: edited(rockstar(t), "\n7 -1 ", "\n7 -1 heavy"),
        "could not convert string",
        "mend that row",
    ),
    "rockstar truncated in a row": (
        lambda t: (lambda s, p, o: (s, cut_short(p, 0.995), o))(*rockstar(t, box_halos(30))),
        "rows it cannot read",
        "truncated",
    ),
    "rockstar of comments only": (
        lambda t: other_file(t, "rockstar", "out.list", b"#ID X Y Z\n#a = 0.25\n"),
        "only comments",
        "how the file was made",
    ),
    "rockstar that is binary": (
        lambda t: other_file(t, "rockstar", "out.list", bytes(range(128, 256)) * 9),
        "bytes that are not text",
        "lightcones.source",
    ),
    "rockstar without a = and box": (
        lambda t: edited(rockstar(t), "#a = ", "#snapshot "),
        "no redshift",
        "catalogue.redshift",
    ),
    "rockstar of subhalos only": (lambda t: rockstar(t, parents=[5] * 300), "no halos", "subhalos: true"),
    "rockstar lighter than the floor": (
        lambda t: rockstar(t, (*box_halos()[:2], np.full(300, 1e10))),
        "no halo above 2.5e+10",
        "lower it",
    ),
    "rockstar at another redshift": (lambda t: rockstar(t, a=0.9), "snapshots at z = 0.111", "add snapshots"),
    "subfind truncated": (lambda t: truncated(subfind(t)), "a damaged file", "again"),
    "subfind without masses": (
        lambda t: subfind_without(t, "Group/Group_M_Mean200"),
        "no Group/Group_M_Mean200",
        "mass_column",
    ),
    "subfind without a header": (lambda t: subfind_without(t, "Header"), "no group 'Header'", "lightcones.source"),
    "subfind without h": (lambda t: subfind(t, HubbleParam=None), "no header entry 'HubbleParam'", "source"),
    "subfind piece missing": (lambda t: subfind(t, total=900), "300 of 900 groups in 1 file", "every piece"),
    "subfind rows missing": (lambda t: subfind(t, Ngroups_ThisFile=301), "300 rows of GroupPos", "again"),
    "subfind empty": (lambda t: subfind(t, [values[:0] for values in box_halos()]), "no halos", "check the file"),
    "abacus truncated": (lambda t: abacus_copy(t, 0.6), "a damaged file", "again"),
    "abacus header truncated": (lambda t: abacus_copy(t, 0.05), "a damaged file", "again"),
    "abacus is something else": (lambda t: other_file(t, "abacus", "0.asdf"), "a damaged file", "again"),
    "abacus without particle mass": (
        lambda t: abacus_box(t, ParticleMassHMsun=None),
        "no header entry 'ParticleMassHMsun'",
        "lightcones.source",
    ),
    "abacus with dark energy": (lambda t: abacus_box(t, w0=-0.9), "w0 = -0.9", "base cosmology"),
    "universemachine cut to fewer columns": (
        lambda t: universemachine(t, text="1 2 3\n4 5 6\n"),
        "3 columns and no header",
        "source: table",
    ),
    "universemachine without box": (lambda t: universemachine(t, options={}), "no box size", "box_mpc"),
    "universemachine renamed": (lambda t: universemachine(t, name="galaxies.txt"), "no redshift", "catalogue.redshift"),
    "table of unknown unit": (
        lambda t: table(t, {"units": {"position": "Mpc h"}}),
        "unit 'Mpc h'",
        "Mpc, Mpc/h, kpc, kpc/h",
    ),
    "table in log masses read as linear": (
        lambda t: table(t, m=np.log10(box_halos()[2])),
        "a heaviest halo of",
        "log10",
    ),
    "table in 1e10 Msun": (lambda t: table(t, m=box_halos()[2] / 1e10), "a heaviest halo of", "1e10 Msun/h"),
    "table without the named column": (
        lambda t: table(t, {"columns": {**TABLE["columns"], "mass": "M200"}}),
        "no array 'M200' among x, y, z, m",
        "lightcones.catalogue.columns",
    ),
    "table with an unknown key": (
        lambda t: table(t, {"columns": {**TABLE["columns"], "weight": "w"}}),
        "an unknown column",
        "rename",
    ),
    "table without mass": (
        lambda t: table(t, {"columns": {"x": "x", "y": "y", "z": "z"}}),
        "no 'mass'",
        "add it",
    ),
    "table with half a velocity": (
        lambda t: table(t, {"columns": {**TABLE["columns"], "vx": "x"}}),
        "only vx",
        "add or remove",
    ),
    "table columns of different lengths": (lambda t: table(t, y=np.ones(4)), "columns of lengths", "mend the file"),
    "table of unknown ending": (lambda t: other_file(t, "table", "0.xlsx", options=TABLE), "ending '.xlsx'", "convert"),
    "csv with text": (lambda t: csv(t, "x,y,z,m\n1,2,3,1e12\n4,5,six,1e12\n"), "could not convert", "mend that row"),
    "csv with a short row": (lambda t: csv(t, "x,y,z,m\n1,2,3,1e12\n4,5\n"), "rows it cannot read", "truncated"),
    "csv empty": (lambda t: csv(t, ""), "no halos", "how the file was made"),
    "csv without such a column": (
        lambda t: csv(t, "x,y,zz,m\n1,2,3,1e12\n"),
        "no column 'z' among x, y, zz, m",
        "names",
    ),
    "hdf5 table truncated": (
        lambda t: truncated(("table", subfind(t)[1].rename(t / "0.hdf5"), TABLE)),
        "a damaged file",
        "again",
    ),
    "parquet that is none": (
        lambda t: other_file(t, "table", "0.parquet", options=TABLE),
        "a damaged file",
        "a whole Parquet file",
    ),
    "parquet truncated": (lambda t: truncated(parquet(t)), "a damaged file", "again"),
    "parquet without such a column": (lambda t: parquet(t, z=None), "no column 'z' among x, y, m", "catalogue.columns"),
    "parquet with an empty field": (
        lambda t: parquet(t, m=[None, *box_halos()[2][1:]]),
        "1 of 300 masses NaN",
        "drop",
    ),
    "parquet of text": (lambda t: parquet(t, m=["heavy"] * 300), "values of type object", "mend the column"),
    "box too small for the field": (
        lambda t: table(t, {"box_mpc": 5.5}, **dict(zip("xyz", box_halos(box=5.0)[0].T, strict=True))),
        "copies of it",
        "larger box",
    ),
    "box in Mpc that is no box": (
        lambda t: table(t, {"box_mpc": 2.0}, **dict(zip("xyz", box_halos(box=2.0)[0].T, strict=True))),
        "a box of 2 Mpc",
        "box_mpc",
    ),
    "file missing": (lambda t: ("rockstar", t / "nowhere.list", {}), "no such file", "lightcones.files"),
    "no file matches": (lambda t: ("rockstar", t / "none*.list", {}), "no file matches", "check the path"),
}
