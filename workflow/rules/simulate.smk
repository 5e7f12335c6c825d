# Shards of a probe whose data take one stage: it simulates a realisation, and that is the shard.


rule simulate:
    input:
        lambda wildcards: PROBE.source_files(
            PROBE.dataset_settings(STUDY, wildcards.dataset), int(wildcards.realisation)
        ),
    output:
        f"{RESULTS}/shards/{{dataset}}/{{realisation}}.h5",
    log:
        f"{RESULTS}/logs/shards/{{dataset}}/{{realisation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/shards/{{dataset}}/{{realisation}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("simulate"),
        runtime=runtime("simulate"),
    params:
        settings=lambda wildcards: as_text(PROBE.dataset_settings(STUDY, wildcards.dataset)),
        code=lambda wildcards: code("scripts/simulate_shard.py", "header", "simulate", datasets=[wildcards.dataset]),
    shell:
        "python scripts/simulate_shard.py --config $STUDY --dataset {wildcards.dataset}"
        " --realisation {wildcards.realisation} --output {output:q} > {log:q} 2>&1"
