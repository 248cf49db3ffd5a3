"""Videos and folders of frames, read and written one frame at a time.

A frame is read upright (the turn of its tag is applied), as 8-bit RGB, with its own time, so that a variable frame rate
is kept. What is damaged is read as far as it goes; `problems` then says so.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ldportrait import images
from ldportrait.shards import replacing, replacing_folder
from ldportrait.video.sound import Sound

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
TIMES = "times.csv"  # beside the pictures of a sequence: each one's time
RATE = Fraction(25)  # frames a second where pictures have no times
TICK = Fraction(1, 90_000)  # in which the usual frame rates' times are whole numbers
COMPRESSION = 1  # zlib's level for PNG
LARGEST = 8192 * 8192  # pixels of a frame that is decoded; 8K has half as many
HIGH_RANGE = {16: "PQ", 18: "HLG"}  # transfer curves of high dynamic range, by FFmpeg's numbers
BT_709, LIMITED, UNSPECIFIED = 1, 1, 2  # FFmpeg's numbers for a matrix of colours, for its range, and for none


@dataclass(frozen=True)
class Frame:
    """A picture (H, W, 3) uint8 at a time in seconds from the first one; `index` counts from 0."""

    index: int
    seconds: Fraction
    rgb: np.ndarray


@dataclass
class Clip:
    """A video or a folder of frames: its (H, W), upright; frames a second, on average; how many frames it claims.

    To iterate reads it from its start; `problems` has a sentence for whatever could not be read then. `start` is the
    first frame's time in seconds by the file's own clock, which its sound goes by as well; `aspect` a pixel's width by
    its height.
    """

    path: Path
    shape: tuple[int, int]
    rate: Fraction
    count: int | None
    read: Callable[["Clip"], Iterator[Frame]]
    problems: list[str] = field(default_factory=list)
    start: Fraction = Fraction(0)
    aspect: Fraction = Fraction(1)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        self.problems.clear()
        return self.read(self)


def open_clip(path: Path, rate: Fraction = RATE) -> Clip:
    """Open a video's file, or a folder of frames in the order of their names' numbers, shown at `rate` a second.

    Raises FileNotFoundError, or ValueError where not even one frame can be read.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, rate)
    if not path.is_file():
        raise FileNotFoundError(f"There is no video or folder of frames at {path}.")
    try:
        with av.open(str(path)) as container:
            stream = _pictures(container)
            if stream is None:
                raise ValueError(f"{path} has no pictures in it.")
            if stream.codec_context is None:
                raise ValueError(f"{path} cannot be read: its pictures are coded in an unknown way.")
            if stream.codec_context.width * stream.codec_context.height > LARGEST:
                raise ValueError(f"{path} is too large to be read: it has more than {LARGEST / 1e6:.0f} megapixels.")
            found = stream.average_rate or stream.guessed_rate or rate
            own, whole = _lengths(container, stream)
            coded = (stream.codec_context.height, stream.codec_context.width)
            aspect = stream.sample_aspect_ratio or Fraction(1)
    except av.FFmpegError as error:
        raise ValueError(f"Nothing can be read of {path}: {error.strerror}.") from error
    clip = Clip(path, (0, 0), Fraction(found), None, _frames)
    first = next(iter(clip), None)
    if first is None:
        raise ValueError(f"Nothing can be read of {path}: it has no whole frame.")
    clip.shape = first.rgb.shape[:2]
    clip.aspect = aspect if clip.shape == coded else 1 / aspect
    length = whole - clip.start if own is None and whole is not None else own
    clip.count = None if length is None else max(1, round(length * clip.rate))
    return clip


def _pictures(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream of a file that moves: the first one that is no cover of its sound."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _lengths(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[Fraction | None, Fraction | None]:
    """How many seconds a file says that its pictures last, and when all that is in it ends; None where it does not."""
    own = stream.duration * stream.time_base if stream.duration else None
    if container.format.name == "avi" and stream.average_rate:  # whose duration FFmpeg fits to what is left of the file
        own = stream.frames / stream.average_rate
    return own, Fraction(container.duration, av.time_base) if container.duration else None


def numbered(pictures: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Make frames of a benchmark's pictures, which come with their true alpha or None and have no times."""
    for index, (rgb, alpha) in enumerate(pictures):
        yield Frame(index, index / RATE, rgb), alpha


def _frames(clip: Clip) -> Iterator[Frame]:
    """The frames of a video's file; what cannot be decoded is left out."""
    index, start, before = 0, None, None
    for picture in _decoded(clip):
        rgb = _upright(picture)
        if before is not None and rgb.shape[:2] != clip.shape:
            clip.problems.append(f"{clip.path} changes its size at frame {index}; what follows is left out.")
            return
        own = Fraction(picture.pts) * picture.time_base if picture.pts is not None else None
        if start is None and own is not None:
            start = clip.start = own
        seconds = index / clip.rate if own is None or start is None else own - start
        if before is not None and seconds <= before:  # damaged times: frames follow each other all the same
            seconds = before + 1 / clip.rate
        yield Frame(index, seconds, rgb)
        index, before = index + 1, seconds


def _decoded(clip: Clip) -> Iterator[av.VideoFrame]:
    """Decode packet by packet, past damaged ones; `problems` counts these and says where the file breaks off."""
    lost, end = 0, Fraction(0)
    with av.open(str(clip.path)) as container:
        stream = _pictures(container)
        stream.codec_context.options = {"max_pixels": str(LARGEST)}  # the file's head may promise less
        own, whole = _lengths(container, stream)
        packets = container.demux()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                clip.problems.append(f"{clip.path} cannot be read to its end: {error.strerror}.")
                packet = None
            if packet is not None and packet.pts is not None and (own is None or packet.stream is stream):
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet is not None and packet.stream is not stream:
                continue
            try:
                yield from stream.codec_context.decode(packet)
            except EOFError:  # the decoder was emptied before
                packet = None
            except av.FFmpegError:
                lost += 1
            if packet is None:
                break
    if lost:
        clip.problems.append(f"{clip.path} is damaged: {lost} of its packets could not be decoded.")
    said, there = (whole, end) if own is None else (own, end - clip.start)
    if not clip.problems and said is not None and there < 0.98 * said - 1 / clip.rate:
        clip.problems.append(f"{clip.path} ends at {float(there):.1f} of {float(said):.1f} seconds; it is cut off.")
    if stream.codec_context.color_trc in HIGH_RANGE:
        curve = HIGH_RANGE[stream.codec_context.color_trc]
        clip.problems.append(
            f"{clip.path} has a high dynamic range ({curve}) that is not converted: colours look flat."
        )


def _upright(picture: av.VideoFrame) -> np.ndarray:
    """A decoded frame as (H, W, 3) uint8, turned and mirrored as its tag says.

    Colours without a tag are BT.709 in high definition, as players take them (mpv's rule), else BT.601.
    """
    high = picture.width >= 1280 or picture.height > 576
    matrix = "ITU709" if high and picture.colorspace == UNSPECIFIED else None
    rgb = picture.to_ndarray(format="rgb24", src_colorspace=matrix)
    right, down, crosswise = _turn(picture)
    rgb = rgb.transpose(1, 0, 2) if crosswise else rgb
    return np.ascontiguousarray(rgb[:: 1 if down else -1, :: 1 if right else -1])


def _turn(picture: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether columns go right and rows go down, and whether, before that, rows become columns.

    The tag is a matrix (a b u; c d v; x y w) that brings column p and row q to a p + c q and b p + d q.
    """
    try:
        tag = picture.side_data.get("DISPLAYMATRIX")
        a, b, _, c, d = (1, 0, 0, 0, 1) if tag is None else np.frombuffer(tag, np.int32)[:5]
    except ValueError:  # there is another tag beside it that PyAV has no name for
        turn = np.deg2rad(picture.rotation)
        a, b, c, d = np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)
    return (c > 0, b > 0, True) if abs(b) > abs(a) else (a > 0, d > 0, False)


def _open_folder(folder: Path, rate: Fraction) -> Clip:
    """Open a folder of frames. ValueError without a readable one."""
    paths = sorted((path for path in folder.iterdir() if path.suffix.lower() in PICTURES), key=_numbers)
    times = _read_times(folder, len(paths)) or [index / rate for index in range(len(paths))]

    def read(clip: Clip) -> Iterator[Frame]:
        for index, (path, seconds) in enumerate(zip(paths, times, strict=True)):
            try:
                with Image.open(path) as picture:
                    rgb = np.array(picture.convert("RGB"))
            except Exception as error:  # Pillow's readers raise errors of many kinds for a damaged file
                clip.problems.append(f"{path} is not a readable picture, and left out: {error}.")
                continue
            if clip.shape != (0, 0) and rgb.shape[:2] != clip.shape:
                clip.problems.append(f"{path} has another size than the frames before it, and is left out.")
                continue
            yield Frame(index, seconds, rgb)

    clip = Clip(folder, (0, 0), rate, len(paths), read)
    first = next(iter(clip), None)
    if first is None:
        raise ValueError(f"There are no readable frames ({', '.join(PICTURES)}) in {folder}.")
    clip.shape = first.rgb.shape[:2]
    return clip


def _numbers(path: Path) -> list[object]:
    """Sort frame 10 after frame 9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _read_times(folder: Path, count: int) -> list[Fraction] | None:
    """The times that `write_sequence` left; None without them, or where they are not those of `count` pictures."""
    try:
        lines = (folder / TIMES).read_text(encoding="utf-8").splitlines()[1:]
        times = [Fraction(line.partition(",")[2]) for line in lines]
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return times if len(times) == count else None


Write = Callable[[np.ndarray, Fraction], None]

# An encoder's name, its pixels without and with alpha, and its options
ENCODERS = {
    ".mov": ("prores_ks", "yuv444p10le", "yuva444p10le", {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}),
    ".webm": (
        "libvpx-vp9",
        "yuv420p",
        "yuva420p",
        {"crf": "20", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"},
    ),
    ".mp4": ("libx264", "yuv420p", None, {"crf": "16", "preset": "fast", "movflags": "+faststart"}),
}


def check_target(path: Path, alpha: bool) -> None:
    """Raise ValueError for an output that cannot be written: of another kind, or that cannot hold alpha."""
    suffix = Path(path).suffix.lower()
    if suffix and suffix not in ENCODERS:
        raise ValueError(f"{path} cannot be written; name a .mov, .webm or .mp4, or a folder for pictures.")
    if alpha and suffix and ENCODERS[suffix][2] is None:
        raise ValueError(f"{path} cannot hold alpha; name a .mov (ProRes 4444), a .webm (VP9) or a folder.")
    if not suffix and path.is_dir() and any(path.iterdir()) and not (path / TIMES).is_file():
        raise ValueError(f"{path} holds other files; name a new folder for the pictures.")


@contextlib.contextmanager
def writing(path: Path, rate: Fraction, aspect: Fraction = Fraction(1), sound: Sound | None = None) -> Iterator[Write]:
    """Give a function that writes a picture with its time: (H, W, 4), (H, W, 3) or (H, W) uint8, all alike.

    By the path's suffix: .mov is ProRes 4444 and .webm VP9, both with alpha for four channels; .mp4 is H.264; without
    a suffix, a folder of PNGs, without sound. `aspect` is a pixel's width by its height, which .mov and .mp4 keep. What
    is written appears whole at the end, or not at all. ValueError for another path.
    """
    path = Path(path)
    check_target(path, False)
    if not path.suffix:
        with _sequence(path) as write:
            yield write
        return
    with replacing(path) as temporary, av.open(str(temporary), "w", format=path.suffix[1:].lower()) as container:
        stream = None

        def write(picture: np.ndarray, seconds: Fraction) -> None:
            nonlocal stream
            if stream is None:
                check_target(path, picture.ndim == 3 and picture.shape[2] == 4)
                stream = _stream(container, path.suffix.lower(), picture, rate, aspect)
                if sound is not None:
                    sound.begin(container, path.suffix.lower())
            container.mux(stream.encode(_encodable(picture, stream, seconds)))
            if sound is not None:
                sound.until(seconds)

        yield write
        if stream is None:
            raise ValueError(f"There was no frame to write to {path}.")
        container.mux(stream.encode(None))
        if sound is not None:
            sound.finish()


def _stream(
    container: av.container.OutputContainer, suffix: str, picture: np.ndarray, rate: Fraction, aspect: Fraction
) -> av.VideoStream:
    """Add the stream for pictures like the first one."""
    codec, plain, transparent, encoder_options = ENCODERS[suffix]
    stream = container.add_stream(codec, rate=rate.limit_denominator(1001), options=dict(encoder_options))
    stream.pix_fmt = transparent if picture.ndim == 3 and picture.shape[2] == 4 else plain
    even = suffix == ".mp4"  # H.264 in 4:2:0 has even sides: the last row or column is doubled
    stream.height, stream.width = (side + side % 2 if even else side for side in picture.shape[:2])
    context = stream.codec_context
    context.time_base, context.sample_aspect_ratio = TICK, aspect
    context.colorspace, context.color_range = BT_709, LIMITED
    context.color_primaries = context.color_trc = BT_709
    return stream


def _encodable(picture: np.ndarray, stream: av.VideoStream, seconds: Fraction) -> av.VideoFrame:
    """A picture as the encoder wants it: its pixel format, BT.709, its time in ticks."""
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    below, beside = stream.height - picture.shape[0], stream.width - picture.shape[1]
    if below or beside:
        picture = np.pad(picture, ((0, below), (0, beside), (0, 0)), mode="edge")
    plain = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(picture), format="rgba" if picture.shape[2] == 4 else "rgb24"
    )
    frame = plain.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.pts, frame.time_base = round(seconds / TICK), TICK
    return frame


@contextlib.contextmanager
def _sequence(folder: Path) -> Iterator[Write]:
    """Write PNGs, 000000.png on, and their times, to a folder that takes the place of an earlier one at the end."""
    times = []

    def write(picture: np.ndarray, seconds: Fraction) -> None:
        name = f"{len(times):06d}.png"
        (new / name).write_bytes(images.png(picture, COMPRESSION))
        times.append(f"{name},{seconds}")

    with replacing_folder(folder) as new:
        yield write
        if not times:
            raise ValueError(f"There was no frame to write to {folder}.")
        (new / TIMES).write_text("\n".join(["file,seconds", *times]) + "\n", encoding="utf-8")
