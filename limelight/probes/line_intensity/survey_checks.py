"""Checks of a study whose maps are a part of a survey's."""

from collections.abc import Iterator

from limelight.errors import LimelightError
from limelight.probes.line_intensity.config import LineStudy
from limelight.probes.line_intensity.maps.survey import load_light_weights
from limelight.study.faults import fault


def part_of_survey(study: LineStudy) -> Iterator[str]:
    """The grid's survey has weights of the study's field and band, and no network turns maps that they made."""
    path, size = study.grid.survey, study.subfields.size_deg
    if path is None:
        return
    try:
        weights = load_light_weights(path)
    except LimelightError as error:
        yield f"grid.survey: {error}"
        return
    ends = [(-size / 2, size / 2)] * 2 + [(study.grid.freq_min_ghz, study.grid.freq_max_ghz)]
    for axis, edges, (low, high) in zip(("x", "y", "frequency"), weights.edges, ends, strict=True):
        if max(abs(edges[0] - low), abs(edges[-1] - high)) > edges[1] - edges[0]:
            found = f"{edges[0]:.6g} to {edges[-1]:.6g} along {axis} in {path}"
            expected = f"{low:.6g} to {high:.6g}, the study's, but for a voxel of the survey's"
            yield fault("grid.survey", found, expected, "make the study for this map (scripts/plan.py)")
    for name, network in study.networks.items():
        if network.training.flips or network.training.quarter_turns:
            expected = "flips: false, quarter_turns: false where grid.survey says what light counts for at each place"
            yield fault(f"networks.{name}.training", "maps that are turned", expected, "set both")
