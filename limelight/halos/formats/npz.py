"""Reading .npz archives from strangers: numbers by their .npy headers, and a pickled header that cannot run code.

numpy.load(allow_pickle=True) executes whatever a pickle names. Here a pickle may only name what builds an object array
with a dict of numbers in it, and even those names lead to stand-ins below, not to numpy.
"""

import contextlib
import io
import math
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from limelight.errors import problem, reading

PICKLE_MAX_BYTES = 1 << 20
LARGE_BYTES, MOST_PACKED = 1 << 28, 20  # what is larger and packed tighter holds no halos: real columns shrink by half


class _Dtype:
    """Stand-in for numpy.dtype in a pickle: its code and byte order."""

    def __init__(self, code: str, align: bool = False, copy: bool = False):
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]


class _Array:
    """Stand-in for numpy.ndarray in a pickle: keeps the one item of a 0-d object array."""

    item: object = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, _, items = state
        if tuple(shape) != () or dtype.code not in ("O", "O8", "|O"):
            raise pickle.UnpicklingError(f"an array of shape {tuple(shape)} and type {dtype.code}")
        (self.item,) = items


def _reconstruct(subtype: type, shape: tuple, code: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Pickles of protocol 2 spell bytes as text in latin1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding}")
    return text.encode("latin1")


def _scalar(dtype: _Dtype, data: bytes | str) -> float | int | bool:
    """A numpy scalar in a pickle → the plain number."""
    data = data.encode("latin1") if isinstance(data, str) else data
    if dtype.code not in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        raise pickle.UnpicklingError(f"a scalar of type {dtype.code}")
    order = {"|": "", "=": "="}.get(dtype.order, dtype.order)
    return np.frombuffer(data, dtype=np.dtype(order + dtype.code), count=1)[0].item()


_ALLOWED = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"a pickle that calls {module}.{name}")
        return _ALLOWED[module, name]


def _header_dict(data: bytes, where: str) -> dict:
    """The dict in the pickle of a 0-d object array: text keys, plain numbers, text or None; nothing else passes."""
    expected = "a pickled dict of plain numbers"
    fix = "do not open this file with numpy; ask its author for a clean one"
    if len(data) > PICKLE_MAX_BYTES:
        raise problem(where, f"a pickle of {len(data)} bytes", f"at most {PICKLE_MAX_BYTES}", fix)
    try:
        content = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a damaged or hostile pickle can raise anything
        found = str(error) if isinstance(error, pickle.UnpicklingError) else f"a damaged pickle ({error!r})"
        raise problem(where, found or "a damaged pickle", expected, fix) from None
    content = content.item if isinstance(content, _Array) else content
    if not isinstance(content, dict):
        raise problem(where, f"a pickled {type(content).__name__}", expected, fix)
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, int | float | str | None):
            raise problem(where, f"{key!r}: a {type(value).__name__}", expected, fix)
    return content


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield the zip archive of an .npz; what is missing, truncated, damaged or encrypted gives one clear line."""
    if not path.is_file():
        raise problem(path, "no such file", "an .npz file", "check lightcones.files")
    with reading(path, "a whole .npz file"), zipfile.ZipFile(path) as archive:
        yield archive


def names(archive: zipfile.ZipFile) -> list[str]:
    """The arrays in an .npz."""
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray | dict:
    """One array of an .npz: numbers as an array; a 0-d object array as the dict in it, through the restricted unpickler."""
    where = f"{archive.filename}: {name}"
    stored = archive.getinfo(f"{name}.npy")
    if stored.file_size > max(LARGE_BYTES, MOST_PACKED * stored.compress_size):
        found = f"{stored.compress_size} bytes that unpack to {stored.file_size}"
        raise problem(where, found, "a column of numbers", "make the file again, without compression")
    with archive.open(stored) as member:
        try:
            version = np.lib.format.read_magic(member)
            read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
            shape, fortran, dtype = read_header(member)
        except (ValueError, KeyError, EOFError) as error:
            raise problem(where, f"no .npy header ({error})", "a numpy array", "make the file again") from None
        length, count = stored.file_size - member.tell(), math.prod(shape)
        if not dtype.hasobject and (min(shape, default=0) < 0 or length != count * dtype.itemsize):
            found = f"{length} bytes for {count} values of {dtype.itemsize} bytes"
            raise problem(where, found, "all its values", "copy or make the file again")
        data = member.read()
    if dtype.hasobject:
        if shape != ():
            raise problem(where, f"Python objects, shape {shape}", "an array of numbers", "save it as plain numbers")
        return _header_dict(data, where)
    if dtype.kind not in "fiub":
        raise problem(where, f"type {dtype}", "an array of numbers", "save it as plain numbers")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def read_npz(path: Path, wanted: tuple[str, ...], fix: str) -> dict[str, np.ndarray | dict]:
    """Read the wanted arrays of an .npz (those that end in '?' only where they are there)."""
    content = {}
    with open_npz(path) as archive:
        there = names(archive)
        for name in wanted:
            optional, name = name.endswith("?"), name.removesuffix("?")
            if name in there:
                content[name] = read_array(archive, name)
            elif not optional:
                raise problem(path, f"no array '{name}' among {', '.join(there) or 'none'}", f"'{name}'", fix)
    return content
