"""LD-Portrait: a portrait-matting data set from text prompts to paper figures.

snakemake --cores 8                                         all of it, on config/config.yaml (make run)
snakemake --cores 1 plan                                    pictures, GPU hours and disk, before anything is started
snakemake --cores 8 dataset                                 stop when the data set is there
snakemake --cores 2 refinement_study                        ways to mend a matte compared, on the bank; no part of all
snakemake --cores 2 keying_study                            chroma keys and generated mattes compared, likewise
snakemake --cores 2 video --configfile config/video.yaml    the comparison of docs/video.md
snakemake --cores 2 study --configfile config/study.yaml    the study of docs/study
snakemake --cores 8 --configfile config/paper.yaml          with the paper-scale settings over the default
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/refine.smk"
include: "workflow/rules/screen.smk"
include: "workflow/rules/assemble.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/video.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/keying.smk"
include: "workflow/rules/plan.smk"


rule all:
    default_target: True
    input:
        VIDEO_FIGURES + VIDEO_TABLES if MERGED else rules.build_gallery.output.page,
        FIGURES,
        TABLES,
        DATASETS,


rule study:
    input:
        rules.all.input,
        rules.keying_study.input,


rule video:
    input:
        VIDEO_FIGURES,
        VIDEO_TABLES,


rule dataset:
    input:
        DATASETS,
