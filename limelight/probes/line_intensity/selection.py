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
    """The tests that a rival takes: those it lists itself, or all that its likelihood knows."""
    own = study.rival[rival].tests
    return list(own) if own else [test for test in study.tests if not rival_cannot_take(study, rival, test)]


def validated_as(study: LineStudy, rival: str, test: str) -> str:
    """The first of a rival's tests that is observed as this one: validation maps under that observation serve both."""
    return next(one for one in rival_tests(study, rival) if observed_as(study, one) == observed_as(study, test))


def rival_cannot_take(study: LineStudy, rival: str, test: str) -> str:
    """What a rival's likelihood would need of a test that it does not know; empty when it can take it."""
    entry, observed = study.tests[test], study.rival[rival].observed
    noise = study.observation.noise[entry.noise]
    if not observed:
        known = noise.uniform and entry.foregrounds == "none" and entry.filter is None
        return "" if known else "tests of one white noise, no foregrounds and no filter, or observed: true"
    if not noise.radiometer and noise.sigma_range[0] == 0:
        return "tests with noise: its voxels are counted in units of σ"
    model = study.line_models[study.rival[rival].line_model]
    other = study.line_models[entry.line_model]
    same = all(getattr(model, key) == getattr(other, key) for key in ("pool_pixels", "pool_channels", "beam"))
    return "" if same else "tests whose maps have the voxels and the beam of its line_model's"


def observed_as(study: LineStudy, test: str) -> str:
    """The name of how a test's maps are observed: tests of one observation share a rival's simulations."""
    entry = study.tests[test]
    return f"noise {entry.noise}, foregrounds {entry.foregrounds}, filter {entry.filter or 'none'}"


def map_rivals(study: LineStudy, test: str) -> list[str]:
    """The rivals that can take the survey's own map that a test is observed like."""
    return [name for name, entry in study.rival.items() if entry.observed and test in rival_tests(study, name)]


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
