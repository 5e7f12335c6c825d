# Halo fields: shards as for every probe whose data take one stage; painters beside the true halos; bias models.
from limelight.study.code import TRAINING


include: "simulate.smk"


# Training and validation boxes that are there anyway, of the tests' universes: they tell the scatter from box to box as well.
TESTED = list(dict.fromkeys(test.data for test in STUDY.tests.values()))
ALIKE = [data for data in TESTED if (data, "train") in SHARDS_USED] or TESTED[:1]
MORE += [f"{RESULTS}/painted/statistics.csv"]
if STUDY.bias:
    MORE += [f"{RESULTS}/bias/ladder.csv"]


rule painted:
    input:
        networks=expand(f"{RESULTS}/networks/{{network}}/model.pt", network=STUDY.networks),
        tests=shards(TESTED, "test"),
        others=[*shards(ALIKE, "train"), *shards(ALIKE, "validation")],
    output:
        table=f"{RESULTS}/painted/statistics.csv",
        slices=report(
            f"{RESULTS}/painted/statistics.slices.png",
            caption="../report/halo_field/slices.rst",
            category="Painted halos",
        ),
        ratios=report(
            f"{RESULTS}/painted/statistics.ratios.png",
            caption="../report/halo_field/ratios.rst",
            category="Painted halos",
        ),
        pdf=expand(f"{RESULTS}/painted/statistics.{{kind}}.pdf", kind=("slices", "ratios")),
    log:
        f"{RESULTS}/logs/painted.log",
    benchmark:
        f"{RESULTS}/benchmarks/painted.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("painted"),
        runtime=runtime("painted"),
    params:
        settings=lambda wildcards: as_text(  # a function, for a path of `data` may have {realisation} in it
            [STUDY.judging, STUDY.tests, [stages.network_settings(STUDY, name) for name in STUDY.networks]]
        ),
        order=list(STUDY.tests),
        code=code("scripts/judge_painters.py", *TRAINING, networks=list(STUDY.networks)),
    shell:
        "python scripts/judge_painters.py --config $STUDY --networks {input.networks:q} --tests {input.tests:q}"
        " --others {input.others:q} --output {output.table:q} > {log:q} 2>&1"


RANKS = expand(f"{RESULTS}/bias/ladder.ranks.{{end}}", end=("png", "pdf"))


# Chains stand in a folder that Snakemake does not know: it deletes the declared outputs of a failed job, and a rerun goes on.
rule bias:
    input:
        train=lambda wildcards: shards([STUDY.bias.data], "train")[: STUDY.bias.boxes],
        tests=lambda wildcards: shards([STUDY.bias.data], "test"),
    output:
        ladder=f"{RESULTS}/bias/ladder.csv",
        tables=expand(f"{RESULTS}/bias/ladder.{{kind}}.csv", kind=("bands", "statistics", "calibration")),
        models=report(
            f"{RESULTS}/bias/ladder.models.png",
            caption="../report/halo_field/models.rst",
            category="Bias models",
        ),
        bands=report(
            f"{RESULTS}/bias/ladder.bands.png",
            caption="../report/halo_field/bands.rst",
            category="Bias models",
        ),
        chains=report(
            f"{RESULTS}/bias/ladder.chains.png",
            caption="../report/halo_field/chains.rst",
            category="Bias models",
        ),
        pdf=expand(f"{RESULTS}/bias/ladder.{{kind}}.pdf", kind=("models", "bands", "chains")),
        ranks=(
            [report(RANKS[0], caption="../report/halo_field/ranks.rst", category="Bias models"), RANKS[1]]
            if STUDY.bias and STUDY.bias.calibration
            else []
        ),
    log:
        f"{RESULTS}/logs/bias.log",
    benchmark:
        f"{RESULTS}/benchmarks/bias.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("bias"),
        runtime=runtime("bias"),
    params:
        settings=lambda wildcards: as_text(
            [STUDY.bias, STUDY.judging, STUDY.splits, PROBE.dataset_settings(STUDY, STUDY.bias.data)]
        ),
        code=code("scripts/sample_bias.py", "header"),
        checkpoints=f"{RESULTS}/checkpoints/bias",
    shell:
        "python scripts/sample_bias.py --config $STUDY --train {input.train:q} --tests {input.tests:q}"
        " --checkpoints {params.checkpoints:q} --output {output.ladder:q} > {log:q} 2>&1"
