# Line-intensity maps, from halos to shards: light-cones of halos, the fields cut from them, the line painted onto the halos, and
# maps pooled for the networks. The rival and the money plot stand in line_intensity_rival.smk, the
# reports on surveys' own maps in line_intensity_survey.smk.


include: "line_intensity_common.smk"


wildcard_constraints:
    rival=either(STUDY.rival),


localrules:
    money_plot,
    your_map,


rule lightcone:
    input:
        foreign_files,
    output:
        keep("lightcones", f"{RESULTS}/lightcones/{{realisation}}.h5"),
    log:
        f"{RESULTS}/logs/lightcones/{{realisation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lightcones/{{realisation}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("lightcone"),
        runtime=runtime("lightcone"),
    params:
        settings=as_text(line_stages.lightcone_settings(STUDY)),
        script=HALO_CODE[0],
        code=code_hash(*HALO_CODE, chosen=PAINTER_CODE),
    shell:
        "python {params.script} --config $STUDY --lightcone {wildcards.realisation}"
        " --output {output:q} > {log:q} 2>&1"


rule subfields:
    input:
        lightcone=f"{RESULTS}/lightcones/{{realisation}}.h5",
    output:
        keep("subfields", f"{RESULTS}/subfields/{{realisation}}.h5"),
    log:
        f"{RESULTS}/logs/subfields/{{realisation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/subfields/{{realisation}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("subfields"),
        runtime=runtime("subfields"),
    params:
        settings=as_text(line_stages.subfield_settings(STUDY)),
        code=code_hash(*FIELD_CODE, chosen=PAINTER_CODE),
    shell:
        "python scripts/make_subfields.py --config $STUDY --lightcone {input.lightcone:q}"
        " --output {output:q} > {log:q} 2>&1"


# Not part of `all`: `snakemake validate_halos` holds the study's test light-cones, and its generator, against theory.
rule validate_halos:
    input:
        expand(f"{RESULTS}/lightcones/{{realisation}}.h5", realisation=STUDY.lightcones.test),
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
        mem_mb=lambda wildcards, attempt: int(
            estimate.memory_mb(STUDY, "lightcone", costs()) * 2 ** (attempt - 1) + 3000
        ),
        # the generator's box and light-cone, and every light-cone of the study
        runtime=lambda wildcards, attempt: (1 + len(STUDY.lightcones.test))
        * estimate.runtime_min(STUDY, "lightcone", costs())
        * 2 ** (attempt - 1),
    params:
        settings=as_text(line_stages.halo_validation_settings(STUDY)),
        code=code_hash(
            "scripts/validate_halos.py",
            "resources/halo_reference.csv",
            "resources/halo_reference_independent.csv",
            "resources/sfr_behroozi_release.dat",
            chosen=(MODELS.dotted("li"), *PAINTER_CODE),
        ),
    shell:
        "python scripts/validate_halos.py --config $STUDY --lightcones {input:q} --output {output.table:q}"
        " --figure {output.pdf:q} > {log:q} 2>&1"


rule maps:
    input:
        subfields=f"{RESULTS}/subfields/{{realisation}}.h5",
    output:
        keep("maps", f"{RESULTS}/maps/{{dataset}}/{{realisation}}.h5"),
    log:
        f"{RESULTS}/logs/maps/{{dataset}}/{{realisation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/maps/{{dataset}}/{{realisation}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("maps"),
        runtime=runtime("maps"),
    params:
        settings=lambda wildcards: as_text(line_stages.map_settings(STUDY, wildcards.dataset)),
        code=lambda wildcards: code_hash(*MAP_CODE, chosen=(*models_of([wildcards.dataset]), *PAINTER_CODE)),
    shell:
        "python scripts/paint_maps.py --config $STUDY --line-model {wildcards.dataset}"
        " --subfields {input.subfields:q} --output {output:q} > {log:q} 2>&1"


rule pooled:
    input:
        maps=f"{RESULTS}/maps/{{dataset}}/{{realisation}}.h5",
    output:
        f"{RESULTS}/shards/{{dataset}}/{{realisation}}.h5",
    log:
        f"{RESULTS}/logs/shards/{{dataset}}/{{realisation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/shards/{{dataset}}/{{realisation}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("pooled"),
        runtime=runtime("pooled"),
    params:
        settings=lambda wildcards: as_text(line_stages.shard_settings(STUDY, wildcards.dataset)),
        code=lambda wildcards: code_hash(*POOL_CODE, chosen=(*models_of([wildcards.dataset]), *PAINTER_CODE)),
    shell:
        "python scripts/pool_maps.py --config $STUDY --maps {input.maps:q}" " --output {output:q} > {log:q} 2>&1"


include: "line_intensity_rival.smk"
include: "line_intensity_survey.smk"
