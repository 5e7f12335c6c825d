# One rule a figure, from the evaluation files of one network alone: remaking one never retrains.
FIGURES = {
    "map_slices": "Maps",
    "luminosity_function": "Predictions",
    "error_bands": "Error bars",
    "spread_ratio": "Does it read the map?",
    "blank_map": "Does it read the map?",
    "loss_history": "Training",
    "training_spread": "Training",
}


def all_figures():
    return expand(f"{RESULTS}/figures/{{network}}/{{figure}}.pdf", network=STUDY["networks"], figure=FIGURES)


for figure, category in FIGURES.items():

    rule:
        name:
            f"figure_{figure}"
        input:
            expand(f"{RESULTS}/evaluation/{{{{network}}}}/{{test}}.h5", test=STUDY["tests"]),
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
            "{PYTHON} scripts/make_figure.py --figure {params.figure} --evaluation {input:q}"
            " --output {output.pdf:q} > {log:q} 2>&1"
