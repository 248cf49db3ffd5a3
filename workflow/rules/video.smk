"""Video: clips segmented, matted in several ways, scored, and shown.

INPUTS
    benchmarks of clips                     the bank's, or folders of video.roots
    {R}/models/                             the trimap-based model, unless video.model names one
    video.free                              the trimap-free model

OUTPUTS
    {R}/video/{benchmark}/segments/segments.parquet, {clip}/masks/, {clip}/doubts/
    {R}/video/{benchmark}/{method}/mattes.parquet, {clip}/
    {R}/scores/video/{benchmark}/{method}.parquet       long form: clip, frame, metric, value
    {R}/figures/video_strip, video_dtssd (.pdf, .png), video_preview.webp
    {R}/tables/video.csv, .md, .tex, and of figures.smk benchmark-{name} for clips that are not the bank's
"""

CLIPS = config["video"]["benchmarks"]
VIDEO_SCORES = {
    name: [f"{R}/scores/video/{name}/{method}.parquet" for method in settings.video_methods(config, name)]
    for name in CLIPS
}
FREE = [f"{config['video']['free']}/{name}" for name in ("model.json", "model.safetensors")]
VIDEO_FIGURES = [f"{R}/figures/video_{name}" for name in ("strip.png", "dtssd.png", "preview.webp")] if CLIPS else []
VIDEO_TABLES = [f"{R}/tables/video.md"] if CLIPS else []
VIDEO_TABLES += [f"{R}/tables/benchmark-{name}.md" for name in CLIPS if not name.startswith("bank")]


wildcard_constraints:
    method="|".join(["mask", *settings.VIDEO_METHODS]),


rule segment_video:
    input:
        script=f"{SCRIPTS}/segment_video.py",
        model=FREE,
        weights=lambda wildcards: settings.segmenter_files(config, wildcards.benchmark)["weights"],
        masks=lambda wildcards: ancient(settings.segmenter_files(config, wildcards.benchmark)["masks"]),
        root=lambda wildcards: benchmark_place(wildcards.benchmark),
    output:
        table=ensure(f"{R}/video/{{benchmark}}/segments/segments.parquet", non_empty=True),
    log:
        f"{R}/logs/segment_video/{{benchmark}}.log",
    benchmark:
        f"{R}/benchmarks/segment_video/{{benchmark}}.tsv"
    conda:
        "../../envs/train.yaml" if config["train"]["gpus"] else "../../envs/train.cpu.yaml"
    threads: config["train"]["threads"]
    resources:
        gpu=min(1, config["train"]["gpus"]),
        mem_mb=12000 if config["train"]["gpus"] else 3000,
        runtime=240,
    params:
        library=library("segment_video"),
        limit=config["video"]["limit"],
        how=settings.segment_video_options(config),
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); '
        "weights={input.weights:q}; masks={input.masks:q}; "
        'python {input.script} --benchmark {wildcards.benchmark} "$(dirname {output.table:q})" '
        '--root "$root" --limit {params.limit} {params.how} --model "$(dirname {input.model[0]:q})" '
        '${{weights:+--weights "$(dirname "$weights")"}} ${{masks:+--masks "$masks"}} '
        "--gpus {resources.gpu} --threads {threads} > {log:q} 2>&1"


rule matte_video:
    input:
        script=f"{SCRIPTS}/matte_video.py",
        model=lambda wildcards: FREE if wildcards.method.startswith("frames") else trimap_based(),
        segments=lambda wildcards: segments_of(wildcards.method),
        root=lambda wildcards: benchmark_place(wildcards.benchmark),
    output:
        table=ensure(f"{R}/video/{{benchmark}}/{{method}}/mattes.parquet", non_empty=True),
    log:
        f"{R}/logs/matte_video/{{benchmark}}/{{method}}.log",
    benchmark:
        f"{R}/benchmarks/matte_video/{{benchmark}}/{{method}}.tsv"
    conda:
        "../../envs/train.yaml" if config["train"]["gpus"] else "../../envs/train.cpu.yaml"
    threads: config["train"]["threads"]
    resources:
        gpu=min(1, config["train"]["gpus"]),
        mem_mb=12000 if config["train"]["gpus"] else 3000,
        runtime=240,
    params:
        library=library("matte_video"),
        run=config["run"],
        limit=config["video"]["limit"],
        how=lambda wildcards: settings.matte_video_options(config, wildcards.method),
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); segments={input.segments:q}; '
        'python {input.script} --benchmark {wildcards.benchmark} "$(dirname {output.table:q})" '
        '--root "$root" --limit {params.limit} --model "$(dirname {input.model[0]:q})" --method {wildcards.method} '
        '{params.how} ${{segments:+--segments "$(dirname "$segments")"}} --run {params.run} '
        "--gpus {resources.gpu} --threads {threads} > {log:q} 2>&1"


rule score_video:
    input:
        script=f"{SCRIPTS}/score_video.py",
        mattes=lambda wildcards: (
            rules.segment_video.output.table if wildcards.method == "mask" else rules.matte_video.output.table
        ),
        root=lambda wildcards: benchmark_place(wildcards.benchmark),
    output:
        scores=ensure(f"{R}/scores/video/{{benchmark}}/{{method}}.parquet", non_empty=True),
    log:
        f"{R}/logs/score_video/{{benchmark}}/{{method}}.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        library=library("score_video"),
        run=config["run"],
        limit=config["video"]["limit"],
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); '
        'python {input.script} "$(dirname {input.mattes:q})" {output.scores:q} --benchmark {wildcards.benchmark} '
        '--root "$root" --limit {params.limit} --run {params.run} > {log:q} 2>&1'


rule plot_video:
    input:
        script=f"{SCRIPTS}/plot_video.py",
        scores=VIDEO_SCORES.values(),
        mattes=expand(
            f"{R}/video/{{benchmark}}/{{method}}/mattes.parquet", benchmark=CLIPS[-1:], method=["frames", "ours"]
        ),
        root=benchmark_place(CLIPS[-1]) if CLIPS else [],
    output:
        strip_pdf=f"{R}/figures/video_strip.pdf",
        strip=report(
            f"{R}/figures/video_strip.png",
            caption="../report/video_strip.rst",
            category="Video",
            labels={"figure": "frames of a clip"},
        ),
        dtssd_pdf=f"{R}/figures/video_dtssd.pdf",
        dtssd=report(
            f"{R}/figures/video_dtssd.png",
            caption="../report/video_dtssd.rst",
            category="Video",
            labels={"figure": "dtSSD over time"},
        ),
        preview=report(
            f"{R}/figures/video_preview.webp",
            caption="../report/video_preview.rst",
            category="Video",
            labels={"figure": "a clip, moving"},
        ),
    log:
        f"{R}/logs/plot_video.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("plot_video"),
        benchmark=CLIPS[-1:],
    shell:
        'root={input.root:q}; [[ -d $root ]] || root=$(dirname "$root"); '
        'mattes=$(dirname "$(dirname "$(dirname {input.mattes[0]:q})")"); '
        'python {input.script} "$(dirname {output.strip:q})" "$mattes" {input.scores:q} '
        '--benchmark {params.benchmark} --root "$root" > {log:q} 2>&1'


rule tabulate_video:
    input:
        script=f"{SCRIPTS}/tabulate_video.py",
        scores=VIDEO_SCORES.values(),
    output:
        csv=report(
            f"{R}/tables/video.csv",
            caption="../report/table_video.rst",
            category="Video",
            labels={"table": "error of clips by method"},
        ),
        md=f"{R}/tables/video.md",
        tex=f"{R}/tables/video.tex",
    log:
        f"{R}/logs/tabulate_video.log",
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        library=library("tabulate_video"),
    shell:
        'python {input.script} "$(dirname {output.csv:q})/video" {input.scores:q} > {log:q} 2>&1'
