# Air showers: shards as for every probe whose data take one stage, and networks beside what is known without one.
from limelight.study.code import TRAINING


include: "simulate.smk"


JUDGED_TOGETHER = {
    "triggers": CLASSIFIERS,
    "directions": [name for name in STUDY.networks if name not in CLASSIFIERS],
}
JUDGED_BY = {"triggers": STUDY.judging, "directions": STUDY.judging.traces}
MORE += [f"{RESULTS}/beside/{kind}.csv" for kind, names in JUDGED_TOGETHER.items() if names]


wildcard_constraints:
    kind="triggers|directions",


# Triggers beside detectors, directions beside fits and their bound; drawn from random streams of its own.
rule beside:
    input:
        lambda wildcards: expand(f"{RESULTS}/networks/{{network}}/model.pt", network=JUDGED_TOGETHER[wildcards.kind]),
    output:
        table=f"{RESULTS}/beside/{{kind}}.csv",
        pdf=f"{RESULTS}/beside/{{kind}}.pdf",
        png=report(
            f"{RESULTS}/beside/{{kind}}.png",
            caption="../report/air_shower/beside.rst",
            category="Beside what is known",
            labels={"networks": "{kind}"},
        ),
    log:
        f"{RESULTS}/logs/beside/{{kind}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/beside/{{kind}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("beside"),
        runtime=runtime("beside"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(
            [
                JUDGED_BY[wildcards.kind],
                *(stages.network_settings(STUDY, name) for name in JUDGED_TOGETHER[wildcards.kind]),
            ]
        ),
        code=lambda wildcards: code(
            "scripts/judge_showers.py", *TRAINING, "simulate", networks=JUDGED_TOGETHER[wildcards.kind]
        ),
    shell:
        "python scripts/judge_showers.py --config $STUDY --networks {input:q} --device $DEVICE"
        " --output {output.table:q} > {log:q} 2>&1"
