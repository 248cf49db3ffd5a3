"""Assembly: a data set for each variant of the mattes, all with the same accepted portraits.

INPUTS
    {R}/keyed, {R}/screened.parquet         and the shards of {R}/generated and {R}/refined, from which those two come:
                                            they are not named again, since every name in every job takes time to check

    assemble.merge                          finished runs, whose data sets are merged instead of assembling one
    external.{name}.root                    data sets of others, as they are distributed

OUTPUTS
    {R}/datasets/{variant}/checksums.sha256, and beside it train/ val/ test/, metadata.parquet, README.md, croissant.json
    {R}/scores/variants.parquet             the data sets' mattes against exact alpha, where that is known
"""

import shlex

DATASETS = expand(f"{R}/datasets/{{variant}}/checksums.sha256", variant=VARIANTS)


rule assemble_dataset:
    input:
        script=f"{SCRIPTS}/assemble_dataset.py",
        keyed=shards("keyed"),
        screened=rules.screen_portraits.output.table,
    output:
        checksums=ensure(f"{R}/datasets/{{variant}}/checksums.sha256", non_empty=True),
    log:
        f"{R}/logs/assemble_dataset/{{variant}}.log",
    benchmark:
        f"{R}/benchmarks/assemble_dataset/{{variant}}.tsv"
    wildcard_constraints:
        variant="none^" if MERGED else "|".join(settings.VARIANTS),
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        library=library("assemble_dataset"),
        run=config["run"],
        shards=len(SHARDS),
        options=options("assemble", "variants", "merge"),
    shell:
        "run=$(dirname {input.screened:q}); "
        'python {input.script} "$run/generated" "$run/refined" "$run/keyed" {input.screened:q} "$(dirname {output.checksums:q})" '
        "--variant {wildcards.variant} --run {params.run} --shards {params.shards} {params.options} > {log:q} 2>&1"


rule merge_datasets:
    input:
        script=f"{SCRIPTS}/merge_datasets.py",
        merged=[f"{run}/datasets/{{variant}}/checksums.sha256" for run in MERGED],
    output:
        checksums=ensure(f"{R}/datasets/{{variant}}/checksums.sha256", non_empty=True),
    log:
        f"{R}/logs/merge_datasets/{{variant}}.log",
    benchmark:
        f"{R}/benchmarks/merge_datasets/{{variant}}.tsv"
    wildcard_constraints:
        variant="|".join(settings.VARIANTS) if MERGED else "none^",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        library=library("merge_datasets"),
        run=config["run"],
        distance=config["screen"]["duplicate_distance"],
        runs=[shlex.quote(run) for run in MERGED],
    shell:
        'python {input.script} "$(dirname {output.checksums:q})" {params.runs} --run {params.run} '
        "--variant {wildcards.variant} --duplicate-distance {params.distance} > {log:q} 2>&1"


rule import_dataset:
    input:
        script=f"{SCRIPTS}/import_dataset.py",
        root=lambda wildcards: ancient(EXTERNAL[wildcards.variant]["root"]),
    output:
        checksums=ensure(f"{R}/datasets/{{variant}}/checksums.sha256", non_empty=True),
    log:
        f"{R}/logs/import_dataset/{{variant}}.log",
    benchmark:
        f"{R}/benchmarks/import_dataset/{{variant}}.tsv"
    wildcard_constraints:
        variant="|".join(EXTERNAL) or "none^",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=4000,
        runtime=720,
    params:
        library=library("import_dataset"),
        run=config["run"],
        layout=lambda wildcards: EXTERNAL[wildcards.variant]["layout"],
        split=lambda wildcards: EXTERNAL[wildcards.variant]["split"],
        shard_size=config["assemble"]["shard_size"],
    shell:
        'python {input.script} {input.root:q} "$(dirname {output.checksums:q})" --name {wildcards.variant} --run {params.run} '
        "--benchmark {params.layout} --split {params.split:q} --shard-size {params.shard_size} > {log:q} 2>&1"


rule score_variants:
    input:
        script=f"{SCRIPTS}/score_variants.py",
        keyed=shards("keyed"),
        screened=rules.screen_portraits.output.table,
    output:
        scores=ensure(f"{R}/scores/variants.parquet", non_empty=True),
    log:
        f"{R}/logs/score_variants.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("score_variants"),
        run=config["run"],
        shards=len(SHARDS),
        variants=" ".join(f"--variants {variant}" for variant in VARIANTS if variant != "truth"),
    shell:
        "run=$(dirname {input.screened:q}); "
        'python {input.script} "$run/generated" "$run/refined" "$run/keyed" {input.screened:q} {output.scores:q} --run {params.run} '
        "--shards {params.shards} {params.variants} > {log:q} 2>&1"
