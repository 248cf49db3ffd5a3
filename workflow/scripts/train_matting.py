"""Train a matting network on a data set, or on a nested part of it, from composites made on the fly."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldportrait import commands, devices

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from ldportrait.training_data import Composites, Shard
    from ldportrait.training_module import HeldOut, Matting

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
LIMIT = 640  # backgrounds are kept in memory, scaled to this shorter side at most
STOPPED = 128 + signal.SIGTERM  # exit status of a run that a scheduler told to stop: it is to be started again
NO_INIT = {"kind": "none", "sha256": None}
MADE = ("model.safetensors", "model.json", "log.csv")
UNSEEN = 10**6  # validation composites are drawn from this seed on, so that they are no training composites


def main(
    dataset: Annotated[Path, typer.Argument(help="The data set's folder, with metadata.parquet and train/.")],
    output: Annotated[Path, typer.Argument(help="Folder for model.safetensors, model.json and log.csv.")],
    model: Annotated[str, typer.Option(help="The network's name, as docs/models.md lists them.")] = "small-trimap",
    backgrounds: Annotated[
        Path, typer.Option(help="What portraits are laid over: a folder of pictures, or a bank (its train split).")
    ] = Path("resources/bank"),
    initial: Annotated[
        Path | None, typer.Option(help="A model's folder whose weights and settings the training starts from.")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints, so that a killed run goes on; else OUTPUT/.checkpoints."),
    ] = None,
    run: Annotated[str, typer.Option(help="Name of the run, noted in model.json.")] = "demo",
    fraction: Annotated[
        float, typer.Option(help="Percent of the training portraits; smaller parts lie in larger.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights, the part drawn, and the composites.")] = 0,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 120,
    batch_size: Annotated[int, typer.Option(help="Composites a step (on each GPU).")] = 8,
    crop: Annotated[int, typer.Option(help="Side of a composite in pixels.")] = 96,
    scale_low: Annotated[float, typer.Option(help="Least size of a crop's window in the portrait, in crops.")] = 0.75,
    scale_high: Annotated[float, typer.Option(help="Largest size of a crop's window in the portrait, in crops.")] = 1.5,
    two_foregrounds: Annotated[float, typer.Option(help="Probability of a second portrait in front.")] = 0.1,
    jitter: Annotated[float, typer.Option(help="Largest change of exposure and contrast.")] = 0.15,
    degrade: Annotated[float, typer.Option(help="Probability of a camera's blur, noise and compression.")] = 0.3,
    erosion_low: Annotated[int, typer.Option(help="Least widening of the trimap's unknown region, pixels.")] = 1,
    erosion_high: Annotated[int, typer.Option(help="Largest widening of the trimap's unknown region, pixels.")] = 10,
    affine: Annotated[float, typer.Option(help="Probability that a portrait is turned, zoomed and sheared.")] = 0.0,
    rotation: Annotated[float, typer.Option(help="Largest turn of such a portrait, degrees.")] = 30.0,
    zoom: Annotated[float, typer.Option(help="Largest factor by which such a portrait grows or shrinks.")] = 1.25,
    shear: Annotated[float, typer.Option(help="Largest shear of such a portrait, degrees.")] = 10.0,
    hue: Annotated[float, typer.Option(help="Largest turn of a portrait's hue, degrees.")] = 0.0,
    saturation: Annotated[float, typer.Option(help="Largest relative change of a portrait's saturation.")] = 0.0,
    resize: Annotated[float, typer.Option(help="Probability of a window in the portrait shrunk to resize-to.")] = 0.0,
    resize_to: Annotated[int, typer.Option(help="Shorter side of a portrait that is shrunk so, pixels.")] = 640,
    optimiser: Annotated[str, typer.Option(help="adamw or sgd.")] = "adamw",
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.")] = 0.9,
    learning_rate: Annotated[float, typer.Option(help="Largest learning rate.")] = 3e-3,
    layer_decay: Annotated[
        float, typer.Option(help="Factor of the learning rate from a transformer block to the one before it.")
    ] = 1.0,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = 0.01,
    decay_norms: Annotated[
        bool, typer.Option(help="Whether norms, biases and position embeddings have weight decay.")
    ] = True,
    schedule: Annotated[str, typer.Option(help="Of the learning rate: one-cycle, step or cosine.")] = "one-cycle",
    warm_up: Annotated[float, typer.Option(help="one-cycle: share of the steps over which the rate rises.")] = 0.3,
    warm_up_steps: Annotated[int, typer.Option(help="step and cosine: steps over which the rate rises.")] = 0,
    milestones: Annotated[
        list[float] | None, typer.Option(help="step: share of the steps from which a factor holds; repeat it.")
    ] = None,
    factors: Annotated[
        list[float] | None, typer.Option(help="step: what the learning rate is multiplied by from there; repeat it.")
    ] = None,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient; 0 for any.")] = 0.0,
    ema: Annotated[float, typer.Option(help="Decay of the weights' moving average, the model; 0 for none.")] = 0.0,
    accumulate: Annotated[int, typer.Option(help="Batches whose gradients are summed for a step.")] = 1,
    unknown: Annotated[float, typer.Option(help="Weight of the L1 loss in the unknown region.")] = 1.0,
    known: Annotated[float, typer.Option(help="Weight of the L1 loss elsewhere; trimap-free networks need it.")] = 0.0,
    laplacian: Annotated[float, typer.Option(help="Weight of the Laplacian pyramid loss.")] = 0.5,
    composition: Annotated[float, typer.Option(help="Weight of the composition loss.")] = 0.0,
    init: Annotated[str, typer.Option(help="Kind of weights to start from (docs/models.md), or none.")] = "none",
    init_file: Annotated[Path | None, typer.Option(help="The safetensors file of those weights.")] = None,
    init_sha256: Annotated[str | None, typer.Option(help="SHA-256 of that file.")] = None,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    checkpoint_every: Annotated[int, typer.Option(help="Steps between two checkpoints.")] = 50,
    validation: Annotated[int, typer.Option(min=0, help="Validation composites that are measured.")] = 32,
    validate_every: Annotated[int, typer.Option(help="Steps between two validations; 0 for the end alone.")] = 0,
    keep: Annotated[str, typer.Option(help="Weights that are the model: last, or best in validation.")] = "last",
    tensorboard: Annotated[bool, typer.Option(help="Whether to write TensorBoard's files to OUTPUT/events.")] = False,
    cache: Annotated[float, typer.Option(help="Megabytes of decoded portraits held at a time, in each worker.")] = 1000,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make composites; 0 for none of their own.")] = 0,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a node; 0 trains on the CPU.")] = 0,
    nodes: Annotated[int, typer.Option(help="Nodes; see docs/training.md on how to start several.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Train a matting network: model.safetensors, model.json (what it is, and its SHA-256) and log.csv (a row a step).

    A killed run that is started again goes on from its last checkpoint with the same data, optimiser and schedule. One
    that gets SIGTERM ends its step, writes a checkpoint and exits with 143. Batches without a finite loss are skipped
    and kept in OUTPUT/.skipped.
    """
    given = locals() | {"milestones": tuple(milestones or ()), "factors": tuple(factors or ())}
    started = time.perf_counter()
    from ldportrait import augment, models  # what follows needs no torch, and a mistake is told at once

    network = models.get(model)
    if initial and init != "none":
        raise ValueError(f"A training starts from the model in {initial} or from {init}, not from both; leave one out.")
    params = picked(augment.Params, given)
    table = part(dataset, "train", fraction, seed)
    grounds = read_backgrounds(backgrounds)
    devices.take(gpus)

    import torch

    from ldportrait import checkpoints as kept
    from ldportrait import training
    from ldportrait.recipes import Plan
    from ldportrait.training_data import Composites
    from ldportrait.training_module import Losses, Matting, validate

    training.use_threads(threads)
    plan = picked(Plan, given)
    own, weights = network.losses() if network.own_losses else (None, picked(Losses, given))
    torch.manual_seed(seed)
    start, origin = started_from(model, crop, initial, init, init_file, init_sha256)
    module = Matting(start, weights, plan, own, seed, output / ".skipped")
    composites = Composites(shards_of(table, dataset), list(grounds.values()), params, seed, cache)
    held_out = unseen(dataset, composites, validation)
    info = origin | {
        "run": run,
        "dataset": dataset.name,
        "variant": str(table.variant.iloc[0]) if "variant" in table else dataset.name,
        "fraction": float(fraction),
        "seed": seed,
        "ids": len(table),
        "backgrounds": len(grounds),
        "plan": vars(plan),
        "augmentation": vars(params),
        "losses": dict(weights) if network.own_losses else vars(weights),
    }
    state = state_of(info, module) | {"pictures": table.sha256.tolist(), "grounds": list(grounds)}
    state |= {"validation": validation, "cache": float(cache)}  # the cache says which portraits are shuffled together
    folder, events = checkpoints or output / ".checkpoints", output / "events" if tensorboard else None
    with kept.alone(folder) as (lock, left):
        if left == kept.digest_of(state) and all((output / name).is_file() for name in MADE):
            kept.clear(folder)
            typer.echo(f"{output}: trained by the process that was waited for")
            return
        if not training.fit(module, composites, folder, state, workers, held_out, events):
            typer.echo(
                f"{output}: stopped after step {len(module.rows)}; the same command goes on from there", err=True
            )
            raise typer.Exit(STOPPED)
        if module.global_rank == 0:
            info |= {"val": validate(module, held_out) if held_out else None}
            info |= {"seconds": round(time.perf_counter() - started, 1)}
            info |= {"best": module.best or None, "skipped": module.skipped}
            training.write_log(module.rows, output / "log.csv")
            models.save(module.trained, output, info)
            with contextlib.suppress(OSError):  # on a disk that is full by now, whoever waits trains again
                os.write(lock, kept.digest_of(state).encode())
            kept.clear(folder)
            typer.echo(f"{output}: {len(module.rows)} steps on {len(table)} portraits, {info['seconds']} s")


def started_from(
    model: str, crop: int, initial: Path | None, init: str, init_file: Path | None, init_sha256: str | None
) -> "tuple[torch.nn.Module, dict[str, object]]":
    """Make the network that is trained, fresh or with weights from elsewhere, and the part of model.json on that.

    Errors are those of `initial_model`, `models.load` and `models.initialise`.
    """
    from ldportrait import models

    if initial:
        network, about = initial_model(initial, model)
        return network, {"model": model, "settings": about["settings"], "init": NO_INIT, "initial": about["sha256"]}
    # without a trimap a network must see the whole portrait: it is shown pictures of the size that it is trained on
    settings = {} if models.get(model).needs_trimap else {"side": crop}
    network = models.get(model).build(**settings)
    report = models.initialise(network, init, init_file, init_sha256 or "")
    if report:
        typer.echo(f"{init_file}: {report}")
    found = {"kind": init, "sha256": init_sha256} if report else NO_INIT
    return network, {"model": model, "settings": settings, "init": found}


def state_of(info: Mapping[str, object], module: "Matting") -> dict[str, object]:
    """What a checkpoint must agree with beside data: settings, versions, shapes; not how often one is made."""
    import torch

    plan = {name: value for name, value in vars(module.plan).items() if name != "checkpoint_every"}
    parameters = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    return dict(info) | {"plan": plan, "parameters": parameters, "torch": torch.__version__}


def picked(kind: type, given: Mapping[str, object]) -> object:
    """Make a dataclass from the options of its fields' names."""
    return kind(**{field.name: given[field.name] for field in dataclasses.fields(kind)})


def unseen(dataset: Path, composites: "Composites", count: int) -> "HeldOut | None":
    """Composites of the val split, made as those for training are; None without portraits, or if none are asked for."""
    from ldportrait.training_data import Composites
    from ldportrait.training_module import HeldOut

    table = part(dataset, "val", 100, composites.seed)
    if table.empty or not count:
        return None
    seed = composites.seed + UNSEEN
    made = Composites(shards_of(table, dataset), composites.backgrounds, composites.given, seed, composites.cache)
    return HeldOut(made, count)


def initial_model(folder: Path, model: str) -> "tuple[torch.nn.Module, dict[str, object]]":
    """Load the model that a training starts from, and its description; ValueError if it is another network."""
    from ldportrait import models

    name = models.read_info(folder)["model"]
    if name != model:
        raise ValueError(f"The model in {folder} is a {name}, which a {model} cannot start from; use --model {name}.")
    return models.load(folder)


def part(dataset: Path, split: str, fraction: float, seed: int) -> "pd.DataFrame":
    """Return the metadata of a split, or of a nested part of it; ValueError if there is nothing to train on.

    The part is drawn by persona in turn where all personas are known.
    """
    from ldportrait import datasets

    table = datasets.metadata(dataset)
    table = table[table.split == split].sort_values("id", ignore_index=True)
    if table.empty and split != "train":
        return table
    if table.empty:
        raise ValueError(f"The data set in {dataset} has no training portraits.")
    personas = list(table.persona) if "persona" in table and (table.persona != "").all() else None
    return table[table.id.isin(datasets.subset(list(table.id), fraction, seed, personas))]


def shards_of(table: "pd.DataFrame", dataset: Path) -> "list[Shard]":
    """Return the tars that hold the portraits of a table, with their ids. FileNotFoundError names a missing one."""
    from ldportrait import datasets
    from ldportrait.training_data import Shard

    return [
        Shard(
            datasets.tar_in(dataset, name),
            tuple(rows.id),
            int((rows.width * rows.height).max()) * 4,
            tuple(rows.sha256),
        )
        for name, rows in table.groupby("shard")
    ]


def read_backgrounds(place: Path) -> "dict[str, np.ndarray]":
    """Read the backgrounds by name, in order: a bank's training split, or all pictures of a folder, scaled to LIMIT.

    `place` is a folder or a bank's bank.parquet. Raises FileNotFoundError or ValueError if there are none.
    """
    import cv2

    from ldportrait import images, shards

    folder = place.parent if place.name == "bank.parquet" else place
    if (folder / "bank.parquet").is_file():
        table = shards.read_table(folder / "bank.parquet")
        table = table[(table.kind == "background") & (table.split == "train")]
        names = sorted(table.path)
    elif folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    else:
        raise FileNotFoundError(f"There is no folder of backgrounds at {place}.")
    if not names:
        raise ValueError(f"There are no backgrounds in {folder}: neither pictures nor a bank's training backgrounds.")
    found = {}
    for name in names:
        picture = images.read_rgb(folder / name)
        scale = LIMIT / min(picture.shape[:2])
        found[name] = (
            cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        )
    return found


if __name__ == "__main__":
    commands.run(main)
