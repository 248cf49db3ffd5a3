"""Figures, tables and the static page, from scores and manifests alone.

INPUTS
    {R}/screened.parquet, and the shards from which it comes: {R}/prompts, {R}/generated, {R}/refined, {R}/measured
    {R}/scores/, {R}/predictions/

OUTPUTS
    {R}/figures/*.pdf, *.png
    {R}/tables/*.csv, *.md, *.tex           benchmark-{name} for each benchmark but the bank's, of pictures or of clips:
                                            published results and ours
    {R}/gallery/{shard}/                    thumbnails, a job a shard
    {R}/index.html, {R}/gallery/items.js    the page, and what it shows of each portrait
"""

FIGURE_NAMES = [
    "mosaic",
    "attributes",
    "refinement",
    "acceptance",
    "variants",
    "models",
    "capacity",
    "qualitative",
    "training",
]
TABLE_NAMES = ["screening", "variants", "models", "capacity"]
# A merged run has no portraits of its own to show, but models.
if MERGED:
    FIGURE_NAMES = ["models", "capacity", "qualitative", "training"]
    TABLE_NAMES = ["models", "capacity"]
FIGURES = expand(f"{R}/figures/{{name}}.{{suffix}}", name=FIGURE_NAMES, suffix=["pdf", "png"])
PUBLISHED = [f"benchmark-{name}" for name in BENCHMARKS if name != "bank"]
TABLES = expand(f"{R}/tables/{{name}}.{{suffix}}", name=TABLE_NAMES + PUBLISHED, suffix=["csv", "md", "tex"])
SCORES = f"{R}/scores/{BENCHMARK}/{{name}}.parquet"
COMPARISON = settings.repeated("variant", config["compare"]["variants"])
CAPACITY = settings.repeated("fraction", config["compare"]["fractions"])
SEEDS = settings.repeated("seed", config["compare"]["seeds"])
MODELS = settings.repeated("model", [COMPARED, *config["compare"]["others"]])


rule plot_mosaic:
    input:
        script=f"{SCRIPTS}/plot_mosaic.py",
        screened=rules.screen_portraits.output.table,
    output:
        pdf=f"{R}/figures/mosaic.pdf",
        png=report(
            f"{R}/figures/mosaic.png",
            caption="../report/mosaic.rst",
            category="Data set",
            labels={"figure": "mosaic"},
        ),
    log:
        f"{R}/logs/plot_mosaic.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_mosaic"),
        shards=len(SHARDS),
        columns=config["figures"]["mosaic_columns"],
        rows=config["figures"]["mosaic_rows"],
    shell:
        "run=$(dirname {input.screened:q}); "
        'python {input.script} "$run/refined" {input.screened:q} "$(dirname {output.png:q})/mosaic" '
        "--shards {params.shards} --columns {params.columns} --rows {params.rows} > {log:q} 2>&1"


rule plot_attributes:
    input:
        script=f"{SCRIPTS}/plot_attributes.py",
        prompts=shards("prompts", "parquet"),
    output:
        pdf=f"{R}/figures/attributes.pdf",
        png=report(
            f"{R}/figures/attributes.png",
            caption="../report/attributes.rst",
            category="Data set",
            labels={"figure": "attributes of the prompts"},
        ),
    log:
        f"{R}/logs/plot_attributes.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_attributes"),
        shards=len(SHARDS),
    shell:
        'python {input.script} "$(dirname {input.prompts[0]:q})" "$(dirname {output.png:q})/attributes" --shards {params.shards} > {log:q} 2>&1'


rule plot_acceptance:
    input:
        script=f"{SCRIPTS}/plot_acceptance.py",
        screened=rules.screen_portraits.output.table,
    output:
        pdf=f"{R}/figures/acceptance.pdf",
        png=report(
            f"{R}/figures/acceptance.png",
            caption="../report/acceptance.rst",
            category="Data set",
            labels={"figure": "acceptance"},
        ),
    log:
        f"{R}/logs/plot_acceptance.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_acceptance"),
    shell:
        'python {input.script} {input.screened:q} "$(dirname {output.png:q})/acceptance" > {log:q} 2>&1'


rule plot_refinement:
    input:
        script=f"{SCRIPTS}/plot_refinement.py",
        screened=rules.screen_portraits.output.table,
    output:
        pdf=f"{R}/figures/refinement.pdf",
        png=report(
            f"{R}/figures/refinement.png",
            caption="../report/refinement.rst",
            category="Refinement",
            labels={"figure": "before and after"},
        ),
    log:
        f"{R}/logs/plot_refinement.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_refinement"),
        shards=len(SHARDS),
        rows=config["figures"]["rows"],
    shell:
        "run=$(dirname {input.screened:q}); "
        'python {input.script} "$run/generated" "$run/refined" {input.screened:q} '
        '"$(dirname {output.png:q})/refinement" --shards {params.shards} --rows {params.rows} > {log:q} 2>&1'


rule plot_variants:
    input:
        script=f"{SCRIPTS}/plot_variants.py",
        scores=rules.score_variants.output.scores,
    output:
        pdf=f"{R}/figures/variants.pdf",
        png=report(
            f"{R}/figures/variants.png",
            caption="../report/variants.rst",
            category="Refinement",
            labels={"figure": "error by variant"},
        ),
    log:
        f"{R}/logs/plot_variants.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_variants"),
    shell:
        'python {input.script} {input.scores:q} "$(dirname {output.png:q})/variants" > {log:q} 2>&1'


rule plot_models:
    input:
        script=f"{SCRIPTS}/plot_models.py",
        scores=of_models(SCORES, COMPARED),
    output:
        pdf=f"{R}/figures/models.pdf",
        png=report(
            f"{R}/figures/models.png",
            caption="../report/models.rst",
            category="Models",
            labels={"figure": "error by training variant"},
        ),
    log:
        f"{R}/logs/plot_models.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_models"),
        benchmark=BENCHMARK,
        models=f"--model {COMPARED} {COMPARISON} {SEEDS}",
    shell:
        'python {input.script} "$(dirname {output.png:q})/models" "$(dirname "$(dirname {output.png:q})")/scores" '
        "--benchmark {params.benchmark} {params.models} > {log:q} 2>&1"


rule plot_capacity:
    input:
        script=f"{SCRIPTS}/plot_capacity.py",
        scores=of_models(SCORES, COMPARED),
    output:
        pdf=f"{R}/figures/capacity.pdf",
        png=report(
            f"{R}/figures/capacity.png",
            caption="../report/capacity.rst",
            category="Models",
            labels={"figure": "error by data-set size"},
        ),
    log:
        f"{R}/logs/plot_capacity.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_capacity"),
        benchmark=BENCHMARK,
        models=f"--model {COMPARED} --variant {config['compare']['capacity_variant']} {CAPACITY} {SEEDS}",
    shell:
        'python {input.script} "$(dirname {output.png:q})/capacity" "$(dirname "$(dirname {output.png:q})")/scores" '
        "--benchmark {params.benchmark} {params.models} > {log:q} 2>&1"


rule plot_qualitative:
    input:
        script=f"{SCRIPTS}/plot_qualitative.py",
        predictions=of_models(f"{R}/predictions/{BENCHMARK}/{{name}}/predictions.parquet", COMPARED),
        root=benchmark_place(BENCHMARK),
    output:
        pdf=f"{R}/figures/qualitative.pdf",
        png=report(
            f"{R}/figures/qualitative.png",
            caption="../report/qualitative.rst",
            category="Models",
            labels={"figure": "mattes of the models"},
        ),
    log:
        f"{R}/logs/plot_qualitative.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_qualitative"),
        benchmark=BENCHMARK,
        models=f"--model {COMPARED} {COMPARISON} --seed {config['compare']['seeds'][0]}",
        rows=config["figures"]["rows"],
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); '
        'python {input.script} "$(dirname {output.png:q})/qualitative" "$(dirname "$(dirname {output.png:q})")/predictions" '
        '--benchmark {params.benchmark} --root "$root" {params.models} --rows {params.rows} > {log:q} 2>&1'


rule plot_training:
    input:
        script=f"{SCRIPTS}/plot_training.py",
        info=of_models(f"{R}/models/{{name}}/model.json"),
        log=of_models(f"{R}/models/{{name}}/log.csv"),
    output:
        pdf=f"{R}/figures/training.pdf",
        png=report(
            f"{R}/figures/training.png",
            caption="../report/training.rst",
            category="Models",
            labels={"figure": "learning curves"},
        ),
    log:
        f"{R}/logs/plot_training.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_training"),
    shell:
        "models=({input.info:q}); "
        'python {input.script} "$(dirname {output.png:q})/training" "${{models[@]%/*}}" > {log:q} 2>&1'


rule tabulate_screening:
    input:
        script=f"{SCRIPTS}/tabulate_screening.py",
        screened=rules.screen_portraits.output.table,
    output:
        csv=report(
            f"{R}/tables/screening.csv",
            caption="../report/table_screening.rst",
            category="Data set",
            labels={"table": "screening"},
        ),
        md=f"{R}/tables/screening.md",
        tex=f"{R}/tables/screening.tex",
    log:
        f"{R}/logs/tabulate_screening.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_screening"),
    shell:
        'python {input.script} {input.screened:q} "$(dirname {output.csv:q})/screening" > {log:q} 2>&1'


rule tabulate_variants:
    input:
        script=f"{SCRIPTS}/tabulate_variants.py",
        scores=rules.score_variants.output.scores,
    output:
        csv=report(
            f"{R}/tables/variants.csv",
            caption="../report/table_variants.rst",
            category="Refinement",
            labels={"table": "error by variant"},
        ),
        md=f"{R}/tables/variants.md",
        tex=f"{R}/tables/variants.tex",
    log:
        f"{R}/logs/tabulate_variants.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_variants"),
    shell:
        'python {input.script} {input.scores:q} "$(dirname {output.csv:q})/variants" > {log:q} 2>&1'


rule tabulate_models:
    input:
        script=f"{SCRIPTS}/tabulate_models.py",
        scores=of_models(SCORES),
    output:
        csv=report(
            f"{R}/tables/models.csv",
            caption="../report/table_models.rst",
            category="Models",
            labels={"table": "error by training variant"},
        ),
        md=f"{R}/tables/models.md",
        tex=f"{R}/tables/models.tex",
    log:
        f"{R}/logs/tabulate_models.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_models"),
        benchmark=BENCHMARK,
        models=f"{MODELS} {COMPARISON} {SEEDS}",
        note=settings.options({"note": config["figures"]["note"]}),
    shell:
        'python {input.script} "$(dirname {output.csv:q})/models" "$(dirname "$(dirname {output.csv:q})")/scores" '
        "--benchmark {params.benchmark} {params.models} {params.note} > {log:q} 2>&1"


rule tabulate_capacity:
    input:
        script=f"{SCRIPTS}/tabulate_capacity.py",
        scores=of_models(SCORES, COMPARED),
    output:
        csv=report(
            f"{R}/tables/capacity.csv",
            caption="../report/table_capacity.rst",
            category="Models",
            labels={"table": "error by data-set size"},
        ),
        md=f"{R}/tables/capacity.md",
        tex=f"{R}/tables/capacity.tex",
    log:
        f"{R}/logs/tabulate_capacity.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_capacity"),
        benchmark=BENCHMARK,
        models=f"--model {COMPARED} --variant {config['compare']['capacity_variant']} {CAPACITY} {SEEDS}",
    shell:
        'python {input.script} "$(dirname {output.csv:q})/capacity" "$(dirname "$(dirname {output.csv:q})")/scores" '
        "--benchmark {params.benchmark} {params.models} > {log:q} 2>&1"


rule tabulate_published:
    input:
        script=f"{SCRIPTS}/tabulate_published.py",
        published="config/published.yaml",
        scores=lambda wildcards: VIDEO_SCORES.get(wildcards.benchmark)
        or of_models(f"{R}/scores/{wildcards.benchmark}/{{name}}.parquet"),
    output:
        csv=report(
            f"{R}/tables/benchmark-{{benchmark}}.csv",
            caption="../report/table_published.rst",
            category="Models",
            labels={"table": "{benchmark}: published and ours"},
        ),
        md=f"{R}/tables/benchmark-{{benchmark}}.md",
        tex=f"{R}/tables/benchmark-{{benchmark}}.tex",
    log:
        f"{R}/logs/tabulate_published/{{benchmark}}.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_published"),
        models=lambda wildcards: "" if wildcards.benchmark in CLIPS else MODELS,
        note=settings.options({"note": config["figures"]["note"]}),
    shell:
        "tables=$(dirname {output.csv:q}); "
        'python {input.script} "$(dirname "$tables")/scores" "$tables/benchmark-{wildcards.benchmark}" '
        "--benchmark {wildcards.benchmark} --published {input.published:q} {params.models} {params.note} > {log:q} 2>&1"


rule make_thumbnails:
    input:
        script=f"{SCRIPTS}/make_thumbnails.py",
        generated=rules.generate_portraits.output.tar,
        refined=rules.refine_mattes.output.tar,
    output:
        shown=ensure(f"{R}/gallery/{{shard}}/thumbnails.csv", non_empty=True),
    log:
        f"{R}/logs/make_thumbnails/{{shard}}.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        library=library("make_thumbnails"),
        first=lambda wildcards: int(wildcards.shard) * config["prompts"]["shard_size"],
        every=settings.gallery_step(config, SOURCE),
    shell:
        'python {input.script} {input.generated:q} {input.refined:q} "$(dirname {output.shown:q})" '
        "--first {params.first} --every {params.every} > {log:q} 2>&1"


rule build_gallery:
    input:
        script=f"{SCRIPTS}/build_gallery.py",
        template=f"{SCRIPTS}/ldportrait/gallery.html.jinja",
        screened=rules.screen_portraits.output.table,
        thumbnails=expand(rules.make_thumbnails.output.shown, shard=SHARDS),
        figures=FIGURES + VIDEO_FIGURES,
        tables=TABLES + VIDEO_TABLES,
    output:
        page=ensure(f"{R}/index.html", non_empty=True),
        data=ensure(f"{R}/gallery/items.js", non_empty=True),
    log:
        f"{R}/logs/build_gallery.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        library=library("build_gallery"),
        run=config["run"],
        shards=len(SHARDS),
        tables=settings.repeated(
            "table",
            TABLE_NAMES + [Path(name).stem for name in TABLES + VIDEO_TABLES if Path(name).match("benchmark-*.md")],
        ),
        video="--video" if CLIPS else "--no-video",
    shell:
        "run=$(dirname {input.screened:q}); "
        'python {input.script} "$run/refined" {input.screened:q} "$run/measured" "$run/figures" "$run/tables" {output.page:q} '
        "--run {params.run} --shards {params.shards} {params.tables} {params.video} > {log:q} 2>&1"
