"""What reruns when something changes: exactly the stage that it concerns, and what depends on it.

A copy of the workflow stands on outputs that are empty files, recorded as made by `snakemake --touch`; then things are
changed one by one and a dry run tells which rules would run.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

SMALL = {"prompts": {"count": 4, "shard_size": 2}, "video": {"model": None}}  # clips by the run's own model

RULES = re.compile(r"^rule (\w+):", re.MULTILINE)
FIGURES = set(RULES.findall((ROOT / "workflow" / "rules" / "figures.smk").read_text(encoding="utf-8")))
CLIPS = {"score_video", "plot_video", "tabulate_video", "build_gallery"}
MODELS = {"predict_mattes", "score_mattes"}
OF_MODELS = {
    "plot_models",
    "plot_capacity",
    "plot_qualitative",
    "tabulate_models",
    "tabulate_capacity",
    "build_gallery",
}
TRAINED = {"train_matting", "plot_training", *MODELS, *OF_MODELS, "matte_video", *CLIPS}
ASSEMBLED = {"assemble_dataset", *TRAINED}
OF_VERDICTS = {
    "score_variants",
    "plot_mosaic",
    "plot_refinement",
    "plot_acceptance",
    "plot_variants",
    "tabulate_screening",
    "tabulate_variants",
    "build_gallery",
}
SCREENED = {"screen_portraits", *OF_VERDICTS, *ASSEMBLED}
REFINED = {"refine_mattes", "key_mattes", "measure_portraits", "make_thumbnails", *SCREENED}
GENERATED = {"generate_portraits", *REFINED}
EVERYTHING = {"make_prompts", "plot_attributes", *GENERATED}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def dry_run(folder: Path, *arguments: str) -> dict[str, int]:
    """Count the jobs that a run would start, by rule, the target apart."""
    result = snakemake(folder, "--dry-run", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    stats = re.search(r"^Job stats:\n(.*?)^total", result.stdout + result.stderr, re.MULTILINE | re.DOTALL)
    counts = re.findall(r"^(\w+) +(\d+)$", stats.group(1), re.MULTILINE) if stats else []
    return {rule: int(count) for rule, count in counts if rule != "all"}


def write(folder: Path, **sections: object) -> None:
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    for section, values in (SMALL | sections).items():
        config[section] = config.get(section, {}) | SMALL.get(section, {}) | values
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def copy(folder: Path) -> None:
    for name in ("workflow", "envs", "config", "profiles"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "rendering", "bank.yaml")
        )
    shutil.copyfile(ROOT / "Snakefile", folder / "Snakefile")
    (folder / "resources" / "bank").mkdir(parents=True)
    shutil.copyfile(ROOT / "resources" / "bank" / "bank.parquet", folder / "resources" / "bank" / "bank.parquet")
    for name in ("portrait", "trimap"):
        model = folder / "resources" / "models" / name
        model.mkdir(parents=True)
        shutil.copyfile(ROOT / "resources" / "models" / name / "model.json", model / "model.json")
        (model / "model.safetensors").touch()
    write(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A copy of the workflow all of whose outputs are there and up to date."""
    folder = tmp_path_factory.mktemp("finished")
    copy(folder)
    summary = snakemake(folder, "--summary")
    assert summary.returncode == 0, summary.stderr
    for line in summary.stdout.splitlines()[1:]:
        file = folder / line.split("\t")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("made\n")
    touched = snakemake(folder, "--touch", "--forceall", "--quiet", "all")
    assert touched.returncode == 0, touched.stderr
    assert dry_run(folder) == {}
    return folder


@pytest.fixture
def project(finished) -> Path:
    """The finished copy, put back as it was after the test."""
    kept = {
        path: path.read_bytes() for path in finished.rglob("*") if path.is_file() and ".snakemake" not in path.parts
    }
    yield finished
    for path in finished.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts and path not in kept:
            path.unlink()
    for path, content in kept.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def test_the_sets_above_name_all_rules():
    assert EVERYTHING - {"plot_attributes", "make_prompts"} == GENERATED
    published = {"tabulate_published"}  # for benchmarks other than the bank's alone
    assert FIGURES - published <= EVERYTHING, FIGURES - EVERYTHING


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"prompts": {"seed": 77}}, EVERYTHING),
        ({"generate": {"severity": 0.5}}, GENERATED),
        ({"refine": {"depth": 50}}, REFINED),
        (
            {"key": {"clip_black": 0.2}},
            {"key_mattes", "score_variants", "plot_variants", "tabulate_variants", *ASSEMBLED},
        ),
        ({"screen": {"sharpness": 0.001}}, SCREENED),
        ({"assemble": {"limit": 3}}, ASSEMBLED),
        ({"train": {"steps": 7}}, TRAINED),
        (
            {"train": {"models": {"small-free": {"steps": 7}}}},
            {"train_matting", "plot_training", *MODELS, "tabulate_models", "build_gallery"},
        ),
        ({"figures": {"rows": 3}}, {"plot_refinement", "plot_qualitative", "build_gallery"}),
        ({"video": {"strength": 2}}, {"matte_video", *CLIPS}),
        ({"video": {"limit": 1}}, {"segment_video", "matte_video", *CLIPS}),
        ({"video": {"others": ["mask"]}}, CLIPS),
        ({"video": {"benchmarks": []}}, {"build_gallery"}),
        ({"plan": {"acceptance": 0.5}}, set()),
        ({"train": {"threads": 2}}, set()),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_editing_a_section_reruns_its_stage_and_what_depends_on_it(project, change, rules):
    write(project, **change)
    assert set(dry_run(project)) == rules


def test_the_settings_of_one_network_retrain_that_network_alone(project):
    write(project, train={"models": {"small-free": {"steps": 7}}})
    assert dry_run(project)["train_matting"] == 1


def test_a_touched_or_freshly_checked_out_file_reruns_nothing(project):
    later = time.time() + 5
    for folder in ("workflow", "config", "envs"):
        for path in (project / folder).rglob("*"):
            os.utime(path, (later, later))
    os.utime(project / "Snakefile", (later, later))
    assert dry_run(project) == {}


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("connectivity.py", REFINED),
        ("screening.py", {"measure_portraits", *SCREENED}),
        ("training_data.py", TRAINED),
        ("checkpoints.py", TRAINED),
        ("generators/artifacts.py", set()),  # guarded by VERSION
        ("video/segmenters.py", {"segment_video", "matte_video", *CLIPS}),
        ("video/trimaps.py", {"matte_video", *CLIPS}),
        ("tables_video.py", {"tabulate_video", "build_gallery"}),
        ("figures_errors.py", {"plot_variants", "plot_models", "plot_capacity", "build_gallery"}),
    ],
)
def test_an_edited_library_file_reruns_its_stages(project, file, rules):
    path = project / "workflow" / "scripts" / "ldportrait" / file
    path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert set(dry_run(project)) == rules


def test_an_edited_script_reruns_its_rule(project):
    path = project / "workflow" / "scripts" / "assemble_dataset.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert set(dry_run(project)) == ASSEMBLED


def test_a_raised_backend_version_generates_again(project):
    path = project / "workflow" / "scripts" / "ldportrait" / "generators" / "bank.py"
    path.write_text(re.sub(r'^VERSION = ".*"', 'VERSION = "next"', path.read_text(), flags=re.MULTILINE))
    assert set(dry_run(project)) == GENERATED


def test_raising_the_count_reruns_no_shard_that_exists(project):
    write(project, prompts={"count": 8})
    jobs = dry_run(project)
    per_shard = ["make_prompts", "generate_portraits", "refine_mattes", "key_mattes", "measure_portraits"]
    per_shard.append("make_thumbnails")
    assert {rule: jobs[rule] for rule in per_shard} == dict.fromkeys(per_shard, 2)


def test_more_seeds_train_only_what_is_new(project):
    write(project, compare={"seeds": [0, 1, 2]})
    jobs = dry_run(project)
    assert jobs["train_matting"] == 6  # four variants, and the two smaller data sets
    assert "assemble_dataset" not in jobs


def test_a_data_set_of_others_is_imported_and_trained_on(project):
    (project / "theirs").mkdir()
    compared = ["raw", "refined", "keyed", "truth", "theirs"]
    write(project, external={"theirs": {"root": "theirs"}}, compare={"variants": compared})
    jobs = dry_run(project)
    assert (jobs["import_dataset"], jobs["train_matting"]) == (1, 2)  # from two seeds
    assert "assemble_dataset" not in jobs


def test_a_merged_run_takes_the_data_sets_of_others_and_makes_no_portraits(project):
    for variant in ("raw", "refined", "keyed", "truth"):
        (project / "results" / "run-a" / "datasets" / variant).mkdir(parents=True)
        (project / "results" / "run-a" / "datasets" / variant / "checksums.sha256").write_text("made\n")
    config = yaml.safe_load((project / "config" / "config.yaml").read_text())
    config |= {"run": "merged", "assemble": {"merge": ["results/run-a"]}}
    (project / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    jobs = dry_run(project)
    assert jobs["merge_datasets"] == 4
    assert not set(jobs) & {"make_prompts", "assemble_dataset", "screen_portraits", "build_gallery", "score_variants"}
    assert {"train_matting", "plot_models", "tabulate_models"} <= set(jobs)


def test_another_benchmark_is_predicted_and_scored_by_the_models_there_are(project):
    (project / "p3m").mkdir()
    write(project, benchmark={"names": ["bank", "p3m-500-np"], "roots": {"p3m-500-np": "p3m"}})
    jobs = dry_run(project)
    models = len(list((project / "results" / "demo" / "models").rglob("model.json")))
    assert jobs.pop("build_gallery") == 1
    assert jobs == {"predict_mattes": models, "score_mattes": models, "tabulate_published": 1}


def test_clips_are_matted_by_a_model_that_is_named(project):
    (project / "mine").mkdir()
    (project / "mine" / "model.json").write_text('{"model": "vitmatte-s"}')
    (project / "mine" / "model.safetensors").touch()
    write(project, video={"model": "mine"})
    jobs = dry_run(project)
    assert set(jobs) == {"matte_video", *CLIPS}
    assert jobs["matte_video"] == 2  # ours on both benchmarks


def test_another_benchmark_of_clips_is_segmented_and_matted(project):
    (project / "clips").mkdir()
    names = ["bank-clips", "bank-clips-moving", "crgnn"]
    write(project, video={"benchmarks": names, "roots": {"crgnn": "clips"}})
    jobs = dry_run(project)
    assert jobs.pop("tabulate_published") == 1  # the bank's clips have no published results
    assert jobs == {"segment_video": 1, "matte_video": 2, "score_video": 2} | dict.fromkeys(CLIPS - {"score_video"}, 1)


def test_clips_are_set_beside_published_results(project):
    """The table is of the scores of this benchmark's clips, not of those of the networks on pictures."""
    (project / "public").mkdir()
    write(project, video={"benchmarks": ["videomatte-240k"], "roots": {"videomatte-240k": "public"}})
    table = "results/demo/tables/benchmark-videomatte-240k.md"
    assert dry_run(project, "video")["tabulate_published"] == 1
    shown = snakemake(project, "--dry-run", "--printshellcmds", table)
    assert shown.returncode == 0, shown.stderr
    (command,) = [line for line in shown.stdout.splitlines() if "python" in line and "tabulate_published.py" in line]
    assert "--benchmark videomatte-240k" in command
    assert "--model" not in command
    jobs = dry_run(project, table)
    assert jobs.pop("score_video") == 2
    assert set(jobs) == {"segment_video", "matte_video", "tabulate_published"}


def test_another_place_for_the_same_results_reruns_nothing(project):
    (project / "results").rename(project / "scratch")
    (project / "results").symlink_to("scratch")
    try:
        assert dry_run(project) == {}
    finally:
        (project / "results").unlink()
        (project / "scratch").rename(project / "results")


@pytest.mark.parametrize("overlay", ["paper.yaml"])
def test_the_paper_scale_overlay_plans(tmp_path, overlay):
    copy(tmp_path)
    jobs = dry_run(tmp_path, "--configfile", f"config/{overlay}")
    assert jobs["generate_portraits"] > 400
    assert jobs["fetch_weights"] == 1  # offline, since nothing is fetched before that job
    assert jobs["train_matting"] == 3 * 3 + 3 * 3  # three variants and three smaller data sets, each from three seeds


LAYERDIFFUSE = {"assemble": {"variants": ["raw"]}, "compare": {"variants": ["raw"], "capacity_variant": "raw"}}
SHARD = "results/demo/generated/shard-0000000.tar"


def use_layerdiffuse(folder: Path, generate: dict | None = None, **layerdiffuse: object) -> None:
    backend = {"backend": "layerdiffuse", "size": 1024} | (generate or {})
    write(folder, generate=backend, layerdiffuse=layerdiffuse, **LAYERDIFFUSE)


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    """A copy of the workflow in which one shard of LayerDiffuse is there and up to date."""
    folder = tmp_path_factory.mktemp("layerdiffuse")
    copy(folder)
    use_layerdiffuse(folder)
    summary = snakemake(folder, "--summary", "--", SHARD)
    assert summary.returncode == 0, summary.stderr
    for name in [line.split("\t")[0] for line in summary.stdout.splitlines()[1:]]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("made\n")
    touched = snakemake(folder, "--touch", "--forceall", "--quiet", "all", "--", SHARD)
    assert touched.returncode == 0, touched.stderr
    assert dry_run(folder, SHARD) == {}
    return folder


@pytest.mark.parametrize(
    ("generate", "layerdiffuse", "rules"),
    [
        ({}, {"batch": 1, "offload": True, "compile": True, "channels_last": False, "failed": 1.0}, set()),
        ({"gpus": 0}, {}, set()),
        ({"severity": 0.5, "gross": 0.0}, {}, set()),  # of the bank
        ({}, {"steps": 30}, {"generate_portraits"}),
        ({"size": 512}, {}, {"generate_portraits"}),
        ({}, {"base": "juggernaut-xl-v6"}, {"fetch_weights", "generate_portraits"}),
    ],
)
def test_pictures_of_layerdiffuse_are_made_again_only_where_they_change(generated, generate, layerdiffuse, rules):
    use_layerdiffuse(generated, generate, **layerdiffuse)
    assert set(dry_run(generated, SHARD)) == rules


def test_weights_that_are_moved_or_fetched_again_make_no_picture_again(generated):
    backend = {"backend": "layerdiffuse", "size": 1024}
    write(generated, generate=backend, paths={"weights": "elsewhere"}, **LAYERDIFFUSE)
    assert dry_run(generated, SHARD) == {}
    later = time.time() + 5
    (record,) = (generated / "results" / "demo").glob("weights-*.json")
    for file in (record, generated / "config" / "weights.yaml"):
        os.utime(file, (later, later))
    assert dry_run(generated, SHARD) == {}
    assert dry_run(generated, "--forcerun", "fetch_weights", "--", SHARD) == {"fetch_weights": 1}


def test_a_generation_of_layerdiffuse_asks_for_one_gpu_and_the_bank_for_none(generated, tmp_path):
    use_layerdiffuse(generated)
    shown = snakemake(generated, "--dry-run", "--forcerun", "generate_portraits", "--", SHARD).stdout
    assert re.search(r"rule generate_portraits:.*?resources: [^\n]*\bgpu=1\b", shown, re.DOTALL)
    copy(tmp_path)
    shown = snakemake(tmp_path, "--dry-run", SHARD).stdout
    assert re.search(r"rule generate_portraits:.*?resources: [^\n]*\bgpu=0\b", shown, re.DOTALL)


def test_four_hundred_shards_are_planned_quickly(tmp_path):
    copy(tmp_path)
    write(tmp_path, prompts={"count": 20_000, "shard_size": 50})
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert dry_run(tmp_path)["refine_mattes"] == 400
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - started < 12  # CPU seconds: 9 on a busy machine


def test_a_bad_configuration_runs_nothing(tmp_path):
    copy(tmp_path)
    write(tmp_path, prompts={"cuont": 3})
    result = snakemake(tmp_path)
    assert result.returncode == 2
    assert "ld-portrait: The key prompts.cuont is unknown; did you mean prompts.count?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()


def test_another_folder_is_refused(tmp_path):
    copy(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    result = snakemake(tmp_path / "elsewhere", "--snakefile", "../Snakefile", "--configfile", "../config/config.yaml")
    assert result.returncode == 2
    assert f"Run snakemake in {tmp_path}" in result.stderr


def test_the_plan_prints_pictures_hours_and_disk(tmp_path):
    copy(tmp_path)
    result = snakemake(tmp_path, "plan", "--quiet", "all", "--config", "run=planned")
    assert result.returncode == 0, result.stderr
    for word in ("pictures    4 of", "core hours", "GB"):
        assert word in result.stdout


def test_a_training_has_the_configured_gpus_whatever_the_profile_counts_and_a_prediction_has_one(tmp_path):
    copy(tmp_path)
    write(tmp_path, train={"gpus": 4})
    target = "results/demo/predictions/bank/small-trimap/raw-f100-s0/predictions.parquet"
    shown = snakemake(tmp_path, "--dry-run", "--printshellcmds", target).stdout
    assert re.findall(r"scripts/(\w+)\.py .*--gpus (\d+)", shown) == [("train_matting", "4"), ("predict_mattes", "1")]
