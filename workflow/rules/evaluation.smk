# What a trained network makes of every test map.


rule evaluation:
    input:
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        history=f"{RESULTS}/networks/{{network}}/history.csv",
        maps=lambda wildcards: pooled([STUDY["tests"][wildcards.test]["line_model"]], "test"),
    output:
        f"{RESULTS}/evaluation/{{network}}/{{test}}.h5",
    log:
        f"{RESULTS}/logs/evaluation/{{network}}/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/{{network}}/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY["resources"]["training_threads"]
    resources:
        mem_mb=memory("evaluation"),
        runtime=runtime("evaluation"),
        gpu=min(1, STUDY["resources"]["gpus"]),
    params:
        settings=lambda wildcards: settings("evaluation", wildcards.network, wildcards.test),
        code=lambda wildcards: code_hash("scripts/evaluate_network.py", chosen=architecture(wildcards.network)),
    shell:
        "python scripts/evaluate_network.py --config $STUDY --test {wildcards.test}"
        " --network {input.model:q} --history {input.history:q} --maps {input.maps:q}"
        " --output {output:q} > {log:q} 2>&1"


# Whether a network reads its maps: on the test maps of every dataset of its geometry, beside its control where there is one.
rule audit_network:
    input:
        unpack(
            lambda wildcards: (
                {"control": f"{RESULTS}/networks/{control_name(wildcards.network)}/model.pt"}
                if STUDY["audit"]["control"]
                else {}
            )
        ),
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        maps=lambda wildcards: pooled(audit_datasets(STUDY, wildcards.network)[1], "test"),
    output:
        h5=f"{RESULTS}/audit/{{network}}.h5",
        csv=f"{RESULTS}/audit/{{network}}.csv",
    log:
        f"{RESULTS}/logs/audit/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/audit/{{network}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY["resources"]["training_threads"]
    resources:
        mem_mb=memory("audit"),
        runtime=runtime("audit"),
        gpu=min(1, STUDY["resources"]["gpus"]),
    params:
        settings=lambda wildcards: settings("audit", wildcards.network),
        control=lambda wildcards, input: f"--control {shlex.quote(input.control)}" if "control" in input.keys() else "",
        code=lambda wildcards: code_hash("scripts/audit_network.py", chosen=architecture(wildcards.network)),
    shell:
        "python scripts/audit_network.py --config $STUDY --network {input.model:q} --maps {input.maps:q}"
        " {params.control} --output {output.h5:q} > {log:q} 2>&1"


# Which line model a classifier takes each test map for.
rule classification:
    input:
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        maps=lambda wildcards: pooled(STUDY["networks"][wildcards.network]["line_models"], "test"),
    output:
        f"{RESULTS}/classification/{{network}}.h5",
    log:
        f"{RESULTS}/logs/classification/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/classification/{{network}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY["resources"]["training_threads"]
    resources:
        mem_mb=memory("evaluation"),
        runtime=runtime("evaluation"),
        gpu=min(1, STUDY["resources"]["gpus"]),
    params:
        settings=lambda wildcards: settings("classification", wildcards.network),
        code=lambda wildcards: code_hash("scripts/classify_maps.py", chosen=architecture(wildcards.network)),
    shell:
        "python scripts/classify_maps.py --config $STUDY --network {input.model:q} --maps {input.maps:q}"
        " --output {output:q} > {log:q} 2>&1"


# The tidy table of the study: a row a network, test and luminosity bin.
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
        code=code_hash("scripts/summarise.py"),
    shell:
        "python scripts/summarise.py --evaluation {input:q} --output {output:q} > {log:q} 2>&1"
