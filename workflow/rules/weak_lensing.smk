# Weak lensing: shards as for every probe whose data take one stage, and the posteriors' areas beside one another.
include: "simulate.smk"


# Intervals of posteriors with densities, by test, and the exact posteriors of the tests that have one.
COMPARED = [
    (name, test)
    for name, test in DRAWN
    if STUDY.posteriors[name].kind in ("mdn", "npe") and STUDY.posteriors[name].of == "target"
]
COMPARED = [(name, test) for name, test in COMPARED if STUDY.data[STUDY.tests[test].data].kind != "files"]
EXACTLY = [
    test for test in dict.fromkeys(test for _, test in COMPARED) if PROBE.has_exact_posterior(STUDY, STUDY.tests[test])
]
MORE += [f"{RESULTS}/areas/areas.csv"] if COMPARED else []


rule areas:
    input:
        intervals=[f"{RESULTS}/posteriors/{name}/{test}.h5" for name, test in COMPARED],
        exact=[f"{RESULTS}/exact/{test}.h5" for test in EXACTLY],
    output:
        table=f"{RESULTS}/areas/areas.csv",
        pdf=f"{RESULTS}/areas/areas.pdf",
        png=report(
            f"{RESULTS}/areas/areas.png",
            caption="../report/weak_lensing/areas.rst",
            category="Posteriors",
            labels={"posteriors": "all"},
        ),
    log:
        f"{RESULTS}/logs/areas/areas.log",
    benchmark:
        f"{RESULTS}/benchmarks/areas/areas.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("areas"),
        runtime=runtime("areas"),
    params:
        exact=lambda wildcards, input: "--exact" if input.exact else "",
        order=[f"{name}/{test}" for name, test in COMPARED],
        code=code("scripts/compare_areas.py", "grid", "header"),
    shell:
        "python scripts/compare_areas.py --config $STUDY --intervals {input.intervals:q} {params.exact} {input.exact:q}"
        " --output {output.table:q} > {log:q} 2>&1"
