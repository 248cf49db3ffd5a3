"""Training: a matting model from a data set, or from a nested part of it.

INPUTS
    {R}/datasets/{variant}/
    train.backgrounds                       pictures to lay portraits over; else the bank's

OUTPUTS
    {R}/models/{model}/{variant}-f{percent}-s{seed}/model.safetensors, model.json, log.csv
    (.checkpoints/ beside them while a training runs, so that a killed one goes on; .skipped/ with batches that had no
    finite loss, and events/ for TensorBoard, where there are)
"""


rule train_matting:
    input:
        script=f"{SCRIPTS}/train_matting.py",
        dataset=f"{R}/datasets/{{variant}}/checksums.sha256",
        backgrounds=config["train"]["backgrounds"] or BANK,
        init=lambda wildcards: settings.init_file(config, wildcards.model),
        initial=lambda wildcards: settings.initial_model(config, wildcards.model),
    output:
        weights=ensure(f"{R}/models/{{model}}/{{variant}}-f{{percent}}-s{{seed}}/model.safetensors", non_empty=True),
        info=ensure(f"{R}/models/{{model}}/{{variant}}-f{{percent}}-s{{seed}}/model.json", non_empty=True),
        log=ensure(f"{R}/models/{{model}}/{{variant}}-f{{percent}}-s{{seed}}/log.csv", non_empty=True),
    log:
        f"{R}/logs/train_matting/{{model}}/{{variant}}-f{{percent}}-s{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/train_matting/{{model}}/{{variant}}-f{{percent}}-s{{seed}}.tsv"
    conda:
        "../../envs/train.yaml" if config["train"]["gpus"] else "../../envs/train.cpu.yaml"
    threads: config["train"]["threads"]
    resources:
        gpu=config["train"]["gpus"],
        devices=config["train"]["gpus"],  # gpu is cut down to --resources; a training never is, which would change it
        nodes=config["train"]["nodes"],
        mem_mb=12000 if config["train"]["gpus"] else 3000,
        runtime=1440,
    params:
        library=library("train_matting"),
        run=config["run"],
        options=lambda wildcards: settings.train_options(config, wildcards.model),
    shell:
        "init={input.init:q}; initial={input.initial:q}; "
        'python {input.script} "$(dirname {input.dataset:q})" "$(dirname {output.info:q})" --model {wildcards.model} '
        "--run {params.run} --fraction $((10#{wildcards.percent})) --seed {wildcards.seed} "
        "--backgrounds {input.backgrounds:q} --gpus {resources.devices} --nodes {resources.nodes} --threads {threads} "
        '${{init:+--init-file "$init"}} ${{initial:+--initial "$(dirname "$initial")"}} {params.options} > {log:q} 2>&1'


rule predict_mattes:
    input:
        script=f"{SCRIPTS}/predict_mattes.py",
        model=rules.train_matting.output.info,
        weights=rules.train_matting.output.weights,
        root=lambda wildcards: benchmark_place(wildcards.benchmark),
    output:
        table=ensure(
            f"{R}/predictions/{{benchmark}}/{{model}}/{{variant}}-f{{percent}}-s{{seed}}/predictions.parquet",
            non_empty=True,
        ),
    log:
        f"{R}/logs/predict_mattes/{{benchmark}}/{{model}}/{{variant}}-f{{percent}}-s{{seed}}.log",
    benchmark:
        f"{R}/benchmarks/predict_mattes/{{benchmark}}/{{model}}/{{variant}}-f{{percent}}-s{{seed}}.tsv"
    conda:
        "../../envs/train.yaml" if config["train"]["gpus"] else "../../envs/train.cpu.yaml"
    threads: config["train"]["threads"]
    resources:
        gpu=min(1, config["train"]["gpus"]),
        mem_mb=12000 if config["train"]["gpus"] else 3000,
        runtime=120,
    params:
        library=library("predict_mattes"),
        run=config["run"],
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); '
        'python {input.script} "$(dirname {input.model:q})" "$(dirname {output.table:q})" '
        '--benchmark {wildcards.benchmark} --root "$root" --run {params.run} '
        "--gpus {resources.gpu} --threads {threads} > {log:q} 2>&1"
