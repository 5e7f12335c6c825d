# Painting the line onto the halos, and pooling the maps for the networks.


rule maps:
    input:
        subfields=f"{RESULTS}/subfields/{{lightcone}}.h5",
    output:
        keep("maps", f"{RESULTS}/maps/{{line_model}}/{{lightcone}}.h5"),
    log:
        f"{RESULTS}/logs/maps/{{line_model}}/{{lightcone}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/maps/{{line_model}}/{{lightcone}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("maps"),
        runtime=runtime("maps"),
    params:
        settings=lambda wildcards: settings("maps", wildcards.line_model),
        code=lambda wildcards: code_hash(*MAP_CODE, chosen=models_of([wildcards.line_model])),
    shell:
        "python scripts/paint_maps.py --config $STUDY --line-model {wildcards.line_model}"
        " --subfields {input.subfields:q} --output {output:q} > {log:q} 2>&1"


rule pooled:
    input:
        maps=f"{RESULTS}/maps/{{line_model}}/{{lightcone}}.h5",
    output:
        f"{RESULTS}/pooled/{{line_model}}/{{lightcone}}.h5",
    log:
        f"{RESULTS}/logs/pooled/{{line_model}}/{{lightcone}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pooled/{{line_model}}/{{lightcone}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=memory("pooled"),
        runtime=runtime("pooled"),
    params:
        settings=lambda wildcards: settings("pooled", wildcards.line_model),
        code=lambda wildcards: code_hash(*POOL_CODE, chosen=models_of([wildcards.line_model])),
    shell:
        "python scripts/pool_maps.py --config $STUDY --maps {input.maps:q}" " --output {output:q} > {log:q} 2>&1"
