"""Refinement: mattes repaired by connectivity, and the chroma-key baseline, a shard a job each.

INPUTS
    {R}/generated/shard-{shard}.tar

OUTPUTS
    {R}/refined/shard-{shard}.tar, .parquet     alpha and foreground colour refined
    {R}/keyed/shard-{shard}.tar, .parquet       the same foreground before a lit green wall, keyed
"""


rule refine_mattes:
    input:
        script=f"{SCRIPTS}/refine_mattes.py",
        generated=rules.generate_portraits.output.tar,
    output:
        tar=ensure(f"{R}/refined/shard-{{shard}}.tar", non_empty=True),
        manifest=ensure(f"{R}/refined/shard-{{shard}}.parquet", non_empty=True),
    log:
        f"{R}/logs/refine_mattes/{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/refine_mattes/{{shard}}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("refine_mattes"),
        options=options("refine"),
    shell:
        "python {input.script} {input.generated:q} {output.tar:q} {params.options} > {log:q} 2>&1"


rule key_mattes:
    input:
        script=f"{SCRIPTS}/key_mattes.py",
        generated=rules.generate_portraits.output.tar,
        refined=rules.refine_mattes.output.tar,
    output:
        tar=ensure(f"{R}/keyed/shard-{{shard}}.tar", non_empty=True),
        manifest=ensure(f"{R}/keyed/shard-{{shard}}.parquet", non_empty=True),
    log:
        f"{R}/logs/key_mattes/{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/key_mattes/{{shard}}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("key_mattes"),
        options=options("key"),
    shell:
        "python {input.script} {input.generated:q} {input.refined:q} {output.tar:q} {params.options} > {log:q} 2>&1"
