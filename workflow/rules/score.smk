"""Scores: predictions against the benchmark's true alpha, whole picture and unknown region.

INPUTS
    {R}/predictions/{benchmark}/{model}/{variant}-f{percent}-s{seed}/

OUTPUTS
    {R}/scores/{benchmark}/{model}/{variant}-f{percent}-s{seed}.parquet     long form: item, region, metric, value
"""


rule score_mattes:
    input:
        script=f"{SCRIPTS}/score_mattes.py",
        predictions=rules.predict_mattes.output.table,
        root=lambda wildcards: benchmark_place(wildcards.benchmark),
    output:
        scores=ensure(f"{R}/scores/{{benchmark}}/{{model}}/{{variant}}-f{{percent}}-s{{seed}}.parquet", non_empty=True),
    log:
        f"{R}/logs/score_mattes/{{benchmark}}/{{model}}/{{variant}}-f{{percent}}-s{{seed}}.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("score_mattes"),
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); '
        'python {input.script} "$(dirname {input.predictions:q})" {output.scores:q} '
        '--benchmark {wildcards.benchmark} --root "$root" > {log:q} 2>&1'
