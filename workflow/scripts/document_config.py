"""Write config/README.md from the configuration's schema: every key, its type, default and meaning."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ldportrait import commands
from ldportrait.shards import replacing

LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
HEAD = """# Configuration

`config.yaml` is read always; your own file goes over it and needs only the keys that differ:

```sh
snakemake --cores 8 --configfile mine.yaml
make run CONFIG=mine.yaml
```

A section is a stage: editing a key reruns that stage and what depends on it, and nothing else (`snakemake -n` says what
and why). A key that is not listed here is refused. This page is made from `schema.yaml` by `make docs`.
"""


def rows(schema: Mapping, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, type, default, description) of every leaf of an object schema, in its order."""
    for key, part in schema.get("properties", {}).items():
        if "properties" in part:
            yield from rows(part, f"{prefix}{key}.")
        else:
            yield (
                f"{prefix}{key}",
                kind(part),
                json.dumps(part.get("default"), ensure_ascii=False),
                " ".join(part["description"].split()),
            )


def kind(part: Mapping) -> str:
    """Name what a key may be."""
    if "enum" in part:
        return " or ".join(map(str, part["enum"]))
    types = part["type"] if isinstance(part["type"], list) else [part["type"]]
    if "array" in types:
        return " or ".join([f"list of {kind(part['items'])}", *(name for name in types if name != "array")])
    limits = [f"{sign} {part[name]}" for name, sign in LIMITS.items() if name in part]
    return " or ".join(types) + (f" {', '.join(limits)}" if limits else "")


def document(schema: Mapping) -> str:
    """The page: a table for each section."""
    parts = [HEAD]
    top = {key: part for key, part in schema["properties"].items() if "properties" not in part}
    sections = {key: part for key, part in schema["properties"].items() if "properties" in part}
    for title, text, keys in [
        ("Top level", "", list(rows({"properties": top}))),
        *((f"`{key}`", part["description"], list(rows(part, f"{key}."))) for key, part in sections.items()),
    ]:
        parts.append(f"\n## {title}\n")
        if text:
            parts.append(f"{text}\n")
        parts.append("| key | type | default | meaning |\n|---|---|---|---|")
        for name, type_, default, description in keys:
            parts.append(f"| `{name}` | {type_} | `{default}` | {description} |")
    return "\n".join(parts) + "\n"


def main(
    schema: Annotated[Path, typer.Argument(help="The schema: config/schema.yaml.")],
    output: Annotated[Path, typer.Argument(help="The page to write: config/README.md.")],
) -> None:
    """Write the page of all configuration keys from the schema."""
    if not schema.is_file():
        raise FileNotFoundError(f"There is no schema at {schema}.")
    with replacing(output) as temporary:
        temporary.write_text(document(yaml.safe_load(schema.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    commands.run(main)
