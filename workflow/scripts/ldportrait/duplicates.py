"""Near-duplicates: 64-bit perceptual hashes that differ in few bits, found without comparing all with all.

The 64 bits are cut into distance + 2 bands. `distance` differing bits touch as many bands at most, so that two near
hashes agree in two whole bands at least: only hashes that do are compared (the pigeonhole principle, as in Manku, Jain
and Das Sarma, "Detecting near-duplicates for web crawling", 2007).
"""

import itertools
from collections.abc import Collection, Iterator, Sequence

import numpy as np

BITS = 64
PAIRS = 1 << 22  # compared at once, which bounds the memory


def parse(texts: Sequence[str]) -> np.ndarray:
    """Hashes of 16 hexadecimal digits as (N,) uint64. ValueError for a text that is none."""
    try:
        return np.array([int(text, 16) for text in texts], np.uint64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"A perceptual hash is 16 hexadecimal digits ({error}).") from error


def near_pairs(first: np.ndarray, second: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions (i, j), in parts, of all first[i] and second[j] that differ in at most `distance` bits.

    A pair may come several times. A distance below 0 gives none.
    """
    if distance < 0:
        return
    bands = np.array_split(np.arange(BITS), distance + 2)
    for one, other in itertools.combinations(bands, 2):
        mask = np.uint64(sum(1 << int(bit) for bit in (*one, *other)))
        order = np.argsort(first & mask, kind="stable")
        keys = (first & mask)[order]
        low, high = (np.searchsorted(keys, second & mask, side=side) for side in ("left", "right"))
        ends = np.cumsum(high - low)
        start = 0
        while start < len(second):
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS, side="right")))
            counts = (high - low)[start:stop]
            j = np.repeat(np.arange(start, stop), counts)
            within = np.arange(len(j)) - np.repeat(np.cumsum(counts) - counts, counts)
            i = order[np.repeat(low[start:stop], counts) + within]
            close = np.bitwise_count(first[i] ^ second[j]) <= distance
            yield i[close], j[close]
            start = stop


def resembling(known: np.ndarray, hashes: np.ndarray, distance: int) -> np.ndarray:
    """Say of each hash whether it differs from one of the known ones in at most `distance` bits, as (N,) bool."""
    unique, place = np.unique(hashes, return_inverse=True)
    near = np.zeros(len(unique), bool)
    for _, j in near_pairs(np.unique(known), unique, distance):
        near[j] = True
    return near[place]


def doubles(hashes: np.ndarray, distance: int, keep: Collection[int] = ()) -> list[int]:
    """Return the positions of hashes near an earlier one that stays; those in `keep` stay anyhow.

    One that goes makes no other go, as if the hashes came one by one and each were compared with those that stayed.
    """
    if distance < 0 or not len(hashes):
        return []
    unique, place = np.unique(hashes, return_inverse=True)
    starts, neighbours = _neighbours(unique, distance)
    kept, found, covered = set(keep), [], np.zeros(len(unique), bool)
    for position, here in enumerate(place.tolist()):
        if covered[here] and position not in kept:
            found.append(position)
        else:
            covered[neighbours[starts[here] : starts[here + 1]]] = True
    return found


def _neighbours(unique: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """The near ones of hash i, itself among them, are neighbours[starts[i]:starts[i + 1]]."""
    count = len(unique)
    codes = np.unique(np.concatenate([np.unique(i * count + j) for i, j in near_pairs(unique, unique, distance)]))
    return np.searchsorted(codes // count, np.arange(count + 1)), codes % count
