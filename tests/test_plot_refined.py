import numpy as np
from PIL import Image
from test_scripts import assert_refused, run

from ldportrait import pictures


def test_a_sheet_of_pictures_as_they_are_and_refined(tmp_path):
    rgba = np.full((64, 64, 4), 90, np.uint8)
    rgba[..., 3] = 0
    rgba[20:, 16:48, 3] = 255
    rgba[2:5, 2:5, 3] = 12  # a crumb, which is seen amplified and goes
    Image.fromarray(rgba).save(tmp_path / "one.png")
    result = run("plot_refined.py", tmp_path / "one.png", "--output", tmp_path / "sheet.png", "--side", "64")
    assert result.returncode == 0, result.stderr
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (pictures.HEAD + 2 * 64 + 2, 4 * 64 + 6, 3)
    head, sheet = np.split(sheet, [pictures.HEAD])
    assert all((head[:, left : left + 64] < 128).any() for left in range(0, 4 * 66, 66))  # each column has its name
    near_zero = slice(66, 130)
    assert (sheet[2:5, near_zero][:, 2:5] == 12 * 12).all()
    assert not sheet[66:][2:5, near_zero][:, 2:5].any()
    assert "changed by" in result.stdout


def test_an_unknown_format_or_picture_is_refused(tmp_path):
    assert_refused(run("plot_refined.py", tmp_path / "none.png", "--output", tmp_path / "a.png"), "none.png")
    assert_refused(run("plot_refined.py", tmp_path / "none.png", "--output", tmp_path / "a.pdf"), "a.pdf")
    assert not list(tmp_path.iterdir())
