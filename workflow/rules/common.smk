"""What all rules share: the checked configuration, the names of what will be made, and small helpers.

INPUTS
    config/schema.yaml          what the configuration may be

OUTPUTS
    {R}/provenance.json         the effective configuration, versions and seeds, written when a run starts
"""

import sys
from pathlib import Path

import yaml

ROOT = Path(workflow.basedir)
ROOT = ROOT.parent if (ROOT / "rules").is_dir() else ROOT  # started by workflow/Snakefile
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from ldportrait import dependencies, settings


def stop(sentence):
    """Say in one sentence why nothing is run, and leave with status 2."""
    print(f"ld-portrait: {sentence}", file=sys.stderr)
    raise SystemExit(2)


if Path.cwd() != ROOT:
    stop(f"Run snakemake in {ROOT}, the folder of the Snakefile; paths.results may lie anywhere.")

try:
    for path in workflow.configfiles:
        settings.check_keys(path)
    config = settings.complete(config, yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8")))
    settings.cross_check(config)
    SOURCE = settings.source(config)
except (ValueError, FileNotFoundError) as error:
    stop(error)

R = f"{config['paths']['results']}/{config['run']}"
SCRIPTS = "workflow/scripts"
BANK = f"{config['paths']['bank']}/bank.parquet"
SHARDS = [f"{number:07d}" for number in range(len(SOURCE.sizes))]
VARIANTS = config["assemble"]["variants"]
MERGED = config["assemble"]["merge"]
EXTERNAL = config["external"]
BENCHMARKS = config["benchmark"]["names"]
BENCHMARK = BENCHMARKS[0]
TRAININGS = settings.trainings(config)
COMPARED = config["compare"]["model"]


wildcard_constraints:
    shard=r"\d{7}",
    variant="|".join([*settings.VARIANTS, *EXTERNAL]),
    model="[a-z0-9-]+",
    benchmark="[a-z0-9-]+",
    percent=r"\d{3}",
    seed=r"\d+",


def library(command):
    """A digest of the library files that a command imports: as a param, it reruns the command when one is edited."""
    return dependencies.library(command)


def options(section, *leave_out):
    """A section of the configuration as the options of its command."""
    return settings.options(config[section], *leave_out)


def shards(stage, suffix="tar"):
    """All shards of a stage."""
    return [f"{R}/{stage}/shard-{shard}.{suffix}" for shard in SHARDS]


def of_models(pattern, model=None):
    """A file of every trained model; `pattern` has {name}."""
    return [pattern.format(name=training.name) for training in TRAININGS if model in (None, training.model)]


def benchmark_place(name):
    """What says that a benchmark is there: the bank's table, or the folder of another."""
    roots = config["benchmark"]["roots"] | config["video"]["roots"]
    return BANK if name.split("-")[0] == "bank" else ancient(roots[name])


def trimap_based():
    """The files of the model that mattes within an unknown region, its description first."""
    named, training = config["video"]["model"], settings.video_training(config)
    return [f"{named or f'{R}/models/{training.name}'}/{name}" for name in ("model.json", "model.safetensors")]


def segments_of(method):
    """What a method's mattes are made of besides the clip and the model."""
    return f"{R}/video/{{benchmark}}/segments/segments.parquet" if method in ("unsmoothed", "ours") else []


onstart:
    from ldportrait import commands, provenance

    try:
        provenance.write(config, ROOT, Path(R, "provenance.json"))
    except OSError as error:
        stop(commands.of_the_disk(error))


onsuccess:
    first = [f"{R}/index.html", f"{R}/figures/refinement.png", f"{R}/tables/variants.md"]
    if not workflow.dag_settings.targets and all(Path(file).is_file() for file in first):
        print("Open first:", *first, sep="\n  ", file=sys.stderr)
