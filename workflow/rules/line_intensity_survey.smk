# One page on each survey's map that the study was made for, not part of `all`: `snakemake your_map --configfile config/mine.yaml`.
from limelight.study.code import INTERVALS


rule map_report:
    input:
        posterior=lambda wildcards: f"{RESULTS}/posteriors/{trained_posterior(STUDY, wildcards.posterior)}/posterior.pt",
        survey=lambda wildcards: survey_of(wildcards.test),
        injections=lambda wildcards: shards([STUDY.tests[wildcards.test].dataset], "test")[-1],
        audit=lambda wildcards: audit_of(wildcards.posterior),
        rivals=lambda wildcards: [
            f"{RESULTS}/your_map/rival/{rival}_{wildcards.test}.csv" for rival in map_rivals(STUDY, wildcards.test)
        ],
    output:
        page=f"{RESULTS}/your_map/{{posterior}}_{{test}}.html",
        beside=multiext(
            f"{RESULTS}/your_map/{{posterior}}_{{test}}",
            ".csv",
            ".map.png",
            ".luminosity_function.png",
            ".nulls.png",
            ".injections.png",
        ),
    log:
        f"{RESULTS}/logs/your_map/{{posterior}}_{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("intervals"),
    params:
        settings=lambda wildcards: as_text(stages.intervals_settings(STUDY, wildcards.posterior, wildcards.test)),
        code=lambda wildcards: posterior_code("scripts/report_map.py", INTERVALS, wildcards.posterior),
        audit=lambda wildcards, input: f"--audit {shlex.quote(input.audit)}" if input.audit else "",
        rivals=lambda wildcards, input: f"--rival {shlex.join(input.rivals)}" if input.rivals else "",
    shell:
        "python scripts/report_map.py {input.survey:q} --posterior {input.posterior:q} --injections {input.injections:q}"
        " {params.audit} {params.rivals} --output {output.page:q} > {log:q} 2>&1"


rule your_map:
    input:
        [f"{RESULTS}/your_map/{posterior}_{test}.html" for posterior, test in map_reports(STUDY)],
