"""The command matte_pictures: photos of any kind in, PNGs out, whole, and mistakes told in a sentence."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SCRIPTS
from PIL import Image
from test_augment import portrait
from test_photos import SRGB, wide

import matte_pictures
from ldportrait import images, inference, matting, models

MODELS = {"small-free": {"widths": [4, 8], "depth": 1, "side": 32}, "small-trimap": {"widths": [4, 8]}}


def photo(seed: int, size: int = 48) -> np.ndarray:
    ground = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return images.composite(portrait(size, colour=(50 * seed, 90, 120)), ground)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models of random weights, and a folder with photos."""
    folder = tmp_path_factory.mktemp("matte")
    for name, settings in MODELS.items():
        torch.manual_seed(0)
        network = models.get(name).build(**settings)
        torch.nn.init.normal_(network.unet.head.weight, std=0.5)
        models.save(network, folder / name, {"model": name, "settings": settings})
    (folder / "in" / "sub").mkdir(parents=True)
    Image.fromarray(photo(0)).save(folder / "in" / "a.png", icc_profile=SRGB)
    Image.fromarray(photo(1)).save(folder / "in" / "a.jpg")
    Image.fromarray(photo(2)).save(folder / "in" / "sub" / "b.webp", lossless=True)
    (folder / "in" / "notes.txt").write_text("no photo")
    return folder


def matte(*arguments: object, **options: object) -> None:
    """The command in this process: torch takes seconds to import."""
    matte_pictures.main(*arguments, **({"threads": 1} | options))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def expected_alpha(place: Path, picture: np.ndarray) -> np.ndarray:
    network, _ = models.load(place / "small-free")
    return matting.matte_whole(inference.predictor(network), picture, 32)


def test_a_folder_is_matted_and_what_is_broken_is_named(place, tmp_path):
    """As a command of its own: two equal stems, a subfolder, two files that are no pictures, a link to nothing."""
    shutil.copytree(place / "in", tmp_path / "in")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "in" / "sub" / "empty.heic").write_bytes(b"")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nothing.png")
    command = [sys.executable, SCRIPTS / "matte_pictures.py", tmp_path / "in", tmp_path / "out"]
    command += ["--model", place / "small-free", "--threads", "1"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 2
    broken, gone, empty = result.stderr.splitlines()
    assert "in/broken.jpg is not a readable picture" in broken
    assert "in/sub/empty.heic is not a readable picture" in empty
    assert gone == f"There is no picture at {tmp_path}/in/gone.png."
    assert "3 of 6 pictures" in result.stdout
    assert files(tmp_path / "out") == ["a.jpg.png", "a.png.png", "sub/b.png"]
    for name, source in (("a.png.png", "a.png"), ("a.jpg.png", "a.jpg"), ("sub/b.png", "sub/b.webp")):
        picture = read(tmp_path / "in" / source)
        rgba = read(tmp_path / "out" / name)
        assert np.array_equal(rgba[..., 3], expected_alpha(place, picture))
        assert np.array_equal(rgba[..., :3], matting.foreground(picture, rgba[..., 3]))
    with Image.open(tmp_path / "out" / "a.png.png") as picture:
        assert picture.info["icc_profile"] == SRGB


def test_alpha_alone(place, tmp_path):
    matte(place / "in" / "a.png", tmp_path, model=place / "small-free", output="alpha")
    assert files(tmp_path) == ["a.png"]
    assert np.array_equal(read(tmp_path / "a.png"), expected_alpha(place, photo(0)))


def test_a_turned_photo_is_matted_upright(place, tmp_path):
    """The tag is applied: matting the stored rows would give another alpha."""
    upright = photo(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.png", exif=exif)
    matte(tmp_path / "turned.png", tmp_path / "out", model=place / "small-free", output="alpha")
    assert np.array_equal(read(tmp_path / "out" / "turned.png"), expected_alpha(place, upright))


def composite(place: Path, folder: Path, background: str, name: str = "a.png") -> tuple[np.ndarray, np.ndarray]:
    """What the command makes, and the cut-out that it is to be made of."""
    source, model = place / "in" / name, place / "small-free"
    matte(source, folder / "out", model=model, output="composite", background=background)
    matte(source, folder / "rgba", model=model)
    return read(folder / "out" / "a.png"), read(folder / "rgba" / "a.png")


def test_before_a_colour(place, tmp_path):
    made, rgba = composite(place, tmp_path, "#26a852")
    assert np.array_equal(made, images.composite(rgba, np.array([38, 168, 82], np.uint8)))


def test_before_a_picture(place, tmp_path):
    behind = np.random.default_rng(9).integers(0, 256, (48, 96, 3), dtype=np.uint8)
    Image.fromarray(behind).save(tmp_path / "wall.png", icc_profile=SRGB)
    made, rgba = composite(place, tmp_path, str(tmp_path / "wall.png"))
    assert np.array_equal(made, images.composite(rgba, np.ascontiguousarray(behind[:, 24:72])))


def test_before_itself_blurred(place, tmp_path):
    made, rgba = composite(place, tmp_path, "blur")
    ground = matting.blurred(photo(0), np.ascontiguousarray(rgba[..., 3]))
    assert np.array_equal(made, images.composite(rgba, ground))


def test_a_colour_is_meant_as_srgb(place, tmp_path):
    """Before a photo whose profile exchanges red and green, red is stored as green, and shown as red."""
    (tmp_path / "in").mkdir()
    Image.fromarray(photo(0)).save(tmp_path / "in" / "a.png", icc_profile=wide())
    matte(tmp_path / "in", tmp_path / "out", model=place / "small-free", output="composite", background="red")
    matte(tmp_path / "in", tmp_path / "alpha", model=place / "small-free", output="alpha")
    alpha = read(tmp_path / "alpha" / "a.png")
    lowest = np.unravel_index(alpha.argmin(), alpha.shape)
    assert alpha[lowest] < 128
    matte_share, made = alpha[lowest] / 255, read(tmp_path / "out" / "a.png")[lowest]
    assert made[1] >= (1 - matte_share) * 250 - 1
    assert made[0] <= matte_share * 255 + (1 - matte_share) * 5 + 1


def test_with_trimaps_given_and_predicted(place, tmp_path):
    trimap = np.full((48, 48), 128, np.uint8)
    trimap[:20], trimap[40:] = 0, 255
    (tmp_path / "trimaps").mkdir()
    Image.fromarray(trimap).save(tmp_path / "trimaps" / "a.png")
    options = {"model": place / "small-trimap", "output": "alpha"}
    network, _ = models.load(place / "small-trimap")
    expected = inference.matte(network, photo(0), trimap)
    for name, given in (("file", "trimaps/a.png"), ("folder", "trimaps")):
        matte(place / "in" / "a.png", tmp_path / name, trimap=str(tmp_path / given), **options)
        assert np.array_equal(read(tmp_path / name / "a.png"), expected)
    matte(place / "in" / "a.png", tmp_path / "guess", coarse=place / "small-free", **options)
    free, _ = models.load(place / "small-free")
    known = matting.predict_trimap(inference.predictor(free), photo(0), 32)
    alpha = read(tmp_path / "guess" / "a.png")
    assert np.array_equal(alpha, inference.matte(network, photo(0), known))


def test_a_folders_photos_without_a_trimap_are_named(place, tmp_path, capsys):
    (tmp_path / "trimaps" / "sub").mkdir(parents=True)
    Image.fromarray(np.full((48, 48), 128, np.uint8)).save(tmp_path / "trimaps" / "sub" / "b.png")
    with pytest.raises(matte_pictures.typer.Exit):
        matte(place / "in", tmp_path / "out", model=place / "small-trimap", trimap=str(tmp_path / "trimaps"))
    assert capsys.readouterr().err.count("There is no picture at") == 2
    assert files(tmp_path / "out") == ["sub/b.png"]


def test_names_are_never_shared():
    found = [Path("in", name) for name in "a.jpg a.png a.jpg.webp A.tif b.jpg sub/b.jpg".split()]
    names = matte_pictures.targets(found, Path("in"))
    assert len({str(name).casefold() for name in names}) == len(found)
    assert names[-2:] == [Path("b.png"), Path("sub/b.png")]


def test_outputs_are_no_photos_next_time(place, tmp_path):
    shutil.copytree(place / "in", tmp_path / "in")
    for _ in range(2):
        matte(tmp_path / "in", tmp_path / "in" / "out", model=place / "small-free", output="alpha")
    assert files(tmp_path / "in" / "out") == ["a.jpg.png", "a.png.png", "sub/b.png"]


def test_an_output_is_replaced_whole(place, tmp_path, monkeypatch):
    """Writing that fails half way leaves what was there, and nothing beside it."""
    (tmp_path / "a.png").write_bytes(b"as before")

    def fail(self, content):
        with self.open("wb") as stream:
            stream.write(b"half")
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(RuntimeError, match="full"):
        matte(place / "in" / "a.png", tmp_path, model=place / "small-free", output="alpha")
    assert files(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"as before"


REFUSED = [
    ({"output": "matte"}, "rgba, alpha, composite"),
    ({"background": "red"}, "--output composite"),
    ({"output": "composite", "background": "reddish"}, "reddish"),
    ({"trimap": "predict"}, "reads no trimap"),
    ({"model": "small-trimap", "trimap": "none"}, "needs trimaps"),
    ({"model": "small-trimap", "trimap": "nowhere"}, "nowhere"),
    ({"model": "small-trimap", "coarse": "small-trimap"}, "trimap-free"),
    ({"model": "small-trimap", "coarse": "small-free", "side": 64}, "at least 416"),
    ({"model": "absent"}, "absent"),
    ({"largest": 0.001}, r"a\.png has 0\.0 megapixels.*--largest"),
    ({"onnx": True}, r"model\.onnx"),
    ({"source": "in/nowhere.jpg"}, r"nowhere\.jpg"),
    ({"source": "empty"}, "no photos or videos"),
    ({"source": "clip.mp4"}, r"Nothing can be read of .*clip\.mp4"),
    ({"source": "clip.mp4", "format": "mp4"}, "cannot hold alpha"),
    ({"source": "clip.mp4", "format": "gif"}, "mov, webm, mp4, png"),
    ({"source": "clip.mp4", "trimap": "predict"}, "leave out --trimap"),
    ({"source": "clip.mp4", "model": "small-trimap", "coarse": "small-trimap"}, "trimap-free"),
    ({"source": "clip.mp4", "model": "small-trimap", "coarse": "small-free", "side": 64}, "at least 416"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_a_mistake_is_refused(place, tmp_path, options, words):
    (place / "empty").mkdir(exist_ok=True)
    (place / "clip.mp4").write_bytes(b"")
    options = {"source": "in/a.png", "model": "small-free"} | options
    paths = {name: place / options.pop(name) for name in ("source", "model", "coarse") if name in options}
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        matte(paths.pop("source"), tmp_path / "out", **paths, **options)
    assert not (tmp_path / "out").exists()


def test_a_photo_is_never_replaced(place, tmp_path):
    shutil.copy(place / "in" / "a.png", tmp_path / "a.png")
    with pytest.raises(ValueError, match="another folder"):
        matte(tmp_path / "a.png", tmp_path, model=place / "small-free")
    assert np.array_equal(read(tmp_path / "a.png"), photo(0))


def test_a_trimap_or_a_background_is_never_replaced(place, tmp_path):
    """photo.jpg would become photo.png, which is its trimap, or the picture behind it."""
    photo_in, other = tmp_path / "photo.jpg", tmp_path / "photo.png"
    shutil.copy(place / "in" / "a.jpg", photo_in)
    Image.new("L", (48, 48), 128).save(other)
    before = other.read_bytes()
    for options in (
        {"model": place / "small-trimap", "trimap": str(other)},
        {"model": place / "small-trimap", "trimap": str(tmp_path)},
        {"model": place / "small-free", "output": "composite", "background": str(other)},
    ):
        with pytest.raises(ValueError, match=r"photo\.png would replace what is read; choose another folder"):
            matte(photo_in, tmp_path, **options)
    assert other.read_bytes() == before


def test_a_full_disk_ends_the_run_in_a_sentence(place, tmp_path, monkeypatch, capsys):
    """What was broken before is still named, and the outputs until then stay."""
    shutil.copytree(place / "in", tmp_path / "in")
    (tmp_path / "in" / "0.jpg").write_bytes(b"")
    write, written = Path.write_bytes, []

    def fail(self, content):
        written.append(self)
        if len(written) == 2:
            write(self, b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ValueError, match=r"a\.png\.png cannot be written: No space left on device\."):
        matte(tmp_path / "in", tmp_path / "out", model=place / "small-free", output="alpha")
    assert len(written) == 2
    assert files(tmp_path / "out") == ["a.jpg.png"]
    assert "0.jpg is not a readable picture" in capsys.readouterr().err


def test_an_output_that_cannot_be_made_is_told(place, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file/out/a\.png cannot be written: Not a directory"):
        matte(place / "in" / "a.png", tmp_path / "file" / "out", model=place / "small-free", output="alpha")


def test_a_picture_of_one_pixel_s_width(place, tmp_path):
    for size in ((1, 1), (1, 50), (50, 1)):
        for output in ("rgba", "composite"):
            Image.new("RGB", size, (200, 10, 30)).save(tmp_path / "thin.png")
            background = "blur" if output == "composite" else None
            for model in ("small-free", "small-trimap"):
                options = {"trimap": "predict", "coarse": place / "small-free"} if model == "small-trimap" else {}
                options |= {"model": place / model, "output": output, "background": background}
                matte(tmp_path / "thin.png", tmp_path / "out", **options)
                with Image.open(tmp_path / "out" / "thin.png") as out:
                    assert out.size == size


def test_names_beyond_ascii(place, tmp_path):
    for name in ("Zoë 日本.jpg", "a\nb.jpg"):
        shutil.copy(place / "in" / "a.jpg", tmp_path / name)
    matte(tmp_path, tmp_path / "out ä", model=place / "small-free", output="alpha")
    assert files(tmp_path / "out ä") == ["Zoë 日本.png", "a\nb.png"]


def test_the_shipped_model_is_missed_in_a_sentence(place, tmp_path, monkeypatch):
    monkeypatch.setattr(matte_pictures, "DEFAULT", tmp_path / "portrait")
    with pytest.raises(FileNotFoundError, match=r"There is no model at .*/portrait.*--model"):
        matte(place / "in" / "a.png", tmp_path / "out")


def test_the_shipped_model_is_found_from_any_folder(place, tmp_path, monkeypatch):
    """A user's photos are not in the repository."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(place / "in" / "a.png", "a.png")
    matte(Path("a.png"), Path("out"), output="alpha")
    network, _ = models.load(ROOT / "resources" / "models" / "portrait")
    assert np.array_equal(read(tmp_path / "out" / "a.png"), inference.matte(network, photo(0)))


# not ru_maxrss, which begins with the most that the parent, all these tests, has held
MEASURE = (
    "import re, sys; from pathlib import Path; import matte_pictures; "
    "matte_pictures.main(*map(Path, sys.argv[1:3]), model=Path(sys.argv[3]), threads=1); "
    r"print(re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])"
)


def test_a_large_photo_needs_little_memory(place, tmp_path):
    """9 megapixels of 3 bytes: 27 MB. The rest is torch, 300 to 400 MB, and a few copies."""
    ground = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    Image.fromarray(ground).resize((3000, 3000), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg", quality=80)
    command = [sys.executable, "-c", MEASURE, tmp_path / "large.jpg", tmp_path / "out", place / "small-free"]
    result = subprocess.run(list(map(str, command)), cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "out" / "large.png").size == (3000, 3000)
    assert int(result.stdout.split()[-1]) < 900_000  # kB
