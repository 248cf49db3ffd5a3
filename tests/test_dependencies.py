"""A command depends on the library files that it imports; their digest tells when one of them changes."""

import ast

import pytest
from conftest import ROOT

from ldportrait import dependencies


def test_the_library_of_a_command_is_what_it_imports():
    files = dependencies.library_files("refine_mattes")
    assert "workflow/scripts/ldportrait/connectivity.py" in files
    assert not any("rendering" in file or "training" in file for file in files)
    assert all((ROOT / file).is_file() for file in files)


def imported(tree: ast.AST) -> set[str]:
    """The names under ldportrait that the import statements of a syntax tree name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found |= {f"{base} {alias.name}" for alias in node.names}
    return {name for name in found if name.startswith(("ldportrait", "."))}


def test_imports_are_found_as_by_parsing_the_whole_file():
    for file in (ROOT / "workflow" / "scripts").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert imported(dependencies._import_statements(source)) == imported(ast.parse(source)), file


def test_words_that_look_like_an_import_do_no_harm():
    words = '"""A text\nfrom ldportrait and others.\n"""\n'
    source = f"{words}def f():\n    from ldportrait import (\n        images,\n    )\n"
    assert imported(dependencies._import_statements(source)) == {"ldportrait images"}


def test_the_digest_of_a_library_depends_on_the_command():
    first, again, other = map(dependencies.library, ("refine_mattes", "refine_mattes", "key_mattes"))
    assert first == again != other


def test_a_registry_counts_with_all_its_modules():
    assert "workflow/scripts/ldportrait/benchmarks/bank.py" in dependencies.library_files("score_mattes")


@pytest.mark.parametrize("backend", ["bank", "folder", "layerdiffuse"])
def test_every_backend_has_a_version(backend):
    assert dependencies.version_of(f"generators/{backend}.py")
