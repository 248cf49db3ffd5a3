"""`snakemake --use-conda`, with a stand-in for conda: every environment is made from its file, and what a rule runs in
it finds all that it imports. Snakemake runs in an environment that has Snakemake alone, as a user's may.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import channel
import pytest
import yaml
from conftest import ROOT, SCRIPTS
from test_demo import project
from test_envs import DISTRIBUTIONS, LOCKS, environments, foreign_imports, lock

RUN = "tiny"
CONFIG = {
    "run": RUN,
    "prompts": {"count": 6, "shard_size": 6, "seed": 3},
    "generate": {"size": 128, "gross": 0.0},
    "assemble": {"variants": ["refined"]},
    "train": {"steps": 1, "batch_size": 2, "crop": 32},
    "compare": {"variants": ["refined"], "capacity_variant": "refined", "fractions": [100], "seeds": [0], "others": []},
    "study": {"limit": 1, "closed_form_limit": 0, "factors": [1]},
}
ON_GPUS = {"generate": {"backend": "layerdiffuse", "size": 1024, "gpus": 1}, "train": {"gpus": 1}}
PROMPTS = f"results/{RUN}/prompts/shard-0000000.parquet"
TARGETS = [
    f"results/{RUN}/models/small-trimap/refined-f100-s0/model.json",
    f"results/{RUN}/figures/attributes.pdf",
    f"results/{RUN}/scores/study/sensitivity.parquet",
]
JOBS = {
    "generate_portraits.py": "generate.cpu.yaml",
    "refine_mattes.py": "core.yaml",
    "key_mattes.py": "core.yaml",
    "measure_portraits.py": "core.yaml",
    "screen_portraits.py": "core.yaml",
    "assemble_dataset.py": "core.yaml",
    "train_matting.py": "train.cpu.yaml",
    "plot_attributes.py": "figures.yaml",
    "study_sensitivity.py": "study.yaml",
}
PRETENDED = ("anny", "bpy", "scikit-image")  # which only the renderer has
CREATE = "env create --quiet --no-default-packages"

# Looks for what commands import, at any depth, and starts them: in one process, since starting Python for each takes
# longer than what it does.
START = """
import importlib.util, json, runpy, sys
modules, scripts = map(json.loads, sys.argv[1:])
missing = [module for module in modules if importlib.util.find_spec(module) is None]
assert not missing, missing
for script in scripts:
    sys.argv = [script, "--help"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        assert not end.code, script
"""


@pytest.fixture(scope="module")
def conda(tmp_path_factory) -> Path:
    """The folder of the command `conda`."""
    versions = lock("requirements-render.lock")
    return channel.make(tmp_path_factory.mktemp("conda"), {name: versions[name] for name in PRETENDED})


def create(conda: Path, environment: dict, prefix: Path) -> subprocess.CompletedProcess:
    file = prefix.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(environment), encoding="utf-8")
    command = [conda / "conda", *CREATE.split(), "--file", file, "--prefix", prefix]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def of_pip(*lines: str, python: str = "python=3.11", channels: tuple = ("conda-forge", "nodefaults")) -> dict:
    return {"channels": list(channels), "dependencies": [python, "pip", {"pip": list(lines)}]}


def pinned(*names: str) -> list[str]:
    return [f"{name}=={lock('requirements.lock')[name]}" for name in names]


@pytest.fixture(scope="module")
def own(conda, tmp_path_factory) -> Path:
    """An environment that has Snakemake and what it needs, and nothing else."""
    prefix = tmp_path_factory.mktemp("own") / "snakemake"
    made = create(conda, of_pip(*pinned("snakemake")), prefix)
    assert made.returncode == 0, made.stdout + made.stderr
    return prefix


@pytest.fixture(scope="module")
def snakemake(conda, own):
    """Run Snakemake in a folder, from its own environment."""

    def run(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess:
        command = [own / "bin" / "python", "-m", "snakemake", "--cores", "2", *arguments]
        environment = os.environ | {"PATH": f"{path or conda}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)

    return run


def prepare(folder: Path) -> Path:
    project(folder)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return folder


def prefixes(folder: Path) -> dict[str, Path]:
    """The environments that Snakemake made, by the file each was made from, a copy of which it keeps beside them."""
    files = {path.read_bytes(): path.name for path in (ROOT / "envs").glob("*.yaml")}
    return {
        files[path.with_suffix(".yaml").read_bytes()]: path
        for path in (folder / ".snakemake" / "conda").iterdir()
        if path.is_dir()
    }


def started(prefix: Path) -> set[str]:
    """The commands that the interpreter of an environment was started with."""
    lines = [json.loads(line) for line in (prefix / "started.jsonl").read_text(encoding="utf-8").splitlines()]
    return {Path(argument).name for line in lines for argument in line[1:2] if argument.startswith("workflow/scripts/")}


def jobs(output: str) -> set[str]:
    stats = re.search(r"^Job stats:\n(.*?)^total", output, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^(\w+) +\d+$", stats.group(1), re.MULTILINE)) if stats else set()


@pytest.fixture(scope="module")
def ran(snakemake, tmp_path_factory) -> tuple[Path, str, dict[str, Path]]:
    """A project with prompts made without conda and all else with it, what the latter printed, and the environments."""
    folder = prepare(tmp_path_factory.mktemp("project"))
    plain = snakemake(folder, PROMPTS, path=Path(sys.executable).parent)
    assert plain.returncode == 0, plain.stderr[-3000:]
    result = snakemake(folder, "--use-conda", *TARGETS)
    assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
    return folder, result.stdout + result.stderr, prefixes(folder)


def test_every_job_is_run_by_the_interpreter_of_its_environment(ran):
    folder, _, made = ran
    assert all((folder / target).stat().st_size for target in TARGETS)
    assert sorted((script, name) for name, prefix in made.items() for script in started(prefix)) == sorted(JOBS.items())
    assert set(made) == set(JOBS.values())  # without GPUs none with CUDA


def test_with_conda_after_a_plain_run_and_without_it_again_nothing_is_run_twice(ran, snakemake):
    folder, output, _ = ran
    assert jobs(output) == {script.removesuffix(".py") for script in JOBS}  # no make_prompts
    assert "Nothing to be done" in snakemake(folder, "--dry-run", PROMPTS, *TARGETS).stdout
    # Snakemake does see the difference, should it be asked to heed it
    triggered = snakemake(folder, "--dry-run", "--rerun-triggers", "software-env", "--", *TARGETS)
    assert {"generate_portraits", "train_matting", "plot_attributes"} <= jobs(triggered.stdout), triggered.stderr


@pytest.fixture(scope="module")
def all_environments(ran, snakemake) -> dict[str, Path]:
    """The environments of all rules, by file: with and without GPUs, and the bank's."""
    folder, *_ = ran
    (folder / "gpus.yaml").write_text(yaml.safe_dump(ON_GPUS), encoding="utf-8")
    (folder / "config" / "bank.yaml").write_bytes((ROOT / "config" / "bank.yaml").read_bytes())
    (folder / "config" / "weights.yaml").write_bytes((ROOT / "config" / "weights.yaml").read_bytes())
    for arguments in (
        ["--configfile", "config/config.yaml", "gpus.yaml", "--", TARGETS[0]],
        ["--snakefile", "workflow/bank.smk", "--configfile", "config/bank.yaml", "--workflow-profile", "none"],
    ):
        made = snakemake(folder, "--use-conda", "--conda-create-envs-only", *arguments)
        assert made.returncode == 0, (made.stdout + made.stderr)[-3000:]
    return prefixes(folder)


def test_every_environment_is_made_by_a_run_that_needs_it(all_environments):
    assert set(all_environments) == set(LOCKS) == {name for names in environments().values() for name in names}


@pytest.mark.parametrize("name", LOCKS)
def test_commands_start_in_their_environment_and_find_what_they_import(all_environments, name):
    scripts = [str(SCRIPTS / script) for script, names in environments().items() if name in names]
    modules = {module for script in scripts for module in foreign_imports(Path(script))}
    modules = {module for module in modules if DISTRIBUTIONS.get(module, module) not in PRETENDED}
    python = all_environments[name] / "bin" / "python"
    command = [python, "-c", START, json.dumps(sorted(modules)), json.dumps(scripts)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SCRIPTS)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Usage: ") == len(scripts) > 0


def test_a_command_does_not_start_in_an_environment_that_lacks_what_it_imports(conda, tmp_path):
    assert create(conda, of_pip(*pinned("typer", "numpy")), tmp_path / "env").returncode == 0
    command = [tmp_path / "env" / "bin" / "python", SCRIPTS / "make_prompts.py", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: No module named 'pandas'" in result.stderr


(NUMPY,) = pinned("numpy")


def test_an_environment_is_made_where_nothing_is_broken(conda, tmp_path):
    assert create(conda, of_pip(NUMPY), tmp_path / "sound").returncode == 0


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        (of_pip("numpy==0.0.1"), f"numpy==0.0.1 (from versions: {NUMPY.removeprefix('numpy==')})"),
        (of_pip(NUMPY, "no-such-package==1.0"), "no-such-package==1.0 (from versions: none)"),
        (of_pip(NUMPY, python="python=3.9"), "python=3.9"),
        (of_pip(NUMPY, python="python>=3.11"), "python>=3.11"),
        (of_pip(NUMPY, channels=("no-such-channel", "nodefaults")), "no-such-channel"),
        (of_pip(NUMPY, channels=("conda-forge",)), "defaults"),
        (of_pip(NUMPY, "--no-such-option"), "--no-such-option"),
        ({"channels": ["conda-forge", "nodefaults"], "dependencies": ["python=3.11", "no-such-package"]}, "no-such-"),
        ({**of_pip(NUMPY), "chanels": []}, "chanels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_environment_is_not_made(conda, tmp_path, environment, word):
    result = create(conda, environment, tmp_path / "broken")
    assert result.returncode == 1
    assert word in result.stdout + result.stderr


def test_a_wrong_pin_stops_the_run_before_its_first_job(snakemake, tmp_path):
    folder = prepare(tmp_path)
    file = folder / "envs" / "core.yaml"
    file.write_text(re.sub(r"pandas==\S+", "pandas==0.1.0", file.read_text(encoding="utf-8")), encoding="utf-8")
    result = snakemake(folder, "--use-conda", PROMPTS)
    assert result.returncode == 1
    assert "Could not find a version that satisfies pandas==0.1.0" in result.stderr
    assert not (folder / "results" / RUN).exists()


def test_a_users_own_prompts_want_two_packages_beside_snakemake_which_it_says(conda, own, tmp_path):
    (tmp_path / "prompts.txt").write_text("a portrait\n")
    count = (
        "from ldportrait import settings; "
        "config = {'prompts': {'file': 'prompts.txt', 'shard_size': 1}, 'generate': {'backend': 'bank'}}; "
        "print(settings.source(config).sizes)"
    )

    def run(prefix: Path) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
        command = [prefix / "bin" / "python", "-c", count]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)

    assert (
        "ValueError: Your own prompts or pictures are read by Snakemake's own Python, which lacks numpy;"
        in run(own).stderr
    )
    # as docs/conda.md says
    assert create(conda, of_pip(*pinned("snakemake", "pandas", "pyarrow")), tmp_path / "more").returncode == 0
    assert run(tmp_path / "more").stdout == "[1]\n"
