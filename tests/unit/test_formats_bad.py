"""Bad catalogues: each gives one clear line that names the file, what was found, what was expected and what to do."""

import contextlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from altered import altered
from bad_catalogues import CASES, UNCHECKED, abacus_copy, parquet, peakpatch, pksc, rockstar, subfind, table
from catalogue_files import ROOT, Bomb, bomb, cone_halos, import_lightcone, replace_header, study, write_peakpatch

from limelight.cosmology import Cosmology
from limelight.errors import LimelightError
from limelight.halos.config import Catalogue
from limelight.halos.formats import FORMATS
from limelight.halos.formats.common import check
from limelight.section import plain


@pytest.mark.filterwarnings("error")  # a warning would be a second line
@pytest.mark.parametrize("name", CASES)
def test_one_clear_line(tmp_path, name):
    make, found, fix = CASES[name]
    source, path, options = make(tmp_path)
    field = 30.0 if "too small" in name else 1.4
    files = str(path).replace("0.", "{lightcone}.") if path.name.startswith("0.") else str(path)
    settings = study(tmp_path, source=source, files=files, field_deg=field, catalogue={**UNCHECKED, **options})
    with pytest.raises(LimelightError) as caught:
        import_lightcone(settings, 0)
    line = str(caught.value)
    assert "\n" not in line
    assert re.fullmatch(r".+: found .+; expected .+; .+", line)
    assert found in line or re.search(found, line)
    assert fix in line or re.search(fix, line)
    assert str(path.name.replace("*", "")) in line or "lightcones" in line.split(": found")[0] or "none" in line


@pytest.mark.parametrize("kind", ["npz", "pksc", "subfind", "abacus", "rockstar", "parquet"])
def test_damaged_bytes_never_give_a_traceback(tmp_path, kind):
    """Files cut anywhere or with bytes changed are read or refused; nothing but a LimelightError comes out."""
    make = {
        "npz": peakpatch,
        "pksc": pksc,
        "subfind": subfind,
        "rockstar": rockstar,
        "abacus": lambda tmp: abacus_copy(tmp, 1.0),
        "parquet": parquet,
    }[kind]
    source, path, options = make(tmp_path)
    whole, rng = path.read_bytes(), np.random.default_rng(7)
    for number in range(40):
        data = bytearray(whole)
        if number % 2:
            for place in rng.integers(0, min(len(data), 4000), 4):
                data[place] = rng.integers(256)
        else:
            data = data[: rng.integers(len(data))]
        path.write_bytes(data)
        with np.errstate(all="ignore"), contextlib.suppress(LimelightError):
            check(FORMATS[source](path, Catalogue.model_validate(options), Cosmology()), path)


def test_packages_of_single_formats_load_with_those_alone():
    """Starting any stage must not pay for them."""
    code = "import sys, limelight.halos.foreign; print({'asdf', 'blosc', 'pandas', 'pyarrow'} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert answer.stdout == "set()\n", answer.stderr


def test_there_are_more_than_twenty_cases():
    assert len(CASES) > 20


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_code_does_not(tmp_path, protocol):
    touched = tmp_path / "touched"
    path = write_peakpatch(tmp_path / "0.npz", *cone_halos(300))
    payload = pickle.dumps({"Omega_M": Bomb(touched)}, protocol=protocol)
    replace_header(path, payload)
    settings = study(tmp_path, source="peakpatch", files=str(tmp_path / "{lightcone}.npz"), field_deg=1.4)
    with pytest.raises(LimelightError, match=r"cosmo_header: found a pickle that calls (posix|nt)\.system"):
        import_lightcone(settings, 0)
    assert not touched.exists()
    pickle.loads(payload)  # the bomb is a real one
    assert touched.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cnumpy\nload\n(S'x.npy'\ntR.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8K\x00K\x01\x87R]\x86R.",
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x04" + b"(" * 50,
        b"",
        b"\x80\x05garbage",
        b"]q\x00h\x00a.",
    ],
)
def test_odd_pickles_are_refused(tmp_path, payload):
    path = replace_header(write_peakpatch(tmp_path / "0.npz", *cone_halos(300)), payload)
    settings = study(tmp_path, source="peakpatch", files=str(path).replace("0.", "{lightcone}."), field_deg=1.4)
    with pytest.raises(LimelightError, match="cosmo_header: found .*; expected a pickled dict of plain numbers"):
        import_lightcone(settings, 0)


def test_the_script_says_one_line_and_fails(tmp_path):
    path = replace_header(write_peakpatch(tmp_path / "0.npz", *cone_halos(300)), bomb(tmp_path / "touched"))
    config = tmp_path / "study.yaml"
    files = str(path).replace("0.npz", "{lightcone}.npz")
    config.write_text(yaml.safe_dump(plain(study(tmp_path, source="peakpatch", files=files, field_deg=1.4))))
    command = [sys.executable, ROOT / "scripts" / "import_lightcone.py", "--config", config]
    output = tmp_path / "out.h5"
    answer = subprocess.run(
        [*command, "--lightcone", "0", "--output", output], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("limelight: error: ")
    assert str(path) in answer.stderr
    assert not output.exists()
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("lightcones", "text"),
    [
        ({"source": "rockstars"}, "one of"),
        ({"source": "rockstar", "catalogue": {"colums": {}}}, "did you mean 'columns'"),
        ({"source": "rockstar", "catalogue": {"abundance_factor": 0.5}}, "at least 1.1"),
        ({"source": "table", "catalogue": {"units": {"mas": "Msun"}}}, "did you mean 'mass'"),
    ],
)
def test_the_config_is_checked_first(tmp_path, lightcones, text):
    with pytest.raises(LimelightError, match=text):
        study(tmp_path, field_deg=1.4, files="x", **lightcones)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([], "found nothing"),
        ("cone_{number}.npz", "{lightcone} stands for"),
        ("cone_{lightcone:x.npz", "{lightcone} stands for"),
    ],
)
def test_file_patterns(tmp_path, files, text):
    settings = study(tmp_path, source="peakpatch", files=files or "x", field_deg=1.4)
    settings = altered(settings, {"lightcones.files": files})
    with pytest.raises(LimelightError, match=text):
        import_lightcone(settings, 0)


def test_redshifts_must_match_files(tmp_path):
    source, path, options = table(tmp_path, {"redshift": [3.0, 2.0]})
    settings = study(tmp_path, source=source, files=[str(path)], field_deg=1.4, catalogue={**options, **UNCHECKED})
    with pytest.raises(LimelightError, match="2 redshifts for 1 files"):
        import_lightcone(settings, 0)
