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
        code=code_hash("scripts/evaluate_network.py"),
    shell:
        "python scripts/evaluate_network.py --config $STUDY --test {wildcards.test}"
        " --network {input.model:q} --history {input.history:q} --maps {input.maps:q}"
        " --output {output:q} > {log:q} 2>&1"
