# From maps to probabilities: neural posteriors as heads on trained networks, and what they say of each test map.


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
        code=lambda wildcards: code_hash("scripts/train_posterior.py", chosen=posterior_code(wildcards.posterior)),
        subfields=lambda wildcards, input: "--subfields" if input.subfields else "",
        device="auto" if STUDY["resources"]["gpus"] else "cpu",
    shell:
        "python scripts/train_posterior.py --config $STUDY --posterior {wildcards.posterior} --network {input.model:q}"
        " --train {input.train:q} --validation {input.validation:q} {params.subfields} {input.subfields:q}"
        " --device {params.device} --output {output:q} > {log:q} 2>&1"


rule intervals:
    input:
        posterior=lambda wildcards: f"{RESULTS}/posteriors/{trained_posterior(STUDY, wildcards.posterior)}/posterior.pt",
        subfields=simulated_subfields,
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
        code=lambda wildcards: code_hash("scripts/sample_posterior.py", chosen=posterior_code(wildcards.posterior)),
        subfields=lambda wildcards, input: "--subfields" if input.subfields else "",
        device="auto" if STUDY["resources"]["gpus"] else "cpu",
    shell:
        "python scripts/sample_posterior.py --config $STUDY --name {wildcards.posterior} --test {wildcards.test}"
        " --posterior {input.posterior:q} --maps {input.maps:q} {params.subfields} {input.subfields:q}"
        " --device {params.device} --output {output:q} > {log:q} 2>&1"


# Are the intervals honest? Not part of `all`: `snakemake calibration` judges every posterior on every test of its own.
rule calibrate:
    input:
        intervals=f"{RESULTS}/posteriors/{{posterior}}/{{test}}.h5",
        prior=posterior_maps("train"),
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
        f"{RESULTS}/logs/posteriors/{{posterior}}/calibration_{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("figure"),
    params:
        code=code_hash("scripts/calibrate_posterior.py"),
    shell:
        "python scripts/calibrate_posterior.py --config $STUDY --intervals {input.intervals:q} --prior {input.prior:q}"
        " --output {output.table:q} > {log:q} 2>&1"


rule calibration:
    input:
        [f"{RESULTS}/posteriors/{posterior}/calibration/{test}.csv" for posterior, test in DRAWN],


# The least that any method leaves unknown: the scatter of the halos' own luminosities.
rule ideal:
    input:
        subfields=[f"{RESULTS}/subfields/{cone}.h5" for cone in STUDY["lightcones"]["test"]],
        maps=lambda wildcards: pooled([wildcards.line_model], "test"),
    output:
        f"{RESULTS}/money/ideal/{{line_model}}.h5",
    log:
        f"{RESULTS}/logs/money/ideal/{{line_model}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("maps"),
        runtime=runtime("maps"),
    params:
        settings=lambda wildcards: settings("pooled", wildcards.line_model),
        code=lambda wildcards: code_hash("scripts/ideal_intervals.py", chosen=models_of([wildcards.line_model])),
    shell:
        "python scripts/ideal_intervals.py --config $STUDY --line-model {wildcards.line_model}"
        " --subfields {input.subfields:q} --maps {input.maps:q} --output {output:q} > {log:q} 2>&1"


# Every method's intervals on every test that has some: `snakemake money_plot --configfile config/money.yaml`.
rule money_table:
    input:
        evaluation=evaluations([(n, t) for n, t in JUDGED if t in {test for _, test in DRAWN}]),
        intervals=[f"{RESULTS}/posteriors/{posterior}/{test}.h5" for posterior, test in DRAWN],
        ideal=[
            f"{RESULTS}/money/ideal/{model}.h5"
            for model in dict.fromkeys(STUDY["tests"][test]["line_model"] for _, test in DRAWN)
        ],
        rivals=[
            f"{RESULTS}/rival/{rival}/{test}.h5"
            for rival in STUDY["rival"]
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
        expand(f"{RESULTS}/subfields/{{lightcone}}.h5", lightcone=STUDY["lightcones"]["train"]),
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
        settings=lambda wildcards: settings("rival_emulator", wildcards.rival),
        code=lambda wildcards: code_hash(
            "scripts/make_rival_emulator.py",
            "resources/sfr_behroozi_release.dat",
            chosen=rival_models(wildcards.rival),
        ),
    shell:
        "python scripts/make_rival_emulator.py --config $STUDY --rival {wildcards.rival} --subfields {input:q}"
        " --output {output:q} > {log:q} 2>&1"


rule rival:
    input:
        emulator=f"{RESULTS}/rival/{{rival}}/emulator.h5",
        subfields=expand(f"{RESULTS}/subfields/{{lightcone}}.h5", lightcone=STUDY["lightcones"]["test"]),
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
        settings=lambda wildcards: settings("rival", wildcards.rival, wildcards.test),
        code=lambda wildcards: code_hash(
            "scripts/run_rival.py",
            "resources/sfr_behroozi_release.dat",
            chosen=rival_models(wildcards.rival, wildcards.test),
        ),
        chains=f"{RESULTS}/chains/{{rival}}",
    shell:
        "python scripts/run_rival.py --config $STUDY --rival {wildcards.rival} --test {wildcards.test}"
        " --emulator {input.emulator:q} --subfields {input.subfields:q} --chains {params.chains:q}"
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
        code=code_hash("scripts/make_rival_figure.py", "resources/ihle2018_interval.csv"),
    shell:
        "python scripts/make_rival_figure.py --intervals {input:q} --table {output.table:q} --output {output.pdf:q}"
        " > {log:q} 2>&1"
