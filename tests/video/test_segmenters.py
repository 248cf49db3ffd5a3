"""Votes, connectivity, carried masks and events, in scenes whose masks and motion are known, and a bank clip."""

import cv2
import numpy as np
import pytest
import scenes
from conftest import ROOT
from PIL import Image

from ldportrait.benchmarks import bank_clips
from ldportrait.video import segmenters
from ldportrait.video.flow import Flows

SHAPE = (96, 128)


def predictor(frames, alphas):
    """A network that knows the answers: it looks the picture up."""
    known = {frame.rgb.tobytes(): alpha for frame, alpha in zip(frames, alphas, strict=True)}
    return lambda image, trimap: known[image.tobytes()].astype(np.float32)


def segment(frames, alphas, **options):
    return list(segmenters.frames(iter(frames), predictor(frames, alphas), 512, **options))


def iou(a, b):
    a, b = np.asarray(a) > 0, np.asarray(b) > 0
    return (a & b).sum() / max(1, (a | b).sum())


def test_right_answers_stay_and_are_not_doubted():
    frames, masks = scenes.person(7)
    found = segment(frames, masks)
    assert [segment.frame.index for segment in found] == list(range(7))
    for result, mask in zip(found, masks, strict=True):
        assert result.mask.dtype == result.doubt.dtype == np.uint8
        assert iou(result.mask, mask) > 0.97
        assert result.event == ""
        inner = cv2.erode(mask.astype(np.uint8), np.ones((13, 13))) > 0
        assert result.mask[inner].all()
        assert result.doubt[inner].mean() < 0.1 * 255
    assert set(np.unique([result.mask for result in found])) == {0, 255}


def test_a_flicker_of_one_frame_is_voted_away_and_doubted():
    frames, masks = scenes.person(9)
    alphas = masks.copy()
    alphas[4, 40:56, 44:60] = False  # a hole in the middle of the square
    alphas[2, 5:20, 100:120] = True  # a blob in the background
    found = segment(frames, alphas)
    for index, result in enumerate(found):
        assert iou(result.mask, masks[index]) > 0.97
    assert found[4].mask[40:56, 44:60].all()
    assert found[4].doubt[42:54, 46:58].mean() > 2 * found[4].doubt[58:66, 46:58].mean() + 20


def test_the_two_first_and_last_frames_are_voted_on_too():
    frames, masks = scenes.person(6)
    alphas = masks.copy()
    alphas[0, 42:50, 26:34] = alphas[5, 42:50, 45:53] = False
    found = segment(frames, alphas)
    assert found[0].mask[42:50, 26:34].all()
    assert found[5].mask[42:50, 45:53].all()


@pytest.mark.parametrize("step", [2, 8])
def test_motion_is_not_voted_away(step):
    """Without flow the votes of frames to either side would keep the old places: the square moves 32 pixels in 4."""
    frames, masks = scenes.person(8, start=8, step=step)
    for result, mask in zip(segment(frames, masks), masks, strict=True):
        assert iou(result.mask, mask) > 0.95


def test_the_vote_by_hand():
    """Nothing moves, and all colours agree: the mean of 0, 255 and 255; what differs in colour does not count."""
    rgb = scenes.texture((64, 64), 0)
    other = rgb.copy()
    other[:16] = 255 - other[:16]
    seen = [segmenters._Seen(scenes.frame(0, rgb), np.zeros((64, 64), np.uint8))]
    seen += [segmenters._Seen(scenes.frame(i, rgb), np.full((64, 64), 255, np.uint8)) for i in (1, 2)]
    mean, support = segmenters.vote(seen[0], seen[1:], Flows())
    assert np.allclose(mean[4:60, 4:60], 2 / 3, atol=1e-3)
    assert np.allclose(support[4:60, 4:60], 1, atol=1e-3)
    seen[2] = segmenters._Seen(scenes.frame(3, other), seen[2].alpha)
    mean, support = segmenters.vote(seen[0], seen[1:], Flows())
    assert np.allclose(mean[40:60, 4:60], 2 / 3, atol=1e-2)
    assert 0.45 < np.median(mean[:8]) < 0.6
    assert support[:8].mean() < 0.65 < 0.95 < support[40:].mean()


def test_fractional_alpha_is_doubted():
    frames, masks = scenes.person(5, step=0)
    alphas = masks * 1.0
    alphas[:, 30:40, 25:35] = 0.5
    alphas[:, 45:55, 25:35] = 0.9
    doubt = segment(frames, alphas)[2].doubt
    assert (doubt[31:39, 26:34] > 250).all()
    assert np.abs(doubt[46:54, 26:34].astype(int) - round(255 * 0.2)).max() <= 2
    assert (doubt[60:66, 25:35] == 0).all()


def test_a_frame_without_trusted_neighbours_is_doubted_a_little():
    """After a cut nothing is found again: the frame's own answer stays."""
    frames, masks = scenes.person(1)
    frames += [scenes.frame(index, scenes.texture(SHAPE, 10 + index)) for index in (1, 2)]
    alphas = np.array([~masks[0]] * 3)
    found = segment(frames, alphas, neighbours=1)[1]
    assert iou(found.mask, ~masks[0]) > 0.9
    inner = cv2.erode((~masks[0]).astype(np.uint8), np.ones((9, 9))) > 0
    assert np.median(found.doubt[inner]) == pytest.approx(255 * segmenters.ALONE, abs=4)


def test_without_neighbours_each_frame_stands_alone():
    frames, masks = scenes.person(3)
    for result, mask in zip(segment(frames, masks, neighbours=0), masks, strict=True):
        assert (result.mask == 255 * mask).all()
        assert not result.doubt.any()


def rectangle(*corners):
    mask = np.zeros(SHAPE, bool)
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] = True
    return mask


PERSON, SECOND, BLOB, HAIR = (30, 20, 90, 60), (40, 80, 90, 110), (4, 100, 10, 106), (28, 30, 29, 33)


def test_small_parts_apart_are_removed_and_large_or_close_ones_stay():
    mask = rectangle(PERSON, SECOND, BLOB, HAIR)
    kept, removed = segmenters.connected(mask, [mask])
    assert (kept == rectangle(PERSON, SECOND, HAIR)).all()
    assert removed[4:10, 100:106].all()
    assert removed.sum() < 100  # 36, and a rim of two pixels
    assert not (removed & kept).any()


def test_what_no_other_frame_shows_is_removed_however_large():
    kept, removed = segmenters.connected(rectangle(PERSON, SECOND), [rectangle(PERSON), rectangle(PERSON)])
    assert (kept == rectangle(PERSON)).all()
    assert removed[40:90, 80:110].all()
    assert not segmenters.connected(rectangle(PERSON), [rectangle(SECOND)])[0].any()


def test_a_single_frame_has_no_others_to_be_in():
    kept, _ = segmenters.connected(rectangle(PERSON, SECOND), [])
    assert (kept == rectangle(PERSON, SECOND)).all()
    empty, removed = segmenters.connected(np.zeros(SHAPE, bool), [])
    assert not empty.any()
    assert not removed.any()


def test_a_blob_that_lasts_apart_from_the_person_goes_and_is_little_doubted():
    frames, masks = scenes.person(5, step=0)
    alphas = masks * 1.0
    alphas[:, 4:10, 100:106] = 0.7
    found = segment(frames, alphas)[2]
    assert not found.mask[4:10, 100:106].any()
    assert found.doubt[4:10, 100:106].max() <= 64


def events(shares, **where):
    """The events of masks whose upright strip in the picture's middle, or at its side, has these shares of height."""
    made = []
    for index, share in enumerate(shares):
        mask = np.zeros((100, 100), np.uint8)
        if share:
            mask[100 - round(100 * share) :, slice(*where.get("columns", (40, 60)))] = 255
        if where.get("floats"):
            mask = np.roll(mask, -3, axis=0)
        made.append(segmenters.Segment(scenes.frame(index, np.zeros((1, 1, 3), np.uint8)), mask, mask))
    return [segment.event for segment in segmenters.watched(made)]


def test_events():
    assert events([0.8, 0.8, 0.7]) == ["", "", ""]
    assert events([0.8, 0, 0, 0.8, 0.8]) == ["", "left", "absent", "entered", ""]
    assert events([0, 0, 0.8]) == ["absent", "absent", "entered"]
    assert events([0.8, 0.7, 0.3, 0.3, 0.7]) == ["", "", "occluded", "", "uncovered"]


def test_who_shrinks_at_the_side_is_not_hidden_and_who_vanishes_within_is():
    assert events([0.8, 0.7, 0.3, 0.1, 0], columns=(80, 100)) == ["", "", "", "", "left"]
    assert events([0.8, 0.8, 0, 0, 0.8], floats=True) == ["", "", "occluded", "absent", "uncovered"]


def test_leaving_and_entering_in_a_scene():
    frames, masks = scenes.person(16, start=60, step=8)
    frames, masks = frames + frames[::-1], np.concatenate([masks, masks[::-1]])
    frames = [scenes.frame(index, frame.rgb) for index, frame in enumerate(frames)]
    known = {frame.rgb.tobytes(): mask for frame, mask in zip(frames, masks, strict=True)}
    found = list(segmenters.frames(frames, lambda image, _: known[image.tobytes()].astype(np.float32), 512))
    happened = {segment.frame.index: segment.event for segment in found if segment.event}
    gone = np.flatnonzero(masks.mean((1, 2)) < segmenters.PRESENT)
    kinds = list(happened.values())
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("left", "entered", {"absent"})
    assert abs(min(happened) - gone[0]) <= 1
    assert abs(max(happened) - gone[-1] - 1) <= 1


def test_who_votes():
    windows = [(own, sorted(others)) for own, others in segmenters._windows(range(12), [1, 2, 4])]
    assert [own for own, _ in windows] == list(range(12))
    assert windows[0][1] == [1, 2, 4]
    assert windows[5][1] == [1, 3, 4, 6, 7, 9]
    assert windows[11][1] == [7, 9, 10]
    assert list(segmenters._windows(range(2), [])) == [(0, []), (1, [])]
    assert list(segmenters._windows(range(2), [1, 2, 4])) == [(0, [1]), (1, [0])]


def test_a_fault_of_two_frames_is_outvoted_by_frames_farther_away():
    frames, masks = scenes.person(12, step=1)
    alphas = masks.copy()
    alphas[5:7, 40:56, 36:52] = False
    for result in segment(frames, alphas)[5:7]:
        assert result.mask[42:54, 38:50].all()


def test_few_frames_are_in_memory():
    """The network is asked no more than the 4 frames ahead of what is given back that may vote."""
    frames, masks = scenes.person(12)
    asked = []
    predict = predictor(frames, masks)

    def counting(image, trimap):
        asked.append(1)
        return predict(image, trimap)

    for count, _ in enumerate(segmenters.frames(iter(frames), counting, 512, neighbours=3), 1):
        assert len(asked) <= count + 4


def save(folder, masks):
    folder.mkdir(exist_ok=True)
    for index, mask in masks.items():
        Image.fromarray(mask).save(folder / f"{index:06d}.png")
    return {index: folder / f"{index:06d}.png" for index in masks}


def test_the_first_mask_is_carried_along_with_growing_doubt(tmp_path):
    frames, masks = scenes.person(10, step=3)
    given = save(tmp_path, {0: np.where(masks[0], np.uint8(255), np.uint8(0))})
    found = list(segmenters.masks(iter(frames), given))
    assert (found[0].mask == 255 * masks[0]).all()
    assert not found[0].doubt.any()
    for result, mask in zip(found, masks, strict=True):
        inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
        assert result.mask[inner].mean() > 0.97
        assert ((result.mask > 0) & ~mask & ~masks[0]).mean() < 0.01  # but for what it uncovered
    assert (np.diff([result.doubt.mean() for result in found]) > 0).all()
    wrong = (found[9].mask > 0) != masks[9]
    assert found[9].doubt[wrong].mean() > 3 * found[9].doubt[~wrong].mean()
    uncovered = masks[2] & ~masks[3]
    assert found[3].doubt[uncovered].mean() > 128


def test_masks_of_all_frames_stay_as_they_are(tmp_path):
    frames, masks = scenes.person(4)
    masks = np.random.default_rng(0).choice(np.uint8([0, 255]), (4, *SHAPE))
    found = list(segmenters.masks(frames, save(tmp_path, dict(enumerate(masks)))))
    for result, mask in zip(found, masks, strict=True):
        assert (result.mask == mask).all()
        assert not result.doubt.any()


def test_the_nearest_mask_is_carried(tmp_path):
    """Nothing moves; frame 0 has one mask, frame 6 another; 3 is as near to both, and the earlier one is taken."""
    frames, _ = scenes.person(8, step=0)
    first, later = (255 * rectangle(corners).astype(np.uint8) for corners in (PERSON, SECOND))
    found = list(segmenters.masks(frames, save(tmp_path, {0: first, 6: later})))
    nearest = [int(iou(result.mask, later) > 0.9) for result in found]
    assert nearest == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [int(iou(result.mask, first) > 0.9) for result in found] == [1 - value for value in nearest]
    doubts = [result.doubt.mean() for result in found]
    assert doubts[3] > doubts[2] > doubts[1] > doubts[0] == 0 == doubts[6] < doubts[5] < doubts[4]


def test_a_late_mask_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenters, "AHEAD", 2)
    frames, _ = scenes.person(9, step=0)
    first, later = (255 * rectangle(corners).astype(np.uint8) for corners in (PERSON, SECOND))
    found = list(segmenters.masks(frames, save(tmp_path, {0: first, 8: later})))
    assert [segment.frame.index for segment in found] == list(range(9))
    assert [int(iou(result.mask, later) > 0.9) for result in found] == [0] * 6 + [1] * 3


def test_a_given_frame_that_cannot_be_read_is_not_waited_for_for_ever(tmp_path):
    frames, _ = scenes.person(9, step=0)
    first = 255 * rectangle(PERSON).astype(np.uint8)
    given = save(tmp_path, {0: first, 4: first})
    found = list(segmenters.masks((frame for frame in frames if frame.index != 4), given))
    assert [segment.frame.index for segment in found] == [0, 1, 2, 3, 5, 6, 7, 8]


def test_masks_that_do_not_fit_are_named(tmp_path):
    frames, _ = scenes.person(3)
    given = save(tmp_path, {0: np.zeros((5, 5), np.uint8), 1: np.zeros(SHAPE, np.uint8)})
    with pytest.raises(ValueError, match=r"000000\.png is 5 x 5"):
        next(segmenters.masks(frames, given))
    with pytest.raises(ValueError, match="needs a mask"):
        next(segmenters.masks(frames, {1: given[1]}))
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        next(segmenters.masks(frames, {0: tmp_path / "absent.png"}))


def test_votes_mend_damaged_alpha_of_a_bank_clip():
    """Exact alpha of rendered frames, each with a hole in it at another place: the votes find the person again."""
    sample = bank_clips.items(ROOT / "resources" / "bank")[0]
    loaded = [pair for pair, _ in zip(bank_clips.load_clip(sample), range(5), strict=False)]
    frames = [scenes.frame(index, rgb) for index, (rgb, _) in enumerate(loaded)]
    alphas = np.array([alpha / 255 for _, alpha in loaded])
    damaged = alphas.copy()
    for index, alpha in enumerate(damaged):
        rows = slice(180 + 24 * index, 204 + 24 * index)
        alpha[rows, 120:200] = 0
    before, after = [], []
    for result, alpha, bad in zip(segment(frames, damaged), alphas, damaged, strict=True):
        before.append(iou(bad > 0.5, alpha > 0.5))
        after.append(iou(result.mask, alpha > 0.5))
    assert max(before) < 0.97
    assert min(after) > 0.985
