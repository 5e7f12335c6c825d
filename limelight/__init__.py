"""limelight learns physics from simulated observations. The public functions are loaded when they are first asked for."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name: the module that holds it (docs/api.md). Loaded by `__getattr__`, so that `import limelight` takes
# no time: torch alone takes seconds.
PUBLIC = {
    "Cosmology": "limelight.cosmology",
    "Grid": "limelight.probes.line_intensity.maps.grid",
    "Lightcones": "limelight.halos.config",
    "LimelightError": "limelight.errors",
    "answer": "limelight.stages.answer",
    "audit": "limelight.stages.audit",
    "draw_posterior": "limelight.stages.posterior",
    "evaluate": "limelight.stages.evaluate",
    "generate_lightcone": "limelight.halos.generator",
    "get_model": "limelight.probes.line_intensity.lines.models",
    "load_model": "limelight.training.checkpoint",
    "load_posterior": "limelight.inference.posteriors.posterior",
    "load_study": "limelight.study.config",
    "paint": "limelight.probes.line_intensity.maps.paint",
    "predict": "limelight.probes.line_intensity.answer",
    "read_audit": "limelight.evaluation.audit_file",
    "read_catalogue": "limelight.halos.catalogue",
    "read_evaluation": "limelight.evaluation.evaluation_file",
    "read_rows": "limelight.stages.answer",
    "read_intervals": "limelight.inference.intervals",
    "read_shards": "limelight.data.shard",
    "simulate": "limelight.stages.simulate",
    "tangent_plane_deg": "limelight.halos.catalogue",
    "train": "limelight.stages.train",
    "train_posterior": "limelight.stages.posterior",
    "write_shard": "limelight.data.shard",
}


def __getattr__(name: str) -> Any:
    """A public name, loaded from its module."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'limelight' has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return ["__version__", *PUBLIC]
