"""For each command of the workflow, small inputs in a folder, and how it is called on them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import stages
import synthetic
from conftest import ROOT, disc
from PIL import Image

from ldportrait import prompts, shards

SHARD = "shard-0000000"
SPLITS = {"train": 0.9, "val": 0.05}
Call = Callable[[Path], list[object]]


def pictures(folder: Path, count: int = 3) -> Path:
    """A folder of small RGBA pictures."""
    folder.mkdir(parents=True)
    for index in range(count):
        picture = disc(48 + 16 * index)
        picture[..., 0] = np.arange(picture.shape[1]) * 3  # so that a file has some size
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


def pairs(folder: Path, count: int = 3) -> Path:
    """A data set of others: image/, alpha/ and foreground/."""
    for index in range(count):
        rgba = synthetic.bust(64 + 16 * index)
        for name, array in (("image", rgba[..., :3]), ("alpha", rgba[..., 3]), ("foreground", rgba[..., :3])):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / name / f"picture-{index}.png")
    return folder


def training_set(folder: Path) -> list[object]:
    """A data set to train on and backgrounds, as the command's arguments but the output."""
    root = stages.make(folder, count=4, per_shard=4)
    done = stages.call("assemble_dataset.py", *stages.folders(root), folder / "set", "--shards", 1, "--run", "demo")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(folder / "set" / "metadata.parquet")
    assert (table.split == "train").any()
    (folder / "grounds").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        folder / "grounds" / "a.png"
    )
    return [folder / "set", "--backgrounds", folder / "grounds"]


def make_prompts(folder: Path) -> Call:
    return lambda out: [out / "prompts.parquet", "--grammar", ROOT / "config" / "prompts.yaml", "--count", 4]


def generate_portraits(folder: Path) -> Call:
    table = prompts.picture_rows(pictures(folder / "mine"), 1, 0, 3, "demo", "", SPLITS)
    shards.write_table(table, folder / "prompts.parquet")
    words = [folder / "prompts.parquet", "--backend", "folder", "--pictures", folder / "mine"]
    return lambda out: [words[0], out / "generated" / f"{SHARD}.tar", *words[1:]]


def refine_mattes(folder: Path) -> Call:
    stages.make(folder, count=3)
    return lambda out: [folder / "generated" / f"{SHARD}.tar", out / "refined" / f"{SHARD}.tar"]


def refine_pictures(folder: Path) -> Call:
    pictures(folder / "mine")
    return lambda out: [folder / "mine", out / "refined"]


def key_mattes(folder: Path) -> Call:
    stages.make(folder, count=3)
    places = [folder / stage / f"{SHARD}.tar" for stage in ("generated", "refined")]
    return lambda out: [*places, out / "keyed" / f"{SHARD}.tar"]


def measure_portraits(folder: Path) -> Call:
    stages.make(folder, count=1, per_shard=1)
    places = [folder / stage / f"{SHARD}.tar" for stage in ("generated", "refined")]
    return lambda out: [*places, out / "measured" / f"{SHARD}.parquet"]


def screen_portraits(folder: Path) -> Call:
    stages.make(folder, count=1, per_shard=1)
    places = [folder / stage / f"{SHARD}.tar" for stage in ("generated", "refined")]
    done = stages.call("measure_portraits.py", *places, folder / "measured" / f"{SHARD}.parquet")
    assert done.returncode == 0, done.stderr
    return lambda out: [folder / "measured", out / "screened.parquet", "--shards", 1]


def assemble_dataset(folder: Path) -> Call:
    stages.make(folder)
    return lambda out: [*stages.folders(folder), out / "datasets" / "refined", "--shards", 2, "--run", "demo"]


def import_dataset(folder: Path) -> Call:
    pairs(folder / "theirs")
    return lambda out: [folder / "theirs", out / "datasets" / "theirs", "--name", "theirs", "--run", "demo"]


def train_matting(folder: Path) -> Call:
    dataset, *words = training_set(folder)
    words += ["--steps", 4, "--batch-size", 2, "--crop", 32, "--checkpoint-every", 1, "--validation", 1]
    return lambda out: [dataset, out / "model", *words]


def predict_mattes(folder: Path) -> Call:
    import torch

    from ldportrait import models

    torch.manual_seed(0)
    info = {"model": "small-free", "variant": "raw", "fraction": 100.0, "seed": 0, "settings": {"side": 32}}
    models.save(models.get("small-free").build(side=32), folder / "model", info)
    pairs(folder / "theirs")
    words = ["--benchmark", "folder", "--root", folder / "theirs"]
    return lambda out: [folder / "model", out / "predictions", *words]


def score_mattes(folder: Path) -> Call:
    done = stages.call("predict_mattes.py", *predict_mattes(folder)(folder))
    assert done.returncode == 0, done.stderr
    words = ["--benchmark", "folder", "--root", folder / "theirs"]
    return lambda out: [folder / "predictions", out / "scores.parquet", *words]


def score_variants(folder: Path) -> Call:
    stages.make(folder, count=2, per_shard=2)
    words = ["--run", "demo", "--shards", 1, "--variants", "raw", "--variants", "refined"]
    return lambda out: [*stages.folders(folder), out / "variants.parquet", *words]


def tabulate_screening(folder: Path) -> Call:
    made = synthetic.results(folder, count=6)
    return lambda out: [made / "screened.parquet", out / "tables" / "screening"]


def plot_acceptance(folder: Path) -> Call:
    made = synthetic.results(folder, count=6)
    return lambda out: [made / "screened.parquet", out / "figures" / "acceptance"]


def clip(folder: Path) -> Path:
    """A folder of frames: a disc that moves."""
    folder.mkdir(parents=True)
    for index in range(3):
        Image.fromarray(np.roll(disc(64), 4 * index, axis=1)[..., :3]).save(folder / f"{index}.png")
    return folder


def segment_video(folder: Path) -> Call:
    frames, mask = clip(folder / "clip"), folder / "mask.png"
    Image.fromarray(disc(64)[..., 3]).save(mask)
    return lambda out: [frames, out, "--segmenter", "masks", "--masks", mask]


def matte_video(folder: Path) -> Call:
    frames = clip(folder / "clip")
    model = ROOT / "resources" / "models" / "portrait"
    return lambda out: [frames, out / "alpha", "--output", "alpha", "--model", model, "--trimaps", "none"]


def make_thumbnails(folder: Path) -> Call:
    made = synthetic.results(folder, count=6)
    tars = [made / stage / f"{SHARD}.tar" for stage in ("generated", "refined")]
    return lambda out: [*tars, out / "0000000", "--thumbnail", 32]


def build_gallery(folder: Path) -> Call:
    made = synthetic.results(folder, count=6)
    (folder / "figures").mkdir()
    Image.new("RGB", (20, 10)).save(folder / "figures" / "mosaic.png")
    (folder / "figures" / "mosaic.pdf").write_bytes(b"%PDF")
    tars = [made / stage / f"{SHARD}.tar" for stage in ("generated", "refined")]
    for words in (
        ["tabulate_screening.py", made / "screened.parquet", folder / "tables" / "screening"],
        ["make_thumbnails.py", *tars, folder / "thumbnails", "--thumbnail", 32, "--every", 6],
    ):
        done = stages.call(*words)
        assert done.returncode == 0, done.stderr
    places = [made / name for name in ("refined", "screened.parquet", "measured", "figures", "tables")]

    def call(out: Path) -> list[object]:
        if not (out / "gallery").is_dir():  # the thumbnails are there before the page is made
            shutil.copytree(folder / "thumbnails", out / "gallery" / "0000000")
        return [*places, out / "index.html", "--shards", 1, "--figure", "mosaic", "--table", "screening"]

    return call


COMMANDS = {
    "make_prompts": make_prompts,
    "generate_portraits": generate_portraits,
    "refine_mattes": refine_mattes,
    "refine_pictures": refine_pictures,
    "key_mattes": key_mattes,
    "measure_portraits": measure_portraits,
    "screen_portraits": screen_portraits,
    "assemble_dataset": assemble_dataset,
    "import_dataset": import_dataset,
    "train_matting": train_matting,
    "predict_mattes": predict_mattes,
    "score_mattes": score_mattes,
    "score_variants": score_variants,
    "tabulate_screening": tabulate_screening,
    "plot_acceptance": plot_acceptance,
    "segment_video": segment_video,
    "matte_video": matte_video,
    "make_thumbnails": make_thumbnails,
    "build_gallery": build_gallery,
}
