# Training. The checkpoints stand in a folder that Snakemake does not know: it deletes the declared outputs of a failed
# job, and a rerun must find them. The folder is keyed by the settings, so that another recipe never resumes this one.


rule network:
    input:
        unpack(begins_with),
        train=lambda wildcards: shards(TRAINED[wildcards.network].datasets, "train"),
        validation=lambda wildcards: shards(TRAINED[wildcards.network].datasets, "validation"),
        fresh=fresh_files,
    output:
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        history=f"{RESULTS}/networks/{{network}}/history.csv",
    log:
        f"{RESULTS}/logs/networks/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/networks/{{network}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("network"),
        runtime=runtime("network"),
        gpu=STUDY.resources.gpus,
    params:
        settings=lambda wildcards: as_text(stages.network_settings(STUDY, wildcards.network)),
        code=lambda wildcards: network_code(STUDY, wildcards.network),
        checkpoints=f"{RESULTS}/checkpoints/{{network}}",
        start=lambda wildcards, input: f"--start {shlex.quote(input.start)}" if "start" in input.keys() else "",
        fresh=lambda wildcards, input: shlex.join(["--simulate-from", *input.fresh]) if input.fresh else "",
    shell:
        "python scripts/train_network.py --config $STUDY --name {wildcards.network}"
        " --train {input.train:q} --validation {input.validation:q} --checkpoints {params.checkpoints:q} {params.start}"
        " {params.fresh}"
        " --device $DEVICE --output {output.model:q} --history {output.history:q} > {log:q} 2>&1"
