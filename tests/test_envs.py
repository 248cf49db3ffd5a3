"""The declared environments agree with the locks, and declare all that the commands import."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SCRIPTS

LOCKS = {
    path.name: "requirements-render.lock" if path.name == "render.yaml" else "requirements.lock"
    for path in sorted((ROOT / "envs").glob("*.yaml"))
}
TWINS = {"generate.yaml": "generate.cpu.yaml", "train.yaml": "train.cpu.yaml"}
CPU_BUILDS = "--extra-index-url https://download.pytorch.org/whl/cpu"
# import name -> distribution name, where they differ
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "mathutils": "bpy",
    "SimpleITK": "simpleitk",
    "cc3d": "connected-components-3d",
    "huggingface_hub": "huggingface-hub",
    "tensorboardX": "tensorboardx",
}
BY_MAKE = {
    "document_config.py",
    "plot_bank.py",
    "plot_refined.py",
    "matte_pictures.py",
    "export_model.py",
    "train_portrait_model.py",
    "evaluate_portrait_model.py",
}  # no rule runs them, but make or a user, in the whole lock


def pins(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert re.fullmatch(r"[a-z0-9-]+", name), f"{line}: not a normalised name"
            assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{line}: not an exact version"
            assert name not in found, f"{name} is listed twice"
            found[name] = version
    return found


def lock(name: str) -> dict[str, str]:
    return pins((ROOT / "envs" / name).read_text().splitlines())


def environment(name: str) -> dict:
    return yaml.safe_load((ROOT / "envs" / name).read_text())


def pip_lines(name: str) -> list[str]:
    (by_pip,) = [entry["pip"] for entry in environment(name)["dependencies"] if isinstance(entry, dict)]
    return by_pip


def pip_pins(name: str) -> dict[str, str]:
    return pins([line for line in pip_lines(name) if line != CPU_BUILDS])


@pytest.mark.parametrize("name", LOCKS)
def test_an_environment_has_the_pins_of_its_lock(name):
    locked = lock(LOCKS[name])
    assert pip_pins(name).items() <= locked.items()


@pytest.mark.parametrize("name", LOCKS)
def test_an_environment_is_conda_forge_with_python_and_pip(name):
    content = environment(name)
    assert content["channels"] == ["conda-forge", "nodefaults"]
    assert {"python=3.11", "pip"} <= {entry for entry in content["dependencies"] if isinstance(entry, str)}


def test_where_torch_is_there_is_a_twin_without_cuda():
    with_torch = {name for name in LOCKS if "torch" in pip_pins(name)}
    assert with_torch == {*TWINS, *TWINS.values(), "render.yaml"}  # where torch only shapes bodies, on the CPU
    without_cuda = {name for name in LOCKS if CPU_BUILDS in pip_lines(name)}
    assert without_cuda == {*TWINS.values(), "render.yaml"}
    for name, twin in TWINS.items():
        assert pip_pins(name) == pip_pins(twin)
        same = environment(twin)
        same["dependencies"][-1]["pip"].remove(CPU_BUILDS)
        assert same == environment(name) | {"name": f"{environment(name)['name']}-cpu"}


def test_the_locks_agree_where_they_meet():
    core, render = lock("requirements.lock"), lock("requirements-render.lock")
    different = {name for name in core.keys() & render.keys() if core[name] != render[name]}
    assert not different


def test_make_installs_the_locked_torch():
    (version,) = re.findall(r"\btorch==(\S+)", (ROOT / "Makefile").read_text())
    assert version == lock("requirements-render.lock")["torch"] == lock("requirements.lock")["torch"]


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports, at any depth.

    A package that only some modules are taken from counts with its __init__ alone, not whole.
    """
    package = ".".join(path.relative_to(SCRIPTS).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            taken = [f"{base}.{alias.name}" for alias in node.names]
            only_modules = all(SCRIPTS.joinpath(*name.split(".")).with_suffix(".py").is_file() for name in taken)
            found |= {f"{base}.__init__" if only_modules else base, *taken}
    return found


def closure(path: Path, packages: bool = False) -> set[Path]:
    """Return a command and the library files that it imports, directly or not, packages with all modules if asked."""
    seen, queue = set(), [path]
    while queue:
        here = queue.pop()
        if here in seen:
            continue
        seen.add(here)
        for name in imports(here):
            place = SCRIPTS.joinpath(*name.split("."))
            queue += [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else []
            queue += place.glob("*.py") if packages and place.name != "ldportrait" else []
    return seen


def foreign_imports(path: Path) -> set[str]:
    """Return the names of the packages of others that a command imports, in its library files too and at any depth."""
    tops = {name.split(".")[0] for file in closure(path, packages=True) for name in imports(file)}
    ours = {"ldportrait", "conftest"}
    tops |= {"pyarrow"} if "pandas" in tops else set()  # with which it reads Parquet
    return {top for top in tops if top and top not in sys.stdlib_module_names and top not in ours}


def third_party(path: Path) -> set[str]:
    return {DISTRIBUTIONS.get(top, top) for top in foreign_imports(path)}


def environments() -> dict[str, list[str]]:
    """Return the environments of each command, as its rule declares them: with GPUs and without, where these differ."""
    found = {}
    for file in [ROOT / "workflow" / "bank.smk", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        for rule in re.split(r"^rule ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            if "conda:" in rule:
                (script,) = set(re.findall(r"(?:\{SCRIPTS\}|workflow/scripts)/(\w+\.py)", rule))
                found[script] = re.findall(r"envs/([\w.]+\.yaml)", rule)
    return found


def test_every_command_has_an_environment():
    assert set(environments()) == {path.name for path in SCRIPTS.glob("*.py")} - BY_MAKE


@pytest.mark.parametrize("script", sorted(environments()))
def test_what_a_command_imports_is_declared(script):
    for name in environments()[script]:
        assert third_party(SCRIPTS / script) <= set(pip_pins(name))


def test_rules_with_torch_choose_between_the_twins():
    for script, names in environments().items():
        assert len(names) == (2 if names[0] in TWINS else 1), script
        assert names[1:] == [TWINS[name] for name in names[:1] if name in TWINS]


def test_tests_import_only_what_is_locked():
    tests = ROOT / "tests"
    tops = {
        alias.split(".")[0]
        for path in tests.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for alias in names(node)
    }
    ours = {"ldportrait", *(path.stem for folder in (tests, SCRIPTS) for path in folder.rglob("*.py"))}
    foreign = {DISTRIBUTIONS.get(top, top) for top in tops - ours - set(sys.stdlib_module_names)}
    optional = {"bpy", "anny"}  # tests that need the renderer skip without it
    assert foreign - optional <= set(lock("requirements.lock"))


def names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
