"""What a run was made with: the effective configuration, the versions, and the state of the repository.

Snakemake itself imports this, and with conda its own environment lacks the jobs' packages: the standard library alone.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES = (
    *("snakemake", "numpy", "opencv-python-headless", "scipy", "pillow", "pandas", "matplotlib"),
    *("torch", "lightning", "diffusers", "transformers"),
)


def describe(config: Mapping, root: Path) -> dict:
    """The effective configuration, with its seeds, and the versions of what reads it."""
    return {
        "config": dict(config),
        "commit": _commit(root),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def write(config: Mapping, root: Path, path: Path) -> None:
    """Write the description of a run as JSON, whole. OSError names the file where the disk is full or read-only."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(describe(config, root), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit(root: Path) -> str | None:
    """The repository's commit, with -dirty where files differ from it; None outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
