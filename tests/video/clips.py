"""Small videos for tests, made with PyAV itself and not by the code under test."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 90_000)


def moving_square(count: int = 6, shape: tuple[int, int] = (48, 64), side: int = 16, step: int = 4) -> np.ndarray:
    """A red square that moves right over grey noise, (T, H, W, 3) uint8."""
    noise = np.random.default_rng(0).integers(90, 130, (*shape, 1), dtype=np.uint8)
    frames = np.repeat(np.repeat(noise, 3, 2)[None], count, 0)
    for index, frame in enumerate(frames):
        frame[12 : 12 + side, 4 + step * index : 4 + step * index + side] = (200, 40, 30)
    return frames


def write(
    path: Path,
    frames: np.ndarray,
    times: list[Fraction] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    **options: str,
) -> Path:
    """Encode frames (T, H, W, 3); at 25 a second where no times are given. BT.709, tagged."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "4", "g": "4", "bf": "0"} | options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.time_base = TICK
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = round((times[index] if times else Fraction(index, 25)) / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path: Path) -> None:
    """Mark an mp4 as to be shown turned by a quarter clockwise: in its track's header, as a phone does.

    The matrix (a b u; c d v; x y w) follows 40 bytes after the name of the box (version 0): a = d = 0, b = 1, c = -1.
    """
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    numbers = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    content[start : start + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(content)
