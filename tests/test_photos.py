"""Photos of every kind come upright and as RGB, or are refused in a sentence; their profile goes with them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from ldportrait import photos

LIMIT = 10**6
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def wide(profile: bytes = SRGB) -> bytes:
    """An RGB profile whose red and green are exchanged against sRGB: any use of it shows."""
    tags = {profile[i : i + 4]: i for i in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)}
    content = bytearray(profile)
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    content[red + 4 : red + 12], content[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(content)


# where the pixel of the upright picture's corner is stored, by the tag: what the EXIF standard says of row 0, column 0
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("tag", TURNS)
def test_a_turned_photo_comes_upright_and_is_turned_once(tag, tmp_path):
    upright = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = tag, "camera"
    stored = Image.fromarray(np.ascontiguousarray(TURNS[tag](upright)))
    stored.save(tmp_path / "photo.png", exif=exif, icc_profile=SRGB)
    photo = photos.read(tmp_path / "photo.png", LIMIT)
    assert np.array_equal(photo.rgb, upright)
    photos.write(tmp_path / "out.png", np.dstack([photo.rgb, photo.rgb[..., 0]]), photo)
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == "RGBA"
        assert np.array_equal(np.array(out)[..., :3], upright)
        assert out.getexif().get(0x0112, 1) == 1
        assert out.getexif()[0x0110] == "camera"
        assert out.info["icc_profile"] == SRGB


def test_an_alpha_alone_has_no_profile(tmp_path):
    photos.write(tmp_path / "a.png", np.zeros((3, 4), np.uint8), photos.Photo(np.zeros((3, 4, 3), np.uint8), SRGB))
    with Image.open(tmp_path / "a.png") as out:
        assert (out.mode, out.size, "icc_profile" in out.info) == ("L", (4, 3), False)


def saved(folder, picture: Image.Image, suffix: str = "png", **options: object):
    path = folder / f"photo.{suffix}"
    picture.save(path, **options)
    return path


def ramp() -> np.ndarray:
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_grey_palette_and_two_colours_become_rgb(tmp_path):
    grey = photos.read(saved(tmp_path, Image.fromarray(ramp())), LIMIT)
    assert np.array_equal(grey.rgb, np.dstack([ramp()] * 3))
    palette = Image.fromarray(ramp() // 128, "P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    assert photos.read(saved(tmp_path, palette), LIMIT).rgb[[0, -1], 0].tolist() == [[10, 20, 30], [200, 100, 50]]
    assert photos.read(saved(tmp_path, Image.fromarray(ramp() > 99)), LIMIT).rgb[[0, -1], 0, 0].tolist() == [0, 255]


def test_16_bits_become_8(tmp_path):
    import cv2

    deep = ramp().astype(np.uint16) * 257
    for name, array in (("grey", deep), ("colour", np.dstack([deep, deep // 2, deep]))):
        for suffix in ("png", "tif"):
            path = tmp_path / f"{name}.{suffix}"
            cv2.imwrite(str(path), array)
            photo = photos.read(path, LIMIT)
            assert photo.rgb.dtype == np.uint8
            assert np.abs(photo.rgb[..., 0].astype(int) - ramp()).max() <= 1


def test_cmyk_becomes_rgb(tmp_path):
    picture = Image.new("CMYK", (5, 4), (0, 255, 255, 0))
    assert photos.read(saved(tmp_path, picture, "tif"), LIMIT).rgb[0, 0].tolist() == [255, 0, 0]
    assert photos.read(saved(tmp_path, picture, "jpg", quality=95), LIMIT).rgb[0, 0, 0] > 250


def test_a_profile_stays_with_its_colours(tmp_path):
    rgb = np.dstack([ramp(), ramp()[::-1], ramp().T])
    photo = photos.read(saved(tmp_path, Image.fromarray(rgb), icc_profile=wide()), LIMIT)
    assert np.array_equal(photo.rgb, rgb)
    assert photo.profile == wide()
    plain = photos.read(saved(tmp_path, Image.fromarray(rgb)), LIMIT)
    assert plain.profile is None
    lab = photos.read(saved(tmp_path, Image.fromarray(rgb), icc_profile=LAB), LIMIT)
    assert lab.profile is None  # it says nothing of RGB
    assert photos.read(saved(tmp_path, Image.fromarray(rgb), icc_profile=b"nonsense"), LIMIT).profile is None


def test_colours_are_expressed_in_the_photos_profile():
    """Red in sRGB is the green of a profile whose primaries are exchanged."""
    photo = photos.Photo(np.zeros((1, 1, 3), np.uint8), wide())
    red = np.array([[[255, 0, 0]]], np.uint8)
    assert np.abs(photos.in_colours_of(red, None, photo).astype(int) - [0, 255, 0]).max() <= 3
    assert np.array_equal(photos.in_colours_of(red, wide(), photo), red)


def test_an_opaque_alpha_is_dropped_and_another_refused(tmp_path):
    rgba = np.dstack([ramp(), ramp(), ramp(), np.full_like(ramp(), 255)])
    assert np.array_equal(photos.read(saved(tmp_path, Image.fromarray(rgba)), LIMIT).rgb, rgba[..., :3])
    rgba[3, 3, 3] = 254
    with pytest.raises(ValueError, match=r"photo\.png is transparent"):
        photos.read(saved(tmp_path, Image.fromarray(rgba)), LIMIT)


@pytest.mark.parametrize(
    ("mode", "suffix", "words"), [("F", "tif", "mode F"), ("I", "tif", "mode I"), ("LAB", "tif", "mode LAB")]
)
def test_other_modes_are_refused(tmp_path, mode, suffix, words):
    with pytest.raises(ValueError, match=words):
        photos.read(saved(tmp_path, Image.new(mode, (4, 4)), suffix), LIMIT)


def test_a_moving_picture_is_refused(tmp_path):
    frames = [Image.fromarray(ramp()), Image.fromarray(ramp()[::-1])]
    with pytest.raises(ValueError, match="holds 2 pictures"):
        photos.read(saved(tmp_path, frames[0], "gif", save_all=True, append_images=frames[1:]), LIMIT)


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is huge and holds nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_picture_bomb_is_refused_by_its_size_alone(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(60000, 60000))
    with pytest.raises(ValueError, match=r"bomb\.png has 3600\.0 megapixels, more than 1; --largest"):
        photos.read(path, LIMIT)
    path.write_bytes(bomb(1000, 1001))
    with pytest.raises(ValueError, match="megapixels"):
        photos.read(path, LIMIT)
    assert Image.MAX_IMAGE_PIXELS  # Pillow's own limit is on for others


def test_a_broken_photo_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.jpg"):
        photos.read(tmp_path / "nothing.jpg", LIMIT)
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(stream, "JPEG")
    for content in (b"", b"text", stream.getvalue()[:1500], bomb(100, 100)):
        (tmp_path / "bad.jpg").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.jpg is not a readable picture"):
            photos.read(tmp_path / "bad.jpg", LIMIT)


def test_a_trimap_is_read_for_the_upright_photo(tmp_path):
    photo = photos.Photo(np.zeros((16, 16, 3), np.uint8))
    path = saved(tmp_path, Image.fromarray(ramp()))
    trimap = photos.read_trimap(path, photo, LIMIT)
    assert trimap.ravel()[[0, 1, 127, 254, 255]].tolist() == [0, 128, 128, 128, 255]
    with pytest.raises(ValueError, match=r"16 × 16 pixels, but its photo, upright, 8 × 9"):
        photos.read_trimap(path, photos.Photo(np.zeros((9, 8, 3), np.uint8)), LIMIT)


def grey_profile(gamma: float) -> bytes:
    """A grey ICC profile of version 2, as its specification lays it out: white point D50 and one curve."""

    def text(kind: bytes, content: bytes) -> bytes:
        return kind + bytes(4) + content

    tags = {
        b"desc": text(b"desc", struct.pack(">I", 5) + b"grey\0" + bytes(78)),
        b"cprt": text(b"text", b"none\0"),
        b"wtpt": text(b"XYZ ", struct.pack(">3I", 63190, 65536, 54061)),
        b"kTRC": text(b"curv", struct.pack(">IH", 1, round(gamma * 256))),
    }
    start, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", 128 + len(table + data), 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3I", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_goes_by_its_profile(tmp_path, mode):
    """Level 128 of a linear grey is light of 0.502, which is level 188 in sRGB (IEC 61966-2-1)."""
    picture = Image.new("L", (4, 4), 128).convert(mode)
    photo = photos.read(saved(tmp_path, picture, icc_profile=grey_profile(1.0)), LIMIT)
    assert np.abs(photo.rgb.astype(int) - 188).max() <= 1
    assert photo.profile is None


def test_16_bits_with_a_clear_grey_become_8(tmp_path):
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 257)
    photo = photos.read(saved(tmp_path, deep, transparency=5), LIMIT)  # no pixel is 5
    assert np.array_equal(photo.rgb[..., 0].ravel(), np.arange(64))
    with pytest.raises(ValueError, match="transparent"):
        photos.read(saved(tmp_path, deep, transparency=257), LIMIT)


def test_a_trimap_may_have_16_bits(tmp_path):
    """Pillow's conversion would take all from 255 of 65535 on for foreground."""
    deep = Image.fromarray(np.array([[0, 300, 32768, 65535]], np.uint16))
    trimap = photos.read_trimap(saved(tmp_path, deep), photos.Photo(np.zeros((1, 4, 3), np.uint8)), LIMIT)
    assert trimap.tolist() == [[0, 128, 128, 255]]


def test_exif_that_cannot_be_written_again_is_left_out(tmp_path):
    """An offset (tag 273) of type LONG that Pillow writes as SHORT."""
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 273, 4, 1, 2**32 - 1, 0)
    photo = photos.read(saved(tmp_path, Image.fromarray(ramp()), "jpg", exif=exif, quality=100), LIMIT)
    assert photo.exif is None
    assert np.abs(photo.rgb[..., 0].astype(int) - ramp()).max() <= 2


def test_a_tiff_with_harmed_tags_is_named_or_read(tmp_path):
    """A profile that is a number is none; a second picture that has no size is an error."""
    path = saved(tmp_path, Image.fromarray(ramp()), "tif", icc_profile=SRGB)
    content = path.read_bytes()
    (start,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[start : start + 2])
    end = start + 2 + 12 * count
    (profile,) = (at for at in range(start + 2, end, 12) if content[at : at + 2] == struct.pack("<H", 34675))
    path.write_bytes(content[:profile] + struct.pack("<HHII", 34675, 4, 1, 7) + content[profile + 12 :])
    assert photos.read(path, LIMIT).profile is None
    path.write_bytes(content[:end] + struct.pack("<I", len(content)) + content[end + 4 :] + bytes(6))
    with pytest.raises(ValueError, match=r"photo\.tif is not a readable picture"):
        photos.read(path, LIMIT)
