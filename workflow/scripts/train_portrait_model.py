"""Train the portrait network on the bank: the model in resources/models/portrait, which matte_pictures uses."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands

UNLIKE = 10**6  # added to the seed of a stage's composites, so that no two stages see the same


def main(
    output: Annotated[Path, typer.Argument(help="Folder for model.safetensors, model.json and a log of each stage.")],
    bank: Annotated[Path, typer.Option(help="The bank's folder.")] = Path("resources/bank"),
    splits: Annotated[str, typer.Option(help="The bank's splits to train on, with commas between.")] = "train",
    start_steps: Annotated[int, typer.Option(min=1, help="Steps of the coarse network on smaller pictures.")] = 3000,
    start_side: Annotated[int, typer.Option(help="Side of these.")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the coarse network after that.")] = 3000,
    batch_size: Annotated[int, typer.Option(min=2, help="Composites a step of the coarse network.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Largest learning rate of the coarse network.")] = 3e-3,
    detail_steps: Annotated[int, typer.Option(min=1, help="Steps of the detail head.")] = 2000,
    detail_batch_size: Annotated[int, typer.Option(min=1, help="Composites a step of the detail head.")] = 4,
    detail_learning_rate: Annotated[float, typer.Option(help="Largest learning rate of the detail head.")] = 3e-3,
    side: Annotated[int, typer.Option(help="Side of the pictures that the coarse network sees.")] = 192,
    fine: Annotated[int, typer.Option(help="Side of the pictures that the detail head sees.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights and the composites.")] = 0,
    validation: Annotated[
        bool, typer.Option(help="Measure the validation split at the end: each portrait before three backgrounds.")
    ] = True,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between two checkpoints.")] = 200,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make composites; 0 for none of their own.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train the portrait network: model.safetensors, model.json (what it is, and its SHA-256), and a log of each stage.

    A killed run that is started again goes on from its last checkpoint, which lies in OUTPUT/.checkpoints.
    """
    from ldportrait import models, training_whole

    chosen = tuple(splits.split(","))
    pictures = training_whole.read_bank(bank, chosen)

    import torch

    from ldportrait import training

    training.use_threads(threads)
    settings = {"side": side, "fine": fine}
    stages = {  # the part that is trained, how, and the side of its composites
        "start": ("coarse", training_whole.Plan(start_steps, batch_size, learning_rate), start_side),
        "coarse": ("coarse", training_whole.Plan(steps, batch_size, learning_rate), side),
        "detail": ("detail", training_whole.Plan(detail_steps, detail_batch_size, detail_learning_rate), fine),
    }
    torch.manual_seed(seed)
    network = models.get("portrait").build(**settings)
    # predict_mattes wants to know of every model what it was trained on: the bank's exact alpha, all of it
    info = {"model": "portrait", "settings": settings, "run": "portrait", "dataset": "bank", "variant": "truth"}
    info |= {"fraction": 100.0, "seed": seed, "splits": list(chosen), "ids": len(pictures.portraits)}
    info |= {"backgrounds": len(pictures.backgrounds)}
    sizes = {name: list(value.shape) for name, value in network.state_dict().items()}
    state = info | {"sha256": pictures.sha256, "torch": torch.__version__, "shapes": sizes}
    info["seconds"], folder = 0, output / ".checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    sources = pictures.sources()
    for number, (name, (part, plan, shown)) in enumerate(stages.items()):
        info[name] = vars(plan) | {"part": part, "side": shown}
        state[name] = info[name]  # a stage's checkpoint is good for the same stages up to it
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
        composites = training_whole.Composites(sources, shown, seed + UNLIKE * number)
        file = folder / f"{name}.ckpt"
        rows = training_whole.fit(network, part, plan, composites, file, digest, checkpoint_every, workers)
        training.write_log(rows, output / f"{name}.csv")
        info["seconds"] += round(sum(row["seconds"] for row in rows))
    info["val"] = training_whole.validate(network, bank) if validation else None
    models.save(network, output, info)
    shutil.rmtree(folder, ignore_errors=True)
    found = f", MAD {info['val']['mad']:.4f} on the validation split" if validation else ""
    counts = " + ".join(str(plan.steps) for _, plan, _ in stages.values())
    typer.echo(f"{output}: {counts} steps on {len(pictures.portraits)} portraits, {info['seconds']} s{found}")


if __name__ == "__main__":
    commands.run(main)
