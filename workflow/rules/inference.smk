# From maps to probabilities: neural posteriors as heads on trained networks, and what they say of each test map.


def posterior_maps(split):
    """The pooled maps of one split that a posterior's network trains on or is chosen by."""
    return lambda wildcards: pooled(
        STUDY["networks"][STUDY["posteriors"][wildcards.posterior]["network"]]["line_models"], split
    )


def posterior_subfields(wildcards):
    """The halos that an IMNN paints about the prior's mean: those of the training light-cones; none for other kinds."""
    wanted = STUDY["posteriors"][wildcards.posterior]["kind"] == "imnn"
    return [f"{RESULTS}/subfields/{cone}.h5" for cone in STUDY["lightcones"]["train"] if wanted]


rule posterior:
    input:
        model=lambda wildcards: f"{RESULTS}/networks/{STUDY['posteriors'][wildcards.posterior]['network']}/model.pt",
        train=posterior_maps("train"),
        validation=posterior_maps("validation"),
        subfields=posterior_subfields,
    output:
        f"{RESULTS}/posteriors/{{posterior}}/posterior.pt",
    log:
        f"{RESULTS}/logs/posteriors/{{posterior}}/posterior.log",
    benchmark:
        f"{RESULTS}/benchmarks/posteriors/{{posterior}}/posterior.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY["resources"]["training_threads"]
    resources:
        mem_mb=memory("posterior"),
        runtime=runtime("posterior"),
        gpu=min(1, STUDY["resources"]["gpus"]),
    params:
        settings=lambda wildcards: settings("posterior", wildcards.posterior),
        code=code_hash("scripts/train_posterior.py"),
        subfields=lambda wildcards, input: "--subfields" if input.subfields else "",
        device="auto" if STUDY["resources"]["gpus"] else "cpu",
    shell:
        "python scripts/train_posterior.py --config $STUDY --posterior {wildcards.posterior} --network {input.model:q}"
        " --train {input.train:q} --validation {input.validation:q} {params.subfields} {input.subfields:q}"
        " --device {params.device} --output {output:q} > {log:q} 2>&1"


rule intervals:
    input:
        posterior=f"{RESULTS}/posteriors/{{posterior}}/posterior.pt",
        maps=lambda wildcards: pooled([STUDY["tests"][wildcards.test]["line_model"]], "test"),
    output:
        f"{RESULTS}/posteriors/{{posterior}}/{{test}}.h5",
    log:
        f"{RESULTS}/logs/posteriors/{{posterior}}/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/posteriors/{{posterior}}/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY["resources"]["training_threads"]
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("intervals"),
        gpu=min(1, STUDY["resources"]["gpus"]),
    params:
        settings=lambda wildcards: settings("intervals", wildcards.posterior, wildcards.test),
        code=code_hash("scripts/sample_posterior.py"),
        device="auto" if STUDY["resources"]["gpus"] else "cpu",
    shell:
        "python scripts/sample_posterior.py --config $STUDY --test {wildcards.test} --posterior {input.posterior:q}"
        " --maps {input.maps:q} --device {params.device} --output {output:q} > {log:q} 2>&1"
