"""The declared environments agree with the locks, and declare all that the commands import."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SCRIPTS

LOCKS = {"core.yaml": "requirements.lock", "render.yaml": "requirements-render.lock"}
# import name -> distribution name, where they differ
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "mathutils": "bpy"}
RENDERING = ("render_", "fetch_assets")


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


def pip_pins(name: str) -> dict[str, str]:
    (by_pip,) = [entry["pip"] for entry in environment(name)["dependencies"] if isinstance(entry, dict)]
    return pins(by_pip)


@pytest.mark.parametrize("name", LOCKS)
def test_an_environment_has_the_pins_of_its_lock(name):
    locked = lock(LOCKS[name])
    assert pip_pins(name).items() <= locked.items()


@pytest.mark.parametrize("name", LOCKS)
def test_an_environment_is_conda_forge_with_python_and_pip(name):
    content = environment(name)
    assert content["channels"] == ["conda-forge", "nodefaults"]
    assert {"python=3.11", "pip"} <= {entry for entry in content["dependencies"] if isinstance(entry, str)}


def test_the_locks_agree_where_they_meet():
    core, render = (lock(name) for name in LOCKS.values())
    different = {name for name in core.keys() & render.keys() if core[name] != render[name]}
    assert not different


def test_make_installs_the_locked_torch():
    (version,) = re.findall(r"\btorch==(\S+)", (ROOT / "Makefile").read_text())
    assert version == lock("requirements-render.lock")["torch"]


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a file imports, at any depth."""
    package = ".".join(path.relative_to(SCRIPTS).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def closure(path: Path) -> set[Path]:
    """Return a command and the library files that it imports, directly or not."""
    seen, queue = set(), [path]
    while queue:
        here = queue.pop()
        if here in seen:
            continue
        seen.add(here)
        candidates = [SCRIPTS.joinpath(*name.split(".")).with_suffix(".py") for name in imports(here)]
        queue += [file for file in candidates if file.is_file()]
    return seen


def third_party(path: Path) -> set[str]:
    tops = {name.split(".")[0] for file in closure(path) for name in imports(file)}
    ours = {"ldportrait", "conftest"}
    return {
        DISTRIBUTIONS.get(top, top) for top in tops if top and top not in sys.stdlib_module_names and top not in ours
    }


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_what_a_command_imports_is_declared(script):
    declared = set(pip_pins("render.yaml" if script.startswith(RENDERING) else "core.yaml"))
    assert third_party(SCRIPTS / script) <= declared


def test_tests_import_only_what_is_locked():
    tests = ROOT / "tests"
    tops = {
        alias.split(".")[0]
        for path in tests.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for alias in names(node)
    }
    ours = {"ldportrait", *(path.stem for path in tests.rglob("*.py"))}
    foreign = {DISTRIBUTIONS.get(top, top) for top in tops - ours - set(sys.stdlib_module_names)}
    optional = {"bpy", "anny", "torch"}  # tests that need the renderer skip without it
    assert foreign - optional <= set(lock("requirements.lock"))


def names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
