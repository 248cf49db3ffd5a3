"""Generation: a portrait with alpha for each prompt, a shard a job.

INPUTS
    {R}/prompts/shard-{shard}.parquet
    config/weights.yaml                             for layerdiffuse: what weights can be fetched

OUTPUTS
    {R}/weights-{digest}.json                       for layerdiffuse: where the weights are, and their SHA-256
    {R}/generated/shard-{shard}.tar, .parquet       pictures and manifest

The rule tracks its backend's VERSION, not its files: an edited comment must not cost weeks of GPU time. Raise VERSION
when pictures change. What suits the backend to the machine is a resource, which reruns nothing.

In the same way it tracks the names and revisions of the weights, not their files. Their record is ancient(), so the
fetching must run only where the record is missing: Snakemake does not look for other reasons to run a job when all its
inputs from jobs that run are ancient. Hence the digest of the names in the record's name, and no tracked params.
"""

import hashlib

WEIGHTS = settings.weights(config)
ON_GPU = config["generate"]["gpus"] if WEIGHTS else 0


rule fetch_weights:
    input:
        catalogue=ancient(config["layerdiffuse"]["catalogue"]),
        mirror=ancient(config["paths"]["mirror"] or []),
    output:
        record=ensure(f"{R}/weights-{hashlib.sha256(WEIGHTS.encode()).hexdigest()[:8]}.json", non_empty=True),
    log:
        f"{R}/logs/fetch_weights.log",
    localrule: True
    conda:
        "../../envs/generate.yaml" if ON_GPU else "../../envs/generate.cpu.yaml"
    resources:
        places=settings.fetch_options(config),
    shell:
        "mirror={input.mirror:q}; "
        "python workflow/scripts/fetch_weights.py {output.record:q} --catalogue {input.catalogue:q} "
        '{resources.places} ${{mirror:+--mirror "$mirror"}} 2>&1 | tee {log:q}'


rule generate_portraits:
    input:
        prompts=rules.make_prompts.output.table,
        bank=BANK if config["generate"]["backend"] == "bank" else [],
        folder=ancient(SOURCE.path) if SOURCE.option == "pictures" else [],
        pictures=lambda wildcards: SOURCE.pictures[int(wildcards.shard)] if SOURCE.pictures else [],
        weights=ancient(rules.fetch_weights.output.record) if WEIGHTS else [],
    output:
        tar=ensure(f"{R}/generated/shard-{{shard}}.tar", non_empty=True),
        manifest=ensure(f"{R}/generated/shard-{{shard}}.parquet", non_empty=True),
    log:
        f"{R}/logs/generate_portraits/{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/generate_portraits/{{shard}}.tsv"
    conda:
        "../../envs/generate.yaml" if ON_GPU else "../../envs/generate.cpu.yaml"
    resources:
        gpu=ON_GPU,
        mem_mb=24000 if WEIGHTS else 2000,
        runtime=240,
        machine=settings.machine_options(config),
    params:
        version=dependencies.version_of(f"generators/{config['generate']['backend']}.py"),
        weights=WEIGHTS,
        options=settings.generate_options(config),
    shell:
        "bank={input.bank:q} folder={input.folder:q} weights={input.weights:q}; export HF_HUB_OFFLINE=1; "
        "python workflow/scripts/generate_portraits.py {input.prompts:q} {output.tar:q} {params.options} "
        '${{bank:+--bank "$(dirname "$bank")"}} ${{folder:+--pictures "$folder"}} '
        '${{weights:+--weights "$weights"}} {resources.machine} > {log:q} 2>&1'
