"""The loops over pixels of Grad and Conn, compiled by numba.

The first call of each compiles it, once for a machine: the result is kept in a folder that numba chooses (`__pycache__`
beside this file, else the user's cache folder), and where none can be written it is compiled anew by each process.
"""

from collections.abc import Callable

import numba
import numpy as np

LEVELS = 10  # Conn's thresholds are 1/10, 2/10 ... 1
NONE, EMPTY, LARGEST = 0, 1, 2  # when all that is not foreground is taken for the connected region: see `connect`


def compiled(function: Callable) -> Callable:
    """Compile for any types that come, and keep the result on disk where that can be."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # numba found no folder that it can write to
        return numba.njit(function)


@compiled
def from_single(alpha, levels):
    """Alpha in double precision; what is the nearest in single precision to an 8-bit level stands for that level.

    `alpha` is (H, W) float32, `levels` holds k / 255.
    """
    result = np.empty(alpha.shape)
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            level = levels[int(alpha[y, x] * np.float32(255) + np.float32(0.5))]
            result[y, x] = level if np.float32(level) == alpha[y, x] else alpha[y, x]
    return result


@compiled
def amplitude(alpha, y, rows, columns, gaussian, derivative, smooth, steep, across, result):
    """A row of the gradient's amplitude into `result`, (W,) float64; for the arguments see `gradient_error`.

    `smooth` and `steep` are room for the row's smoothed values and derivatives from top to bottom, with the columns
    beyond the frame; `across` for the derivatives from left to right.
    """
    width, half = alpha.shape[1], gaussian.size - 1
    middle = alpha[rows[y + half]]
    for x in range(width):
        smooth[x + half] = gaussian[0] * middle[x]
        steep[x + half] = 0.0
    for k in range(1, half + 1):
        above, below = alpha[rows[y + half - k]], alpha[rows[y + half + k]]
        for x in range(width):
            smooth[x + half] += gaussian[k] * (below[x] + above[x])
            steep[x + half] += derivative[k] * (below[x] - above[x])
    for k in range(half):
        for x in (k, half + width + k):
            smooth[x], steep[x] = smooth[half + columns[x]], steep[half + columns[x]]
    for x in range(width):
        across[x] = 0.0
        result[x] = gaussian[0] * steep[x + half]
    for k in range(1, half + 1):
        before, after = smooth[half - k : half - k + width], smooth[half + k : half + k + width]
        steep_before, steep_after = steep[half - k : half - k + width], steep[half + k : half + k + width]
        for x in range(width):
            across[x] += derivative[k] * (after[x] - before[x])
            result[x] += gaussian[k] * (steep_after[x] + steep_before[x])
    for x in range(width):
        result[x] = np.sqrt(across[x] * across[x] + result[x] * result[x])


@compiled
def gradient_error(p, t, rows, columns, gaussian, derivative, scale_p, scale_t):
    """Squared differences of the amplitudes of two alphas' gradients, each times its scale; (H, W) float32.

    The alphas are (H, W) float64; `gaussian` and `derivative` are the kernels' taps from the middle on, the one being
    even and the other odd; `rows` and `columns` say which row and column stands for each from as many taps before the
    first to as many after the last.
    """
    height, width = p.shape
    smooth, steep = np.empty(columns.size), np.empty(columns.size)
    across, amplitude_p, amplitude_t = np.empty(width), np.empty(width), np.empty(width)
    error = np.empty((height, width), np.float32)
    for y in range(height):
        amplitude(p, y, rows, columns, gaussian, derivative, smooth, steep, across, amplitude_p)
        amplitude(t, y, rows, columns, gaussian, derivative, smooth, steep, across, amplitude_t)
        for x in range(width):
            difference = amplitude_p[x] * scale_p - amplitude_t[x] * scale_t
            error[y, x] = difference * difference
    return error


@compiled
def connectivity_error(p, t, connected, step):
    """Absolute differences of Conn's phi of two alphas; (H, W) float32, `connected` (H, W) uint8 in tenths."""
    error = np.empty(p.shape, np.float32)
    for y in range(p.shape[0]):
        for x in range(p.shape[1]):
            level = connected[y, x] / LEVELS
            distance_p = p[y, x] - level
            distance_t = t[y, x] - level
            distance_p = distance_p if distance_p >= step else 0.0
            distance_t = distance_t if distance_t >= step else 0.0
            error[y, x] = abs(distance_p - distance_t)
    return error


@compiled
def quantise(p, t, thresholds):
    """How many of the ten thresholds both alphas meet; (H, W) uint8.

    The thresholds are float32, and so is the comparison: a float32 alpha meets the one that it was rounded from.
    """
    levels = np.empty(p.shape, np.uint8)
    for y in range(p.shape[0]):
        for x in range(p.shape[1]):
            shared = np.float32(min(p[y, x], t[y, x]))
            met = 0
            for i in range(LEVELS):
                met += shared >= thresholds[i]
            levels[y, x] = met
    return levels


@compiled
def find_runs(levels):
    """Cut the rows into runs of one level, those of level 0 left out.

    Returns each run's first pixel (index in reading order), length and level, and for each row, and after the last one,
    the number of runs before it.
    """
    height, width = levels.shape
    count = 0
    for y in range(height):
        before = 0
        for x in range(width):
            count += levels[y, x] != before and levels[y, x] != 0
            before = levels[y, x]
    first, length, level = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint8)
    rows = np.empty(height + 1, np.int64)
    run = -1
    for y in range(height):
        rows[y] = run + 1
        before = 0
        for x in range(width):
            here = levels[y, x]
            if here != before:
                before = here
                if here:
                    run += 1
                    first[run], length[run], level[run] = y * width + x, 0, here
            if here:
                length[run] += 1
    rows[height] = count
    return first, length, level, rows


@compiled
def join_runs(first, length, level, rows, width):
    """Pair the runs that touch, by 4-connectivity.

    Returns the two runs of each pair, sorted by the lower of their levels from 10 down, and where the pairs of each
    level begin and end: those of level L are from ends[L + 1] to ends[L].
    """
    found = np.empty((3 * first.size, 2), np.int32)  # each run meets one in its row and, less one, two of other rows
    lower = np.empty(3 * first.size, np.uint8)
    count, before = 0, 0
    for y in range(rows.size - 1):
        above, before = before, rows[y]
        for run in range(rows[y], rows[y + 1]):
            start, stop = first[run] - width, first[run] + length[run] - width
            if run > rows[y] and first[run - 1] + length[run - 1] == first[run]:
                found[count, 0], found[count, 1], lower[count] = run - 1, run, min(level[run - 1], level[run])
                count += 1
            while above < before and first[above] + length[above] <= start:
                above += 1
            other = above
            while other < before and first[other] < stop:
                found[count, 0], found[count, 1], lower[count] = other, run, min(level[other], level[run])
                count += 1
                other += 1
    ends = np.zeros(LEVELS + 2, np.int64)
    for pair in range(count):
        ends[lower[pair]] += 1
    for here in range(LEVELS - 1, -1, -1):
        ends[here] += ends[here + 1]
    pairs, place = np.empty((count, 2), np.int32), ends.copy()
    for pair in range(count):
        here = place[lower[pair] + 1]
        pairs[here, 0], pairs[here, 1] = found[pair, 0], found[pair, 1]
        place[lower[pair] + 1] += 1
    return pairs, ends


@compiled
def root_of(parent, run):
    """The root of a run's tree, which is shortened on the way."""
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled
def grow(first, length, level, pairs, ends):
    """Grow components from the highest threshold down, by union-find over runs.

    Of components equally large the one whose first pixel comes first in reading order counts as the largest. Returns
    for each run the run that it was joined to and at what level (itself and 0 if it never was), which runs were joined,
    in order, and for each threshold the root of the largest component there (-1 if there is none), its pixels and those
    of all.
    """
    count = first.size
    parent = np.arange(count).astype(np.int32)
    owner, joined = parent.copy(), np.zeros(count, np.uint8)
    size, start = length.copy(), first.copy()
    order, done = np.empty(count, np.int32), 0
    new = np.zeros(LEVELS + 1, np.int64)  # per level: its largest run alone, -1 if it has none
    new[:] = -1
    pixels = np.zeros(LEVELS + 2, np.int64)
    for run in range(count):
        here = level[run]
        pixels[here] += length[run]
        if new[here] < 0 or length[run] > length[new[here]]:
            new[here] = run
    best, largest, most = -1, np.full(LEVELS + 1, -1), np.zeros(LEVELS + 1, np.int64)
    best_size, best_start = 0, 0
    for here in range(LEVELS, 0, -1):
        pixels[here] += pixels[here + 1]
        if new[here] >= 0:
            run = new[here]
            if length[run] > best_size or (length[run] == best_size and first[run] < best_start):
                best, best_size, best_start = run, length[run], first[run]
        for pair in range(ends[here + 1], ends[here]):
            a, b = pairs[pair, 0], pairs[pair, 1]
            if parent[a] == parent[b]:
                continue
            a, b = root_of(parent, a), root_of(parent, b)
            if a == b:
                continue
            if size[a] < size[b]:
                a, b = b, a
            parent[b], owner[b], joined[b] = a, a, here
            order[done] = b
            done += 1
            size[a] += size[b]
            start[a] = min(start[a], start[b])
            if size[a] > best_size or (size[a] == best_size and start[a] < best_start):
                best, best_size, best_start = a, size[a], start[a]
        if best >= 0:
            best = root_of(parent, best)
            largest[here], most[here] = best, best_size
    return owner, joined, order[:done], largest, most, pixels


@compiled
def connected_levels(level, owner, joined, order, largest, rest):
    """For each run, the last of the thresholds from the first on up to which it is in the connected region.

    A run is in the same component as the run it was joined to up to the level of that, and above it is a root itself.
    `rest[L]` is the threshold up to which what meets L thresholds alone is in the region from there on: L, unless what
    is not foreground may be the region.
    """
    connected = np.empty(level.size, np.uint8)
    for run in range(level.size):
        if owner[run] == run:
            here = 0
            while here < level[run] and largest[here + 1] == run:
                here += 1
            connected[run] = here if here < level[run] else rest[here]
    for i in range(order.size - 1, -1, -1):  # a run comes before those that were joined to it
        run = order[i]
        here = connected[owner[run]]
        if here >= joined[run]:
            here = joined[run]
            while here < level[run] and largest[here + 1] == run:
                here += 1
            here = here if here < level[run] else rest[here]
        connected[run] = here
    return connected


@compiled
def connect(levels, pixels, background):
    """The threshold up to which a pixel is in the largest 4-connected component of what meets it; (H, W) uint8, tenths.

    `levels` says how many thresholds a pixel meets, `pixels` how many the whole picture has of which this is all that
    matters. By the definition `background` is NONE. With EMPTY all pixels count as connected at a threshold that no
    pixel meets; with LARGEST the pixels below a threshold do so, together, if no component is larger than they are.
    """
    width = levels.shape[1]
    first, length, level, rows = find_runs(levels)
    pairs, ends = join_runs(first, length, level, rows, width)
    owner, joined, order, largest, most, above = grow(first, length, level, pairs, ends)
    rest = np.arange(LEVELS + 1).astype(np.uint8)
    for here in range(LEVELS, 0, -1):
        if (background == EMPTY and above[here] == 0) or (background == LARGEST and pixels - above[here] >= most[here]):
            largest[here] = -1
            rest[here - 1] = rest[here]
    connected = np.full(levels.size, rest[0])
    of_runs = connected_levels(level, owner, joined, order, largest, rest)
    for run in range(first.size):
        for pixel in range(first[run], first[run] + length[run]):
            connected[pixel] = of_runs[run]
    return connected.reshape(levels.shape)
