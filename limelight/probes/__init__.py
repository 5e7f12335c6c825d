"""The simulators that limelight learns from. Each is a folder; none imports another, and the engine imports none of them.

A study names its probe, and the engine loads that one alone (limelight.probe.load_probe).
"""

from limelight.registry import Registry

DEFAULT = "line_intensity"
PROBES = Registry(
    "probe",
    {
        "line_intensity": "limelight.probes.line_intensity.probe:PROBE",
        "gaussian_field": "limelight.probes.gaussian_field.probe:PROBE",
        "cmb_lensing": "limelight.probes.cmb_lensing.probe:PROBE",
        "reionisation": "limelight.probes.reionisation.probe:PROBE",
        "galaxy_field": "limelight.probes.galaxy_field.probe:PROBE",
        "air_shower": "limelight.probes.air_shower.probe:PROBE",
        "line_mixture": "limelight.probes.line_intensity.mixture.probe:PROBE",
        "weak_lensing": "limelight.probes.weak_lensing.probe:PROBE",
        "halo_field": "limelight.probes.halo_field.probe:PROBE",
        "strong_lens": "limelight.probes.strong_lens.probe:PROBE",
    },
)
