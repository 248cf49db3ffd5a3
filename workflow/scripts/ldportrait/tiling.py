"""Large pictures in parts: overlapping tiles with feathered seams, and windows of an enlargement."""

from collections.abc import Callable, Iterator

import numpy as np

ALIGN = 32  # tiles begin at multiples of this, so that a network's strides fall as they do on the whole picture

Window = tuple[slice, slice]


def spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Cut 0 … length into spans (start, end) of at most `side`, each of which overlaps the next by `overlap`.

    They begin at multiples of ALIGN and are about equally long. Raises ValueError where `side` is too small for that:
    it must hold three overlaps and ALIGN, so that no three spans meet.
    """
    if overlap < 0 or side < 3 * overlap + ALIGN:
        raise ValueError(f"A tile's side must be at least {3 * max(0, overlap) + ALIGN}, not {side}.")
    if length <= side:
        return [(0, length)]
    longest = (side - overlap) // ALIGN * ALIGN
    count = -(-(length - overlap) // longest)
    step = -(-(length - overlap) // (count * ALIGN)) * ALIGN
    return [(start, min(length, start + step + overlap)) for start in range(0, length - overlap, step)]


def weights(cuts: list[tuple[int, int]], margin: int) -> list[np.ndarray]:
    """Weights of overlapping spans, (n,) float32 each: they sum to 1 at every place and rise linearly along an overlap.

    The outermost `margin` places of a span, where another lies over them, count nothing (at least one place is left to
    rise along): what a network sees there lacks its surroundings.
    """
    found = [np.ones(end - start, np.float32) for start, end in cuts]
    for index, ((_, end), (start, _)) in enumerate(zip(cuts, cuts[1:], strict=False)):
        overlap = end - start
        if overlap:
            skip = min(margin, (overlap - 1) // 2)
            rise = np.clip((np.arange(overlap) + 0.5 - skip) / (overlap - 2 * skip), 0, 1).astype(np.float32)
            found[index][-overlap:] = 1 - rise
            found[index + 1][:overlap] = rise
    return found


def windows(shape: tuple[int, int], side: int, overlap: int, margin: int) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the tiles of a picture (H, W), each with its weights (h, w) float32, which sum to 1 at each pixel."""
    rows, columns = (spans(length, side, overlap) for length in shape)
    down, across = weights(rows, margin), weights(columns, margin)
    for (top, bottom), row in zip(rows, down, strict=True):
        for (left, right), column in zip(columns, across, strict=True):
            yield (slice(top, bottom), slice(left, right)), row[:, None] * column


def blend(
    base: np.ndarray, side: int, overlap: int, margin: int, difference: Callable[[Window], np.ndarray | None]
) -> None:
    """Add to `base` (H, W) or (H, W, C) float32, in place, what `difference` says of each tile, with feathered seams.

    `difference` gets a tile's window and returns an array of its size, or None where nothing changes.
    """
    for window, weight in windows(base.shape[:2], side, overlap, margin):
        change = difference(window)
        if change is not None:
            base[window] += change * (weight if base.ndim == 2 else weight[..., None])


def enlarge(small: np.ndarray, shape: tuple[int, int], window: Window) -> np.ndarray:
    """Return a window of `small` (h, w, C) float32 enlarged bilinearly to `shape` (H, W): (rows, columns, C).

    Values stand at the pixels' centres; beyond the outermost centres the picture goes on as it ends.
    """
    for axis in (0, 1):
        size, length = small.shape[axis], shape[axis]
        places = (np.arange(window[axis].start, window[axis].stop) + 0.5) * (size / length) - 0.5
        places = np.clip(places, 0, size - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (places - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        small = small.take(low, axis) * (1 - share) + small.take(high, axis) * share
    return small
