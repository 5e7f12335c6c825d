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


# Not part of `all`: `snakemake validate_halos` holds the study's test light-cones, and its generator, against theory.
rule validate_halos:
    input:
        expand(f"{RESULTS}/lightcones/{{lightcone}}.h5", lightcone=STUDY["lightcones"]["test"]),
    output:
        table=f"{RESULTS}/validation/halos.csv",
        pdf=f"{RESULTS}/validation/halos.pdf",
        png=report(f"{RESULTS}/validation/halos.png", caption="../report/validate_halos.rst", category="Halos"),
    log:
        f"{RESULTS}/logs/validation/halos.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: int(estimate.memory_mb(STUDY, "lightcone") * 2 ** (attempt - 1) + 3000),
        # the generator's box and light-cone, and every light-cone of the study
        runtime=lambda wildcards, attempt: (1 + len(STUDY["lightcones"]["test"]))
        * estimate.runtime_min(STUDY, "lightcone")
        * 2 ** (attempt - 1),
    params:
        settings=settings("halo_validation"),
        code=code_hash(
            "scripts/validate_halos.py",
            "resources/halo_reference.csv",
            "resources/halo_reference_independent.csv",
            "resources/sfr_behroozi_release.dat",
            chosen=(MODELS.dotted("li"),),
        ),
    shell:
        "python scripts/validate_halos.py --config $STUDY --lightcones {input:q} --output {output.table:q}"
        " --figure {output.pdf:q} > {log:q} 2>&1"
