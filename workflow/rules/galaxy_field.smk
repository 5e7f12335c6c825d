# Galaxy fields: shards as for every probe whose data take one stage; whether posteriors are honest, and how much of what the
# perfect catalogue of a field would tell is in them.
include: "simulate.smk"


DRAWN_ON = {test: [name for name, other in DRAWN if other == test] for _, test in DRAWN}
MORE += expand(f"{RESULTS}/beside/{{test}}.csv", test=DRAWN_ON)
MORE += [f"{RESULTS}/posteriors/{posterior}/calibration/{test}.csv" for posterior, test in DRAWN]


rule beside_catalogue:
    input:
        lambda wildcards: expand(
            f"{RESULTS}/posteriors/{{posterior}}/{wildcards.test}.h5", posterior=DRAWN_ON[wildcards.test]
        ),
    output:
        table=f"{RESULTS}/beside/{{test}}.csv",
        pdf=f"{RESULTS}/beside/{{test}}.pdf",
        png=report(
            f"{RESULTS}/beside/{{test}}.png",
            caption="../report/galaxy_field/beside.rst",
            category="Posteriors",
            labels={"test": "{test}"},
        ),
    log:
        f"{RESULTS}/logs/beside/{{test}}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("intervals"),
        runtime=runtime("figure"),
    params:
        order=lambda wildcards: DRAWN_ON[wildcards.test],
        code=code("scripts/judge_fields.py"),
    shell:
        "python scripts/judge_fields.py --config $STUDY --intervals {input:q} --output {output.table:q} > {log:q} 2>&1"
