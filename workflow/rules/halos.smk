# Light-cones of halos, and the subfields cut from them.
import glob


def foreign_files(wildcards):
    """The files a foreign light-cone is read from; none for a generated one. A {lightcone} in a path is its number."""
    files = STUDY["lightcones"].get("files", [])
    patterns = [files] if isinstance(files, str) else files
    named = [pattern.replace("{lightcone}", wildcards.lightcone) for pattern in patterns]
    return [path for pattern in named for path in (sorted(glob.glob(pattern)) or [pattern])]


rule lightcone:
    input:
        foreign_files,
    output:
        keep("lightcones", f"{RESULTS}/lightcones/{{lightcone}}.h5"),
    log:
        f"{RESULTS}/logs/lightcones/{{lightcone}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/lightcones/{{lightcone}}.tsv"
    threads: 1
    resources:
        mem_mb=memory("lightcone"),
        runtime=runtime("lightcone"),
    params:
        settings=settings("lightcone"),
        script=HALO_CODE[0],
        code=code_hash(*HALO_CODE),
    shell:
        "{PYTHON} {params.script} --config {CONFIG:q} --lightcone {wildcards.lightcone}"
        " --output {output:q} > {log:q} 2>&1"


rule subfields:
    input:
        lightcone=f"{RESULTS}/lightcones/{{lightcone}}.h5",
    output:
        keep("subfields", f"{RESULTS}/subfields/{{lightcone}}.h5"),
    log:
        f"{RESULTS}/logs/subfields/{{lightcone}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/subfields/{{lightcone}}.tsv"
    threads: 1
    resources:
        mem_mb=memory("subfields"),
        runtime=runtime("subfields"),
    params:
        settings=settings("subfields"),
        code=code_hash(*FIELD_CODE),
    shell:
        "{PYTHON} scripts/make_subfields.py --config {CONFIG:q} --lightcone {input.lightcone:q}"
        " --output {output:q} > {log:q} 2>&1"
