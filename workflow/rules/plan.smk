"""The plan: what a run will take, printed before it is started (snakemake plan --cores 1).

INPUTS
    none but the configuration

OUTPUTS
    none: it prints
"""


rule plan:
    input:
        script=f"{SCRIPTS}/plan_run.py",
    log:
        f"{R}/logs/plan.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    params:
        options=options("plan"),
        pictures=sum(SOURCE.sizes),
        shards=len(SHARDS),
        size=config["generate"]["size"],
        gpus=ON_GPU,
        variants=len(VARIANTS),
        trainings=len(TRAININGS),
        steps=settings.steps(config),
        limit=config["assemble"]["limit"],
    shell:
        "python {input.script} --pictures {params.pictures} --shards {params.shards} --size {params.size} "
        "--gpus {params.gpus} --variants {params.variants} --trainings {params.trainings} --steps {params.steps} "
        "--limit {params.limit} {params.options} | tee {log:q}"
