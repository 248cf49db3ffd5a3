"""The folder backend gives a user's pictures as they are."""

import numpy as np
import pytest
from conftest import disc
from PIL import Image

from ldportrait.generators import folder


def row(source: str) -> dict:
    return {"id": "own-000000000", "prompt": "", "source": source, "split": "val"}


def test_pictures_come_as_they_are(tmp_path):
    rgba = disc(40)[:30]
    (tmp_path / "a").mkdir()
    Image.fromarray(rgba).save(tmp_path / "a" / "x.png")
    item = folder.load({"pictures": tmp_path})([row("a/x.png")])[0]
    assert np.array_equal(item.rgba, rgba)
    assert item.truth is None
    assert (item.row["width"], item.row["height"]) == (40, 30)
    assert item.row["backend"] == "folder"
    assert item.row["faults"] == ""
    assert item.row["split"] == "val"


def test_what_is_wrong_is_named(tmp_path):
    Image.fromarray(disc(40)[..., :3]).save(tmp_path / "flat.png")
    generate = folder.load({"pictures": tmp_path})
    with pytest.raises(ValueError, match=r"flat\.png has no alpha"):
        generate([row("flat.png")])
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        generate([row("gone.png")])
    with pytest.raises(ValueError, match="own-000000000 has no source"):
        generate([row("")])
    with pytest.raises(FileNotFoundError, match="absent"):
        folder.load({"pictures": tmp_path / "absent"})
    with pytest.raises(ValueError, match="folder of pictures"):
        folder.load({"pictures": None})
