"""The refinement, on drawn figures whose exact alpha is known, and on the bank's portraits."""

import dataclasses

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from ldportrait import images
from ldportrait.connectivity import RefineParams, refine
from ldportrait.generators import artifacts

STEPS = ["level", "remove_detached", "remove_halo", "fill_enclosed", "limit_depth", "make_solid"]


def soft_disc(size: int, y: float, x: float, radius: float, soft: float = 2.0) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return np.clip((radius - np.hypot(rows - y, columns - x)) / soft + 0.5, 0, 1).astype(np.float32)


def person(size: int = 256) -> np.ndarray:
    """A head on shoulders that leave the frame at the bottom, float32 (size, size)."""
    shoulders = soft_disc(size, 1.1 * size, 0.5 * size, 0.45 * size)
    return np.maximum(soft_disc(size, 0.4 * size, 0.5 * size, 0.26 * size), shoulders)


def levels(alpha: np.ndarray) -> np.ndarray:
    return np.rint(alpha * 255).astype(np.uint8)


def error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of two uint8 alphas, times 1000."""
    return float(np.abs(alpha.astype(float) - truth).mean() / 255 * 1000)


def portraits(count: int) -> list[np.ndarray]:
    bank = ROOT / "resources" / "bank"
    table = pd.read_parquet(bank / "bank.parquet")
    chosen = table[(table.kind == "portrait") & (table.split == "train")]
    return [images.read_rgba(bank / path) for path in chosen.path.iloc[:: len(chosen) // count]]


def test_an_exact_alpha_stays():
    truth = levels(person())
    assert np.array_equal(refine(truth).alpha, truth)


def test_the_banks_exact_alphas_hardly_change():
    changes = [error(refine(picture[..., 3]).alpha, picture[..., 3]) for picture in portraits(12)]
    assert np.mean(changes) < 0.1
    assert max(changes) < 0.6


def enclosed(alpha: np.ndarray) -> list[np.ndarray]:
    """The masks of the openings of an exact alpha: see `images.openings`."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((alpha < 0.05 * 255).astype(np.uint8), None, 4)
    height, width = alpha.shape
    return [
        labels == region
        for region, (left, top, across, down, area) in enumerate(statistics)
        if region and area > 12 and left and top and left + across < width and top + down < height
    ]


def test_the_banks_openings_stay_open():
    alphas = [picture[..., 3] for picture in portraits(12)]
    kept = [(refine(alpha).alpha[region] < 0.05 * 255).any() for alpha in alphas for region in enclosed(alpha)]
    assert len(kept) > 20
    assert np.mean(kept) >= 0.97


def test_the_banks_damaged_mattes_come_close_to_the_truth():
    before, after, absolute, band = [], [], [], []
    for seed, picture in enumerate(portraits(8)):
        truth = picture[..., 3].astype(int)
        raw = artifacts.damage(picture, seed, gross=0)[0][..., 3]
        result = refine(raw).alpha
        soft = cv2.dilate(((truth > 0) & (truth < 255)).astype(np.uint8), np.ones((3, 3))) > 0
        wrong, left = np.abs(raw.astype(int) - truth), np.abs(result.astype(int) - truth)
        before.append(wrong.sum())
        after.append(left.sum())
        absolute.append(left[~soft].sum() / wrong[~soft].sum())
        band.append(left[soft].sum() / wrong[soft].sum())
    share = np.divide(after, before)
    assert share.mean() < 0.13
    assert share.max() < 0.2
    assert np.mean(absolute) < 0.04
    assert np.mean(band) < 0.7
    assert max(band) < 1.05


def test_islands_and_dust_are_removed():
    truth = person()
    raw = np.maximum(truth, soft_disc(256, 30, 30, 12) * 0.9)
    raw = np.maximum(raw, soft_disc(256, 60, 220, 2))
    assert np.array_equal(refine(levels(raw)).alpha, levels(truth))


def test_an_object_on_a_veil_is_brought_down_and_hair_is_not():
    truth = person()
    raw = truth.copy()
    raw[90:96, 180:250] = np.maximum(raw[90:96, 180:250], 0.2)  # a veil from the head to the object
    raw = np.maximum(raw, soft_disc(256, 93, 235, 12))
    result = refine(levels(raw)).alpha
    assert result[93, 235] <= round(0.2 * 255)
    assert refine(levels(raw), params=RefineParams(remove_detached=False)).alpha[93, 235] == 255
    hair = truth.copy()
    hair[30:38, 126:129] = [[0.9], [0.8], [0.7], [0.5], [0.5], [0.6], [0.7], [0.9]]  # brighter at the tip
    assert refine(levels(hair)).alpha[30, 127] == round(0.9 * 255)


def test_a_haze_is_taken_from_behind_the_person():
    truth = person(512)
    rows, columns = np.mgrid[:512, :512]
    haze = 0.07 * np.exp(-((np.hypot(rows - 205, columns - 256) / 200) ** 2))
    raw, truth = levels(truth + (1 - truth) * haze), levels(truth)
    result = refine(raw).alpha
    edge = (truth > 0) & (truth < 255)
    assert np.count_nonzero(result[truth == 0]) < 0.01 * np.count_nonzero(raw[truth == 0])
    assert error(result[edge], truth[edge]) < 0.3 * error(raw[edge], truth[edge])


def test_a_narrow_haze_is_taken_from_hard_edges_and_an_exact_one_is_left():
    truth = person(512)
    away = cv2.distanceTransform((truth < 0.12).astype(np.uint8), cv2.DIST_L2, 5)
    haze = 0.014 * np.exp(-away)
    raw, truth = levels(truth + (1 - truth) * haze), levels(truth)
    edge = (truth > 0) & (truth < 128)
    result = refine(raw).alpha
    assert np.count_nonzero(result[away > 1]) < 0.1 * np.count_nonzero(raw[away > 1])
    assert error(result[edge], truth[edge]) < 0.3 * error(raw[edge], truth[edge])
    assert np.array_equal(refine(truth).alpha, truth)


def test_a_small_clear_opening_stays_and_a_pinhole_is_filled():
    truth = person(1024)
    raw = truth.copy()
    raw[640:652, 500:512] = 0
    truth = levels(raw)
    raw[700:705, 540:545] = 0
    assert np.array_equal(refine(levels(raw)).alpha, truth)


def test_a_gap_between_locks_stays_and_a_patch_as_large_is_filled():
    truth = person(512)
    left = int(np.argmax(truth[275] == 1))
    truth[260:290, left + 20 : left + 24] = 0.5  # slender, and near the edge
    raw = truth.copy()
    raw = raw * (1 - 0.5 * soft_disc(512, 400, 256, 9))
    assert np.array_equal(refine(levels(raw)).alpha, levels(truth))


def test_rows_along_the_frame_become_as_they_are_within():
    truth = person(512)
    raw = truth.copy()
    raw[-4:] = np.maximum(raw[-4:], 0.3)
    raw[-1] = np.minimum(raw[-1], 0.85)  # and the body's last row is off
    result, truth = refine(levels(raw)).alpha, levels(truth)
    beside = cv2.distanceTransform((truth == 0).astype(np.uint8), cv2.DIST_L2, 5) > 8
    assert not result[beside].any()
    assert np.mean(result[truth == 255] == 255) > 0.9999


def test_an_enclosed_opening_with_haze_in_it_stays_open():
    truth = person(512) * (1 - soft_disc(512, 300, 256, 14))
    truth[260:341, 216:297] = np.maximum(truth[260:341, 216:297], 0.1)
    assert refine(levels(truth)).alpha[300, 256] < 0.12 * 255


def test_dips_in_the_body_are_filled():
    truth = person()
    raw = truth.copy()
    raw[100:101, 120:122] = 0  # a hole
    raw = raw * (1 - 0.5 * soft_disc(256, 110, 145, 12))  # a patch
    raw[215:250:2, 90:160:3] *= 0.97  # speckle
    result = refine(levels(raw))
    assert np.array_equal(result.alpha, levels(truth))
    assert np.array_equal(result.filled_foreground, (levels(raw) < 255) & (levels(truth) == 255))


def test_real_openings_stay_open():
    truth = person(512)
    truth = truth * (1 - soft_disc(512, 200, 256, 30))  # between arm and body: large
    strands = np.ones_like(truth)
    for column in range(150, 200, 10):  # between strands: small, but joined with the background by the soft edge
        strands[120:180, column] = 0.0
        strands[60:120, column] = 0.6
    truth = levels(truth * strands)
    result = refine(truth).alpha
    assert images.openings(result) == images.openings(truth) > 0
    assert error(result, truth) < 0.5


def test_a_band_reaches_no_deeper_than_allowed():
    raw = person(512)
    raw[200:208, :256] = np.minimum(raw[200:208, :256], 0.5)  # a cut from the left edge into the middle of the face
    shallow = refine(levels(raw), params=RefineParams(depth=20)).alpha
    deep = refine(levels(raw), params=RefineParams(depth=400)).alpha
    assert shallow[204, 250] == 255
    assert deep[204, 250] == 128


def faulty(step: str) -> np.ndarray:
    """The figure of 512 pixels with the fault that a step mends, float32."""
    raw = person(512)
    rows, columns = np.mgrid[:512, :512]
    match step:
        case "level":
            return 0.96 * raw
        case "remove_detached":
            return np.maximum(raw, soft_disc(512, 60, 60, 20))
        case "remove_halo":
            return raw + (1 - raw) * 0.06 * np.exp(-((np.hypot(rows - 205, columns - 256) / 200) ** 2))
        case "fill_enclosed":
            return raw * (1 - 0.5 * soft_disc(512, 205, 152, 10))  # not deep: the depth's limit does not reach it
        case "limit_depth":
            raw[200:206, :256] = np.minimum(raw[200:206, :256], 0.5)
        case "make_solid":
            raw[190:220:2, 140:160:3] *= 0.97
    return raw


@pytest.mark.parametrize("step", STEPS)
def test_each_step_mends_its_fault(step):
    raw, truth = levels(faulty(step)), levels(person(512))
    params = RefineParams(depth=60 if step == "limit_depth" else 100)
    mended = error(refine(raw, params=params).alpha, truth)
    left = error(refine(raw, params=dataclasses.replace(params, **{step: False})).alpha, truth)
    assert mended < 0.35 * left


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (64, 64), (97, 131)])
def test_constant_pictures_stay(value, shape):
    alpha = np.full(shape, value, np.uint8)
    result = refine(alpha)
    assert np.array_equal(result.alpha, alpha)
    assert not (result.removed_background | result.filled_foreground | result.band).any()


def test_a_ghost_without_body_is_left_alone():
    ghost = levels(0.5 * person())
    assert np.array_equal(refine(ghost).alpha, ghost)


def damaged(seed: int) -> np.ndarray:
    """A figure with random veils, blots and noise, uint8, 64 to 140 on a side; one in eight is up to 512."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(64, 140, 2) if seed % 8 else generator.integers(64, 512, 2)
    alpha = cv2.resize(person(), (int(width), int(height)), interpolation=cv2.INTER_AREA)
    field = cv2.GaussianBlur(generator.standard_normal((height, width)).astype(np.float32), (0, 0), 4)
    alpha = alpha + generator.uniform(0, 0.3) * np.clip(field / field.std(), -3, 3) * generator.integers(0, 2)
    where = generator.random((height, width)) < generator.uniform(0, 0.05)
    return levels(np.clip(np.where(where, generator.random((height, width)), alpha), 0, 1))


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants_and_refining_twice_changes_nothing(seed):
    alpha = damaged(seed)
    before = alpha.copy()
    result = refine(alpha)
    assert np.array_equal(alpha, before)
    assert result.alpha.dtype == alpha.dtype
    assert result.alpha.shape == alpha.shape
    masks = np.stack([result.removed_background, result.filled_foreground, result.band])
    assert masks.dtype == bool
    assert (masks.sum(axis=0) <= 1).all()
    assert (result.alpha[result.removed_background] == 0).all()
    assert (result.alpha[result.filled_foreground] == 255).all()
    assert np.array_equal(result.band, (result.alpha > 0) & (result.alpha < 255))
    assert np.abs(refine(result.alpha).alpha.astype(int) - result.alpha).max() <= 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_refining_wide_alphas_twice_changes_nothing(seed):
    once = refine(damaged(seed).astype(np.uint16) * 257).alpha
    assert np.abs(refine(once).alpha.astype(int) - once).max() <= 257


@pytest.mark.parametrize("shape", [(8192, 64), (64, 8192), (3000, 2000)])
def test_large_pictures_are_refined(shape):
    truth = cv2.resize(person(), shape[::-1], interpolation=cv2.INTER_LINEAR)
    raw = levels(truth)
    raw[:4, :4] = 30  # a stray corner
    result = refine(raw).alpha
    assert not result[:4, :4].any()
    assert np.abs(refine(result).alpha.astype(int) - result).max() <= 1
    assert error(result, levels(truth)) < 1


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("flipped", [True, False])
def test_turned_and_flipped_pictures_are_refined_alike(turns, flipped):
    def turn(array):
        return np.ascontiguousarray(np.rot90(array[:, ::-1] if flipped else array, turns))

    differ = []
    for seed in range(40):
        alpha = damaged(seed)
        first, second = turn(refine(alpha).alpha), refine(turn(alpha)).alpha
        differ.append(np.mean(np.abs(first.astype(int) - second) > 1))
    assert np.median(differ) == 0
    assert np.mean(differ) < 0.002  # the cells of coarse pictures may fall by a pixel, and a threshold be missed


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_other_dtypes_give_the_same_matte(dtype):
    full = 65535 if dtype is np.uint16 else 1
    differ = []
    for seed in range(40):
        alpha = damaged(seed)
        wide = refine((alpha / 255 * full).round(0 if full > 1 else 9).astype(dtype)).alpha
        assert wide.dtype == dtype
        differ.append(np.mean(np.abs(wide / full * 255 - refine(alpha).alpha) > 1))
    # Finer levels may fall on another side of a threshold than rounded ones: in few pixels, or in few pictures.
    assert np.median(differ) < 0.001
    assert np.mean(differ) < 0.01


def test_the_result_scales_with_the_picture():
    raw = np.maximum(person(512), soft_disc(512, 60, 60, 20))
    raw = raw * (1 - 0.5 * soft_disc(512, 200, 256, 20))
    small, large = refine(levels(raw)).alpha, refine(levels(cv2.resize(raw, (1024, 1024)))).alpha
    assert error(cv2.resize(large, (512, 512), interpolation=cv2.INTER_AREA), small) < 1


@pytest.mark.parametrize(
    ("alpha", "word"),
    [
        (np.zeros((4, 4, 1), np.uint8), "uint8"),
        (np.zeros((4, 4), np.int32), "int32"),
        (np.zeros((0, 4), np.uint8), "0"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
        (np.full((4, 4), 1.5, np.float32), r"\[0, 1\]"),
    ],
)
def test_another_alpha_is_refused(alpha, word):
    with pytest.raises(ValueError, match=word):
        refine(alpha)


def test_a_colour_of_another_size_is_refused():
    with pytest.raises(ValueError, match="colour"):
        refine(np.zeros((4, 4), np.uint8), np.zeros((4, 5, 3), np.uint8))


@pytest.mark.parametrize("wrong", [{"floor": 0.0}, {"ceiling": 0.01}, {"core": 0.01}, {"haze": 0.01}, {"fade": -1.0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RefineParams(**wrong)
