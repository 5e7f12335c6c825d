"""Which tests the networks and rivals of line-intensity maps can take."""

from limelight.probes.line_intensity.config import LineNetwork, LineStudy
from limelight.probes.line_intensity.maps.pooling import TRANSFORMS


def reads_negative(network: LineNetwork) -> bool:
    """Whether a network's preprocessing exists for the negative values that noise makes."""
    return TRANSFORMS[network.preprocessing.transform].negative


def cannot_take(study: LineStudy, network: str, test: str) -> str:
    """Why a network cannot take a test of its geometry; empty when it can."""
    noise, own_filter = study.tests[test].noise, study.tests[test].filter
    if reads_negative(study.networks[network]) or (study.observation.noise[noise].quiet and own_filter is None):
        return ""
    if own_filter is not None:
        return f"which it cannot read: {own_filter} makes negative T, which log10_offset does not have"
    return f"which it cannot read: {noise} adds noise, and it reads log10_offset, which negative T do not have"


def rival_tests(study: LineStudy, rival: str) -> list[str]:
    """The tests that a rival takes: those it lists itself, or all of one white noise, unfiltered, no foregrounds."""
    own = study.rival[rival].tests
    return list(own) if own else [test for test in study.tests if rival_can_take(study, test)]


def rival_can_take(study: LineStudy, test: str) -> bool:
    """Whether a test's noise is one σ everywhere and nothing stands before the line: what the rival's likelihood knows."""
    entry = study.tests[test]
    return study.observation.noise[entry.noise].uniform and entry.foregrounds == "none" and entry.filter is None


def map_reports(study: LineStudy) -> list[tuple[str, str]]:
    """(posterior, test) of every report on a survey's own map: the first test of each noise that is a survey's own."""
    found: dict[tuple[str, str], str] = {}
    for posterior, entry in study.posteriors.items():
        network = study.networks[entry.network]
        for test in network.tests or study.tests:
            noise = study.tests[test].noise
            setting = study.observation.noise[noise]
            if setting.survey and setting.sigma_factor is None and noise in network.noise:
                found.setdefault((posterior, noise), test)
    return [(posterior, test) for (posterior, _), test in found.items()]
