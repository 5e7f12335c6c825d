# Methods beside one another on the same maps: the ideal, the classical rival, and the money plot.


# The least that any method leaves unknown: the scatter of the halos' own luminosities.
rule ideal:
    input:
        subfields=[f"{RESULTS}/subfields/{cone}.h5" for cone in STUDY.lightcones.test],
        data=lambda wildcards: shards([wildcards.dataset], "test"),
    output:
        f"{RESULTS}/money/ideal/{{dataset}}.h5",
    log:
        f"{RESULTS}/logs/money/ideal/{{dataset}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("maps"),
        runtime=runtime("maps"),
    params:
        settings=lambda wildcards: as_text(line_stages.shard_settings(STUDY, wildcards.dataset)),
        code=lambda wildcards: code_hash("scripts/ideal_intervals.py", chosen=models_of([wildcards.dataset])),
    shell:
        "python scripts/ideal_intervals.py --config $STUDY --line-model {wildcards.dataset}"
        " --subfields {input.subfields:q} --data {input.data:q} --output {output:q} > {log:q} 2>&1"


# Every method's intervals on every test that has some: `snakemake money_plot --configfile config/money.yaml`.
rule money_table:
    input:
        evaluation=evaluations([(n, t) for n, t in JUDGED if t in {test for _, test in DRAWN}]),
        intervals=[f"{RESULTS}/posteriors/{posterior}/{test}.h5" for posterior, test in DRAWN],
        ideal=[
            f"{RESULTS}/money/ideal/{model}.h5"
            for model in dict.fromkeys(STUDY.tests[test].dataset for _, test in DRAWN)
        ],
        rivals=[
            f"{RESULTS}/rival/{rival}/{test}.h5"
            for rival in STUDY.rival
            for test in rival_tests(STUDY, rival)
            if test in {test for _, test in DRAWN}
        ],
    output:
        table=f"{RESULTS}/money/money_plot.csv",
        pdf=f"{RESULTS}/money/money_plot.pdf",
        png=report(f"{RESULTS}/money/money_plot.png", caption="../report/money_plot.rst", category="Error bars"),
    log:
        f"{RESULTS}/logs/money/money_plot.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("figure"),
    params:
        order=[f"{name}/{test}" for name, test in (*JUDGED, *DRAWN)],
        code=code_hash("scripts/money_plot.py", "resources/ihle2018_interval.csv"),
    shell:
        "python scripts/money_plot.py --intervals {input.intervals:q} {input.rivals:q} {input.ideal:q}"
        " --evaluation {input.evaluation:q} --output {output.table:q} > {log:q} 2>&1"


rule money_plot:
    input:
        f"{RESULTS}/money/money_plot.csv",
        [f"{RESULTS}/posteriors/{posterior}/calibration/{test}.csv" for posterior, test in DRAWN],


# The classical rival: one emulator of P(k) and voxel intensities over its prior, then MCMC for the maps of each test. Chains
# stand in a folder that Snakemake does not know: they are resumed after a kill.
rule rival_emulator:
    input:
        subfields=expand(f"{RESULTS}/subfields/{{realisation}}.h5", realisation=STUDY.lightcones.train),
        data=lambda wildcards: rival_shards(wildcards.rival, "train"),
    output:
        f"{RESULTS}/rival/{{rival}}/emulator.h5",
    log:
        f"{RESULTS}/logs/rival/{{rival}}/emulator.log",
    benchmark:
        f"{RESULTS}/benchmarks/rival/{{rival}}/emulator.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("rival_emulator"),
        runtime=runtime("rival_emulator"),
    params:
        settings=lambda wildcards: as_text(line_stages.emulator_settings(STUDY, wildcards.rival)),
        code=lambda wildcards: code_hash(
            "scripts/make_rival_emulator.py",
            "resources/sfr_behroozi_release.dat",
            chosen=rival_models(wildcards.rival),
        ),
        data=lambda wildcards, input: f"--data {shlex.join(input.data)}" if input.data else "",
    shell:
        "python scripts/make_rival_emulator.py --config $STUDY --rival {wildcards.rival}"
        " --subfields {input.subfields:q} {params.data} --output {output:q} > {log:q} 2>&1"


# Maps of the validation light-cones under a test's observation: they recalibrate the rival's intervals.
rule rival_validation:
    input:
        emulator=f"{RESULTS}/rival/{{rival}}/emulator.h5",
        maps=lambda wildcards: rival_shards(wildcards.rival, "validation"),
    output:
        f"{RESULTS}/rival/{{rival}}/validation/{{test}}.h5",
    log:
        f"{RESULTS}/logs/rival/{{rival}}/validation/{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("rival"),
        runtime=runtime("rival_validation"),
    params:
        settings=lambda wildcards: as_text(
            line_stages.rival_settings(STUDY, wildcards.rival, wildcards.test, validation=True)
        ),
        code=lambda wildcards: code_hash(
            "scripts/run_rival.py",
            "resources/sfr_behroozi_release.dat",
            chosen=rival_models(wildcards.rival, wildcards.test),
        ),
        chains=f"{RESULTS}/chains/{{rival}}",
    shell:
        "python scripts/run_rival.py --config $STUDY --rival {wildcards.rival} --test {wildcards.test} --validation"
        " --emulator {input.emulator:q} --data {input.maps:q} --chains {params.chains:q} --output {output:q} > {log:q} 2>&1"


rule rival:
    input:
        emulator=f"{RESULTS}/rival/{{rival}}/emulator.h5",
        maps=lambda wildcards: rival_maps(wildcards.rival, wildcards.test),
        calibration=lambda wildcards: rival_calibration(wildcards.rival, wildcards.test),
    output:
        f"{RESULTS}/rival/{{rival}}/{{test}}.h5",
    log:
        f"{RESULTS}/logs/rival/{{rival}}/{{test}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/rival/{{rival}}/{{test}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("rival"),
        runtime=runtime("rival"),
    params:
        settings=lambda wildcards: as_text(line_stages.rival_settings(STUDY, wildcards.rival, wildcards.test)),
        code=lambda wildcards: code_hash(
            "scripts/run_rival.py",
            "resources/sfr_behroozi_release.dat",
            chosen=rival_models(wildcards.rival, wildcards.test),
        ),
        chains=f"{RESULTS}/chains/{{rival}}",
        maps=lambda wildcards: "--data" if STUDY.rival[wildcards.rival].observed else "--subfields",
        calibration=calibration_option,
    shell:
        "python scripts/run_rival.py --config $STUDY --rival {wildcards.rival} --test {wildcards.test}"
        " --emulator {input.emulator:q} {params.maps} {input.maps:q} {params.calibration} --chains {params.chains:q}"
        " --output {output:q} > {log:q} 2>&1"


# A rival that is observed, on the survey's own map: a table for the map's page.
rule rival_map:
    input:
        emulator=f"{RESULTS}/rival/{{rival}}/emulator.h5",
        survey=lambda wildcards: survey_of(wildcards.test),
        calibration=lambda wildcards: rival_calibration(wildcards.rival, wildcards.test),
    output:
        f"{RESULTS}/your_map/rival/{{rival}}_{{test}}.csv",
    log:
        f"{RESULTS}/logs/your_map/rival/{{rival}}_{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("rival"),
        runtime=runtime("rival"),
    params:
        settings=lambda wildcards: as_text(line_stages.rival_settings(STUDY, wildcards.rival, wildcards.test)),
        code=lambda wildcards: code_hash(
            "scripts/run_rival.py",
            "resources/sfr_behroozi_release.dat",
            chosen=rival_models(wildcards.rival, wildcards.test),
        ),
        chains=f"{RESULTS}/chains/{{rival}}",
        calibration=calibration_option,
    shell:
        "python scripts/run_rival.py --config $STUDY --rival {wildcards.rival} --test {wildcards.test}"
        " --emulator {input.emulator:q} --survey {input.survey:q} {params.calibration} --chains {params.chains:q}"
        " --output {output:q} > {log:q} 2>&1"


rule rival_figure:
    input:
        lambda wildcards: [
            f"{RESULTS}/rival/{wildcards.rival}/{test}.h5" for test in rival_tests(STUDY, wildcards.rival)
        ],
    output:
        pdf=f"{RESULTS}/figures/rival/{{rival}}.pdf",
        png=report(
            f"{RESULTS}/figures/rival/{{rival}}.png",
            caption="../report/rival.rst",
            category="Intervals",
            labels={"rival": "{rival}"},
        ),
        table=f"{RESULTS}/rival/{{rival}}/table.csv",
    log:
        f"{RESULTS}/logs/figures/rival/{{rival}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=runtime("figure"),
    params:
        order=lambda wildcards: list(rival_tests(STUDY, wildcards.rival)),
        code=code_hash("scripts/make_rival_figure.py", "resources/ihle2018_interval.csv"),
    shell:
        "python scripts/make_rival_figure.py --intervals {input:q} --table {output.table:q} --output {output.pdf:q}"
        " > {log:q} 2>&1"
