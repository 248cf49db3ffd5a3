"""What the stand-in for `pip` does: it links packages from the environment of the tests; a real pip downloads them.

An environment then holds what its file pins, and what these packages need in turn, and nothing else: an import that is
not declared fails in it. A pin must be the version that is there.
"""

import json
import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

FOLDERS = json.loads(Path(__file__).with_name("folders.json").read_text(encoding="utf-8"))
sys.path += FOLDERS

from packaging.requirements import Requirement  # noqa: E402, since it is of the environment of the tests


def main(arguments: list[str]) -> None:
    match arguments:
        case ["install", "-U", "-r", file]:
            install(list(requirements(Path(file).read_text(encoding="utf-8").splitlines())))
        case _:
            sys.exit(f"pip: not known to the stand-in: {' '.join(arguments)}")


def requirements(lines: list[str]) -> Iterator[Requirement]:
    for line in lines:
        if line.startswith("--extra-index-url "):
            print(f"Looking in indexes: {line.split()[1]}")
        elif line.startswith("-"):
            sys.exit(f"pip: not known to the stand-in: {line}")
        else:
            yield Requirement(line)


def install(queue: list[Requirement]) -> None:
    target, seen = Path(sysconfig.get_path("purelib")), set()
    for requirement in queue:  # which grows
        found = find(requirement)
        if str(requirement) not in seen:
            seen.add(str(requirement))
            link(found, target)
            queue += needs(found, requirement.extras)


def find(requirement: Requirement) -> metadata.Distribution:
    found = next(iter(metadata.distributions(name=requirement.name, path=FOLDERS)), None)
    if found is None or found.version not in requirement.specifier:
        versions = found.version if found else "none"
        sys.exit(f"ERROR: Could not find a version that satisfies {requirement} (from versions: {versions})")
    return found


def needs(found: metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, found.requires or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ["", *extras]):
            requirement.marker = None  # so that the same need in two words is one
            yield requirement


def link(found: metadata.Distribution, target: Path) -> None:
    """Link the distribution's packages, modules and metadata into an environment, its commands apart."""
    files = found.read_text("RECORD").splitlines()
    for name in {re.split("[/,]", file, maxsplit=1)[0] for file in files} - {"..", "__pycache__"}:
        if not (target / name).is_symlink():
            (target / name).symlink_to(found.locate_file(name))


if __name__ == "__main__":
    main(sys.argv[1:])
