# Helpers of the line-intensity rules.
from limelight.halos.inputs import input_files
from limelight.networks import REGISTRY as NETWORKS
from limelight.probes.line_intensity import settings as line_stages
from limelight.probes.line_intensity.lines.models import MODELS
from limelight.probes.line_intensity.selection import map_reports, map_rivals, rival_tests, validated_as

# Code behind each stage. Intermediate files may be gone, so what made them counts for the file that stays.
MAKER = {"generate": "generate", "painted": "paint"}.get(STUDY.lightcones.source, "import")
HALO_CODE = [f"scripts/{MAKER}_lightcone.py"]
PAINTER_CODE = (NETWORKS.dotted("inception"),) if MAKER == "paint" else ()  # no other network paints
FIELD_CODE = [*HALO_CODE, "scripts/make_subfields.py"]
MAP_CODE = [*FIELD_CODE, "scripts/paint_maps.py", "resources/sfr_behroozi_release.dat"]
POOL_CODE = [*MAP_CODE, "scripts/pool_maps.py"]


def keep(kind, path):
    """A large intermediate file is deleted once used, unless the study keeps its kind."""
    return path if kind in STUDY.keep else temp(path)


def foreign_files(wildcards):
    """The catalogues that a foreign light-cone is read from, or its painter; none for a generated one."""
    if MAKER != "import":
        return [STUDY.lightcones.painter] if MAKER == "paint" else []
    with plain_errors():
        return [str(path) for path in input_files(STUDY.lightcones, int(wildcards.realisation))]


def models_of(datasets):
    """The code of the models behind some datasets. A user's own is in the settings."""
    return tuple(dict.fromkeys(dotted for name in datasets for dotted in PROBE.dataset_code(STUDY, name)))


def rival_models(rival, *tests):
    """The code of the models that a rival paints with: those of its own line model and of some tests."""
    return models_of([STUDY.rival[rival].line_model, *(STUDY.tests[test].dataset for test in tests)])


def rival_shards(rival, split):
    """The shards that a rival's simulations are, where it is observed; else none."""
    return shards([STUDY.rival[rival].line_model], split) if STUDY.rival[rival].observed else []


def rival_maps(rival, test):
    """What a rival takes a test's maps from: their shards where it is observed, else the subfields that it paints."""
    if STUDY.rival[rival].observed:
        return shards([STUDY.tests[test].dataset], "test")
    return [f"{RESULTS}/subfields/{cone}.h5" for cone in STUDY.lightcones.test]


def rival_calibration(rival, test):
    """The intervals that recalibrate a rival's own under a test's observation; none if it does without."""
    if not STUDY.rival[rival].validation_maps:
        return []
    return f"{RESULTS}/rival/{rival}/validation/{validated_as(STUDY, rival, test)}.h5"


def calibration_option(wildcards, input):
    """The option of run_rival.py that names them."""
    return f"--calibration {shlex.quote(input.calibration)}" if input.calibration else ""


def survey_of(test):
    """The survey's map whose noise a test has."""
    return STUDY.observation.noise[STUDY.tests[test].noise].survey


def audit_of(posterior):
    """The audit of a posterior's network, where the study has one; else nothing."""
    network = STUDY.posteriors[posterior].network
    return f"{RESULTS}/audit/{network}.h5" if network in audited_networks(STUDY) else []
