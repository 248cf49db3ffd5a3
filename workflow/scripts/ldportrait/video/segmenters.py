"""Where the person is in each frame of a clip, and how far that is to be doubted: three ways behind one interface.

`frames` asks a trimap-free network about each frame alone and lets neighbouring frames vote, `masks` carries given
masks along by optical flow, and `sam2` follows a prompt of the first frame. Each takes the frames of `video.files` and
yields a Segment for each, in order; a bounded number of frames is in memory.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from ldportrait import images, matting, shards
from ldportrait.inference import Predictor
from ldportrait.video.files import Frame
from ldportrait.video.flow import Flows, agreement, inside, targets, warp
from ldportrait.video.tracking import Prompt, Tracker

if TYPE_CHECKING:
    from transformers import Sam2VideoModel

TABLE = "segments.parquet"
NEIGHBOURS = 3  # frames to either side that vote: 1, 2 and 4 away, so that a fault of some frames is outvoted
UNSURE = 0.5  # how far to rely on a flow that is not trusted, but leads to the same colour
ALONE = 0.05  # doubt of a pixel whose own frame alone is sure of it; more puts plain clothes before hair
LARGE = 0.1  # of the largest part of the mask: another person is no smaller
NEAR = 0.01  # of the longer side: a lock of hair is no farther from the person
LASTING = 0.1  # share of a part of the mask that some neighbouring frame must show as well
APART = 64 / 255  # the most that is doubted of a part that was removed
PRESENT = 0.001  # share of the picture: less mask than that is nobody
HIDDEN = 0.5  # of the usual mask: less than that, away from the sides, is a person behind something
USUAL = 0.9  # how much of the usual mask's size is kept from frame to frame
AHEAD = 16  # frames that wait for a given mask that is near
SPREAD, WIDEST = 0.2, 0.02  # of a carried mask's edge: pixels a frame, and share of the longer side at the most
FADE = 0.99  # how much of the certainty of a carried mask is left after a frame; it tends to a half

SAYS = {
    "absent": "nobody is in the picture",
    "left": "the person has left the picture",
    "entered": "a person has entered the picture",
    "occluded": "most of the person is hidden",
    "uncovered": "the person is no longer hidden",
}


@dataclass(frozen=True)
class Segment:
    """A frame's mask and doubt, (H, W) uint8: 0 or 255, the person; 0 for sure to 255 for nothing known.

    `event` is "left" or "entered" in the first frame without or with a person, "absent" in others without one,
    "occluded" and "uncovered" in the first frame in which most of the person is hidden, and no longer; "" otherwise.
    """

    frame: Frame
    mask: np.ndarray
    doubt: np.ndarray
    event: str = ""


@dataclass(frozen=True)
class _Seen:
    """A frame and what the network says of it alone, alpha (H, W) uint8."""

    frame: Frame
    alpha: np.ndarray


def frames(
    pictures: Iterable[Frame],
    predict: Predictor,
    side: int,
    neighbours: int = NEIGHBOURS,
    flows: Flows | None = None,
) -> Iterator[Segment]:
    """Segment by a trimap-free network that is shown each picture at `side`, and by votes of the frames around it.

    The frames 1, 2, 4 … before and after, `neighbours` of them to either side, are asked what they say of each pixel,
    at the place where optical flow finds it; see `vote`. Parts of the mask that only one frame shows, or that lie
    apart, are removed. `flows` of the same clip, if others use them too.
    """
    distances = [2**step for step in range(neighbours)]
    flows = flows or Flows(kept=2 * neighbours * (1 + max(distances, default=0)))
    seen = (_Seen(picture, matting.matte_whole(predict, picture.rgb, side)) for picture in pictures)
    return watched(_voted(own, others, flows) for own, others in _windows(seen, distances))


def _windows(items: Iterable[_Seen], distances: list[int]) -> Iterator[tuple[_Seen, list[_Seen]]]:
    """Yield each item with those so far before and after it."""
    reach = max(distances, default=0)
    before: deque[_Seen] = deque(maxlen=reach)
    ahead: deque[_Seen] = deque()
    for item in itertools.chain(items, itertools.repeat(None, reach)):
        if item is not None:
            ahead.append(item)
        if ahead and (item is None or len(ahead) > reach):
            own = ahead.popleft()
            earlier = [before[-distance] for distance in distances if distance <= len(before)]
            yield own, earlier + [ahead[distance - 1] for distance in distances if distance <= len(ahead)]
            before.append(own)


def _voted(own: _Seen, others: list[_Seen], flows: Flows) -> Segment:
    """The segment of a frame after the vote of others."""
    mean, support = vote(own, others, flows)
    mask = mean > 0.5
    even = mean == 0.5
    mask[even] = own.alpha[even] > 127
    doubt = 1 - (1 - fractional(mean)) * (1 - ALONE * (1 - support))
    mask, removed = connected(mask, [other.alpha > 127 for other in others])
    doubt[removed] = np.minimum(doubt[removed], APART)
    return Segment(own.frame, _eight_bit(mask), _eight_bit(doubt))


def vote(own: _Seen, others: list[_Seen], flows: Flows) -> tuple[np.ndarray, np.ndarray]:
    """The mean alpha that a frame and others give to its pixels, and the share of the others that count; (H, W).

    A neighbour's alpha comes from where flow finds the pixel there and counts as far as that flow is `reliable`; the
    frame's own counts in full. Without others the share is 1.
    """
    total, weight = own.alpha / np.float32(255), np.ones(own.alpha.shape, np.float32)
    for other in others:
        forth, counts = reliable(own.frame, other.frame, flows)
        total += counts * (warp(other.alpha, forth) / np.float32(255))
        weight += counts
    return total / weight, (weight - 1) / len(others) if others else np.ones_like(weight)


def reliable(a: Frame, b: Frame, flows: Flows) -> tuple[np.ndarray, np.ndarray]:
    """The flow from a to b, and how far to rely on it, (H, W) float32 in [0, 1].

    That is how far the colours agree, times UNSURE where the flow is not trusted: on plain clothes it cannot be, and
    does no harm. It is 0 where the flow leads out of the picture.
    """
    forth = flows.between(a, b)
    counts = agreement(a.rgb, warp(b.rgb, forth)) * inside(forth)
    counts[~flows.trusted(a, b)] *= UNSURE
    return forth, counts


def fractional(alpha: np.ndarray) -> np.ndarray:
    """How far alpha in [0, 1] is from 0 and 1: 1 at a half.

    It is concave, so that for a mean it is no less than the mean of the alphas' own, and more where they disagree.
    """
    return 1 - np.abs(2 * alpha - 1)


def connected(mask: np.ndarray, others: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Remove what is not the person from a mask (H, W) bool: what no neighbour's mask shows, and small parts apart.

    The border of a portrait is connected. Of the 8-connected parts that one of `others`, if there are any, shows in
    part at the same place, the largest stays and what is nearly as large (another person); so does what is close to
    these (hair). Returns the mask, and where something was removed, with a rim.
    """
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA]
    lasting = np.zeros(count, bool)
    for other in others:
        lasting |= np.bincount(labels[other], minlength=count) > LASTING * areas
    keep = lasting if others else np.ones(count, bool)
    keep[0] = False
    if not keep.any():
        return np.zeros_like(mask), _grown(mask)
    large = keep & (areas >= LARGE * areas[keep].max())
    near = np.zeros(count, bool)
    near[labels[_grown(large[labels])]] = True
    kept = near[labels] & mask
    return kept, _grown(mask & ~kept) & ~kept


def _grown(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool and what is NEAR to it."""
    reach = max(2, round(NEAR * max(mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.view(np.uint8), kernel).view(bool)


def _eight_bit(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1], or a mask, in 255ths."""
    return np.rint(np.clip(values, 0, 1) * np.float32(255)).astype(np.uint8)


def watched(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Say in the segments' events when the person leaves, enters, is hidden, or shows again.

    It is told from the mask's size alone, and so a guess: who vanishes at the picture's border has left, who vanishes
    within it is hidden, and who shrinks to HIDDEN of the usual size without touching the left, right or upper border is
    hidden for the most part.
    """
    here, hidden, usual, inside = None, False, 0.0, False
    for segment in segments:
        mask = segment.mask > 0
        share, event = float(mask.mean()), ""
        if share < PRESENT:
            event = ("occluded" if inside else "left") if here else "absent"
            hidden, usual = event == "occluded" or (hidden and event == "absent"), 0.0
        elif here is False:
            event = "uncovered" if hidden else "entered"
            hidden = False
        elif not hidden and share < HIDDEN * usual and not _at_side(mask):
            event, hidden = "occluded", True
        elif hidden and share >= HIDDEN * usual:
            event, hidden = "uncovered", False
        here = share >= PRESENT
        if here:
            inside = not (_at_side(mask) or mask[-1].any())
            if not hidden:
                usual = USUAL * usual + (1 - USUAL) * share if usual else share
        yield replace(segment, event=event)


def told(segments: Iterable[Segment], item: str) -> Iterator[Segment]:
    """Yield the segments of an item, and print what happens in them."""
    for number, segment in enumerate(segments):
        if segment.event and (segment.event != "absent" or number == 0):
            place = f"frame {segment.frame.index} ({float(segment.frame.seconds):.2f} s)"
            tqdm.write(f"{item}, {place}: {SAYS[segment.event]}")
        yield segment


def _at_side(mask: np.ndarray) -> bool:
    """Say whether a mask touches the left, right or upper border."""
    return bool(mask[:, 0].any() or mask[:, -1].any() or mask[0].any())


@dataclass(frozen=True)
class _Carried:
    """A given mask on its way: where each pixel of `frame` was in the mask's own frame, and how far that is trusted.

    That is as far as flow was at its least reliable step.
    """

    frame: Frame
    mask: np.ndarray
    at: np.ndarray
    trust: np.ndarray
    steps: int = 0

    def step(self, frame: Frame, flows: Flows) -> "_Carried":
        """Go on to a neighbouring frame."""
        back, counts = reliable(frame, self.frame, flows)
        trust = np.minimum(warp(self.trust, back), counts)
        return _Carried(frame, self.mask, warp(self.at, back), trust, self.steps + 1)

    def segment(self) -> Segment:
        """The mask here; its edge is doubted more widely the farther it has come, and all of it a little."""
        mask = cv2.remap(self.mask, self.at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 127
        if not self.steps:
            return Segment(self.frame, _eight_bit(mask), np.zeros(mask.shape, np.uint8))
        spread = min(SPREAD * self.steps, max(1, WIDEST * max(mask.shape)))
        edge = fractional(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.5 + spread))
        sure = (1 - edge) * self.trust * (1 + FADE**self.steps) / 2
        return Segment(self.frame, _eight_bit(mask), _eight_bit(1 - sure))


def masks(pictures: Iterable[Frame], given: Mapping[int, Path]) -> Iterator[Segment]:
    """Segment by masks given for some frames, by index, and carried by optical flow to the others.

    To a frame comes the nearest given mask, if that of a later frame is given within AHEAD frames; else the latest one.
    What a person uncovers behind them stays in the mask, in doubt. Who leaves is lost and, should they come back, not
    found: that takes a mask of a later frame.

    Raises FileNotFoundError or ValueError, naming the file, for a mask that does not fit, and if the first frame has
    none.
    """
    return watched(_carried(pictures, given))


def _carried(pictures: Iterable[Frame], given: Mapping[int, Path]) -> Iterator[Segment]:
    flows, waiting = Flows(kept=4), []
    last: _Carried | None = None
    for frame in pictures:
        if frame.index in given:
            last = _start(frame, given[frame.index])
            yield from _from_nearest(waiting, last, flows)
            waiting.clear()
            yield last.segment()
            continue
        if last is None:
            raise ValueError(f"Frame {frame.index}, the first one, needs a mask; masks are carried on from there.")
        last = last.step(frame, flows)
        waiting.append(last)
        if not any(index in given for index in range(frame.index + 1, frame.index + AHEAD + 1)):
            yield from (carried.segment() for carried in waiting)
            waiting.clear()
    yield from (carried.segment() for carried in waiting)


def _start(frame: Frame, path: Path) -> _Carried:
    """A given mask in its own frame."""
    mask = read_mask(path, frame.rgb.shape[:2])
    still = np.zeros((*mask.shape, 2), np.float32)
    return _Carried(frame, mask, targets(still), np.ones(mask.shape, np.float32))


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask (H, W) of 0 and 255, split at a half. Raises as `images.read_matte`, and for another size."""
    matte = images.read_matte(path)
    if matte.shape != shape:
        found, wanted = (f"{width} x {height}" for height, width in (matte.shape, shape))
        raise ValueError(f"The mask {path} is {found} pixels, but the frames are {wanted}.")
    return np.where(matte > 127, np.uint8(255), np.uint8(0))


def _from_nearest(waiting: list[_Carried], later: _Carried, flows: Flows) -> Iterator[Segment]:
    """The segments of frames on the way between two given masks, each from the nearer one."""
    closer = []
    for carried in reversed(waiting):
        if carried.steps <= later.steps + 1:
            break
        later = later.step(carried.frame, flows)
        closer.append(later.segment())
    yield from (carried.segment() for carried in waiting[: len(waiting) - len(closer)])
    yield from reversed(closer)


def sam2(pictures: Iterable[Frame], model: "Sam2VideoModel", prompt: Prompt) -> Iterator[Segment]:
    """Segment by following what a prompt shows in the first frame; `model` is from `tracking.load`.

    The model's logits, enlarged, give the mask and, where they are small, doubt. Where the model holds that the object
    is not to be seen, the mask is empty and the doubt that of this verdict. ValueError for a mask of another size.
    """
    return watched(_followed(pictures, Tracker(model, prompt)))


def _followed(pictures: Iterable[Frame], tracker: Tracker) -> Iterator[Segment]:
    for frame in pictures:
        logits, score = tracker.follow(frame.rgb)
        if score <= 0:
            logits = np.full((1, 1), score, np.float32)
        full = cv2.resize(logits, frame.rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        doubt = fractional(1 / (1 + np.exp(-np.clip(full, -30, 30))))
        yield Segment(frame, _eight_bit(full > 0), _eight_bit(doubt))


def read(folder: Path, item: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the mask and the doubt of each frame of an item, (H, W) uint8, from what segment_video wrote.

    Raises FileNotFoundError or ValueError, naming the file, where one is missing or not the one that was written.
    """
    table = shards.read_table(Path(folder) / TABLE)
    rows = table[table.item == item].sort_values("frame")
    if rows.empty:
        raise ValueError(f"{Path(folder) / TABLE} has no item {item}.")
    for row in rows.to_dict("records"):
        yield tuple(
            images.read_grey(Path(folder) / row[kind], row[f"{kind}_sha256"], "segment the clip again")
            for kind in ("mask", "doubts")
        )
