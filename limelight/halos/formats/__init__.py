"""Halo catalogues of other codes: one module a format, each with read(path, options, cosmology) → Foreign.

A format is added here: a module and its line in FORMATS (and its name in `Lightcones.source`, limelight/halos/config.py).
"""

from limelight.halos.formats import abacus, peakpatch, rockstar, subfind, table, universemachine

FORMATS = {
    "peakpatch": peakpatch.read,
    "rockstar": rockstar.read,
    "universemachine": universemachine.read,
    "subfind": subfind.read,
    "abacus": abacus.read,
    "table": table.read,
}
