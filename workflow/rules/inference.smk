# From data to probabilities: posteriors as heads on trained networks, and what they say of each test row.
from limelight.study.code import EXACT, INTERVALS, POSTERIOR, STREAM


# Fresh simulations, shown once to every network of the stream and thrown away. Each file is a job of its own, on one core.
rule stream:
    input:
        networks=lambda wildcards: [
            f"{RESULTS}/networks/{name}/model.pt" for name in STUDY.streams[wildcards.stream].networks
        ],
        simulate_from=lambda wildcards: PROBE.stream_files(STUDY, RESULTS, int(wildcards.realisation)),
    output:
        f"{RESULTS}/streams/{{stream}}/{{realisation}}-{{part}}.h5",
    log:
        f"{RESULTS}/logs/streams/{{stream}}/{{realisation}}-{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/streams/{{stream}}/{{realisation}}-{{part}}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=memory("stream"),
        runtime=runtime("stream"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(stages.stream_settings(STUDY, wildcards.stream)),
        code=lambda wildcards: stream_code(wildcards.stream),
        simulate_from=lambda wildcards, input: "--simulate-from" if input.simulate_from else "",
    shell:
        "python scripts/make_stream.py --config $STUDY --stream {wildcards.stream} --realisation {wildcards.realisation}"
        " --part {wildcards.part} --networks {input.networks:q} {params.simulate_from} {input.simulate_from:q}"
        " --device $DEVICE --output {output:q} > {log:q} 2>&1"


# All files of all streams, for whoever looks at them without posteriors (benchmarks/streamed.py).
rule stream_files:
    input:
        [
            f"{RESULTS}/streams/{name}/{number}-{part}.h5"
            for name, entry in STUDY.streams.items()
            for split, files in (
                ("train", entry.files),
                ("validation", entry.validation_files),
                ("test", entry.test_files),
            )
            for number in STUDY.splits[split]
            for part in range(files)
        ],


rule posterior:
    input:
        model=lambda wildcards: f"{RESULTS}/networks/{STUDY.posteriors[wildcards.posterior].network}/model.pt",
        train=posterior_data("train"),
        validation=posterior_data("validation"),
        simulate_from=simulated_from(lambda entry: entry.kind == "imnn"),
    output:
        f"{RESULTS}/posteriors/{{posterior}}/posterior.pt",
    log:
        f"{RESULTS}/logs/posteriors/{{posterior}}/posterior.log",
    benchmark:
        f"{RESULTS}/benchmarks/posteriors/{{posterior}}/posterior.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("posterior"),
        runtime=runtime("posterior"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(stages.posterior_settings(STUDY, wildcards.posterior)),
        code=lambda wildcards: posterior_code("scripts/train_posterior.py", POSTERIOR, wildcards.posterior),
        simulate_from=lambda wildcards, input: "--simulate-from" if input.simulate_from else "",
    shell:
        "python scripts/train_posterior.py --config $STUDY --name {wildcards.posterior} --network {input.model:q}"
        " --train {input.train:q} --validation {input.validation:q} {params.simulate_from} {input.simulate_from:q}"
        " --device $DEVICE --output {output:q} > {log:q} 2>&1"


rule intervals:
    input:
        posterior=lambda wildcards: f"{RESULTS}/posteriors/{trained_posterior(STUDY, wildcards.posterior)}/posterior.pt",
        simulate_from=simulated_from(lambda entry: entry.abc == "smc"),
        data=lambda wildcards: shards([STUDY.tests[wildcards.test].dataset], "test"),
    output:
        f"{RESULTS}/posteriors/{{posterior}}/{{test}}.h5",
    log:
        f"{RESULTS}/logs/posteriors/{{posterior}}/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/posteriors/{{posterior}}/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("intervals"),
        gpu=min(1, STUDY.resources.gpus),
    params:
        settings=lambda wildcards: as_text(stages.intervals_settings(STUDY, wildcards.posterior, wildcards.test)),
        code=lambda wildcards: posterior_code("scripts/sample_posterior.py", INTERVALS, wildcards.posterior),
        simulate_from=lambda wildcards, input: "--simulate-from" if input.simulate_from else "",
    shell:
        "python scripts/sample_posterior.py --config $STUDY --name {wildcards.posterior} --test {wildcards.test}"
        " --posterior {input.posterior:q} --data {input.data:q} {params.simulate_from} {input.simulate_from:q}"
        " --device $DEVICE --output {output:q} > {log:q} 2>&1"


# Are the intervals honest? Not part of `all`: `snakemake calibration` judges every posterior on every test of its own.
rule calibrate:
    input:
        intervals=f"{RESULTS}/posteriors/{{posterior}}/{{test}}.h5",
        prior=prior_data,
    output:
        table=f"{RESULTS}/posteriors/{{posterior}}/calibration/{{test}}.csv",
        pdf=f"{RESULTS}/posteriors/{{posterior}}/calibration/{{test}}.pdf",
        png=report(
            f"{RESULTS}/posteriors/{{posterior}}/calibration/{{test}}.png",
            caption="../report/calibration.rst",
            category="Calibration",
            labels={"posterior": "{posterior}", "test": "{test}"},
        ),
    log:
        f"{RESULTS}/logs/posteriors/{{posterior}}/calibration/{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("figure"),
    params:
        code=code("scripts/calibrate_posterior.py", "posterior_target", "network"),
    shell:
        "python scripts/calibrate_posterior.py --config $STUDY --intervals {input.intervals:q} --prior {input.prior:q}"
        " --output {output.table:q} > {log:q} 2>&1"


rule calibration:
    input:
        [f"{RESULTS}/posteriors/{posterior}/calibration/{test}.csv" for posterior, test in DRAWN],


# The exact posterior of a test, where theory gives one, and what the study's posteriors lose against it.
rule exact:
    input:
        lambda wildcards: shards([STUDY.tests[wildcards.test].dataset], "test"),
    output:
        f"{RESULTS}/exact/{{test}}.h5",
    log:
        f"{RESULTS}/logs/exact/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/exact/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("exact"),
        runtime=runtime("exact"),
    params:
        settings=lambda wildcards: as_text(stages.estimates_settings(STUDY, wildcards.test)),
        code=lambda wildcards: code("scripts/exact_posterior.py", *EXACT),
    shell:
        "python scripts/exact_posterior.py --config $STUDY --test {wildcards.test} --data {input:q}"
        " --output {output:q} > {log:q} 2>&1"


rule information:
    input:
        exact=f"{RESULTS}/exact/{{test}}.h5",
        intervals=lambda wildcards: [
            f"{RESULTS}/posteriors/{posterior}/{test}.h5" for posterior, test in DRAWN if test == wildcards.test
        ],
    output:
        table=f"{RESULTS}/exact/{{test}}.csv",
        pdf=f"{RESULTS}/exact/{{test}}.pdf",
        png=report(
            f"{RESULTS}/exact/{{test}}.png",
            caption="../report/information.rst",
            category="Posteriors",
            labels={"test": "{test}"},
        ),
    log:
        f"{RESULTS}/logs/exact/tables/{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("figure"),
    params:
        order=lambda wildcards: [posterior for posterior, test in DRAWN if test == wildcards.test],
        code=code("scripts/compare_posteriors.py"),
    shell:
        "python scripts/compare_posteriors.py --exact {input.exact:q} --intervals {input.intervals:q}"
        " --output {output.table:q} > {log:q} 2>&1"
