# What networks look at: the runs that the study's `saliency` asks for, and their figures.
from limelight.study.code import SALIENCY


rule saliency:
    input:
        unpack(explained_control),
        model=lambda wildcards: f"{RESULTS}/networks/{explained(wildcards).network}/model.pt",
        data=lambda wildcards: shards([explained_dataset(wildcards)], "test"),
        files=lambda wildcards: PROBE.pixel_class_files(STUDY, RESULTS, explained_dataset(wildcards)),
    output:
        h5=f"{RESULTS}/saliency/{{saliency}}.h5",
        csv=f"{RESULTS}/saliency/{{saliency}}.csv",
    log:
        f"{RESULTS}/logs/saliency/{{saliency}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/saliency/{{saliency}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("saliency"),
        runtime=runtime("saliency"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(stages.saliency_settings(STUDY, wildcards.saliency)),
        control=lambda wildcards, input: f"--control {shlex.quote(input.control)}" if "control" in input.keys() else "",
        files=lambda wildcards, input: f"--files {shlex.join(input.files)}" if input.files else "",
        code=lambda wildcards: code("scripts/explain_network.py", *SALIENCY, networks=[explained(wildcards).network]),
    shell:
        "python scripts/explain_network.py --config $STUDY --run {wildcards.saliency} --network {input.model:q}"
        " --data {input.data:q} {params.control} {params.files} --device $DEVICE"
        " --output {output.h5:q} > {log:q} 2>&1"


for figure in SALIENCY_FIGURES:

    rule:
        name:
            f"figure_{figure}"
        input:
            f"{RESULTS}/saliency/{{saliency}}.h5",
        output:
            pdf=f"{RESULTS}/figures/saliency/{{saliency}}/{figure}.pdf",
            png=report(
                f"{RESULTS}/figures/saliency/{{saliency}}/{figure}.png",
                caption=f"../report/{KINDS[figure].caption}",
                category=KINDS[figure].chapter,
                labels={"run": "{saliency}", "figure": figure.replace("_", " ")},
            ),
        log:
            f"{RESULTS}/logs/figures/saliency/{{saliency}}/{figure}.log",
        conda:
            "../../envs/environment.yaml"
        threads: 1
        resources:
            mem_mb=memory("figure"),
            runtime=runtime("figure"),
        params:
            figure=figure,
            code=figure_code(figure),
        shell:
            "python scripts/make_figure.py --figure {params.figure} --files {input:q}"
            " --output {output.pdf:q} > {log:q} 2>&1"
