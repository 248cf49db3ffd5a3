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
        stream.codec_context.time_base = Fraction(1, 25) if path.suffix == ".avi" else TICK  # an AVI counts frames
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = round((times[index] if times else Fraction(index, 25)) / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn(path: Path, a: int = 0, b: int = 1, c: int = -1, d: int = 0) -> None:
    """Mark an mp4 as to be shown turned, else by a quarter clockwise: in its track's header, as a phone does.

    The matrix (a b u; c d v; x y w) follows 40 bytes after the name of the box (version 0): column p and row q of the
    picture are shown at a p + c q and b p + d q.
    """
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    numbers = [a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30]
    content[start : start + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(content)


def write_with_tones(
    path: Path,
    sound: str,
    seconds: Fraction = Fraction(2),
    late: Fraction = Fraction(0),
    tones: tuple[int, ...] = (1000,),
    rate: int = 48_000,
    flash: Fraction = Fraction(1),
    after: Fraction = Fraction(0),
) -> Path:
    """Encode dark pictures that turn bright at `flash` seconds, where a tone sets in; one track for each tone, in Hz.

    Pictures are 64 × 48, 25 a second. The sound, whose codec is `sound`, begins `late` seconds before them and goes on
    `after` seconds behind them.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25) if path.suffix == ".avi" else TICK  # an AVI counts frames
        tracks = [container.add_stream(sound, rate=rate, layout="mono") for _ in tones]
        times = np.arange(round(rate * (late + seconds + after))) / rate
        waves = [0.5 * np.sin(2 * np.pi * tone * times) * (times >= late + flash) for tone in tones]
        for index in range(round(25 * seconds)):
            picture = np.full((48, 64, 3), 220 if Fraction(index, 25) >= flash else 30, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = round((Fraction(index, 25) + late) / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for track, wave in zip(tracks, waves, strict=True):
            for start in range(0, len(wave), 1000):
                part = wave[None, start : start + 1000].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def hear(path: Path, track: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Decode a track: each sample's time in seconds from the first picture, and its value in [-1, 1], first channel."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0))
        start = first.pts * first.time_base
    times, values = [], []
    with av.open(str(path)) as container:
        loud = av.AudioResampler("fltp")
        for frame in container.decode(audio=track):
            (frame,) = loud.resample(frame)
            values.append(frame.to_ndarray()[0])
            begin = float(frame.pts * frame.time_base - start)
            times.append(begin + np.arange(frame.samples) / frame.sample_rate)
    return np.concatenate(times), np.concatenate(values)


def pitch(times: np.ndarray, values: np.ndarray) -> float:
    """The frequency, in Hz, of most power."""
    power = np.abs(np.fft.rfft(values * np.hanning(len(values))))
    return float(np.fft.rfftfreq(len(values), (times[-1] - times[0]) / (len(times) - 1))[power.argmax()])
