"""The matte refinement: connectivity decides what is background, foreground and edge; the edge's alpha is kept.

A generated matte is fine along the portrait's edge and wrong away from it: dust, stray objects and a haze in the
background, veils, patches and pinholes in the body. A portrait hangs together, and so does what surrounds it. That is
enough to tell the three apart:

1. *Levels.* The picture's own opaque and clear levels are moved to 1 and 0 (`level`).
2. *Haze.* A smooth haze hugs hair, and a narrow one hard edges. Both are seen off the edge, where an exact matte is
   clear. How they fall with the distance is measured there and continued into the soft edge, and they are taken from
   under all (`remove_halo`), so that the edge meets 0. Where none is seen, nothing is taken.
3. *Core.* The largest connected region of nearly opaque pixels is the person's body.
4. *Background.* What is not connected with the core is removed (`remove_detached`), and so are faint remains away from
   what is (`remove_halo`). Connectivity is taken at all levels at once: grey reconstruction of alpha from the core
   gives, per pixel, the highest level at which it hangs together with the core, which is the continuous form of the
   Conn metric's connectivity. A region that stands out above that level by more than hair does is an object joined to
   the person by a veil alone, and is brought down. Along the frame alpha becomes as it is within.
5. *Foreground.* The clear regions that are real are those that reach the frame, that are large, or that hang together
   with such ones through the soft edge; through them alone a band of fractional alpha may enter the person, and only
   to a depth. Every other dip in alpha is enclosed by the body and is filled, unless it is as slender as a gap between
   locks of hair (`fill_enclosed`, `limit_depth`). Nearly opaque alpha away from the band is speckle, and becomes opaque
   (`make_solid`); in hair it may be further away.
6. *Band.* All that is left is the soft edge, whose alpha is the generated one.

Steps 4 and 5 are each other's mirror image, with background and foreground, 0 and 1 exchanged.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from ldportrait.colour import clean_foreground
from ldportrait.images import FULL_SCALE, check_alpha, exp
from ldportrait.regions import Regions, connected_level, joined, largest

__all__ = ["RefineParams", "RefineResult", "clean_foreground", "refine", "refine_picture"]

REFERENCE = 1024  # lengths and areas are in pixels of a 1024 x 1024 picture
# 1. Levels
MOST_LEVELLED = 0.1  # an opaque or clear level further off than this is no levelling error
# 2. Haze
HAZE_REACH = 4  # in `fade`: a haze is measured up to here from stronger alpha, and must be seen in the outer half
HAZE_LEAST, HAZE_SHARE = 0.003, 0.035  # the least alpha of a veil, and how much of that half is veiled where haze is
HAZE_FALL = 8  # a haze is at most this many times as dense in the edge as there
RIM, BEYOND = (1, 2), (3, 5)  # in pixels, of half the reference: a hard edge's haze is seen here, and no more there
RIM_SHARE = 0.2  # how much of the former is veiled where there is such a haze
RIM_GAIN, RIM_FALL = 8, 1.1  # how many times as dense it is in the edge, and by what power of e it falls a pixel
RIM_LOCAL = 3  # it is taken to be at most this many times as dense as it is nearby
RIM_MOST = 0.012  # denser than this is something else
MOST_ROUNDS = 8  # of haze: what is removed may lay more of it bare
# 3 and 4. Core and background
OBJECT_CELL = 4  # pixels of the reference: objects are looked for on a grid of such cells
FRAME = 8  # how far faults along the frame reach into the picture
# 5. Foreground
OPEN = 0.35  # an enclosed region of alpha up to this is no veil; from an area on it is a real opening
GAP_AREA, GAP_HALF, GAP_DEPTH = 140, 6, 0.8  # a gap between locks of hair: see `gaps`
HAIR_WINDOW, HAIR_SHARE = 7, 0.2  # the surroundings' reach, in `fade`, and how much of them is soft in hair
HAIR_REACH, SKIN_REACH = 4, 0.7  # in `fade`: how far from the band hair and other edges may be nearly opaque


@dataclass(frozen=True)
class RefineParams:
    """What the refinement may change. Lengths and areas are in pixels of a 1024 x 1024 picture and scale with its size.

    core: alpha from which a pixel may belong to the opaque body.
    floor: alpha up to which a pixel is clear: background, if it is connected with it, or halo.
    ceiling: alpha from which a pixel is nearly opaque: foreground, or speckle in it.
    haze: alpha up to which a smooth haze around the person is looked for.
    stand_out: by how much a detached object's alpha exceeds the level at which it hangs together with the body.
    object_area: from this area on, what stands out is an object and not the tips of hairs.
    fade: how far faint alpha may reach beyond stronger alpha, and nearly opaque alpha from the band.
    depth: how far the band may reach from clear background into the person.
    opening_area: an enclosed clear region from this area on is a real opening, even with a hard edge.
    level, remove_detached, remove_halo, fill_enclosed, limit_depth, make_solid: the steps, to be left out one by one.
    """

    core: float = 0.9
    floor: float = 0.03
    ceiling: float = 0.95
    haze: float = 0.12
    stand_out: float = 0.2
    object_area: float = 100.0
    fade: float = 3.0
    depth: float = 100.0
    opening_area: float = 60.0
    level: bool = True
    remove_detached: bool = True
    remove_halo: bool = True
    fill_enclosed: bool = True
    limit_depth: bool = True
    make_solid: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.floor < self.ceiling < 1:
            raise ValueError(f"floor and ceiling must be 0 < floor < ceiling < 1, not {self.floor} and {self.ceiling}.")
        if not self.floor <= self.haze < self.ceiling:
            raise ValueError(f"haze must be at least floor and below ceiling, not {self.haze}.")
        if not self.floor < self.core <= 1:
            raise ValueError(f"core must lie above floor and be at most 1, not {self.core}.")
        for name in ("stand_out", "object_area", "fade", "depth", "opening_area"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}.")


@dataclass(frozen=True)
class RefineResult:
    """A refined alpha (H, W) of the input's dtype, and what became of its pixels: three disjoint (H, W) bool masks.

    removed_background: above 0 before, 0 now. filled_foreground: below 1 before, 1 now. band: fractional now.
    """

    alpha: np.ndarray
    removed_background: np.ndarray
    filled_foreground: np.ndarray
    band: np.ndarray


def refine(alpha: np.ndarray, rgb: np.ndarray | None = None, params: RefineParams | None = None) -> RefineResult:
    """Refine a generated matte by connectivity.

    `alpha` is (H, W) uint8, uint16, float32 or float64, the floats in [0, 1]; `rgb` (H, W, 3) is checked for its size
    and not used. An alpha without any nearly opaque pixel has no body to build on and is returned as it is. Raises
    ValueError for another shape or dtype, for NaN and for values outside [0, 1].
    """
    params = params or RefineParams()
    check_alpha(alpha)
    if rgb is not None and rgb.shape != (*alpha.shape, 3):
        raise ValueError(f"A colour of shape {rgb.shape} does not belong to an alpha of shape {alpha.shape}.")
    full = FULL_SCALE[alpha.dtype.name]
    native = np.ascontiguousarray(alpha, np.float32 if alpha.dtype.kind == "f" else None)
    result = _refined(native, params, float(np.sqrt(alpha.size)) / REFERENCE).astype(alpha.dtype)
    clear, opaque = result == 0, result == full
    return RefineResult(
        alpha=result,
        removed_background=clear & (alpha != 0),
        filled_foreground=opaque & (alpha != full),
        band=~(clear | opaque),
    )


def refine_picture(
    rgba: np.ndarray, params: RefineParams | None = None, clean: bool = True
) -> tuple[np.ndarray, RefineResult]:
    """Refine the alpha of an (H, W, 4) uint8 picture and, if `clean`, its colour; return it with what was done."""
    rgb, raw = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), cv2.extractChannel(rgba, 3)
    result = refine(raw, rgb, params)
    if clean:
        rgb = clean_foreground(rgb, result.alpha, raw)
    return cv2.merge([rgb, result.alpha]), result


def _refined(alpha: np.ndarray, params: RefineParams, scale: float) -> np.ndarray:
    """The method on (H, W) uint8, uint16 or float32; `scale` is a pixel of the reference in pixels of this picture.

    Levels once, then haze and what goes by connectivity in turns: where an object was lowered or a cut was closed,
    haze may lie bare, and other regions may have become detached or enclosed.
    """
    if not (alpha >= params.core * FULL_SCALE[alpha.dtype.name]).any():
        return alpha
    if params.level:
        alpha = levelled(alpha)
    settled = False
    for count in range(MOST_ROUNDS):
        before = alpha
        if params.remove_halo:
            alpha = without_haze(alpha, params, scale, wholly=count > 0)
        if settled and alpha is before:
            break
        alpha, settled = _connected(alpha, params, scale)
    return alpha


def _connected(picture: np.ndarray, params: RefineParams, scale: float) -> tuple[np.ndarray, bool]:
    """Steps 3 to 5, within the box that holds all alpha; and whether they left nothing for a next round."""
    box = _box(picture)
    alpha, settled = np.ascontiguousarray(picture[box]), True
    full, area = FULL_SCALE[alpha.dtype.name], scale**2
    opaque, floor, ceiling = params.core * full, params.floor * full, params.ceiling * full
    # core and background
    if params.remove_detached:
        core = largest(alpha >= opaque)
        alpha = before = attached(alpha, core, floor)
        alpha = without_objects(alpha, core, params.stand_out * full, params.object_area * area, scale)
        settled = alpha is before
    if params.remove_halo:
        alpha = without_faint(alpha, floor, params.fade * scale)
    # foreground
    dips = alpha < ceiling
    clear, around = real_background(alpha, dips, floor, OPEN * full, params.opening_area * area)
    if params.fill_enclosed:
        enclosed = dips & ~around
        alpha = filled(alpha, enclosed & ~gaps(alpha, enclosed, scale))
    if params.limit_depth:
        before = alpha
        alpha = filled(alpha, ~near(clear, params.depth * scale))
        settled &= not ((before < ceiling) & (alpha >= ceiling)).any()
    if params.make_solid:
        alpha = solid(alpha, floor, ceiling, params.fade * scale)
    # background again: along the frame as within
    if params.remove_detached:
        before = alpha
        alpha = as_within(alpha, opaque, max(1, round(FRAME * scale)), box, picture.shape)
        settled &= alpha is before
    result = picture.copy()
    result[box] = alpha
    return result, settled


# 1. Levels


def levelled(alpha: np.ndarray) -> np.ndarray:
    """Move the picture's clear and opaque levels to 0 and 1: alpha' = (alpha - clear) / (opaque - clear).

    The levels are the medians of what is nearly clear and nearly opaque; an exact matte's are 0 and 1, and nothing
    moves.
    """
    full = FULL_SCALE[alpha.dtype.name]
    low, high = alpha < MOST_LEVELLED * full, alpha > (1 - MOST_LEVELLED) * full
    clear = _median(alpha, low, 0)
    opaque = _median(alpha, high, full)
    if (clear, opaque) == (0, full):
        return alpha
    return _as((alpha.astype(np.float32) - clear) * (full / (opaque - clear)), alpha.dtype)


def _median(alpha: np.ndarray, where: np.ndarray, usual: int) -> float:
    """The median of alpha within a mask, quickly so where it is the usual value; that, if the mask is empty."""
    if 2 * np.count_nonzero(where & (alpha == usual)) >= np.count_nonzero(where):
        return usual
    return float(np.median(alpha[where]))


# 2. Haze


def without_haze(alpha: np.ndarray, params: RefineParams, scale: float, wholly: bool = False) -> np.ndarray:
    """Take a smooth haze away from behind the person: alpha' = (alpha - h) / (1 - h), the inverse of `alpha over h`.

    Works on a coarse picture and returns the same array where there is no haze. `wholly` clears the places where haze
    lies bare instead: what is left there is of no smooth one.
    """
    full, cell = FULL_SCALE[alpha.dtype.name], max(1, round(2 * scale))
    bottom, right = (-side % cell for side in alpha.shape)
    whole = cv2.copyMakeBorder(alpha, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = (whole.shape[1] // cell, whole.shape[0] // cell)
    coarse = cv2.resize(whole, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    bare = pooled(alpha, cell) <= params.haze * full
    if bare.all():
        return alpha
    away = cv2.distanceTransform(bare.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    fade = params.fade * scale / cell
    found = [
        wide_haze(coarse, away / np.float32(fade), max(1, round(fade)), full),
        rim_haze(coarse, away, fade, full, params),
    ]
    found = [(haze, where) for haze, where in found if haze is not None]
    if not found:
        return alpha
    if wholly:
        where = functools.reduce(np.logical_or, (where for _, where in found)).view(np.uint8)
        where = cv2.resize(where, None, fx=cell, fy=cell, interpolation=cv2.INTER_NEAREST)
        return np.where(where[: alpha.shape[0], : alpha.shape[1]] > 0, alpha.dtype.type(0), alpha)
    haze = functools.reduce(np.maximum, (haze for haze, _ in found))
    haze = cv2.resize(haze, whole.shape[::-1], interpolation=cv2.INTER_LINEAR)[: alpha.shape[0], : alpha.shape[1]]
    result, box = alpha.copy(), _box(alpha)
    result[box] = _as((alpha[box] - haze[box]) * (full / (full - haze[box])), alpha.dtype)
    return result


def wide_haze(alpha: np.ndarray, away: np.ndarray, fade: int, full: float) -> tuple[np.ndarray | None, np.ndarray]:
    """The haze that hugs hair, (H, W) float32, None if there is none; and where it must be seen, (H, W) bool.

    It is measured where it lies bare: `away`, in `fade`, from any stronger alpha, by 1 to HAZE_REACH. There a line in
    the distance is fitted to the opening of alpha, which holds no hairs. At the edge its haze is the line's value at
    distance 0, and so it is further inside. In the outer half of that ring an exact matte is clear, however soft its
    edge is; the haze is at most HAZE_FALL times what is seen there, and none if less than HAZE_SHARE is veiled.
    """
    ring, outer = (away > 1) & (away < HAZE_REACH), (away > HAZE_REACH / 2) & (away < HAZE_REACH)
    smooth = cv2.morphologyEx(alpha, cv2.MORPH_OPEN, np.ones((2 * fade + 1, 2 * fade + 1), np.uint8))
    if _share(smooth > HAZE_LEAST * full, outer) < HAZE_SHARE:
        return None, outer
    mean, distance, square, product = continued([smooth, away, away * away, away * smooth], ring)
    slope = np.minimum((product - distance * mean) / np.maximum(square - distance * distance, 0.02), 0)
    (seen,) = continued([smooth], outer)
    line = np.clip(np.minimum(mean - slope * distance, HAZE_FALL * seen), 0, full / 2)
    line = cv2.resize(line, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(away > 1, np.maximum(smooth, line), line), away > HAZE_REACH / 2


def rim_haze(
    alpha: np.ndarray, away: np.ndarray, fade: float, full: float, params: RefineParams
) -> tuple[np.ndarray | None, np.ndarray]:
    """The narrow haze along hard edges, of clothes and skin: as `wide_haze`, but `away` is in pixels.

    It is seen in the ring RIM off the edge, where an exact matte is clear, and not BEYOND. By how much more, the
    picture over, but at most RIM_LOCAL times what is seen nearby, tells how dense it is in the edge: RIM_GAIN times.
    """
    hard = ~in_hair((away == 0) & (alpha < params.ceiling * full), fade)
    ring, beyond = (hard & (away > near) & (away <= far) for near, far in (RIM, BEYOND))
    smooth = cv2.morphologyEx(alpha, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if _share(smooth > HAZE_LEAST * full, ring) < RIM_SHARE:
        return None, ring
    smooth = np.minimum(smooth, RIM_MOST * full)
    (local,) = continued([smooth], ring)
    local = cv2.resize(local, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    mean = cv2.mean(smooth, ring.view(np.uint8))[0] - cv2.mean(smooth, beyond.view(np.uint8))[0]
    haze = RIM_GAIN * np.clip(RIM_LOCAL * local, 0, max(mean, 0)) * exp(-RIM_FALL * away)
    bare = hard & (away > RIM[0])
    return np.where(bare & (alpha <= params.floor * full), alpha, np.where(hard & ~bare, haze, 0)), ring


def continued(arrays: list[np.ndarray], seen: np.ndarray) -> list[np.ndarray]:
    """Continue arrays from the pixels where they are seen to everywhere, smoothly: a pyramid of weighted averages.

    The results are a quarter as high and wide.
    """

    def shrunk(planes: list[np.ndarray], by: int) -> list[np.ndarray]:
        size = tuple(max(1, side // by) for side in planes[0].shape[::-1])
        return [cv2.GaussianBlur(cv2.resize(p, size, interpolation=cv2.INTER_AREA), (0, 0), 1) for p in planes]

    weight = seen.astype(np.float32)
    levels = [shrunk([weight, *(array * weight for array in arrays)], 4)]
    while max(levels[-1][0].shape) > 1:
        levels.append(shrunk(levels[-1], 2))
    weight, *totals = levels.pop()
    means = [total / np.maximum(weight, 1e-9) for total in totals]
    for weight, *totals in reversed(levels):
        around = [cv2.resize(mean, weight.shape[::-1], interpolation=cv2.INTER_LINEAR) for mean in means]
        means = [(t + 0.02 * a) / (weight + 0.02) for t, a in zip(totals, around, strict=True)]
    return means


def _share(what: np.ndarray, where: np.ndarray) -> float:
    return np.count_nonzero(what & where) / max(1, np.count_nonzero(where))


# 3 and 4. Core and background


def attached(alpha: np.ndarray, core: np.ndarray, floor: float) -> np.ndarray:
    """Remove the islands: regions above the floor that are not connected with the core."""
    above = alpha > floor
    return np.where(above & ~joined(above, core), alpha.dtype.type(0), alpha)


def without_objects(alpha: np.ndarray, core: np.ndarray, stand_out: float, area: float, scale: float) -> np.ndarray:
    """Lower objects that a veil joins to the body to the level at which they hang together with it.

    R = reconstruction by dilation of alpha from the core; a region of alpha - R > stand_out whose area is at least
    `area` becomes R. Smaller ones are hairs that are brighter at the tip than on the way there. Objects are large, so
    a coarse picture will do.
    """
    cell = max(1, round(OBJECT_CELL * scale))
    coarse = pooled(alpha, cell)
    level = connected_level(coarse, pooled(core, cell))
    regions = Regions.of(coarse - level > stand_out, 8)
    objects = regions.areas() >= max(1.0, area / cell**2)
    if not objects.any():
        return alpha
    lowered = np.where(
        joined(coarse > level, regions.mask(objects)), level, alpha.dtype.type(FULL_SCALE[alpha.dtype.name])
    )
    lowered = cv2.resize(lowered, None, fx=cell, fy=cell, interpolation=cv2.INTER_NEAREST)
    return np.minimum(alpha, lowered[: alpha.shape[0], : alpha.shape[1]])


def without_faint(alpha: np.ndarray, floor: float, fade: float) -> np.ndarray:
    """Remove alpha up to the floor that is away from any above it."""
    return np.where(near(alpha > floor, fade), alpha, alpha.dtype.type(0))


def as_within(
    alpha: np.ndarray, core: float, width: int, box: tuple[slice, slice], shape: tuple[int, int]
) -> np.ndarray:
    """Mend the rows and columns along the frame: what reaches the frame comes from within.

    In the outermost `width` pixels alpha below `core` is at most the largest beside them, up to `width` pixels along,
    which lowers stray bands, and at least the smallest, where it is no opening (OPEN). `box` is the part of a picture
    of that shape which `alpha` holds. Where nothing is to be mended it returns the same array.
    """
    result, (rows, columns) = alpha.copy(), box
    framed = (rows.start == 0, rows.stop >= shape[0], columns.start == 0, columns.stop >= shape[1])
    along = np.ones((1, 2 * width + 1), np.uint8)
    for at_frame, side in zip(framed, (result, result[::-1], result.T, result.T[::-1]), strict=True):
        if at_frame and len(side) > 2 * width:
            beside, outer = np.ascontiguousarray(side[width : width + 1]), side[:width]
            least = np.where(outer > OPEN * FULL_SCALE[alpha.dtype.name], cv2.erode(beside, along), 0)
            outer[:] = np.where(outer < core, np.clip(outer, least, cv2.dilate(beside, along)), outer)
    return alpha if np.array_equal(result, alpha) else result


# 5. Foreground


def real_background(
    alpha: np.ndarray, dips: np.ndarray, floor: float, veil: float, area: float
) -> tuple[np.ndarray, np.ndarray]:
    """The clear pixels that are background and not a fault of the body, and all dips around them: two (H, W) bool.

    A low region (alpha <= veil, 4-connected: haze may fill it) is real if it touches the frame or has at least `area`
    pixels. Its clear pixels (alpha <= floor) are, all of it if it is enclosed, and every other clear pixel that is
    connected with such a region through `dips`, as in a gap between hairs.
    """
    frame = np.zeros(alpha.shape, bool)
    frame[[0, -1], :] = frame[:, [0, -1]] = True
    low = Regions.of(alpha <= veil, 4)
    framed, large = low.holding(frame), low.areas() >= max(area, 1)
    around = joined(dips, low.mask(framed | large))
    return ((alpha <= floor) | low.mask(large & ~framed)) & around, around


def gaps(alpha: np.ndarray, enclosed: np.ndarray, scale: float) -> np.ndarray:
    """The enclosed dips that are gaps between locks of hair, (H, W) bool: slender, neither pinholes nor patches.

    They are no smaller than GAP_AREA, nowhere more than GAP_HALF from their sides, and somewhere below alpha GAP_DEPTH.
    """
    regions = Regions.of(enclosed, 8)
    large = regions.areas() >= GAP_AREA * scale**2
    if not large.any():
        return np.zeros_like(enclosed)
    inner = cv2.distanceTransform(enclosed.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    deep = regions.holding(alpha < GAP_DEPTH * FULL_SCALE[alpha.dtype.name])
    return regions.mask(large & deep & ~regions.holding(inner > GAP_HALF * scale))


def solid(alpha: np.ndarray, floor: float, ceiling: float, fade: float) -> np.ndarray:
    """Make nearly opaque alpha opaque that lies further than SKIN_REACH `fade` from the band, in hair HAIR_REACH.

    At the edge of clothes and skin the band is thin, and what is not quite opaque behind it is speckle; hair is a wide
    band, and thins out.
    """
    dips = alpha < ceiling
    if not dips.any():
        return np.full_like(alpha, FULL_SCALE[alpha.dtype.name])
    away = cv2.distanceTransform((~dips).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    hair = in_hair(dips & (alpha > floor), fade)
    kept = (away <= max(SKIN_REACH * fade, 1)) | (hair & (away <= HAIR_REACH * fade))
    return filled(alpha, ~kept)


# What several steps share


def in_hair(band: np.ndarray, fade: float) -> np.ndarray:
    """Where HAIR_SHARE of the surroundings are in the band: at the edge of clothes and skin it is thin."""
    side = 2 * round(HAIR_WINDOW * fade) + 1
    return cv2.blur(band.view(np.uint8) * np.uint8(255), (side, side)) > 255 * HAIR_SHARE


def near(mask: np.ndarray, distance: float) -> np.ndarray:
    """The pixels at most `distance` pixels (at least one) away from a mask; everything, if the mask is empty."""
    if not mask.any():
        return np.ones_like(mask)
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return away <= max(distance, 1.0)


def filled(alpha: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Make alpha opaque within a mask."""
    return np.where(where, alpha.dtype.type(FULL_SCALE[alpha.dtype.name]), alpha)


def pooled(array: np.ndarray, cell: int) -> np.ndarray:
    """The largest value in each square of `cell` x `cell` pixels; a last one that is not full is filled with 0."""
    if cell == 1:
        return array
    height, width = (-side % cell for side in array.shape)
    padded = np.pad(array, ((0, height), (0, width)))
    shifted = (padded[row::cell, column::cell] for row in range(cell) for column in range(cell))
    return np.ascontiguousarray(functools.reduce(np.maximum, shifted))


def _as(alpha: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A float32 alpha on the scale of a dtype in that dtype, rounded and clipped: what is decided is decided on it."""
    alpha = np.clip(alpha, 0, FULL_SCALE[dtype.name])
    return (alpha if dtype.kind == "f" else np.rint(alpha)).astype(dtype, copy=False)


def _box(alpha: np.ndarray) -> tuple[slice, slice]:
    """The smallest box that holds all of alpha that is not 0, and around it a pixel of background, if there is any."""
    left, top, columns, rows = cv2.boundingRect((alpha > 0).view(np.uint8))
    return slice(max(0, top - 1), max(1, top + rows + 1)), slice(max(0, left - 1), max(1, left + columns + 1))
