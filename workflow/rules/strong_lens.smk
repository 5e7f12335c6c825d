# Strong lenses: shards as for every probe whose data take one stage, and networks beside what is known without one.
from dataclasses import replace

from limelight.section import without
from limelight.study.code import INTERVALS, TRAINING


include: "simulate.smk"


MEASURED = {test: [name for name, other in DRAWN if other == test] for _, test in DRAWN}
FOUND = suitable_tests(STUDY, CLASSIFIERS[0])[0] if CLASSIFIERS else None
MORE += [f"{RESULTS}/beside/finding.csv"] if FOUND else []
MORE += expand(f"{RESULTS}/beside/chains_{{test}}.csv", test=MEASURED)


# What networks that find lenses identify falsely, and what the first one's layers make of a true and a false positive.
rule finding:
    input:
        networks=expand(f"{RESULTS}/networks/{{network}}/model.pt", network=CLASSIFIERS),
        data=shards([STUDY.tests[FOUND].dataset], "test") if FOUND else [],
    output:
        table=f"{RESULTS}/beside/finding.csv",
        pdf=f"{RESULTS}/beside/finding.pdf",
        png=report(
            f"{RESULTS}/beside/finding.png",
            caption="../report/strong_lens/finding.rst",
            category="Beside what is known",
            labels={"networks": "lenses or not"},
        ),
        true_pdf=f"{RESULTS}/beside/true_positive.pdf",
        true_png=report(
            f"{RESULTS}/beside/true_positive.png",
            caption="../report/feature_maps.rst",
            category="Inside the network",
            labels={"networks": "a true positive"},
        ),
        false_pdf=f"{RESULTS}/beside/false_positive.pdf",
        false_png=report(
            f"{RESULTS}/beside/false_positive.png",
            caption="../report/feature_maps.rst",
            category="Inside the network",
            labels={"networks": "a false positive"},
        ),
    log:
        f"{RESULTS}/logs/beside/finding.log",
    benchmark:
        f"{RESULTS}/benchmarks/beside/finding.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("finding"),
        runtime=runtime("finding"),
    params:
        settings=as_text(
            [
                STUDY.judging.rates,
                *(replace(stages.evaluation_settings(STUDY, name, FOUND), shown=()) for name in CLASSIFIERS),
            ]
        ),
        code=code("scripts/judge_lenses.py", *TRAINING, networks=CLASSIFIERS),
        test=FOUND,
    shell:
        "python scripts/judge_lenses.py --config $STUDY --test {params.test} --networks {input.networks:q}"
        " --data {input.data:q} --true-positive {output.true_png:q} --false-positive {output.false_png:q}"
        " --output {output.table:q} > {log:q} 2>&1"


# Posteriors beside MCMC on the same images.
rule chains:
    input:
        intervals=lambda wildcards: expand(
            f"{RESULTS}/posteriors/{{posterior}}/{wildcards.test}.h5", posterior=MEASURED[wildcards.test]
        ),
        data=lambda wildcards: shards([STUDY.tests[wildcards.test].dataset], "test"),
    output:
        table=f"{RESULTS}/beside/chains_{{test}}.csv",
        pdf=f"{RESULTS}/beside/chains_{{test}}.pdf",
        png=report(
            f"{RESULTS}/beside/chains_{{test}}.png",
            caption="../report/strong_lens/chains.rst",
            category="Beside what is known",
            labels={"networks": "posteriors on {test}"},
        ),
    log:
        f"{RESULTS}/logs/beside/chains_{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/beside/chains_{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("chains"),
        runtime=runtime("chains"),
    params:
        settings=lambda wildcards: as_text(
            [
                without(STUDY.judging, "rates"),
                *(stages.intervals_settings(STUDY, name, wildcards.test) for name in MEASURED[wildcards.test]),
            ]
        ),
        code=code("scripts/judge_lenses.py", *INTERVALS),
    shell:
        "python scripts/judge_lenses.py --config $STUDY --test {wildcards.test} --intervals {input.intervals:q}"
        " --data {input.data:q} --output {output.table:q} > {log:q} 2>&1"
