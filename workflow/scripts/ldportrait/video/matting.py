"""From trimaps to steady mattes: a matting network on batches of frames, and smoothing along the optical flow.

Streams of frames: of neighbours and of a batch, no more is in memory at once.
"""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
import torch

from ldportrait import matting
from ldportrait.inference import Predictor, levels, thirds
from ldportrait.trimaps import UNKNOWN
from ldportrait.video.files import Frame
from ldportrait.video.flow import Flows, agreement, targets

BATCH = 4  # frames shown to the network at a time on a GPU; a CPU takes longer for batches than for frame after frame
NEIGHBOURS = 3  # frames before and after that smooth one
STRENGTH = 1.0  # weight of a neighbour whose motion and colour fit, beside 1 of the frame itself

# (B, H, W, 3) pictures and (B, H, W) trimaps of {0, 128, 255}, uint8, to alpha (B, H, W) float32
BatchPredictor = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Matte:
    """A frame with its trimap and its alpha, both (H, W) uint8."""

    frame: Frame
    trimap: np.ndarray
    alpha: np.ndarray


def batched(network: torch.nn.Module) -> BatchPredictor:
    """Let torch run a network on frames of one size, where its weights are."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def predict(images: np.ndarray, trimaps: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
        known = torch.from_numpy(thirds(trimaps)).to(device)[:, None]
        alpha = network(pixels.contiguous(memory_format=torch.channels_last), known)
        return alpha[:, 0].float().clamp(0, 1).cpu().numpy()

    return predict


def batch_size(gpus: int) -> int:
    """How many frames at a time are shown to a network on a GPU, or on none."""
    return BATCH if gpus else 1


def one_by_one(predict: Predictor) -> BatchPredictor:
    """Let a predictor of single pictures take batches."""
    return lambda images, trimaps: np.stack([predict(*pair) for pair in zip(images, trimaps, strict=True)])


def matte(
    frames: Iterable[tuple[Frame, np.ndarray]], predict: BatchPredictor, batch: int = 1, side: int = matting.SIDE
) -> Iterator[Matte]:
    """Give alpha to frames of one size with their trimaps (H, W) by a trimap-based network, `batch` frames at a time.

    Where the trimap is known, alpha is the trimap, whatever the network says; frames without an unknown pixel are not
    shown to it. Frames of more than `side` pixels a side are matted in tiles of that, one after another.
    """
    frames = iter(frames)
    while taken := list(islice(frames, batch)):
        yield from _matted(taken, predict, side)


def _matted(taken: list[tuple[Frame, np.ndarray]], predict: BatchPredictor, side: int) -> list[Matte]:
    """The mattes of the frames of a batch, which are of one size."""
    alphas = [trimap for _, trimap in taken]
    shown = [place for place, trimap in enumerate(alphas) if (trimap == UNKNOWN).any()]
    if max(alphas[0].shape) > side:
        for place in shown:
            alphas[place] = matting.matte_tiles(_single(predict), *_pictures(taken[place]), side)
    elif shown:
        images, trimaps = (np.stack(parts) for parts in zip(*(_pictures(taken[place]) for place in shown), strict=True))
        for place, alpha in zip(shown, levels(predict(images, trimaps)), strict=True):
            alphas[place] = alpha
    return [
        Matte(frame, trimap, np.where(trimap == UNKNOWN, alpha, trimap))
        for (frame, trimap), alpha in zip(taken, alphas, strict=True)
    ]


def _pictures(taken: tuple[Frame, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A frame's picture and its trimap."""
    return taken[0].rgb, taken[1]


def _single(predict: BatchPredictor) -> Predictor:
    """Let a predictor of batches take a single picture."""
    return lambda image, trimap: predict(np.ascontiguousarray(image)[None], np.ascontiguousarray(trimap)[None])[0]


def matte_free(
    frames: Iterable[tuple[Frame, np.ndarray]], predict: Predictor, side: int = matting.SIDE
) -> Iterator[Matte]:
    """Give alpha to frames by a trimap-free network that is shown them at `side`; known parts are the trimap's."""
    for frame, trimap in frames:
        alpha = matting.matte_whole(predict, frame.rgb, side)
        yield Matte(frame, trimap, np.where(trimap == UNKNOWN, alpha, trimap))


def remembering(predict: Predictor, kept: int) -> Predictor:
    """Let a trimap-free predictor answer for the latest `kept` pictures without running again.

    So a network that segments a video and mattes it too runs once a frame.
    """
    known: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def answer(image: np.ndarray, trimap: np.ndarray | None = None) -> np.ndarray:
        name = hashlib.blake2b(np.ascontiguousarray(image)).digest() + bytes(str(image.shape), "ascii")
        if name not in known:
            known[name] = predict(image, None)
            while len(known) > kept:
                known.popitem(last=False)
        return known[name]

    return answer


def smooth(
    mattes: Iterable[Matte], strength: float = STRENGTH, neighbours: int = NEIGHBOURS, flows: Flows | None = None
) -> Iterator[Matte]:
    """Smooth alpha over time where the trimap is unknown; elsewhere it stays as it is, bit for bit.

    At an unknown pixel p of frame t alpha becomes the mean of a_t(p), with weight 1, and of a_s(p + v) for the frames s
    up to `neighbours` before and after, v being the optical flow from t to s, each with weight strength · T · C. T is 1
    where the flow leads there and back, else 0 (`flow.trusted`); C says how far the colours I_t(p) and I_s(p + v) agree
    (`flow.agreement`). So what was hidden, and what was followed wrongly and shows another colour, has no part in it.

    Yields each frame once the `neighbours` after it are known. ValueError for a negative strength or number of
    neighbours.
    """
    if strength < 0 or neighbours < 0:
        raise ValueError("Smoothing needs a strength and neighbours of at least 0.")
    flows = flows or Flows()
    near: deque[Matte] = deque(maxlen=2 * neighbours + 1)
    waiting = 0  # of the latest frames, those that were not given yet
    for matte_ in mattes:
        near.append(matte_)
        waiting += 1
        if waiting > neighbours:
            yield _smoothed(near, len(near) - waiting, strength, neighbours, flows)
            waiting -= 1
    while waiting:
        yield _smoothed(near, len(near) - waiting, strength, neighbours, flows)
        waiting -= 1


def _smoothed(near: deque[Matte], place: int, strength: float, neighbours: int, flows: Flows) -> Matte:
    """The matte at a place among its neighbours, smoothed; no more than the unknown region's window is looked at."""
    here = near[place]
    window = _frame_of(here.trimap == UNKNOWN)
    others = [near[i] for i in range(max(0, place - neighbours), min(len(near), place + neighbours + 1)) if i != place]
    if window is None or not others or not strength:
        return here
    total = here.alpha[window].astype(np.float32)
    weights = np.ones_like(total)
    for other in others:
        value, weight = _followed(here.frame, other, window, flows)
        total += strength * weight * value
        weights += strength * weight
    alpha = here.alpha.copy()
    alpha[window] = np.where(here.trimap[window] == UNKNOWN, np.rint(total / weights), alpha[window])
    return replace(here, alpha=alpha)


def _followed(frame: Frame, other: Matte, window: tuple[slice, slice], flows: Flows) -> tuple[np.ndarray, np.ndarray]:
    """What another frame's alpha is at the pixels of a window of a frame, and how far that can be believed, 0 … 1."""
    at = targets(flows.between(frame, other.frame))[window]
    rgb, alpha = (
        cv2.remap(values, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for values in (other.frame.rgb, other.alpha)
    )
    return alpha, agreement(frame.rgb[window], rgb) * flows.trusted(frame, other.frame)[window]


def _frame_of(region: np.ndarray) -> tuple[slice, slice] | None:
    """The smallest window that holds a region (H, W) bool; None for an empty one."""
    rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
