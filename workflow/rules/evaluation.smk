# What a trained network makes of every test row.
from limelight.study.code import AUDIT, ESTIMATES, EVALUATION


# What estimators without a network make of a test, where it names some: once for all its networks.
rule estimates:
    input:
        lambda wildcards: shards([STUDY.tests[wildcards.test].dataset], "test"),
    output:
        f"{RESULTS}/estimates/{{test}}.h5",
    log:
        f"{RESULTS}/logs/estimates/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimates/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("estimates"),
        runtime=runtime("estimates"),
    params:
        settings=lambda wildcards: as_text(stages.estimates_settings(STUDY, wildcards.test)),
        code=lambda wildcards: code("scripts/run_estimators.py", *ESTIMATES),
    shell:
        "python scripts/run_estimators.py --config $STUDY --test {wildcards.test} --data {input:q}"
        " --output {output:q} > {log:q} 2>&1"


rule evaluation:
    input:
        unpack(
            lambda wildcards: (
                {"estimates": f"{RESULTS}/estimates/{wildcards.test}.h5"} if STUDY.tests[wildcards.test].beside else {}
            )
        ),
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        history=f"{RESULTS}/networks/{{network}}/history.csv",
        data=lambda wildcards: shards([STUDY.tests[wildcards.test].dataset], "test"),
    output:
        f"{RESULTS}/evaluation/{{network}}/{{test}}.h5",
    log:
        f"{RESULTS}/logs/evaluation/{{network}}/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/{{network}}/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("evaluation"),
        runtime=runtime("evaluation"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(stages.evaluation_settings(STUDY, wildcards.network, wildcards.test)),
        code=lambda wildcards: code("scripts/evaluate_network.py", *EVALUATION, networks=[wildcards.network]),
        estimates=lambda wildcards, input: (
            f"--estimates {shlex.quote(input.estimates)}" if "estimates" in input.keys() else ""
        ),
    shell:
        "python scripts/evaluate_network.py --config $STUDY --test {wildcards.test}"
        " --network {input.model:q} --history {input.history:q} --data {input.data:q} {params.estimates}"
        " --device $DEVICE --output {output:q} > {log:q} 2>&1"


# Whether a network reads its data: on the test data of every dataset of its geometry, beside its control where there is one.
rule audit_network:
    input:
        unpack(
            lambda wildcards: (
                {"control": f"{RESULTS}/networks/{control_name(wildcards.network)}/model.pt"}
                if STUDY.audit.control
                else {}
            )
        ),
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        data=lambda wildcards: shards(audit_datasets(STUDY, wildcards.network)[1], "test"),
    output:
        h5=f"{RESULTS}/audit/{{network}}.h5",
        csv=f"{RESULTS}/audit/{{network}}.csv",
    log:
        f"{RESULTS}/logs/audit/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/audit/{{network}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("audit_network"),
        runtime=runtime("audit_network"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(stages.audit_settings(STUDY, wildcards.network)),
        control=lambda wildcards, input: f"--control {shlex.quote(input.control)}" if "control" in input.keys() else "",
        code=lambda wildcards: code("scripts/audit_network.py", *AUDIT, networks=[wildcards.network]),
    shell:
        "python scripts/audit_network.py --config $STUDY --network {input.model:q} --data {input.data:q}"
        " {params.control} --device $DEVICE --output {output.h5:q} > {log:q} 2>&1"


# The tidy table of the study: one row per network, test and output.
rule summary:
    input:
        evaluations(JUDGED),
    output:
        f"{RESULTS}/summary.csv",
    log:
        f"{RESULTS}/logs/summary.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=runtime("figure"),
    params:
        order=evaluations(JUDGED),
        code=code("scripts/summarise.py"),
    shell:
        "python scripts/summarise.py --evaluation {input:q} --output {output:q} > {log:q} 2>&1"
