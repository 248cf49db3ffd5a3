"""Miniature copies of the public sets' layouts, written down here once more, by hand, from where they are described."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (12, 16)  # height and width of a picture
STEMS = ("x_b7", "x_a3", "x_c1")  # written in this order, listed in order of name

PAIRS = {
    ("p3m-500-p", "test"): {
        "image": "validation/P3M-500-P/blurred_image/{}.jpg",
        "alpha": "validation/P3M-500-P/mask/{}.png",
        "trimap": "validation/P3M-500-P/trimap/{}.png",
    },
    ("p3m-500-p", "train"): {"image": "train/blurred_image/{}.jpg", "alpha": "train/mask/{}.png"},
    ("p3m-500-np", "test"): {
        "image": "validation/P3M-500-NP/original_image/{}.jpg",
        "alpha": "validation/P3M-500-NP/mask/{}.png",
        "trimap": "validation/P3M-500-NP/trimap/{}.png",
    },
    ("p3m-500-np", "train"): {"image": "train/blurred_image/{}.jpg", "alpha": "train/mask/{}.png"},
    ("ppm-100", "test"): {"image": "image/{}.jpg", "alpha": "matte/{}.jpg"},
    ("rwp-636", "test"): {
        "image": "image/{}.jpg",
        "alpha": "alpha/{}.png",
        "detail": "detailmap/{}_cloud_trimap.jpg",
    },
    ("aim-500", "test"): {"image": "original/{}.jpg", "alpha": "mask/{}.png", "trimap": "trimap/{}.png"},
    ("aim-500-portrait", "test"): {"image": "original/{}.jpg", "alpha": "mask/{}.png", "trimap": "trimap/{}.png"},
    ("distinctions-646", "test"): {"image": "Test/Image/{}.png", "alpha": "Test/GT/{}.png"},
    ("distinctions-646", "train"): {"image": "Train/FG/{}.png", "alpha": "Train/GT/{}.png"},
    ("composition-1k", "test"): {
        "image": "merged/{}.png",
        "alpha": "alpha_copy/{}.png",
        "trimap": "trimaps/{}.png",
    },
    ("composition-1k", "train"): {"image": "Training_set/fg/{}.jpg", "alpha": "Training_set/alpha/{}.jpg"},
    ("am-2k", "test"): {
        "image": "validation/original/{}.jpg",
        "alpha": "validation/mask/{}.png",
        "trimap": "validation/trimap/{}.png",
    },
    ("am-2k", "train"): {"image": "train/original/{}.jpg", "alpha": "train/mask/{}.png"},
    ("folder", "test"): {
        "image": "image/{}.png",
        "alpha": "alpha/{}.png",
        "trimap": "trimap/{}.png",
        "foreground": "foreground/{}.png",
    },
}
PUBLISHED = {  # how many pictures the sets' own papers and repositories count
    ("p3m-500-p", "test"): 500,
    ("p3m-500-p", "train"): 9421,
    ("p3m-500-np", "test"): 500,
    ("p3m-500-np", "train"): 9421,
    ("ppm-100", "test"): 100,
    ("rwp-636", "test"): 636,
    ("aim-500", "test"): 500,
    ("aim-500-portrait", "test"): 100,
    ("distinctions-646", "test"): 1000,
    ("distinctions-646", "train"): 596,
    ("composition-1k", "test"): 1000,
    ("composition-1k", "train"): 431,
    ("am-2k", "test"): 200,
    ("am-2k", "train"): 1800,
    ("photomatte85", "test"): 85,
    ("videomatte-240k", "test"): 50,
    ("videomatte-240k-hd", "test"): 50,
    ("youtubematte", "test"): 64,
    ("youtubematte-hd", "test"): 64,
    ("crgnn", "test"): 19,
}


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """One colour all over, which a JPEG keeps to 2 levels."""
    return np.full((*size, 3), (40 + 20 * seed, 200 - 30 * seed, 90), np.uint8)


def matte(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Opaque at the left, transparent at the right, and between them 40 + seed; columns of 8, which a JPEG keeps."""
    alpha = np.zeros(size, np.uint8)
    alpha[:, : size[1] // 2] = 255
    alpha[: size[0] // 2, size[1] // 2 :] = 40 + 10 * seed
    return alpha


def trimap(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """One that no rule would make of the matte."""
    return np.roll(np.repeat(np.array([[0, 128, 255, 128]], np.uint8), size[0], axis=0), seed, axis=1).repeat(
        size[1] // 4, axis=1
    )


MAKE = {
    "image": picture,
    "alpha": matte,
    "trimap": trimap,
    "detail": matte,
    "foreground": lambda seed: picture(seed + 3),
}


def write(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"quality": 98} if path.suffix == ".jpg" else {}))


def paired(root: Path, name: str, split: str = "test") -> Path:
    """Write a set of pictures and mattes; each stem's place in STEMS is its seed."""
    for seed, stem in enumerate(STEMS):
        for role, place in PAIRS[name, split].items():
            write(MAKE[role](seed), root / place.format(stem))
    if name == "aim-500-portrait":
        write(picture(0), root / "original" / "x_animal.jpg")
        write(matte(0), root / "mask" / "x_animal.png")
        write(trimap(0), root / "trimap" / "x_animal.png")
        kinds = {stem: {"category": "portrait", "type": "SO"} for stem in STEMS}
        kinds["x_animal"] = {"category": "animal", "type": "SO"}
        (root / "aim_category_type.json").write_text(json.dumps(kinds))
    return root


def junk(folder: Path) -> None:
    """What Windows, a Mac and an author leave in a folder."""
    for name in ("Thumbs.db", ".DS_Store", "._x_a3.png", "readme.txt", "desktop.ini"):
        (folder / name).write_bytes(b"junk")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "x_a3.png").write_bytes(b"junk")


def video(root: Path, base: str, frame: str, size: tuple[int, int], suffix: str, length: int = 3) -> Path:
    """Write a set of clips as RVM's test has them: two in each of {base}_static and {base}_motion."""
    kind = base.partition("_")[0]
    for index, (subset, clip) in enumerate((s, c) for s in ("motion", "static") for c in ("0001", "0000")):
        home = root / base / f"{kind}_{subset}" / clip
        for number in range(length):
            write(picture(index, size), home / frame / f"{number:04d}{suffix}")
            write(matte(number, size), home / "pha" / f"{number:04d}{suffix}")
    return root
