"""Halo catalogues of other codes: one module a format, each with read(path, options, cosmology) → Foreign.

A format is added here: a module and its line in FORMATS (and its name in `Lightcones.source`, limelight/halos/config.py).
"""

from limelight.errors import one_line
from limelight.halos.formats import abacus, peakpatch, rockstar, subfind, table, universemachine

FORMATS = {
    "peakpatch": one_line("a whole peakpatch catalogue")(peakpatch.read),
    "rockstar": one_line("a whole rockstar catalogue")(rockstar.read),
    "universemachine": one_line("a whole universemachine catalogue")(universemachine.read),
    "subfind": one_line("a whole subfind catalogue")(subfind.read),
    "abacus": one_line("a whole abacus catalogue")(abacus.read),
    "table": one_line("a whole table of halos")(table.read),
}
