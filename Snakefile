import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, workflow.basedir)  # the package of this checkout, whatever else is installed

from limelight.errors import plain_errors
from limelight.study.config import resolve_study

# `snakemake --configfile config/other.yaml` names a study. Without it, `snakemake notes_bench` takes the notes' experiments at
# bench scale, and everything else the demo.
if not workflow.configfiles:
    chosen = "config/bench.yaml" if "notes_bench" in sys.argv else "config/demo.yaml"

    configfile: chosen

    # jobs on other machines are not told the target: for them it is as if we had been called with --configfile
    workflow.config_settings.configfiles.append(Path(chosen).absolute())


with plain_errors():
    STUDY = resolve_study(config, Path(workflow.configfiles[-1]))


# Snakemake's limit of 100 jobs a second sets a timer at every look at the jobs that are ready, and each timer makes it look
# again and set another: after some hundred jobs it looks without pause, and takes half a core from them. Another limit is the
# user's own and stays.
onstart:
    limit = workflow.scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: probe_rules()
include: "workflow/rules/networks.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/saliency.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        everything(),


# The same by another name, which also chooses the study: see above.
rule notes_bench:
    input:
        everything(),


# Whether the networks read their data: the pages and verdicts of the audit alone.
rule audit:
    input:
        audits(),
