"""Videos of all kinds are read and written: times, turns, depths, odd sizes, alpha, and what is broken."""

from fractions import Fraction

import av
import clips
import numpy as np
import pytest
from PIL import Image

from ldportrait.video import files


def read(path, **options):
    clip = files.open_clip(path, **options)
    return clip, list(clip)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_video_is_read(tmp_path, suffix):
    frames = clips.moving_square()
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    clip, found = read(clips.write(tmp_path / f"a{suffix}", frames, codec=codec))
    assert (clip.shape, clip.rate, clip.problems) == ((48, 64), 25, [])
    assert [frame.index for frame in found] == list(range(6))
    assert np.allclose([float(frame.seconds) for frame in found], np.arange(6) / 25, atol=1e-3)
    for frame, true in zip(found, frames, strict=True):
        assert np.abs(frame.rgb.astype(int) - true).mean() < 3


def test_a_variable_frame_rate_is_kept(tmp_path):
    times = [Fraction(tick, 90_000) for tick in (0, 3600, 4500, 12_000, 30_000, 31_003)]
    _, found = read(clips.write(tmp_path / "a.mp4", clips.moving_square(), times))
    assert [frame.seconds for frame in found] == times
    with files.writing(tmp_path / "b.mp4", Fraction(25)) as write:
        for frame in found:
            write(frame.rgb, frame.seconds)
    _, again = read(tmp_path / "b.mp4")
    assert [frame.seconds for frame in again] == times


def test_ten_bits_become_eight(tmp_path):
    frames = clips.moving_square()
    _, found = read(clips.write(tmp_path / "a.mp4", frames, pixels="yuv444p10le"))
    for frame, true in zip(found, frames, strict=True):
        assert frame.rgb.dtype == np.uint8
        assert np.abs(frame.rgb.astype(int) - true).mean() < 3


TURNS = [
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


@pytest.mark.parametrize(("a", "b", "c", "d"), TURNS)
def test_a_turned_or_mirrored_video_is_read_upright(tmp_path, a, b, c, d):
    """Each pixel is where the matrix brings it, with the place of the whole picture made good."""
    frames = clips.moving_square()
    path = clips.write(tmp_path / "a.mp4", frames)
    clips.turn(path, a, b, c, d)
    clip, found = read(path)
    height, width = frames.shape[1:3]
    assert clip.shape == ((width, height) if b else (height, width))
    rows, columns = np.mgrid[:height, :width]
    across, down = a * columns + c * rows, b * columns + d * rows
    for frame, true in zip(found, frames, strict=True):
        shown = frame.rgb[down - down.min(), across - across.min()]
        assert np.abs(shown.astype(int) - true).mean() < 3


def test_a_tag_without_a_name_does_not_hide_the_turn(tmp_path):
    path = clips.write(tmp_path / "a.mp4", clips.moving_square())
    clips.turn(path)
    _, before = read(path)

    class Picture:
        """A frame of which PyAV cannot list the tags."""

        def __init__(self, frame):
            self.frame = frame

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")

        def __getattr__(self, name):
            return getattr(self.frame, name)

    with av.open(str(path)) as container:
        for frame, true in zip(container.decode(video=0), before, strict=True):
            assert np.array_equal(files._upright(Picture(frame)), true.rgb)


def test_a_cover_is_no_video(tmp_path):
    """A song with the picture on its sleeve."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        cover, song = container.add_stream("mjpeg", rate=1), container.add_stream("aac", rate=48_000, layout="mono")
        cover.width, cover.height, cover.pix_fmt = 96, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((96, 96, 3), np.uint8))
        picture.pts, picture.time_base = 0, Fraction(1)
        container.mux([*cover.encode(picture), *cover.encode(None)])
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux([*song.encode(sound), *song.encode(None)])
    with pytest.raises(ValueError, match="no pictures in it"):
        read(tmp_path / "a.mp4")


@pytest.mark.parametrize(("shape", "green"), [((720, 1280), 0.7152), ((480, 640), 0.587)])
def test_colours_without_a_tag_are_those_of_the_definition(tmp_path, shape, green):
    """Green of BT.709 in high definition, of BT.601 in standard: Y' = 16 + 219 g, Cb and Cr by the same equations."""
    red, blue = {0.7152: (0.2126, 0.0722), 0.587: (0.299, 0.114)}[green]
    values = (16 + 219 * green, 128 - 224 * green / (2 * (1 - blue)), 128 - 224 * green / (2 * (1 - red)))
    planes = np.stack([np.full(shape, round(value), np.uint8) for value in values])
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = *shape, "yuv444p"
        container.mux([*stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv444p")), *stream.encode(None)])
    (found,) = files.open_clip(tmp_path / "a.mp4")
    assert np.abs(found.rgb.astype(int) - (0, 255, 0)).max() <= 3


def test_high_dynamic_range_is_said(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, 18  # BT.2020 and HLG
        picture = av.VideoFrame.from_ndarray(clips.moving_square(1)[0]).reformat(format="yuv420p10le")
        container.mux([*stream.encode(picture), *stream.encode(None)])
    clip, found = read(tmp_path / "a.mp4")
    assert len(found) == 1
    (sentence,) = clip.problems
    assert "high dynamic range (HLG)" in sentence


@pytest.mark.parametrize("name", ["b.mp4", "b.mov"])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square_stay_so(tmp_path, name, turned):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        picture = av.VideoFrame.from_ndarray(clips.moving_square(1)[0])
        container.mux([*stream.encode(picture), *stream.encode(None)])
    if turned:
        clips.turn(tmp_path / "a.mp4")
    clip, found = read(tmp_path / "a.mp4")
    with files.writing(tmp_path / name, clip.rate, clip.aspect) as write:
        write(found[0].rgb, Fraction(0))
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].sample_aspect_ratio == (Fraction(3, 4) if turned else Fraction(4, 3))


def test_odd_sizes(tmp_path):
    frames = clips.moving_square(shape=(47, 63))
    clip, found = read(clips.write(tmp_path / "a.mp4", frames))
    assert clip.shape == (47, 63)
    for name, shape in (("b.mp4", (48, 64)), ("b.mov", (47, 63)), ("b.webm", (47, 63))):
        with files.writing(tmp_path / name, clip.rate) as write:
            for frame in found:
                write(frame.rgb, frame.seconds)
        clip, again = read(tmp_path / name)
        assert clip.shape == shape
        for frame, true in zip(again, frames, strict=True):
            assert np.abs(frame.rgb[:47, :63].astype(int) - true).mean() < 8


def cut_out(count=4, shape=(47, 63)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    frames = []
    for index in range(count):
        alpha = np.clip(20 * (15 - np.hypot(y - 24, x - 20 - 4 * index)), 0, 255)
        frames.append(np.dstack([np.full(shape, 180), np.full(shape, 120), np.full(shape, 90), alpha]))
    return np.array(frames).round().astype(np.uint8)


def decode_alpha(path, codec):
    with av.open(str(path)) as container:
        decoder = av.CodecContext.create(codec, "r") if codec else container.streams.video[0].codec_context
        frames = [frame for packet in container.demux(video=0) for frame in decoder.decode(packet)]
        return [(frame.format.name, frame.to_ndarray(format="rgba")) for frame in frames]


@pytest.mark.parametrize(("name", "codec", "most"), [("a.mov", None, 1), ("a.webm", "libvpx-vp9", 4)])
def test_alpha_is_written(tmp_path, name, codec, most):
    """Read back by FFmpeg's own decoders: of VP9, only libvpx reads alpha."""
    made = cut_out()
    with files.writing(tmp_path / name, Fraction(30000, 1001)) as write:
        for index, rgba in enumerate(made):
            write(rgba, index * Fraction(1001, 30000))
    found = decode_alpha(tmp_path / name, codec)
    assert len(found) == len(made)
    for (pixels, rgba), true in zip(found, made, strict=True):
        assert pixels.startswith("yuva")
        assert np.abs(rgba[..., 3].astype(int) - true[..., 3]).mean() < most
        solid = true[..., 3] == 255
        assert np.abs(rgba[solid][:, :3].astype(int) - true[solid][:, :3]).mean() < 6
    assert files.open_clip(tmp_path / name).rate == pytest.approx(30000 / 1001, rel=1e-3)


def test_colours_are_tagged_as_what_they_are(tmp_path):
    """A saturated colour by BT.709's own equations: Y' = 0.2126 R + 0.7152 G + 0.0722 B, in 16 … 235."""
    with files.writing(tmp_path / "a.mp4", Fraction(25)) as write:
        write(np.full((32, 32, 3), (0, 255, 0), np.uint8), Fraction(0))
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 1)
        assert np.abs(frame.to_ndarray()[:32].astype(int) - round(16 + 219 * 0.7152)).max() <= 1
    _, (found,) = read(tmp_path / "a.mp4")
    assert np.abs(found.rgb.astype(int) - (0, 255, 0)).max() <= 4


def test_pictures_out_and_in_again(tmp_path):
    made = cut_out(12)
    with files.writing(tmp_path / "out", Fraction(25)) as write:
        for index, rgba in enumerate(made):
            write(rgba, Fraction(index * index, 50))
    for index, true in enumerate(made):
        with Image.open(tmp_path / "out" / f"{index:06d}.png") as picture:
            assert np.array_equal(np.array(picture), true)
    _, found = read(tmp_path / "out")
    assert [frame.seconds for frame in found] == [Fraction(index * index, 50) for index in range(12)]
    assert np.array_equal(found[10].rgb, made[10][..., :3])


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    for number in (1, 2, 10, 9):
        Image.fromarray(np.full((8, 9, 3), number, np.uint8)).save(tmp_path / f"f{number}.png")
    _, found = read(tmp_path, rate=Fraction(10))
    assert [frame.rgb[0, 0, 0] for frame in found] == [1, 2, 9, 10]
    assert [frame.seconds for frame in found] == [0, Fraction(1, 10), Fraction(2, 10), Fraction(3, 10)]


def test_a_folder_with_a_broken_frame(tmp_path):
    for number in range(4):
        Image.fromarray(np.full((8, 9, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    clip, found = read(tmp_path)
    assert [frame.rgb[0, 0, 0] for frame in found] == [0, 1, 3]
    (sentence,) = clip.problems
    assert "2.png is not a readable picture" in sentence


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_truncated_file_gives_what_can_be_read(tmp_path, suffix):
    frames = clips.moving_square(30)
    path = clips.write(tmp_path / f"a{suffix}", frames, movflags="+faststart")
    if suffix == ".mp4":  # written with its index first, as for the web
        with (
            av.open(str(path)) as source,
            av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "+faststart"}) as container,
        ):
            stream = container.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    container.mux(packet)
        path = tmp_path / "b.mp4"
    content = path.read_bytes()
    path.write_bytes(content[: 3 * len(content) // 4])
    clip, found = read(path)
    assert 5 < len(found) < 30
    for frame, true in zip(found[:-1], frames, strict=False):
        assert np.abs(frame.rgb.astype(int) - true).mean() < 3
    assert clip.problems
    assert "cut off" in clip.problems[-1] or suffix == ".mp4"
    assert all(str(path) in sentence and sentence.endswith(".") for sentence in clip.problems)


def trimmed(path, seconds):
    """A copy without the first seconds, as a phone cuts: the frames are there, and the head says not to show them."""
    with av.open(str(path)) as source, av.open(str(path.with_stem("trimmed")), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = (time - round(seconds / packet.time_base) for time in (packet.pts, packet.dts))
                packet.stream = stream
                container.mux(packet)
    return path.with_stem("trimmed")


def test_a_whole_file_is_not_called_cut_off(tmp_path):
    """Sound that lasts longer than the pictures, pictures that begin later, and pictures that were trimmed."""
    for path, count in (
        (clips.write_with_tones(tmp_path / "a.mkv", "flac", after=Fraction(2)), 50),
        (clips.write_with_tones(tmp_path / "b.webm", "libopus", late=Fraction(3)), 50),
        (clips.write_with_tones(tmp_path / "c.avi", "libmp3lame"), 50),
        (trimmed(clips.write(tmp_path / "d.mp4", clips.moving_square(30)), Fraction(4, 5)), 10),
    ):
        clip, found = read(path)
        assert (len(found), clip.problems) == (count, [])


def test_a_damaged_file_is_read_past_its_damage(tmp_path):
    frames = clips.moving_square(30)
    path = clips.write(tmp_path / "a.mkv", frames)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pts is not None]
    content = bytearray(path.read_bytes())
    content[places[9] + 10 : places[10] - 10] = bytes(places[10] - places[9] - 20)
    path.write_bytes(content)
    _, found = read(path)
    assert len(found) >= 20
    assert np.abs(found[-1].rgb.astype(int) - frames[-1]).mean() < 3


@pytest.mark.parametrize("content", [b"", b"no video at all", None])
def test_nothing_to_read_is_said(tmp_path, content):
    path = tmp_path / "a.mp4"
    if content is None:  # without its index, which stands at the end
        whole = clips.write(path, clips.moving_square()).read_bytes()
        content = whole[: whole.index(b"moov") - 4]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Nothing can be read of .*a\.mp4"):
        files.open_clip(path)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no video or folder of frames"):
        files.open_clip(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="no readable frames"):
        files.open_clip(tmp_path)


def test_an_output_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be written"):
        files.check_target(tmp_path / "a.avi", False)
    with pytest.raises(ValueError, match="cannot hold alpha"):
        files.check_target(tmp_path / "a.mp4", True)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        files.check_target(tmp_path, True)


@pytest.mark.parametrize("name", ["a.mov", "a"])
def test_an_output_appears_whole_or_not_at_all(tmp_path, name):
    def fail_halfway() -> None:
        with files.writing(tmp_path / name, Fraction(25)) as write:
            write(cut_out()[0], Fraction(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no frame to write"), files.writing(tmp_path / name, Fraction(25)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_takes_the_place_of_an_earlier_one(tmp_path):
    for count in (5, 2):
        with files.writing(tmp_path / "out", Fraction(25)) as write:
            for index, rgba in enumerate(cut_out(count)):
                write(rgba, Fraction(index, 25))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.png", "000001.png", "times.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
