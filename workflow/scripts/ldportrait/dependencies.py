"""What of our own code a command depends on, so that editing a file reruns the rules that it concerns and no others.

Nothing heavy is imported, and no file of ours either: Snakemake asks this at every start, on a cluster in every job.
"""

import ast
import functools
import hashlib
import re
from pathlib import Path

SCRIPTS = Path(__file__).parent.parent
REGISTRIES = {"ldportrait/models", "ldportrait/benchmarks"}
IMPORT = re.compile(r"^[ \t]*((?:from|import)[ \t]+(?:\.|ldportrait\b)[^\n(]*(?:\([^)]*\))?)", re.MULTILINE)


def library(command: str) -> str:
    """A digest of the library files that a command imports: as a param, it reruns the command when one is edited.

    Files as inputs would do the same, but thousands of jobs with ten of them each make Snakemake slow to start.
    """
    contents = b"".join((SCRIPTS.parent.parent / path).read_bytes() for path in library_files(command))
    return hashlib.sha256(contents).hexdigest()[:12]


def library_files(command: str) -> list[str]:
    """The library files that a command imports, directly or not, as sorted paths from the repository's root.

    A package that is a registry counts with all its modules, since it imports them by name.
    """
    files = {path for path in _closure(f"{command}.py") if "/" in path}
    for package in REGISTRIES & {str(Path(path).parent) for path in files}:
        for module in (SCRIPTS / package).glob("*.py"):
            files |= _closure(f"{package}/{module.name}")
    return sorted(f"workflow/scripts/{path}" for path in files if "/" in path)


@functools.cache
def _closure(path: str) -> frozenset[str]:
    seen, queue = set(), [path]
    while queue:
        here = queue.pop()
        if here not in seen:
            seen.add(here)
            queue += _imports(here)
    return frozenset(seen)


@functools.cache
def _imports(path: str) -> tuple[str, ...]:
    """The files of ours that one file names in its import statements, at any depth, and their packages."""
    found = []
    for node in ast.walk(_import_statements((SCRIPTS / path).read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(Path(path).parts[: -node.level]) if node.level else ""
            base = ".".join(filter(None, [package, node.module]))
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "ldportrait":
                found += ["/".join(parts[:n]) + "/__init__.py" for n in range(1, len(parts) + 1)]
                found.append("/".join(parts) + ".py")
    return tuple(file for file in dict.fromkeys(found) if (SCRIPTS / file).is_file())


def _import_statements(source: str) -> ast.Module:
    """The statements of a source that import from our library; all of it where words look like one and are none.

    To parse whole files took a fifth of the time that Snakemake needs to read the workflow, in every job on a cluster.
    """
    try:
        return ast.parse("\n".join(IMPORT.findall(source)))
    except SyntaxError:
        return ast.parse(source)


def version_of(path: str) -> str:
    """The `VERSION = "..."` of a library file, read without importing it."""
    for node in ast.parse((SCRIPTS / "ldportrait" / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "VERSION" for target in node.targets):
            return str(ast.literal_eval(node.value))
    raise ValueError(f"{path} has no VERSION.")
