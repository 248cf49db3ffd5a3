"""The commands matte_video and matte_pictures on videos: what they write, in which form, and what they refuse."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, SCRIPTS
from PIL import Image

import matte_pictures
import matte_video
from ldportrait import inference, matting, models, trimaps
from ldportrait.benchmarks import bank_clips
from ldportrait.video import files, segmenters

MODELS = {"small-free": {"widths": [4, 8], "depth": 1, "side": 32}, "small-trimap": {"widths": [4, 8]}}
BANK = ROOT / "resources" / "bank"
INFO = {"variant": "truth", "fraction": 100.0, "seed": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models of random weights, and a video of odd sides whose frames come at uneven times."""
    folder = tmp_path_factory.mktemp("videos")
    for name, settings in MODELS.items():
        torch.manual_seed(1)
        network = models.get(name).build(**settings)
        torch.nn.init.normal_(network.unet.head.weight, std=0.5)
        models.save(network, folder / name, {"model": name, "settings": settings} | INFO)
    times = [Fraction(tick, 90_000) for tick in (0, 3600, 4500, 12_000, 30_000, 31_003)]
    clips.write(folder / "a.mp4", clips.moving_square(shape=(47, 63)), times)
    return folder


def pictures(*arguments: object, **options: object) -> None:
    """matte_pictures in this process."""
    matte_pictures.main(*arguments, **({"threads": 1} | options))


def video(*paths: object, **options: object) -> None:
    """matte_video in this process."""
    matte_video.main(list(paths), **options)


def read(path: Path) -> list[files.Frame]:
    return list(files.open_clip(path))


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def alone(place: Path, rgb: np.ndarray) -> np.ndarray:
    """What the trimap-free model says of a picture alone."""
    return matting.matte_whole(inference.predictor(models.load(place / "small-free")[0]), rgb, 32)


def test_a_video_becomes_prores_with_alpha_and_its_own_times(place, tmp_path):
    """As a command of its own: size, times and alpha as FFmpeg reads them back."""
    command = [sys.executable, SCRIPTS / "matte_pictures.py", place / "a.mp4", tmp_path / "out"]
    command += ["--model", place / "small-free", "--threads", "1"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert files_in(tmp_path / "out") == ["a.mov"]
    with av.open(str(tmp_path / "out" / "a.mov")) as container:
        assert container.streams.video[0].codec_context.name == "prores"
        shapes = {frame.to_ndarray(format="rgba").shape for frame in container.decode(video=0)}
    assert shapes == {(47, 63, 4)}
    times = [frame.seconds for frame in read(tmp_path / "out" / "a.mov")]
    assert times == [frame.seconds for frame in read(place / "a.mp4")]


def test_alpha_is_the_networks_where_it_is_unsure_and_frames_agree(place, tmp_path):
    """Without smoothing, what the network alone says of a frame, or the segmentation, at each pixel."""
    pictures(place / "a.mp4", tmp_path, model=place / "small-free", output="alpha", format="png", smooth=False)
    assert files_in(tmp_path) == [*(f"a/{index:06d}.png" for index in range(6)), "a/times.csv"]
    for index, frame in enumerate(read(place / "a.mp4")):
        alpha = np.array(Image.open(tmp_path / "a" / f"{index:06d}.png"))
        own = np.abs(alpha.astype(int) - alone(place, frame.rgb)) <= 1
        assert own.mean() > 0.2
        assert (own | np.isin(alpha, (0, 255))).all()


@pytest.mark.parametrize(("name", "output"), [("b.webm", "rgba"), ("b.mp4", "composite"), ("b.mp4", "alpha")])
def test_one_videos_output_may_be_named(place, tmp_path, name, output):
    background = "blur" if output == "composite" else None
    options = {"model": place / "small-trimap", "coarse": place / "small-free", "background": background}
    pictures(place / "a.mp4", tmp_path / name, output=output, **options)
    assert files_in(tmp_path) == [name]
    found = read(tmp_path / name)
    assert len(found) == 6
    assert found[0].rgb.shape[:2] == ((47, 63) if name == "b.webm" else (48, 64))
    if output == "alpha":
        assert (np.ptp(found[2].rgb.astype(int), axis=2) <= 4).all()


def test_photos_and_videos_in_one_folder(place, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.mp4", "sub/c.mkv"):
        clips.write(tmp_path / "in" / name, clips.moving_square(3))
    photo = clips.moving_square(1)[0]
    Image.fromarray(photo).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "broken.mov").write_bytes(b"no video")
    with pytest.raises(matte_pictures.typer.Exit):
        pictures(tmp_path / "in", tmp_path / "out", model=place / "small-free", output="alpha")
    assert files_in(tmp_path / "out") == ["a.mp4", "a.png", "sub/c.mp4"]
    assert np.array_equal(np.array(Image.open(tmp_path / "out" / "a.png")), alone(place, photo))
    assert len(read(tmp_path / "out" / "sub" / "c.mp4")) == 3


def test_a_truncated_video_gives_what_there_is_and_a_sentence(place, tmp_path, capsys):
    path = clips.write(tmp_path / "a.mkv", clips.moving_square(30))
    path.write_bytes(path.read_bytes()[: 3 * path.stat().st_size // 4])
    for command in (pictures, video):
        out = tmp_path / f"{command.__name__}.mov"
        command(
            path, out, model=place / "small-free", **({} if command is pictures else {"coarse": place / "small-free"})
        )
        told = capsys.readouterr()
        assert 5 < len(read(out)) < 30
        assert "a.mkv" in told.err
        assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("command", [pictures, video])
def test_who_leaves_is_told(place, tmp_path, monkeypatch, capsys, command):
    """What the masks say of the person, whoever watches them."""
    events = ["", "", "left", "absent", "entered", ""]

    def watched(segments):
        return (replace(segment, event=event) for segment, event in zip(segments, events, strict=True))

    monkeypatch.setattr(segmenters, "watched", watched)
    coarse = {} if command is pictures else {"coarse": place / "small-free"}
    command(place / "a.mp4", tmp_path / "b.mov", model=place / "small-free", **coarse)
    told = [line.partition(", ")[2] for line in capsys.readouterr().out.splitlines() if ", frame" in line]
    assert told == [
        "frame 2 (0.05 s): the person has left the picture",
        "frame 4 (0.33 s): a person has entered the picture",
    ]


@pytest.mark.parametrize("command", ["matte_pictures", "matte_video"])
def test_the_sound_stays_unless_it_is_not_wanted(place, tmp_path, command):
    """Both commands: a tone of 1 kHz from 0.2 s on; left out by --no-sound; and a folder of pictures has none."""
    source = clips.write_with_tones(tmp_path / "a.mp4", "aac", Fraction(2, 5), flash=Fraction(1, 5))
    for name, options in (("b.mov", []), ("c.mov", ["--no-sound"])):
        words = [SCRIPTS / f"{command}.py", source, tmp_path / name, "--model", place / "small-free", *options]
        words += ["--coarse", place / "small-free"] if command == "matte_video" else []
        result = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
        with av.open(str(tmp_path / name)) as container:
            assert len(container.streams.audio) == (not options)
    times, values = clips.hear(tmp_path / "b.mov")
    assert times[np.abs(values) > 0.2][0] == pytest.approx(0.2, abs=0.002)
    sounding = (times > 0.22) & (times < 0.38)
    assert clips.pitch(times[sounding], values[sounding]) == pytest.approx(1000, abs=6)


def test_a_video_is_never_replaced(place, tmp_path):
    path = clips.write(tmp_path / "a.mov", clips.moving_square(3))
    content = path.read_bytes()
    for target in (tmp_path, path):
        with pytest.raises(ValueError, match="would replace"):
            pictures(path, target, model=place / "small-free")
    with pytest.raises(ValueError, match="would replace"):
        video(path, path, model=place / "small-free", coarse=place / "small-free")
    assert path.read_bytes() == content


def test_the_model_for_videos_is_taken_where_it_is(place, tmp_path, monkeypatch):
    """Photos go on with the portrait model, whatever there is for videos."""
    monkeypatch.setattr(matte_pictures, "DEFAULT", place / "small-free")
    monkeypatch.setattr(matte_pictures, "FOR_VIDEO", place / "small-trimap")
    loaded = []
    load = models.load
    monkeypatch.setattr(models, "load", lambda folder: loaded.append(folder.name) or load(folder))
    pictures(place / "a.mp4", tmp_path, coarse=place / "small-free")
    assert loaded == ["small-free", "small-trimap"]
    Image.fromarray(clips.moving_square(1)[0]).save(tmp_path / "p.png")
    pictures(tmp_path / "p.png", tmp_path / "out", coarse=place / "small-free")
    assert loaded[2:] == ["small-free"]
    monkeypatch.setattr(matte_pictures, "FOR_VIDEO", place / "nowhere")
    pictures(place / "a.mp4", tmp_path)
    assert loaded[3:] == ["small-free"]


def given_segments(folder: Path, item: str, alphas: list[np.ndarray]) -> Path:
    """Segments as segment_video writes them: the true alpha's mask, and doubt where it is fractional."""
    rows = []
    for index, alpha in enumerate(alphas):
        row = {"item": item, "frame": index, "seconds": index / 25}
        pair = ((alpha > 127) * np.uint8(255), np.where(np.isin(alpha, (0, 255)), 0, 255).astype(np.uint8))
        for kind, picture in zip(("mask", "doubts"), pair, strict=True):
            path = Path(item, kind, f"{index:06d}.png")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / path)
            digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
            row |= {kind: str(path), f"{kind}_sha256": digest}
        rows.append(row)
    pd.DataFrame(rows).to_parquet(folder / "segments.parquet")
    return folder


def test_a_benchmarks_clips_and_their_table(place, tmp_path):
    """The bank's first validation clip with the segments of its truth: every column, and every file's digest."""
    (sample, *_) = bank_clips.items(BANK, "val")
    truth = [alpha for _, alpha in bank_clips.load_clip(sample)]
    segments = given_segments(tmp_path / "segments", sample.item, truth)
    options = {"model": place / "small-trimap", "benchmark": "bank-clips", "root": BANK, "split": "val", "limit": 1}
    video(tmp_path / "out", segments=segments, method="some", run="r1", **options)
    table = pd.read_parquet(tmp_path / "out" / "mattes.parquet")
    known = {"run": "r1", "model": "small-trimap", "variant": "truth", "fraction": 100, "seed": 3, "method": "some"}
    for name, value in (known | {"benchmark": "bank-clips", "item": sample.item}).items():
        assert set(table[name]) == {value}
    assert list(table.frame) == list(range(24))
    assert np.allclose(table.seconds, np.arange(24) / 25)
    assert table.unknown.between(0.01, 0.6).all()
    for row, alpha in zip(table.itertuples(), truth, strict=True):
        content = (tmp_path / "out" / row.alpha).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row.sha256
        made = np.array(Image.open(tmp_path / "out" / row.alpha))
        assert made.dtype == np.uint8
        far = np.isin(made, (0, 255))
        assert np.abs(made[far].astype(int) - alpha[far]).mean() < 3
    assert files_in(tmp_path / "out") == [*sorted(table.alpha), "mattes.parquet"]


def test_truth_and_nothing_as_trimaps(place, tmp_path, monkeypatch):
    """The bound: known pixels are true. And the baseline: each frame as the network alone says, not smoothed."""
    (sample, *_) = bank_clips.items(BANK, "val")
    pairs = list(bank_clips.load_clip(sample))[:3]
    monkeypatch.setattr(bank_clips, "load_clip", lambda sample: iter(pairs))
    options = {"benchmark": "bank-clips", "root": BANK, "split": "val", "limit": 1}
    video(tmp_path / "truth", model=place / "small-trimap", trimaps="truth", **options)
    video(tmp_path / "none", model=place / "small-free", trimaps="none", **options)
    video(tmp_path / "steady", model=place / "small-free", trimaps="none", smooth=True, **options)
    for index, (rgb, alpha) in enumerate(pairs):
        known = trimaps.from_alpha(alpha, 3, 3) != 128  # 1 % of 320 pixels
        bound = np.array(Image.open(tmp_path / "truth" / sample.item / f"{index:06d}.png"))
        assert np.array_equal(bound[known], alpha[known])
        assert not np.array_equal(bound, alpha)
        made = np.array(Image.open(tmp_path / "none" / sample.item / f"{index:06d}.png"))
        assert np.abs(made.astype(int) - alone(place, rgb)).max() <= 1
        steady = np.array(Image.open(tmp_path / "steady" / sample.item / f"{index:06d}.png"))
        assert not np.array_equal(steady, made)
    assert set(pd.read_parquet(tmp_path / "none" / "mattes.parquet").unknown) == {1.0}


def test_a_run_that_fails_leaves_no_table(place, tmp_path, monkeypatch):
    """An earlier table would lie about what is there."""
    (sample, *_) = bank_clips.items(BANK, "val")
    pairs = list(bank_clips.load_clip(sample))[:3]
    options = {"model": place / "small-free", "benchmark": "bank-clips", "root": BANK, "split": "val", "limit": 1}
    monkeypatch.setattr(bank_clips, "load_clip", lambda sample: iter(pairs))
    video(tmp_path, trimaps="none", **options)
    monkeypatch.setattr(bank_clips, "load_clip", lambda sample: iter([*pairs[:2], (None, None)]))
    with pytest.raises(AttributeError):
        video(tmp_path, trimaps="none", **options)
    assert not (tmp_path / "mattes.parquet").exists()
    assert not list(tmp_path.glob(".*"))


def test_segments_that_do_not_fit_are_refused(place, tmp_path):
    frames = read(place / "a.mp4")
    alphas = [np.zeros(frame.rgb.shape[:2], np.uint8) for frame in frames]
    few = given_segments(tmp_path / "few", "a", alphas[:4])
    other = given_segments(tmp_path / "other", "a", [alpha[:-1] for alpha in alphas])
    for segments in (few, other):
        with pytest.raises(ValueError, match=r"segment .* again"):
            video(place / "a.mp4", tmp_path / "a.mov", model=place / "small-trimap", segments=segments)
    assert not (tmp_path / "a.mov").exists()
    fitting = given_segments(tmp_path / "fitting", "a", alphas)
    video(place / "a.mp4", tmp_path / "a.mov", model=place / "small-trimap", segments=fitting)
    assert len(read(tmp_path / "a.mov")) == 6


REFUSED = [
    ({"trimaps": "some"}, "evidence, truth, none"),
    ({"trimaps": "truth"}, "for a benchmark"),
    ({"trimaps": "none"}, "needs trimaps"),
    ({"coarse": "small-trimap"}, "trimap-free"),
    ({"model": "nowhere"}, "nowhere"),
    ({"output": "matte"}, "rgba, alpha, composite"),
    ({"background": "red"}, "--output composite"),
    ({"benchmark": "bank-clips"}, "folder alone"),
    ({"source": "none.mp4"}, r"none\.mp4"),
    ({"target": "a.avi"}, "cannot be written"),
    ({"target": "b.mp4"}, "cannot hold alpha"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_a_mistake_is_refused(place, tmp_path, options, words):
    options = {"source": "a.mp4", "target": "a.mov", "model": "small-trimap", "coarse": "small-free"} | options
    source, target = place / options.pop("source"), tmp_path / options.pop("target")
    folders = {name: place / options.pop(name) for name in ("model", "coarse")}
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        video(source, target, **folders, **options)
    assert not list(tmp_path.iterdir())


# not ru_maxrss, which begins with the most that the parent, all these tests, has held
MEASURE = (
    "import re, sys; from pathlib import Path; import matte_pictures; "
    "source, target, model, coarse = map(Path, sys.argv[1:]); "
    "matte_pictures.main(source, target, model=model, coarse=coarse, output='alpha', threads=1); "
    r"print(re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])"
)


def peak(place: Path, folder: Path, count: int) -> int:
    """The most memory that matting so many frames takes, in kB."""
    path = clips.write(folder / f"{count}.mp4", np.tile(clips.moving_square(8, (180, 320)), (count // 8, 1, 1, 1)))
    command = [
        sys.executable,
        "-c",
        MEASURE,
        path,
        folder / f"{count}.mov",
        place / "small-trimap",
        place / "small-free",
    ]
    result = subprocess.run(list(map(str, command)), cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(read(folder / f"{count}.mov")) == count
    return int(re.findall(r"^\d+$", result.stdout, re.MULTILINE)[-1])


def test_memory_does_not_grow_with_length(place, tmp_path):
    """80 frames more, with all that is made of them (RGB, flows, alphas in float), would be 300 MB."""
    few, many = (peak(place, tmp_path, count) for count in (40, 120))
    assert many - few < 40_000
    assert many < 1_000_000
