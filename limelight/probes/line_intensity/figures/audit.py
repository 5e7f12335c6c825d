"""The page of an audit, worded for line maps."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from limelight.evaluation.verdicts import Audit
from limelight.figures.audit import AUDIT as ANY_AUDIT
from limelight.figures.audit import AuditWords, page
from limelight.figures.figure import StudyFigure
from limelight.probes.line_intensity.figures.common import LUMINOSITY, QUANTITIES

CHANGES = {
    "dimming": "every source dimmed",
    "superposing": "another map laid over it",
    "adding": "sources of this bin alone added",
}


def audit_page(audits: list[Audit], maps: Sequence[int] = ()) -> Figure:
    """All tests of one audit on a page."""
    result = audits[0]
    answer = QUANTITIES[result.target["quantity"]]
    return page(result, AuditWords("maps", LUMINOSITY, answer, level="{:g} µK", changes=CHANGES))


AUDIT = StudyFigure(
    audit_page, ANY_AUDIT.needs, "line_intensity/audit.rst", ANY_AUDIT.chapter, reads="audit", of_one=True
)
