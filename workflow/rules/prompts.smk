"""Prompts: balanced, seeded text prompts, a shard at a time.

INPUTS
    config/prompts.yaml, the user's prompt file, or a folder of pictures

OUTPUTS
    {R}/prompts/shard-{shard}.parquet       id, prompt, negative_prompt, seed, persona, split, attributes

What a user's file or folder says about a shard is a param (its digest), and the file itself an ancient() input: rows
that are added at its end rerun no shard that exists.
"""


rule make_prompts:
    input:
        script=f"{SCRIPTS}/make_prompts.py",
        source=SOURCE.path if SOURCE.option == "grammar" else ancient(SOURCE.path),
    output:
        table=ensure(f"{R}/prompts/shard-{{shard}}.parquet", non_empty=True),
    log:
        f"{R}/logs/make_prompts/{{shard}}.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        library=library("make_prompts"),
        run=config["run"],
        source=SOURCE.option,
        rows=lambda wildcards: SOURCE.digests[int(wildcards.shard)] if SOURCE.digests else "",
        first=lambda wildcards: int(wildcards.shard) * config["prompts"]["shard_size"],
        size=lambda wildcards: SOURCE.sizes[int(wildcards.shard)],
        options=options("prompts", "count", "shard_size", "grammar", "file"),
    shell:
        "python {input.script} {output.table:q} --run {params.run} --{params.source} {input.source:q} "
        "--first {params.first} --count {params.size} {params.options} > {log:q} 2>&1"
