# Light-cones of halos, and the subfields cut from them.


rule lightcone:
    input:
        foreign_files,
    output:
        keep("lightcones", f"{RESULTS}/lightcones/{{lightcone}}.h5"),
    log:
        f"{RESULTS}/logs/lightcones/{{lightcone}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lightcones/{{lightcone}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("lightcone"),
        runtime=runtime("lightcone"),
    params:
        settings=settings("lightcone"),
        script=HALO_CODE[0],
        code=code_hash(*HALO_CODE),
    shell:
        "python {params.script} --config $STUDY --lightcone {wildcards.lightcone}" " --output {output:q} > {log:q} 2>&1"


rule subfields:
    input:
        lightcone=f"{RESULTS}/lightcones/{{lightcone}}.h5",
    output:
        keep("subfields", f"{RESULTS}/subfields/{{lightcone}}.h5"),
    log:
        f"{RESULTS}/logs/subfields/{{lightcone}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/subfields/{{lightcone}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("subfields"),
        runtime=runtime("subfields"),
    params:
        settings=settings("subfields"),
        code=code_hash(*FIELD_CODE),
    shell:
        "python scripts/make_subfields.py --config $STUDY --lightcone {input.lightcone:q}"
        " --output {output:q} > {log:q} 2>&1"
