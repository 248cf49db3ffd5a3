import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ldportrait import images


@pytest.fixture
def rgba() -> np.ndarray:
    """A smooth colour ramp under every level of alpha, with a third of it fully transparent."""
    y, x = np.mgrid[:96, :128]
    picture = np.stack([2 * x, 2 * y, 128 + 0 * x, 2 * x], axis=-1).astype(np.uint8)
    picture[:, :40, 3] = 0
    return picture


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("quality", [90, 92, 100])
def test_alpha_survives_webp_exactly(tmp_path, rgba, quality, lossless):
    images.write_webp(tmp_path / "a.webp", rgba, quality=quality, lossless=lossless)
    assert np.array_equal(images.read_rgba(tmp_path / "a.webp")[..., 3], rgba[..., 3])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40))
def test_lossless_webp_keeps_every_byte(tmp_path_factory, seed, height, width):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    path = tmp_path_factory.mktemp("noise") / "a.webp"
    images.write_webp(path, noise, lossless=True)
    assert np.array_equal(images.read_rgba(path), noise)


def test_colour_under_alpha_0_is_kept(tmp_path, rgba):
    images.write_webp(tmp_path / "a.webp", rgba)
    read = images.read_rgba(tmp_path / "a.webp")
    hidden = rgba[..., 3] == 0
    difference = np.abs(read[hidden][:, :3].astype(int) - rgba[hidden][:, :3])
    assert hidden.any()
    assert difference.mean() < 4, "a lossy coder may round hidden colour, but must not throw it away"


def test_opaque_webp_reads_as_opaque(tmp_path):
    images.write_webp(tmp_path / "a.webp", np.full((8, 8, 4), 255, np.uint8))
    assert (images.read_rgba(tmp_path / "a.webp")[..., 3] == 255).all()


def test_rgb_round_trip(tmp_path, rgba):
    images.write_webp(tmp_path / "a.webp", rgba[..., :3], lossless=True)
    assert np.array_equal(images.read_rgb(tmp_path / "a.webp"), rgba[..., :3])


def test_writing_replaces_and_leaves_nothing_else(tmp_path, rgba):
    path = tmp_path / "new" / "a.webp"
    images.write_webp(path, rgba)
    images.write_webp(path, rgba[::-1])
    assert [file.name for file in path.parent.iterdir()] == ["a.webp"]
    assert np.array_equal(images.read_rgba(path)[..., 3], rgba[::-1, :, 3])


def test_a_failed_write_leaves_the_old_picture(tmp_path, rgba, monkeypatch):
    path = tmp_path / "a.webp"
    images.write_webp(path, rgba)
    before = path.read_bytes()

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        images.write_webp(path, rgba[::-1])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.webp"]


def test_read_clip_splits_the_stack(tmp_path, rgba):
    images.write_webp(tmp_path / "clip.webp", rgba, lossless=True)
    clip = images.read_clip(tmp_path / "clip.webp", 4)
    assert clip.shape == (4, 24, 128, 4)
    assert np.array_equal(clip[2], rgba[48:72])


def test_read_clip_refuses_a_wrong_count(tmp_path, rgba):
    images.write_webp(tmp_path / "clip.webp", rgba)
    with pytest.raises(ValueError, match="96 pixels high, which 7 equal frames"):
        images.read_clip(tmp_path / "clip.webp", 7)


def test_composite_rounds_to_nearest():
    rgba = np.array([[[255, 10, 0, 128]], [[255, 10, 0, 0]], [[255, 10, 0, 255]]], np.uint8)
    result = images.composite(rgba, np.array([0, 20, 1], np.uint8))
    # by hand: 255 * 128/255 = 128; 10 * 128/255 + 20 * 127/255 = 14.98; 127/255 = 0.498
    assert result.tolist() == [[[128, 15, 0]], [[0, 20, 1]], [[255, 10, 0]]]


def test_composite_of_equal_colours_is_that_colour():
    rgba = np.full((1, 256, 4), 77, np.uint8)
    rgba[0, :, 3] = np.arange(256)
    assert (images.composite(rgba, np.full((1, 256, 3), 77, np.uint8)) == 77).all()


@pytest.mark.parametrize(
    ("rgba", "background", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros(3, np.uint8), "foreground is"),
        (np.zeros((4, 4, 4), np.float32), np.zeros(3, np.uint8), "foreground is"),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 5, 3), np.uint8), "does not fit"),
    ],
)
def test_composite_refuses_other_shapes(rgba, background, message):
    with pytest.raises(ValueError, match=message):
        images.composite(rgba, background)


def alpha_from(*rows: str) -> np.ndarray:
    """Draw an alpha, a letter a 2x2 block: `#` opaque, `.` empty, `,` 12/255 (still empty), `+` 13/255 (not empty)."""
    levels = {"#": 255, ".": 0, ",": 12, "+": 13}
    return np.kron(np.array([[levels[letter] for letter in row] for row in rows]), np.ones((2, 2))).astype(np.uint8)


@pytest.mark.parametrize(
    ("alpha", "count"),
    [
        (alpha_from("#####", "#...#", "#...#", "#####"), 1),
        (alpha_from("#####", "#...#", "#####", "#####"), 0),  # 12 pixels are not more than 12
        (alpha_from("#####", "#...#", "#.,.#", "#####"), 1),
        (alpha_from("#####", "#+++#", "#+++#", "#####"), 0),
        (alpha_from("#####", "#...#", "#...#", "#...#"), 0),  # touches the border
        (alpha_from("#.###", "#...#", "#...#", "#####"), 0),
        (alpha_from("########", "#..##..#", "#..##..#", "########"), 2),
        (alpha_from("#######", "#..####", "#..####", "###..##", "###..##", "#######"), 2),  # a corner does not join
        (alpha_from("...", "...", "..."), 0),
        (alpha_from("###", "###"), 0),
    ],
)
def test_openings(alpha, count):
    assert images.openings(alpha) == count


def test_fractional_share():
    assert images.fractional_share(np.array([[0, 1], [254, 255]], np.uint8)) == 0.5


@pytest.mark.parametrize("measure", [images.openings, images.fractional_share])
def test_measures_refuse_other_alphas(measure):
    with pytest.raises(ValueError, match="uint8"):
        measure(np.zeros((4, 4)))


@pytest.mark.parametrize("read", [images.read_rgb, images.read_rgba])
def test_reading_says_what_is_wrong(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="no picture at"):
        read(tmp_path / "missing.webp")
    (tmp_path / "text.webp").write_text("not a picture")
    with pytest.raises(ValueError, match="not a readable picture"):
        read(tmp_path / "text.webp")


def test_reading_a_truncated_picture(tmp_path, rgba):
    path = tmp_path / "a.webp"
    images.write_webp(path, rgba)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a readable picture"):
        images.read_rgba(path)


def test_kinds_are_not_mixed_up(tmp_path, rgba):
    images.write_webp(tmp_path / "rgba.webp", rgba)
    with pytest.raises(ValueError, match="has an alpha channel"):
        images.read_rgb(tmp_path / "rgba.webp")
    Image.fromarray(rgba[..., :3]).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match="no alpha channel"):
        images.read_rgba(tmp_path / "rgb.png")


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4)), np.zeros((4, 4, 2), np.uint8)])
def test_write_webp_refuses_other_arrays(tmp_path, array):
    with pytest.raises(ValueError, match="A picture to write"):
        images.write_webp(tmp_path / "a.webp", array)
    assert not list(tmp_path.iterdir())


def test_unpremultiply_inverts_premultiplication():
    rng = np.random.default_rng(0)
    colour = rng.uniform(0, 2, (1, 1, 3)) * np.ones(
        (37, 50, 3)
    )  # one colour: what surrounds a pixel is that colour too
    alpha = rng.uniform(0, 1, (37, 50))
    alpha[:5] = 0
    straight = images.unpremultiply(colour * alpha[..., None], alpha)
    np.testing.assert_allclose(straight, colour, rtol=1e-4)


def test_unpremultiply_leaves_solid_colour_and_continues_it_smoothly():
    rng = np.random.default_rng(1)
    colour = rng.uniform(0, 1, (64, 64, 3))
    alpha = np.zeros((64, 64))
    alpha[16:48, 16:48] = 1
    straight = images.unpremultiply(colour * alpha[..., None], alpha)
    np.testing.assert_allclose(straight[alpha == 1], colour[alpha == 1], atol=1e-5)
    outside = straight[alpha == 0]
    assert outside.min() >= 0
    assert outside.max() <= 1  # a mean of what is inside
    assert np.abs(np.diff(straight[:8], axis=1)).max() < 0.2


def test_unpremultiply_of_nothing_is_black():
    assert (images.unpremultiply(np.zeros((8, 8, 3)), np.zeros((8, 8))) == 0).all()


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def paletted(grey: np.ndarray) -> Image.Image:
    """A paletted picture whose palette runs backwards, so that indices are not values."""
    picture = Image.new("P", grey.shape[::-1])
    picture.putpalette([255 - level for level in range(256) for _ in range(3)])
    picture.putdata((255 - grey).ravel().tolist())
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(GREY), GREY),
        (Image.fromarray(np.dstack([GREY] * 3)), GREY),
        (Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])), GREY),
        (Image.fromarray(GREY.astype(np.uint16) * 257), GREY),
        (Image.fromarray(GREY > 99), np.where(GREY > 99, 255, 0)),
        (paletted(GREY), GREY),
    ],
    ids=["grey", "rgb", "opaque", "16 bit", "1 bit", "palette"],
)
def test_mattes_in_many_forms(tmp_path, picture, expected):
    picture.save(tmp_path / "m.png")
    found = images.read_matte(tmp_path / "m.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_a_matte_as_jpeg_keeps_its_grey(tmp_path):
    for name, array in (("one.jpg", GREY), ("three.jpg", np.dstack([GREY] * 3))):
        Image.fromarray(array).save(tmp_path / name, quality=100)
        assert np.abs(images.read_matte(tmp_path / name).astype(int) - GREY).max() <= 2


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (Image.fromarray(np.dstack([GREY, GREY, 255 - GREY])), "coloured"),
        (Image.fromarray(np.dstack([GREY] * 4)), "transparent"),
        (Image.merge("LA", [Image.fromarray(GREY)] * 2), "transparent"),
        (Image.fromarray(GREY.astype(np.int32)), "32 bits"),
    ],
    ids=["colour", "rgba", "la", "32 bit"],
)
def test_what_is_no_matte_is_refused(tmp_path, picture, word):
    suffix = "tif" if picture.mode == "I" else "png"
    picture.save(tmp_path / f"m.{suffix}")
    with pytest.raises(ValueError, match=rf"m.{suffix} .*{word}"):
        images.read_matte(tmp_path / f"m.{suffix}")


@pytest.mark.parametrize("read", [images.read_matte, images.read_rgb, images.read_rgba])
def test_a_picture_bomb_is_refused_by_its_header(tmp_path, read, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 256 pixels are more than twice as many
    with pytest.raises(ValueError, match=r"bomb.png is too large to be read"):
        read(tmp_path / "bomb.png")
