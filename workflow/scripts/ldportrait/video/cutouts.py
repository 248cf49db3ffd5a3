"""A whole video: from its frames to mattes by way of a segmentation, and on to a file; one frame at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ldportrait import matting
from ldportrait.benchmarks import bank
from ldportrait.inference import Predictor
from ldportrait.photos import Photo
from ldportrait.trimaps import UNKNOWN
from ldportrait.video import files, segmenters, trimaps
from ldportrait.video import matting as video_matting
from ldportrait.video.files import Clip, Frame
from ldportrait.video.flow import Flows
from ldportrait.video.matting import BatchPredictor, Matte
from ldportrait.video.segmenters import Segment
from ldportrait.video.sound import Sound

REMEMBERED = 24  # frames whose alpha is kept from segmentation to matting
FLOWS = 88  # flows that are kept from segmentation to smoothing: with batches of 4 none is computed twice

Segmenting = Callable[[Iterable[Frame], str, Flows], Iterator[Segment]]  # frames, the clip's name and its flows
Matting = Callable[[Iterable[tuple[Frame, np.ndarray]]], Iterator[Matte]]  # frames with their trimaps
Finish = Callable[[Photo, np.ndarray], np.ndarray]
Truths = Iterable[tuple[Frame, np.ndarray | None]]  # frames with their true alpha, where it is known


def shared(predict: Predictor) -> Predictor:
    """Let a trimap-free network that segments and mattes run once a frame for both."""
    return video_matting.remembering(predict, REMEMBERED)


def found(predict: Predictor, side: int) -> Segmenting:
    """Segment frames by a trimap-free network that is shown them at `side`."""
    return lambda frames, item, flows: segmenters.frames(frames, predict, side, flows=flows)


def given(folder: Path) -> Segmenting:
    """Segment frames as segment_video did, whose output is in `folder`; ValueError where it does not fit the clip."""

    def read(frames: Iterable[Frame], item: str, flows: Flows) -> Iterator[Segment]:
        for frame, segment in zip_longest(frames, segmenters.read(folder, item)):
            if frame is None or segment is None or segment[0].shape != frame.rgb.shape[:2]:
                raise ValueError(
                    f"The segments of {item} in {folder} are not of these frames; segment the video again."
                )
            yield Segment(frame, *segment)

    return read


def by_trimaps(predict: BatchPredictor, batch: int, side: int = matting.SIDE) -> Matting:
    """Matte by a trimap-based network, `batch` frames at a time."""
    return partial(video_matting.matte, predict=predict, batch=batch, side=side)


def whole(predict: Predictor, side: int) -> Matting:
    """Matte by a trimap-free network, within what is unknown."""
    return partial(video_matting.matte_free, predict=predict, side=side)


def mattes(
    frames: Iterable[Frame], item: str, segment: Segmenting, matte: Matting, smoothing: Mapping[str, float] | None
) -> Iterator[Matte]:
    """Matte a clip's frames by trimaps of evidence, smoothed with the options of `matting.smooth`, None for not.

    Segmentation and smoothing share their optical flow. Who leaves, enters or is hidden is printed.
    """
    flows = Flows(kept=FLOWS)
    segments = segmenters.told(segment(frames, item, flows), item)
    known = ((found.frame, trimaps.evidence(found.mask, found.doubt)) for found in segments)
    return smoothed(matte(known), smoothing, flows)


def smoothed(
    stream: Iterator[Matte], smoothing: Mapping[str, float] | None, flows: Flows | None = None
) -> Iterator[Matte]:
    """Smooth mattes, unless `smoothing` is None."""
    return stream if smoothing is None else video_matting.smooth(stream, **smoothing, flows=flows)


def true_trimaps(frames: Truths, item: str) -> Iterator[tuple[Frame, np.ndarray]]:
    """Make each frame's trimap from its true alpha, as for the bank's pictures; ValueError for a frame without one."""
    for frame, alpha in frames:
        if alpha is None:
            raise ValueError(f"Frame {frame.index} of {item} has no true alpha to make a trimap from.")
        yield frame, bank.trimap(alpha)


def unknown(frames: Truths) -> Iterator[tuple[Frame, np.ndarray]]:
    """Give frames trimaps that know nothing."""
    for frame, _ in frames:
        yield frame, np.full(frame.rgb.shape[:2], UNKNOWN, np.uint8)


def write(
    stream: Iterable[Matte], clip: Clip, target: Path, finish: Finish, nested: bool = False, sound: bool = True
) -> int:
    """Write what `finish` makes of each frame and its alpha to `target` (see `files.writing`); return how many.

    A file gets the clip's sound, if `sound`; the clip's problems tell what cannot be had of it. Shows progress against
    the number of frames that the clip claims; `nested`, below another bar.
    """
    count = 0
    heard = Sound(clip.path, clip.start) if sound and clip.path.is_file() and target.suffix else None
    look = {"desc": clip.path.name, "unit": "frame", "position": int(nested), "leave": not nested, "disable": None}
    with files.writing(target, clip.rate, clip.aspect, heard) as write_frame, tqdm(total=clip.count, **look) as bar:
        for matte in stream:
            write_frame(finish(Photo(matte.frame.rgb), matte.alpha), matte.frame.seconds)
            count += 1
            bar.update()
        bar.total = count  # what the file claims may be more than there is
    clip.problems += heard.problems if heard else []
    return count
