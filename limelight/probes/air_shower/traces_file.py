"""Electric fields of simulated showers, as CoREAS and ZHAireS (through GRAND's tools) write them in HDF5.

CoREAS:   /CoREAS/observers/<antenna>: (samples, 4) time in s and the field north, west and up in statvolt/cm; attribute
          `position` in cm. One event a file.
ZHAireS:  /<event>/AntennaInfo: a table whose first columns are the antenna's name and its x, y, z in m;
          /<event>/AntennaTraces/<antenna>/efield: a table of Time in ns and Ex, Ey, Ez in µV/m.

Such files come from elsewhere: nothing in them is trusted, and whatever is wrong with one is one line that names it.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.signal import resample

from limelight.errors import one_line, problem
from limelight.files import check_finite, open_hdf5, refuse_unbounded
from limelight.probes.air_shower.noise import response

STATVOLT_PER_CM = 2.99792458e4  # V/m
FIELDS = ("Time", "Ex", "Ey", "Ez")
MOST_ANTENNAS, MOST_SAMPLES = 100_000, 10_000_000
EXPECTED = "traces of CoREAS or ZHAireS"


@dataclass(frozen=True)
class SimulatedEvent:
    """The electric fields of one shower."""

    antennas: list[str]
    positions_m: np.ndarray  # (antennas, 3)
    time_ns: list[np.ndarray]  # (samples,) of each antenna
    field: list[np.ndarray]  # (samples, 3) of each, V/m


@one_line(EXPECTED)
def read_traces(path: str | Path, event: str | None = None) -> SimulatedEvent:
    """Read one event; event: its name in a ZHAireS file of several.

    Raises LimelightError for a file of another layout, with ragged, unordered or non-finite traces, or beyond sane sizes.
    """
    with open_hdf5(path, EXPECTED) as file:
        file.visititems(refuse_unbounded)
        if "CoREAS/observers" in file:
            return _coreas(path, file["CoREAS/observers"])
        events = [name for name in file if isinstance(file[name], h5py.Group) and "AntennaTraces" in file[name]]
        if not events:
            expected = "/CoREAS/observers or /<event>/AntennaTraces"
            raise problem(
                path, f"groups {', '.join(list(file)[:5]) or 'none'}", expected, "give a file of one of these"
            )
        if event is None and len(events) > 1 or event is not None and event not in events:
            found = f"events {', '.join(events[:5])}"
            raise problem(path, found, "one, or the name of one of them", "give `event`")
        return _zhaires(path, file[event or events[0]])


def _coreas(path, observers: h5py.Group) -> SimulatedEvent:
    names = _antennas(path, observers)
    positions, times, fields = [], [], []
    for name in names:
        item = observers[name]
        if not isinstance(item, h5py.Dataset) or item.ndim != 2 or item.shape[1] != 4:
            raise problem(f"{path}: {name}", "no trace of (samples, 4)", "time and three fields", "mend the file")
        if "position" not in item.attrs or np.shape(item.attrs["position"]) != (3,):
            raise problem(f"{path}: {name}", "no position of three numbers", "the attribute `position` in cm", "add it")
        trace = _checked(path, name, _bounded(path, name, item).astype(np.float64))
        positions.append(check_finite(np.asarray(item.attrs["position"], np.float64), f"{path}: {name}") / 100)
        times.append(trace[:, 0] * 1e9)
        fields.append(trace[:, 1:] * STATVOLT_PER_CM)
    return SimulatedEvent(names, np.array(positions), times, fields)


def _zhaires(path, event: h5py.Group) -> SimulatedEvent:
    traces = event["AntennaTraces"]
    known = {_text(row[0]): [float(value) for value in list(row)[1:4]] for row in _table(path, event, "AntennaInfo")}
    names = _antennas(path, traces)
    times, fields = [], []
    for name in names:
        if name not in known:
            raise problem(f"{path}: {name}", "a trace of no place", "its line in AntennaInfo", "mend the file")
        table = _table(path, traces[name], "efield")
        if missing := [column for column in FIELDS if column not in (table.dtype.names or ())]:
            raise problem(f"{path}: {name}", f"no {', '.join(missing)}", ", ".join(FIELDS), "mend the file")
        trace = np.column_stack([np.asarray(table[column], np.float64) for column in FIELDS])
        trace = _checked(path, name, trace)
        times.append(trace[:, 0])
        fields.append(trace[:, 1:] * 1e-6)
    positions = check_finite(np.array([known[name] for name in names]), f"{path}: AntennaInfo")
    return SimulatedEvent(names, positions, times, fields)


def _antennas(path, group: h5py.Group) -> list[str]:
    names = list(group)
    if not 0 < len(names) <= MOST_ANTENNAS:
        raise problem(path, f"{len(names)} antennas", f"1 to {MOST_ANTENNAS}", "give a whole file")
    return names


def _bounded(path, name: str, item: h5py.Dataset) -> np.ndarray:
    if item.dtype.kind not in "fiuV" or not 2 <= len(item) <= MOST_SAMPLES:
        found = f"{len(item)} rows of type {item.dtype}"
        raise problem(f"{path}: {name}", found, f"2 to {MOST_SAMPLES} rows of numbers", "mend the file")
    return item[...]


def _table(path, group: h5py.Group, name: str) -> np.ndarray:
    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.dtype.names is None or item.ndim != 1 or not len(item):
        raise problem(f"{path}: {group.name}", f"no table {name}", "a table of named columns", "mend the file")
    return item[...] if len(item) <= MOST_SAMPLES else _bounded(path, name, item)


def _checked(path, name: str, trace: np.ndarray) -> np.ndarray:
    """A trace (samples, 4) of finite numbers at even, rising times."""
    check_finite(trace, f"{path}: {name}")
    steps = np.diff(trace[:, 0])
    if len(steps) == 0 or steps.min() <= 0 or steps.max() > 1.01 * steps.min():
        raise problem(f"{path}: {name}", "times in uneven steps", "even, rising times", "resample the trace")
    return trace


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def station_traces(found: SimulatedEvent, component: int, station: dict, samples: int) -> np.ndarray:
    """The field as a station of config.Station filters and samples it, (antennas, samples) of peak 1 each, mid-trace.

    component: of the field, 0 to 2. What lies beyond `samples` around the peak is cut off; antennas without a field are 0.
    """
    rate, rows = station["sampling_mhz"], []
    for time, field in zip(found.time_ns, found.field, strict=True):
        count = max(2, round(len(time) * (time[1] - time[0]) * rate / 1000))
        even = resample(np.pad(field[:, component], (0, len(time))), 2 * count)  # padded: no wrapping round
        mhz = np.fft.rfftfreq(2 * count, 1 / rate)
        voltage = np.fft.irfft(np.fft.rfft(even) * response(mhz, station["band_mhz"]), 2 * count)
        wide = np.pad(voltage, samples)
        peak = int(np.abs(wide).argmax())
        cut = wide[peak - samples // 2 : peak - samples // 2 + samples]
        rows.append(cut / max(np.abs(cut).max(), 1e-300))
    return np.array(rows)
