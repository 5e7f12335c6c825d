# Figures, each from files alone: remaking one never retrains. limelight.figures and the probe say which there are, and what
# each reads: the evaluations of a network, its audit, or its layers.
#
# Colours, rows and what comes first hang on the order of a rule's files, which Snakemake forgets of inputs, and of parameters that
# are made of them: `order` says it from the config.


for figure, kind in KINDS.items():
    if figure in SALIENCY_FIGURES:
        continue

    rule:
        name:
            f"figure_{figure}"
        input:
            figure_input(kind.reads),
        output:
            pdf=f"{RESULTS}/figures/{{network}}/{figure}.pdf",
            png=report(
                f"{RESULTS}/figures/{{network}}/{figure}.png",
                caption=f"../report/{kind.caption}",
                category=kind.chapter,
                labels={"network": "{network}", "figure": figure.replace("_", " ")},
            ),
        log:
            f"{RESULTS}/logs/figures/{{network}}/{figure}.log",
        conda:
            "../../envs/environment.yaml"
        threads: 1
        resources:
            mem_mb=memory("figure"),
            runtime=runtime("figure"),
        params:
            figure=figure,
            order=figure_input(kind.reads) if kind.reads == "evaluation" else "",
            code=figure_code(figure),
        shell:
            "python scripts/make_figure.py --figure {params.figure} --files {input:q}"
            " --output {output.pdf:q} > {log:q} 2>&1"


# Figures of several networks or tests at once, as the study's `comparisons` ask for them.
rule figure_comparison:
    input:
        lambda wildcards: compared(wildcards.comparison),
    output:
        pdf=f"{RESULTS}/figures/comparisons/{{comparison}}.pdf",
        png=report(
            f"{RESULTS}/figures/comparisons/{{comparison}}.png",
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"comparison": "{comparison}"},
        ),
    log:
        f"{RESULTS}/logs/figures/comparisons/{{comparison}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=runtime("figure"),
    params:
        figure=lambda wildcards: STUDY.comparisons[wildcards.comparison].figure,
        caption=lambda wildcards: STUDY.comparisons[wildcards.comparison].caption,
        order=lambda wildcards: compared(wildcards.comparison),
        reading=lambda wildcards: reading(STUDY.comparisons[wildcards.comparison].figure),
        code=lambda wildcards: figure_code(STUDY.comparisons[wildcards.comparison].figure),
    shell:
        "python scripts/make_figure.py --figure {params.figure} --files {input:q}"
        " --output {output.pdf:q} > {log:q} 2>&1"


# What a network's layers make of one test row; its first filters beside it.
rule layers:
    input:
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        data=lambda wildcards: shards([STUDY.tests[suitable_tests(STUDY, wildcards.network)[0]].dataset], "test")[0],
    output:
        f"{RESULTS}/layers/{{network}}.h5",
    log:
        f"{RESULTS}/logs/layers/{{network}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: STUDY.resources.training_threads
    resources:
        mem_mb=memory("evaluation"),
        runtime=runtime("figure"),
    params:
        test=lambda wildcards: suitable_tests(STUDY, wildcards.network)[0],
        row=(STUDY.figures.maps or [0])[0],
        settings=lambda wildcards: as_text(
            stages.evaluation_settings(STUDY, wildcards.network, suitable_tests(STUDY, wildcards.network)[0])
        ),
        code=lambda wildcards: code(
            "scripts/show_layers.py", "header", "target", "presentation", networks=[wildcards.network]
        ),
    shell:
        "python scripts/show_layers.py --config $STUDY --test {params.test} --network {input.model:q}"
        " --data {input.data:q} --row {params.row} --output {output:q} > {log:q} 2>&1"


# What made the files behind the figures, as they say themselves.
rule provenance:
    input:
        kept(),
    output:
        report(f"{RESULTS}/provenance.html", caption="../report/provenance.rst", category="Provenance"),
    log:
        f"{RESULTS}/logs/provenance.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=runtime("figure"),
    params:
        title=f"What made the files of study {STUDY.study}",
        code=code("scripts/list_provenance.py"),
    shell:
        "python scripts/list_provenance.py --title {params.title:q} --output {output:q} {input:q} > {log:q} 2>&1"


# The first page of the study, also as the first text of its report.
rule overview:
    input:
        evaluations=evaluations(JUDGED),
        audits=expand(f"{RESULTS}/audit/{{network}}.h5", network=AUDITED),
        headline=headline(),
    output:
        page=f"{RESULTS}/index.html",
        text=f"{RESULTS}/overview.rst",
    log:
        f"{RESULTS}/logs/overview.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=runtime("figure"),
    params:
        audits="--audit" if AUDITED else "",
        order=[*evaluations(JUDGED), *headline()],
        code=code("scripts/make_overview.py", "in_columns"),
    shell:
        "python scripts/make_overview.py --config $STUDY --evaluation {input.evaluations:q} {params.audits}"
        " {input.audits:q} --headline {input.headline:q} --output {output.page:q} > {log:q} 2>&1"
