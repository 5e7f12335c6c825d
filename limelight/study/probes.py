"""The probe of a study, loaded by its name. The engine imports no probe: it knows the place of their registry alone."""

import difflib
import importlib

from limelight.errors import problem

REGISTRY, DEFAULT = "limelight.probes:PROBES", "limelight.probes:DEFAULT"


def load(dotted: str) -> object:
    """What stands at `package.module:attribute`."""
    module, _, attribute = dotted.partition(":")
    return getattr(importlib.import_module(module), attribute)


def probe_named(name: object):
    """The probe (limelight.probe.Probe) of a name; LimelightError for an unknown one."""
    known = load(REGISTRY)
    if not isinstance(name, str) or name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        fix = f"did you mean '{close[0]}'?" if close else "choose one"
        raise problem("probe", f"'{name}'", f"one of {', '.join(known)}", fix)
    return load(known[name])


def probe_of(study):
    """The probe of a study."""
    return probe_named(study.probe)
