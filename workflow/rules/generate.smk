"""Generation: a portrait with alpha for each prompt, a shard a job.

INPUTS
    {R}/prompts/shard-{shard}.parquet

OUTPUTS
    {R}/generated/shard-{shard}.tar, .parquet       pictures and manifest

The rule tracks its backend's VERSION, not its files: an edited comment must not cost weeks of GPU time. Raise VERSION
when pictures change.
"""


rule generate_portraits:
    input:
        prompts=rules.make_prompts.output.table,
        bank=BANK if config["generate"]["backend"] == "bank" else [],
        folder=ancient(SOURCE.path) if SOURCE.option == "pictures" else [],
        pictures=lambda wildcards: SOURCE.pictures[int(wildcards.shard)] if SOURCE.pictures else [],
    output:
        tar=ensure(f"{R}/generated/shard-{{shard}}.tar", non_empty=True),
        manifest=ensure(f"{R}/generated/shard-{{shard}}.parquet", non_empty=True),
    log:
        f"{R}/logs/generate_portraits/{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/generate_portraits/{{shard}}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        gpu=config["generate"]["gpus"],
        mem_mb=2000,
        runtime=240,
    params:
        version=settings.version_of(f"generators/{config['generate']['backend']}.py"),
        options=options("generate", "pictures", "gpus"),
    shell:
        "bank={input.bank:q} folder={input.folder:q}; "
        "python workflow/scripts/generate_portraits.py {input.prompts:q} {output.tar:q} {params.options} "
        '${{bank:+--bank "$(dirname "$bank")"}} ${{folder:+--pictures "$folder"}} > {log:q} 2>&1'
