"""The refinement study: ways to mend a matte on the bank's test portraits. No part of a run: snakemake refinement_study.

INPUTS
    {paths.bank}/bank.parquet

OUTPUTS
    {R}/scores/study/methods-{severity}.parquet, sensitivity.parquet
    {R}/figures/study/study.pdf, .png, sensitivity.pdf, .png
    {R}/tables/study/study.csv, .md, .tex
"""

SEVERITIES = [f"{severity:g}" for severity in config["study"]["severities"]]
PARAMETERS = settings.repeated(
    "parameter", [f"{name}={value}" for name, value in config["refine"].items() if name != "clean"]
)


wildcard_constraints:
    severity=r"[0-9.]+",


rule study_refinement:
    input:
        script=f"{SCRIPTS}/study_refinement.py",
        bank=BANK,
    output:
        scores=ensure(f"{R}/scores/study/methods-{{severity}}.parquet", non_empty=True),
    log:
        f"{R}/logs/study_refinement/{{severity}}.log",
    conda:
        "../../envs/study.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("study_refinement"),
        run=config["run"],
        options=options("study", "severities", "factors"),
        parameters=PARAMETERS,
    shell:
        "python {input.script} {input.bank:q} {output.scores:q} --run {params.run} --severity {wildcards.severity} "
        "{params.options} {params.parameters} > {log:q} 2>&1"


rule study_sensitivity:
    input:
        script=f"{SCRIPTS}/study_sensitivity.py",
        bank=BANK,
    output:
        scores=ensure(f"{R}/scores/study/sensitivity.parquet", non_empty=True),
    log:
        f"{R}/logs/study_sensitivity.log",
    conda:
        "../../envs/study.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("study_sensitivity"),
        run=config["run"],
        options=options("study", "severities", "factors", "closed_form_limit"),
        factors=settings.repeated("factor", config["study"]["factors"]),
        parameters=PARAMETERS,
    shell:
        "python {input.script} {input.bank:q} {output.scores:q} --run {params.run} {params.factors} "
        "{params.options} {params.parameters} > {log:q} 2>&1"


rule plot_study:
    input:
        script=f"{SCRIPTS}/plot_study.py",
        sensitivity=rules.study_sensitivity.output.scores,
        methods=expand(rules.study_refinement.output.scores, severity=SEVERITIES),
    output:
        figures=expand(f"{R}/figures/study/{{name}}.{{suffix}}", name=["study", "sensitivity"], suffix=["pdf", "png"]),
    log:
        f"{R}/logs/plot_study.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_study"),
    shell:
        'python {input.script} {input.sensitivity:q} {input.methods:q} --output "$(dirname {output.figures[0]:q})" '
        "> {log:q} 2>&1"


rule tabulate_study:
    input:
        script=f"{SCRIPTS}/tabulate_study.py",
        methods=expand(rules.study_refinement.output.scores, severity=SEVERITIES),
    output:
        tables=expand(f"{R}/tables/study/study.{{suffix}}", suffix=["csv", "md", "tex"]),
    log:
        f"{R}/logs/tabulate_study.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_study"),
    shell:
        'python {input.script} {input.methods:q} --output "$(dirname {output.tables[0]:q})/study" > {log:q} 2>&1'


rule refinement_study:
    input:
        rules.plot_study.output.figures,
        rules.tabulate_study.output.tables,
