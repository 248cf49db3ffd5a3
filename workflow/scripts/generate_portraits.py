"""Generate the portraits of one prompt shard: an uncompressed tar of RGBA pictures and its manifest."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from ldportrait import commands, generators, shards
from ldportrait.prompts import COLUMNS
from ldportrait.shards import Item


def main(
    prompts: Annotated[Path, typer.Argument(help="The prompt shard (.parquet).")],
    output: Annotated[Path, typer.Argument(help="The shard to write (.tar; its manifest lies beside it).")],
    backend: Annotated[str, typer.Option(help="bank or folder.")] = "bank",
    partial: Annotated[
        Path | None,
        typer.Option(help="Folder for finished pictures; a killed run goes on there. Default: by the output."),
    ] = None,
    bank: Annotated[Path, typer.Option(help="bank: the portrait bank.")] = Path("resources/bank"),
    pictures: Annotated[Path | None, typer.Option(help="folder: the folder of RGBA pictures.")] = None,
    size: Annotated[int, typer.Option(min=64, help="bank: side of the pictures in pixels.")] = 512,
    severity: Annotated[float, typer.Option(min=0, help="bank: amount of damage; 1 is as LayerDiffuse does.")] = 1.0,
    gross: Annotated[float, typer.Option(min=0, max=1, help="bank: share of pictures spoilt altogether.")] = 0.12,
    splits: Annotated[list[str] | None, typer.Option(help="bank: splits to take portraits from. [train, val]")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures made at once.")] = 1,
) -> None:
    """Make a picture for every prompt of the shard; the same command goes on where a killed one stopped."""
    if output.suffix != ".tar":
        raise ValueError(f"The shard to write must be a .tar, not {output}.")
    table = shards.read_table(prompts)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"{prompts} has no column {missing[0]!r}; make it with make_prompts.py.")
    rows = table.to_dict("records")
    module = generators.get(backend)
    settings = {"size": size, "severity": severity, "gross": gross, "splits": sorted(splits or ["train", "val"])}
    places = {"bank": bank, "pictures": pictures}
    state = {"stage": "generate", "backend": backend, "version": module.VERSION, "rows": rows, "batch": batch}
    if backend == "bank":
        state |= {"settings": settings, "bank": _digest(bank / "bank.parquet")}
    if backend == "folder" and pictures is not None:
        files = [pictures / row["source"] for row in rows]
        state["pictures"] = [[file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]
    generate = module.load({**settings, **places})
    partial = partial or shards.partial_of(output)
    jobs = list(_jobs(rows, generate, batch))
    shards.make_shard(output, partial, state, tqdm(jobs, disable=None, unit="picture", desc=output.stem))


def _digest(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"There is no bank at {path.parent}: {path.name} is missing.")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _jobs(
    rows: Sequence[dict], generate: Callable[[Sequence[dict]], list[Item]], batch: int
) -> Iterator[tuple[str, Callable[[], Item]]]:
    """Yield a job per row; the first job of a batch that is called makes the whole batch."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        made: dict[str, Item] = {}

        def job(id: str, part: Sequence[dict] = part, made: dict[str, Item] = made) -> Item:
            if id not in made:
                made.update((item.row["id"], item) for item in generate(part))
            return made.pop(id)

        for row in part:
            yield row["id"], lambda id=row["id"], job=job: job(id)


if __name__ == "__main__":
    commands.run(main)
