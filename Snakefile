import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, workflow.basedir)

from limelight.config import load_study, resolve_study, stage_settings, suitable_tests
from limelight.errors import plain_errors

# `snakemake --configfile config/other.yaml` names another study; the demo is the default
if not workflow.configfiles:

    configfile: "config/demo.yaml"


with plain_errors():
    STUDY = resolve_study(config, Path(workflow.configfiles[-1]))


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/halos.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        all_figures(),
