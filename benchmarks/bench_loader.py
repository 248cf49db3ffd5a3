"""Time the loader: composites of 512² a second on one core, from shards of 1024², and where the time goes.

Run `python benchmarks/bench_loader.py` in the repository; it takes half a minute. The portraits are train portraits of
the bank, enlarged to 1024². Times are CPU times of one thread, since the machine may be shared: of each composite the
least of the repetitions, and the mean over the composites. A portrait is decoded once for each composite, as where the
data set is larger than the memory for it.
"""

import io
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from PIL import Image  # noqa: E402
from torch.utils.data import default_collate  # noqa: E402

from ldportrait import augment, images, shards, training_data  # noqa: E402
from train_matting import picked, read_backgrounds  # noqa: E402

BANK = ROOT / "resources" / "bank"
PICTURES, SIZE, CROP, BATCH = 12, 1024, 512, 8
BAR = 25  # composites a second


def write_shard(folder: Path) -> training_data.Shard:
    """A shard of the bank's train portraits, enlarged."""
    table = shards.read_table(BANK / "bank.parquet")
    paths = table[(table.kind == "portrait") & (table.split == "train")].path
    tar, ids = folder / "shard-0000000.tar", []
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, path in enumerate(paths.iloc[:: len(paths) // PICTURES][:PICTURES]):
            ids.append(f"bench-{number:09d}")
            picture = cv2.resize(images.read_rgba(BANK / path), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            shards.add_member(archive, f"{ids[-1]}.rgba.webp", shards.encode(picture))
    return training_data.Shard(tar, tuple(ids), 4 * SIZE**2)


def milliseconds(work: Callable, items: Sequence, repetitions: int = 3) -> float:
    """CPU time of `work`: the least over the repetitions, the mean over the items."""
    times = np.zeros((len(items), repetitions))
    for i, item in enumerate(items):
        for j in range(repetitions):
            start = time.process_time()
            work(item)
            times[i, j] = time.process_time() - start
    return float(times.min(axis=1).mean() * 1000)


def with_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.array(picture.convert("RGBA"))


def recipe() -> augment.Params:
    """The augmentation of ViTMatte's recipe."""
    text = (ROOT / "config" / "recipes" / "vitmatte.yaml").read_text(encoding="utf-8")
    own = yaml.safe_load(text)["train"]["models"]["vitmatte-s"]
    return picked(augment.Params, vars(augment.Params()) | own)


def report(name: str, shard: training_data.Shard, grounds: list[np.ndarray], params: augment.Params) -> None:
    """Time each part of making a composite, and the whole."""
    files = [content for _, content in training_data.read(shard)]
    held = [training_data.decode(content, "") for content in files]
    reading = milliseconds(lambda shard: list(training_data.read(shard)), [shard]) / PICTURES
    decoding = milliseconds(lambda content: training_data.decode(content, ""), files)
    mapping = milliseconds(lambda rgba: augment.places(rgba[..., 3]), held)
    maps = [augment.places(rgba[..., 3]) for rgba in held]

    def composite(index: int) -> augment.Sample:
        pair = index % PICTURES, (index + 1) % PICTURES
        portraits, rims = ([these[place] for place in pair] for these in (held, maps))
        return augment.sample(index, *portraits, grounds, params, 0, tuple(rims))

    augmenting = milliseconds(composite, range(2 * PICTURES))
    seconds = params.two_foregrounds * (decoding + mapping)  # a second portrait that is decoded for this one alone
    stream = training_data.Composites([shard], grounds, params, 0, cache=1e4)
    batch = [stream.bytes(index) for index in range(BATCH)]
    collating = milliseconds(default_collate, [batch]) / BATCH
    whole = reading + decoding + mapping + seconds + augmenting + collating
    print(f"{name}: {1000 / whole:.1f} composites a second a core, {1000 / whole / BAR:.2f} x the bar of {BAR}")
    for part, spent in [
        ("reading", reading),
        ("decoding", decoding),
        ("second portraits", seconds),
        ("finding the rim", mapping),
        ("augmentation", augmenting),
        ("collation", collating),
    ]:
        print(f"{name}: {part} {spent:.2f} ms, {100 * spent / whole:.0f} %")
    kept = augmenting + collating
    print(f"{name}: {1000 / kept:.1f} a second a core where the data set stays decoded in memory")


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    grounds = list(read_backgrounds(BANK).values())
    with tempfile.TemporaryDirectory() as folder:
        shard = write_shard(Path(folder))
        report("defaults", shard, grounds, augment.Params(crop=CROP))
        report("vitmatte recipe", shard, grounds, recipe())
        files = [content for _, content in training_data.read(shard)]
        ours, theirs = (
            milliseconds(lambda content: training_data.decode(content, ""), files),
            milliseconds(with_pillow, files),
        )
        print(f"decoding by Pillow: {theirs:.1f} ms, {theirs / ours:.2f} x ours")
        stream = training_data.Composites([shard], grounds, augment.Params(crop=CROP), 0, cache=1e4)
        bytes, floats = ([make(index) for index in range(BATCH)] for make in (stream.bytes, stream.__getitem__))
        moved, four = (milliseconds(default_collate, [batch]) / BATCH for batch in (bytes, floats))
        print(f"collation of floats: {four:.2f} ms, {four / moved:.1f} x that of bytes")
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
