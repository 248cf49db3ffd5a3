"""The keying study: chroma keys beside generated mattes, on the bank. No part of a run: snakemake keying_study.

INPUTS
    {paths.bank}/bank.parquet

OUTPUTS
    {R}/scores/study/keying.parquet, keying.npz
    {R}/figures/study/keying.pdf, .png, keying_pictures.pdf, .png
    {R}/tables/study/keying.csv, .md, .tex
"""


rule study_keying:
    input:
        script=f"{SCRIPTS}/study_keying.py",
        bank=BANK,
    output:
        scores=ensure(f"{R}/scores/study/keying.parquet", non_empty=True),
        examples=ensure(f"{R}/scores/study/keying.npz", non_empty=True),
    log:
        f"{R}/logs/study_keying.log",
    conda:
        "../../envs/study.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("study_keying"),
        run=config["run"],
        options=options("study", "severities", "factors", "closed_form_limit"),
    shell:
        "python {input.script} {input.bank:q} {output.scores:q} --run {params.run} --examples {output.examples:q} "
        "{params.options} > {log:q} 2>&1"


rule plot_keying:
    input:
        script=f"{SCRIPTS}/plot_keying.py",
        scores=rules.study_keying.output.scores,
        examples=rules.study_keying.output.examples,
    output:
        figures=expand(
            f"{R}/figures/study/{{name}}.{{suffix}}", name=["keying", "keying_pictures"], suffix=["pdf", "png"]
        ),
    log:
        f"{R}/logs/plot_keying.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_keying"),
    shell:
        'python {input.script} {input.scores:q} {input.examples:q} --output "$(dirname {output.figures[0]:q})" '
        "> {log:q} 2>&1"


rule tabulate_keying:
    input:
        script=f"{SCRIPTS}/tabulate_keying.py",
        scores=rules.study_keying.output.scores,
    output:
        tables=expand(f"{R}/tables/study/keying.{{suffix}}", suffix=["csv", "md", "tex"]),
    log:
        f"{R}/logs/tabulate_keying.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_keying"),
    shell:
        'python {input.script} {input.scores:q} --output "$(dirname {output.tables[0]:q})/keying" > {log:q} 2>&1'


rule keying_study:
    input:
        rules.plot_keying.output.figures,
        rules.tabulate_keying.output.tables,
