import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, workflow.basedir)  # the package of this checkout, whatever else is installed

from limelight.errors import plain_errors
from limelight.files import write_text
from limelight.running import free_stale_lock, record_owner
from limelight.study.config import resolve_study
from limelight.study.yaml import read_yaml

# `snakemake --configfile config/other.yaml` names a study.
if not workflow.configfiles:

    configfile: "config/demo.yaml"


with plain_errors():
    for path in workflow.configfiles:
        read_yaml(path)  # more strictly than Snakemake, which lets the second of two equal keys win
    STUDY = resolve_study(config, Path(workflow.configfiles[-1]))

# After a kill -9 the same command goes on: Snakemake itself would ask for --unlock.
if workflow.is_main_process and (owner := free_stale_lock(Path.cwd())):
    print(f"limelight: note: {owner} has this folder's lock", file=sys.stderr)


onstart:
    record_owner(Path.cwd())
    if not Path(CONFIG).exists():
        write_text(CONFIG, RESOLVED)
    # Snakemake's limit of 100 jobs a second sets a timer at every look at the jobs that are ready, and each timer makes it
    # look again and set another: after some hundred jobs it looks without pause, and takes half a core from them. No option
    # turns the limit off (--max-jobs-per-timespan sets timers too), so this reaches inside. A user's own limit stays.
    limit = workflow.scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


include: "workflow/rules/common.smk"


report: REPORT_TEXT


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


# Whether the networks read their data: the pages and verdicts of the audit alone.
rule audit:
    input:
        audits(),
