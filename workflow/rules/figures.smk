# One rule a figure, from the evaluation files of one network alone: remaking one never retrains.


for figure, category in FIGURES.items():

    rule:
        name:
            f"figure_{figure}"
        input:
            lambda wildcards: evaluations(pair for pair in JUDGED if pair[0] == wildcards.network),
        output:
            pdf=f"{RESULTS}/figures/{{network}}/{figure}.pdf",
            png=report(
                f"{RESULTS}/figures/{{network}}/{figure}.png",
                caption=f"../report/{figure}.rst",
                category=category,
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
            code=code_hash(
                "scripts/make_figure.py", "resources/published_cnn_errors.csv", "resources/ihle2018_interval.csv"
            ),
        shell:
            "python scripts/make_figure.py --figure {params.figure} --evaluation {input:q}"
            " --output {output.pdf:q} > {log:q} 2>&1"


# Figures of several networks or tests at once, as the study's `comparisons` ask for them.
rule figure_comparison:
    input:
        lambda wildcards: evaluations(comparison_pairs(STUDY, wildcards.comparison)),
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
        figure=lambda wildcards: STUDY["comparisons"][wildcards.comparison]["figure"],
        caption=lambda wildcards: STUDY["comparisons"][wildcards.comparison]["caption"],
        reading=lambda wildcards: reading(STUDY["comparisons"][wildcards.comparison]["figure"]),
        code=code_hash(
            "scripts/make_figure.py", "resources/published_cnn_errors.csv", "resources/ihle2018_interval.csv"
        ),
    shell:
        "python scripts/make_figure.py --figure {params.figure} --evaluation {input:q}"
        " --output {output.pdf:q} > {log:q} 2>&1"


# What a network's layers make of one test map; its first filters beside it.
rule layers:
    input:
        model=f"{RESULTS}/networks/{{network}}/model.pt",
        maps=lambda wildcards: pooled(
            [STUDY["tests"][suitable_tests(STUDY, wildcards.network)[0]]["line_model"]], "test"
        )[0],
    output:
        f"{RESULTS}/layers/{{network}}.h5",
    log:
        f"{RESULTS}/logs/layers/{{network}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: STUDY["resources"]["training_threads"]
    resources:
        mem_mb=memory("evaluation"),
        runtime=runtime("figure"),
    params:
        test=lambda wildcards: suitable_tests(STUDY, wildcards.network)[0],
        map=STUDY["figures"]["maps"][0],
        settings=lambda wildcards: settings(
            "evaluation", wildcards.network, suitable_tests(STUDY, wildcards.network)[0]
        ),
        code=lambda wildcards: code_hash("scripts/show_layers.py", chosen=architecture(wildcards.network)),
    shell:
        "python scripts/show_layers.py --config $STUDY --test {params.test} --network {input.model:q}"
        " --maps {input.maps:q} --map {params.map} --output {output:q} > {log:q} 2>&1"


for figure in LAYER_FIGURES:

    rule:
        name:
            f"figure_{figure}"
        input:
            f"{RESULTS}/layers/{{network}}.h5",
        output:
            pdf=f"{RESULTS}/figures/{{network}}/{figure}.pdf",
            png=report(
                f"{RESULTS}/figures/{{network}}/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="Inside the network",
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
            code=code_hash("scripts/draw_layers.py"),
        shell:
            "python scripts/draw_layers.py --figure {params.figure} --layers {input:q}"
            " --output {output.pdf:q} > {log:q} 2>&1"


# The page of an audit, and the confusion matrix of a classifier.
PAGES = {
    "audit": (f"{RESULTS}/audit/{{network}}.h5", "Does it read the map?"),
    "confusion_matrix": (f"{RESULTS}/classification/{{network}}.h5", "Which line model?"),
}
for figure, (source, category) in PAGES.items():

    rule:
        name:
            f"figure_{figure}"
        input:
            source,
        output:
            pdf=f"{RESULTS}/figures/{{network}}/{figure}.pdf",
            png=report(
                f"{RESULTS}/figures/{{network}}/{figure}.png",
                caption=f"../report/{figure}.rst",
                category=category,
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
            code=code_hash("scripts/make_page.py"),
        shell:
            "python scripts/make_page.py --file {input:q} --output {output.pdf:q} > {log:q} 2>&1"


# What made the files behind the figures, as they say themselves.
rule provenance:
    input:
        sorted({path for model, split in POOLED_USED for path in pooled([model], split)}),
        expand(f"{RESULTS}/networks/{{network}}/model.pt", network=STUDY["networks"]),
        evaluations(JUDGED),
        expand(f"{RESULTS}/audit/{{network}}.h5", network=AUDITED),
        expand(f"{RESULTS}/classification/{{network}}.h5", network=CLASSIFIERS),
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
        title=f"What made the files of study {STUDY['study']}",
        code=code_hash("scripts/list_provenance.py"),
    shell:
        "python scripts/list_provenance.py --title {params.title:q} --output {output:q} {input:q} > {log:q} 2>&1"
