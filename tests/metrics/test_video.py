"""dtSSD and MESSDdt against hand-computed values and a plain textbook version, and frames in rows."""

import numpy as np
import pytest
import textbook
from pairs import drawn, portrait, predicted

from ldportrait.metrics import image, video


def clip(frames: int = 4, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A portrait that moves by 3 pixels a frame, and mattes whose faults flicker; (T, H, W) uint8."""
    still = portrait(size=size)
    true = np.stack([np.roll(still, 3 * t, axis=1) for t in range(frames)])
    return np.stack([predicted(alpha, seed) for seed, alpha in enumerate(true)]), true


def test_dtssd_by_hand():
    """An error that appears in one of four pixels, by 0.2, stays, and goes: 0.1, 0 and 0.1."""
    true = np.full((4, 2, 2), 51, np.uint8)
    pred = true.copy()
    pred[1:3, 0, 0] = 102
    assert video.dtssd_frames(pred, true) == pytest.approx([0.1, 0, 0.1])
    assert video.dtssd(pred, true) == pytest.approx(0.2 / 3)


def test_the_first_frame_counts_as_zero_where_asked():
    true = np.full((4, 2, 2), 51, np.uint8)
    pred = true.copy()
    pred[1:3, 0, 0] = 102
    assert video.dtssd(pred, true, first=True) == pytest.approx(0.2 / 4)
    assert video.messddt(pred, true, first=True) == pytest.approx(video.messddt(pred, true) * 3 / 4)


def test_dtssd_does_not_see_what_stands_still():
    true = np.random.default_rng(0).integers(0, 200, (3, 5, 6), dtype=np.uint8)
    assert video.dtssd(true + np.uint8(40), true) == 0
    assert video.messddt(true + np.uint8(40), true) == pytest.approx(0, abs=1e-15)


def test_messddt_by_hand():
    """Nothing moves; the squared error goes from 0.04 to 0.16 in one pixel of twelve."""
    true = np.zeros((2, 3, 4), np.float64)
    pred = true.copy()
    pred[0, 1, 2] = 0.2
    pred[1, 1, 2] = 0.4
    assert video.messddt(pred, true) == pytest.approx(0.12 / 12)


def test_messddt_follows_the_motion():
    """A fault that moves with what it sits on costs nothing there; one that stays behind does."""
    true = np.zeros((2, 96, 96), np.uint8)
    y, x = np.mgrid[:96, :96]
    for t, centre in enumerate((40, 46)):
        true[t] = np.clip(255 * (28 - np.hypot(y - 48, x - centre)) / 20, 0, 255)
    moves, stays = true.copy(), true.copy()
    for t, shift in enumerate((0, 6)):
        moves[t, 30:60, 30 + shift : 44 + shift] //= 2
        stays[t, 30:60, 30:44] //= 2
    assert video.messddt(moves, true) < 0.25 * video.messddt(stays, true)


@pytest.mark.parametrize("metric", ["dtssd", "messddt"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_textbook_on_a_clip(metric, kind):
    pred, true = clip()
    expected = getattr(textbook, f"{metric}_frames")(pred / 255, true / 255)
    given = (pred, true) if kind is np.uint8 else [(alpha / 255).astype(kind) for alpha in (pred, true)]
    assert getattr(video, f"{metric}_frames")(*given) == pytest.approx(expected, rel=1e-6)
    assert getattr(video, metric)(*given) == pytest.approx(np.mean(expected), rel=1e-6)
    assert min(expected) > 0


def test_bytes_against_floats():
    pred, true = clip(3)
    for metric in (video.dtssd, video.messddt):
        assert metric(pred, true / 255) == pytest.approx(metric(pred, true), rel=1e-12)


def test_rows_are_the_frames_metrics():
    pred, true = clip(3)
    rows = video.score(pred, true)
    values = {(row["frame"], row["metric"]): row["value"] for row in rows}
    assert {row["region"] for row in rows} == {"whole"}
    assert len(rows) == 3 * 4 + 2 * 2
    for t in range(3):
        for metric in video.FRAME_METRICS:
            assert values[t, metric] == getattr(image, metric)(pred[t], true[t])
    for metric, frames in (("dtssd", video.dtssd_frames), ("messddt", video.messddt_frames)):
        assert [values[t, metric] for t in (1, 2)] == frames(pred, true).tolist()


def test_rows_of_some_metrics_with_a_first_frame():
    pred, true = clip(3)
    rows = video.score(pred, true, ["dtssd", "mad"], first=True)
    assert [(row["frame"], row["metric"]) for row in rows] == [(t, m) for t in range(3) for m in ("dtssd", "mad")]
    assert rows[0]["value"] == 0
    averages = {row["metric"]: row["value"] for row in video.average(rows)}
    assert averages["dtssd"] == pytest.approx(video.dtssd(pred, true, first=True))
    assert averages["mad"] == pytest.approx(
        image.mad(pred[0], true[0]) / 3 + sum(image.mad(pred[t], true[t]) / 3 for t in (1, 2))
    )


def test_an_unknown_metric_is_refused():
    pred, true = clip(2)
    with pytest.raises(ValueError, match="flicker; there are mad"):
        video.score(pred, true, ["flicker"])


@pytest.mark.parametrize("metric", [video.dtssd, video.messddt, video.score])
@pytest.mark.parametrize(
    ("shape", "kind", "word"),
    [
        ((4, 6), np.uint8, r"\(T, H, W\)"),
        ((1, 4, 6), np.uint8, "two frames"),
        ((2, 4, 6), np.int32, "int32"),
        ((0, 4, 6), np.uint8, r"\(0, 4, 6\)"),
    ],
)
def test_what_is_no_video_is_refused(metric, shape, kind, word):
    with pytest.raises(ValueError, match=word):
        metric(np.zeros(shape, kind), np.zeros(shape, kind))


def test_videos_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 4, 4\).*\(2, 4, 4\)"):
        video.dtssd(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))


def test_a_still_pair_does_not_flicker():
    pred, true, _ = drawn()
    assert video.dtssd(np.stack([pred, pred]), np.stack([true, true])) == 0
