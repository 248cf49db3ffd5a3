"""Generate the portraits of one prompt shard: an uncompressed tar of RGBA pictures and its manifest."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from ldportrait import commands, devices, generators, images, shards
from ldportrait.prompts import COLUMNS
from ldportrait.shards import Item


def main(
    prompts: Annotated[Path, typer.Argument(help="The prompt shard (.parquet).")],
    output: Annotated[Path, typer.Argument(help="The shard to write (.tar; its manifest lies beside it).")],
    backend: Annotated[str, typer.Option(help="bank, folder or layerdiffuse.")] = "bank",
    partial: Annotated[
        Path | None,
        typer.Option(help="Folder for finished pictures; a killed run goes on there. Default: by the output."),
    ] = None,
    bank: Annotated[Path, typer.Option(help="bank: the portrait bank.")] = Path("resources/bank"),
    pictures: Annotated[Path | None, typer.Option(help="folder: the folder of RGBA pictures.")] = None,
    size: Annotated[int, typer.Option(min=64, help="bank, layerdiffuse: side of the pictures in pixels.")] = 512,
    severity: Annotated[float, typer.Option(min=0, help="bank: amount of damage; 1 is as LayerDiffuse does.")] = 1.0,
    gross: Annotated[float, typer.Option(min=0, max=1, help="bank: share of pictures spoilt altogether.")] = 0.12,
    splits: Annotated[list[str] | None, typer.Option(help="bank: splits to take portraits from. [train, val]")] = None,
    weights: Annotated[Path | None, typer.Option(help="layerdiffuse: the record that fetch_weights.py wrote.")] = None,
    sampler: Annotated[
        str,
        typer.Option(help="layerdiffuse: dpmpp-2m-karras, dpmpp-2m-sde-karras, euler, euler-ancestral or unipc."),
    ] = "dpmpp-2m-karras",
    steps: Annotated[int, typer.Option(min=1, help="layerdiffuse: steps of the sampler.")] = 25,
    cfg: Annotated[float, typer.Option(min=0, help="layerdiffuse: scale of the classifier-free guidance.")] = 7.0,
    dtype: Annotated[str, typer.Option(help="layerdiffuse: float16, bfloat16 or float32.")] = "float16",
    passes: Annotated[int, typer.Option(help="layerdiffuse: passes of the transparent decoder, 1 or 8.")] = 8,
    true_median: Annotated[bool, typer.Option(help="layerdiffuse: not the lower median, as published.")] = False,
    failed: Annotated[
        float, typer.Option(min=0, max=1, help="layerdiffuse: stop where more than this share have no matte.")
    ] = 0.5,
    batch: Annotated[int, typer.Option(min=1, help="Pictures made at once; halved where memory does not suffice.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, max=1, help="layerdiffuse: 0 for the CPU.")] = 1,
    offload: Annotated[bool, typer.Option(help="layerdiffuse: for GPUs of 12 GB; slower.")] = False,
    channels_last: Annotated[bool, typer.Option(help="layerdiffuse: another order of numbers in memory.")] = True,
    compile: Annotated[bool, typer.Option(help="layerdiffuse: compile the models; minutes at the start.")] = False,
) -> None:
    """Make a picture for every prompt of the shard; the same command goes on where a killed one stopped."""
    if output.suffix != ".tar":
        raise ValueError(f"The shard to write must be a .tar, not {output}.")
    table = shards.read_table(prompts)
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"{prompts} has no column {missing[0]!r}; make it with make_prompts.py.")
    rows = table.to_dict("records")
    if backend == "layerdiffuse":
        devices.take(gpus)
    images.compute_alike()
    module = generators.get(backend)
    state = {"stage": "generate", "backend": backend, "version": module.VERSION, "rows": rows}
    settings = {"bank": bank, "pictures": pictures}
    if backend == "bank":
        made_of = {"size": size, "severity": severity, "gross": gross, "splits": sorted(splits or ["train", "val"])}
        state |= {"settings": made_of, "bank": _digest(bank / "bank.parquet")}
    elif backend == "layerdiffuse":
        made_of = {"size": size, "sampler": sampler, "steps": steps, "cfg": cfg, "dtype": dtype}
        made_of |= {"passes": passes, "median": "true" if true_median else "lower"}
        record = _record(weights)
        state |= {"settings": made_of, "weights": record and record["sha256"]}
        settings |= {"record": record, "batch": batch, "gpus": gpus, "offload": offload}
        settings |= {"channels_last": channels_last, "compile": compile}
    else:
        made_of = {}
        files = [pictures / row["source"] for row in rows] if pictures is not None else []
        state["pictures"] = [[file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]
    generate = module.load(settings | made_of)
    partial = partial or shards.partial_of(output)
    check = None
    if hasattr(module, "check_shard"):
        check = functools.partial(module.check_shard, total=len(rows), limit=failed, pictures=partial)
    jobs = list(_jobs(rows, generate, batch))
    shards.make_shard(output, partial, state, tqdm(jobs, disable=None, unit="picture", desc=output.stem), check)


def _record(path: Path | None) -> dict | None:
    if path is None:
        return None
    if not path.is_file():
        raise FileNotFoundError(f"There is no record of weights at {path}; fetch_weights.py writes it.")
    return json.loads(path.read_text(encoding="utf-8"))


def _digest(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"There is no bank at {path.parent}: {path.name} is missing.")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _jobs(
    rows: Sequence[dict], generate: Callable[[Sequence[dict]], list[Item]], batch: int
) -> Iterator[tuple[str, Callable[[], Item]]]:
    """Yield a job per row; the first job of a batch that is called makes the batch from there on."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        made: dict[str, Item] = {}

        def job(place: int, part: Sequence[dict] = part, made: dict[str, Item] = made) -> Item:
            id = part[place]["id"]
            if id not in made:
                made.update((item.row["id"], item) for item in generate(part[place:]))
            return made.pop(id)

        for place, row in enumerate(part):
            yield row["id"], lambda place=place, job=job: job(place)


if __name__ == "__main__":
    commands.run(main)
