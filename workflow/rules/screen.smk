"""Screening: every number that a verdict needs, a shard a job; then the verdicts, once over all.

INPUTS
    {R}/generated/shard-{shard}.tar, {R}/refined/shard-{shard}.tar
    screen.review                           the user's own verdicts, if any

OUTPUTS
    {R}/measured/shard-{shard}.parquet      the numbers
    {R}/screened.parquet                    accepted or not, and why
"""


rule measure_portraits:
    input:
        script=f"{SCRIPTS}/measure_portraits.py",
        generated=rules.generate_portraits.output.tar,
        refined=rules.refine_mattes.output.tar,
    output:
        table=ensure(f"{R}/measured/shard-{{shard}}.parquet", non_empty=True),
    log:
        f"{R}/logs/measure_portraits/{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/measure_portraits/{{shard}}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("measure_portraits"),
    shell:
        "python {input.script} {input.generated:q} {input.refined:q} {output.table:q} > {log:q} 2>&1"


rule screen_portraits:
    input:
        script=f"{SCRIPTS}/screen_portraits.py",
        measured=shards("measured", "parquet"),
        review=config["screen"]["review"] or [],
    output:
        table=ensure(f"{R}/screened.parquet", non_empty=True),
    log:
        f"{R}/logs/screen_portraits.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        library=library("screen_portraits"),
        shards=len(SHARDS),
        options=options("screen", "review"),
    shell:
        "review={input.review:q}; "
        'python {input.script} "$(dirname {input.measured[0]:q})" {output.table:q} --shards {params.shards} '
        '${{review:+--review "$review"}} {params.options} > {log:q} 2>&1'
