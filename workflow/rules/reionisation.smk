# Reionisation: shards as for every probe whose data take one stage, and what banks of noises cost.
from limelight.probes.reionisation.noises import beside_fresh, noises_of


include: "simulate.smk"


BANKED = [
    test
    for test in STUDY.tests
    if any(noises_of(STUDY, name) for name, other in DRAWN if other == test and name in beside_fresh(STUDY))
]
MORE += expand(f"{RESULTS}/noises/{{test}}.csv", test=BANKED)


rule noises:
    input:
        f"{RESULTS}/exact/{{test}}.csv",
    output:
        table=f"{RESULTS}/noises/{{test}}.csv",
        pdf=f"{RESULTS}/noises/{{test}}.pdf",
        png=report(
            f"{RESULTS}/noises/{{test}}.png",
            caption="../report/reionisation/noises.rst",
            category="Posteriors",
            labels={"test": "{test}"},
        ),
    log:
        f"{RESULTS}/logs/noises/{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=runtime("figure"),
    params:
        code=code("scripts/compare_noises.py"),
    shell:
        "python scripts/compare_noises.py --config $STUDY --information {input:q} --output {output.table:q} > {log:q} 2>&1"
