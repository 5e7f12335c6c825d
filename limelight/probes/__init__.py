"""The simulators that limelight learns from. Each is a folder; none imports another, and the engine imports none of them.

A study names its probe, and the engine loads that one alone (limelight.study.probes).
"""

DEFAULT = "line_intensity"
PROBES = {"line_intensity": "limelight.probes.line_intensity.probe:PROBE"}
