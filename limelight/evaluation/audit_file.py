"""The audit's files, `audit/{network}.h5` and the verdict table `audit/{network}.csv`."""

from pathlib import Path

import h5py
import numpy as np

from limelight.errors import problem
from limelight.evaluation.audit import COLUMNS, VERDICTS, Audit, in_words
from limelight.files import attribute, read_hdf5, write_csv, write_hdf5

KIND = "audit"
HEADER = ("network", "settings", "target", "model_names", "control")
GROUPS = {
    "bins": tuple(COLUMNS),
    "scatter": ("predicted", "truth", "group"),
    "blank": ("clean", "noisy", "training_percentiles"),
    "dimming": ("bins_down", "response"),
    "adding": ("response",),
    "noise": ("sigma_uk", "r_squared", "mse_dex"),
    "models": ("r_squared", "bias", "mse_dex", "gain"),
}


def write_audit(path: str | Path, result: Audit, attributes: dict[str, object]) -> None:
    """Write an audit file; groups keep the names of the Audit's fields, the verdict is stored by number in VERDICTS."""
    header = {f"audit_{name}": getattr(result, name) for name in HEADER}
    attributes = {**attributes, **header, "audit_verdicts": list(VERDICTS), "audit_summary": in_words(result)}
    with write_hdf5(path, KIND, attributes, in_memory=True) as file:
        file["log10_lum_edges"] = np.asarray(result.log10_lum_edges, np.float64)
        file["log10_lum_edges"].attrs["unit"] = "log10 Lsun"
        file["verdict"] = np.array([VERDICTS.index(name) for name in result.verdict], np.int8)
        for group, names in GROUPS.items():
            made = file.create_group(group, track_order=True)
            for name in names:
                made[name] = np.asarray(getattr(result, group)[name])


def read_audit(path: str | Path) -> Audit:
    """Read an audit file; refuses files of another kind, truncated or incomplete, in one line."""
    with read_hdf5(path, KIND, ("log10_lum_edges", "verdict", *GROUPS)) as file:
        groups = {}
        for group, names in GROUPS.items():
            missing = [name for name in names if not isinstance(file[group], h5py.Group) or name not in file[group]]
            if missing:
                raise problem(path, f"no {', '.join(missing)} in '{group}'", "a whole audit", "audit again")
            groups[group] = {name: file[group][name][...] for name in names}
        header = {name: attribute(file, f"audit_{name}") for name in HEADER}
        edges, codes = file["log10_lum_edges"][...], file["verdict"][...]
    if len(codes) != len(edges) - 1 or not np.isin(codes, range(len(VERDICTS))).all():
        raise problem(path, f"verdicts {codes.tolist()}", f"{len(edges) - 1} of {len(VERDICTS)} kinds", "audit again")
    return Audit(log10_lum_edges=edges, verdict=np.array([VERDICTS[code] for code in codes]), **header, **groups)


def write_table(path: str | Path, result: Audit) -> None:
    """Write the table of verdicts as CSV: one row per luminosity bin, with what was measured there and the verdict."""
    edges = result.log10_lum_edges
    table = {
        "network": [result.network] * len(result.verdict),
        "log10_lum_lower": edges[:-1],
        "log10_lum_upper": edges[1:],
    }
    table |= {name: result.bins[name] for name in COLUMNS}
    write_csv(path, {**table, "verdict": result.verdict}, digits=6)
