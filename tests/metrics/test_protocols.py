"""The protocols against the textbook's versions of benchmarks' code, an independent package, and by hand."""

import numpy as np
import pytest
import textbook
from pairs import constructed, drawn, portrait, predicted, unit

from ldportrait.metrics import image, protocols, video

# What mmeval 0.2.1, OpenMMLab's package, gives for `drawn`, fed with float32 in [0, 1]: in the whole picture, and of
# the metrics that it masks in the unknown region. It brings each alpha to [0, 1] before Grad.
MMEVAL = {
    "whole": {"sad": 0.3744509816, "mse": 13.3706811402, "grad": 0.9834999442, "conn": 0.3482509851},
    "composition-1k": {"grad": 0.4450632036, "conn": 0.2597176433},
}


def scores(name: str, *given: np.ndarray | None) -> dict[tuple[str, str], float]:
    return {(row["region"], row["metric"]): row["value"] for row in protocols.score(name, *given)}


def trimap_of(true: np.ndarray) -> np.ndarray:
    return np.where(true == 0, 0, np.where(true == 255, 255, 128)).astype(np.uint8)


@pytest.mark.parametrize("name", MMEVAL)
def test_an_independent_package(name):
    pred, true, trimap = drawn()
    found = {metric: value for (_, metric), value in scores(name, pred, true, trimap).items()}
    assert {metric: found[metric] for metric in MMEVAL[name]} == pytest.approx(MMEVAL[name], rel=1e-6)


# Each against the textbook


@pytest.mark.parametrize("case", [*constructed(), "portrait"])
def test_textbook_on_the_whole_picture(case):
    """Every protocol's metrics of the whole picture, by what its own code does."""
    pred, true = constructed().get(case) or (predicted(portrait()), portrait())
    p, t, everywhere = unit(pred), unit(true), np.ones(true.shape, bool)
    plain = {name: getattr(textbook, name)(p, t, everywhere) for name in image.METRICS}
    thousandfold = plain | {"mse": 1000 * plain["mse"], "mad": 1000 * plain["mad"]}
    stretched = {"grad": textbook.grad_stretched(p, t, everywhere)}
    p3m = {"grad": textbook.grad_p3m(p, t, everywhere), "conn": textbook.conn_p3m(p, t, everywhere)}
    expected = {
        "definition": plain,
        "whole": thousandfold | stretched,
        "gca": thousandfold | {"conn": textbook.conn_by_label(p, t, everywhere)},
        "p3m": plain | p3m,
        "rvm": thousandfold | stretched,
        "rvm-hd": thousandfold,
    }
    for name, values in expected.items():
        found = {metric: value for (_, metric), value in scores(name, pred, true).items()}
        assert found == pytest.approx({m: values[m] for m in found}, rel=1e-6, abs=1e-9), name


def test_textbook_in_the_unknown_region():
    true = portrait()
    pred, trimap = predicted(true), trimap_of(true)
    p, t, unknown = unit(pred), unit(true), trimap == 128
    adobe = {
        "sad": textbook.sad(p, t, unknown),
        "mse": 1000 * textbook.mse(p, t, unknown),
        "grad": textbook.grad_stretched(p, t, unknown),
        "conn": textbook.conn(p, t, unknown),
    }
    found = scores("composition-1k", pred, true, trimap)
    assert found == pytest.approx({("unknown", metric): value for metric, value in adobe.items()}, rel=1e-6)
    gca = adobe | {"grad": textbook.grad(p, t, unknown), "conn": textbook.conn_by_label(p, t, unknown)}
    found = scores("gca", pred, true, trimap)
    assert {m: v for (r, m), v in found.items() if r == "unknown"} == pytest.approx(gca, rel=1e-6)


def test_p3m_replaces_what_the_trimap_knows_and_counts_it():
    """Where trimap and truth contradict each other, that error is in P3M's "trimap" numbers too."""
    true = np.array([[0, 51, 204, 255]], np.uint8)
    pred = np.array([[51, 51, 102, 0]], np.uint8)
    trimap = np.array([[0, 255, 128, 255]], np.uint8)
    found = scores("p3m", pred, true, trimap)
    assert found["unknown", "sad"] == pytest.approx((0.8 + 0.4) / 1000)
    assert found["unknown", "mad"] == pytest.approx(1.2)  # over one pixel
    assert found["unknown", "mse"] == pytest.approx(0.8**2 + 0.4**2)
    assert found["foreground", "sad"] == pytest.approx(1 / 1000)
    assert found["background", "sad"] == pytest.approx(0.2 / 1000)
    assert found["whole", "sad"] == pytest.approx((0.2 + 0.4 + 1) / 1000)


def test_p3m_without_unknown_pixels_counts_those_of_other_levels():
    true = np.array([[0, 51, 255]], np.uint8)
    pred = np.array([[0, 102, 255]], np.uint8)
    assert scores("p3m", pred, true, np.array([[0, 127, 255]], np.uint8))["unknown", "mad"] == pytest.approx(0.2)


def test_floats_give_what_bytes_give():
    pred, true, trimap = drawn()
    for name in protocols.NAMES:
        floats = scores(name, pred / 255, (true / 255).astype(np.float32), trimap, trimap)
        assert floats == pytest.approx(scores(name, pred, true, trimap, trimap), rel=1e-12), name


# The faults that docs/metrics.md describes


def test_an_empty_prediction():
    """All of the truth is wrong, which P3M's and GCA's Conn do not see."""
    true = portrait()
    nothing = np.zeros_like(true)
    by_definition = scores("definition", nothing, true)["whole", "conn"]
    assert by_definition > 5
    assert scores("rvm", nothing, true)["whole", "conn"] == by_definition
    assert scores("p3m", nothing, true)["whole", "conn"] == 0
    assert scores("gca", nothing, true)["whole", "conn"] == 0


def test_a_small_foreground_makes_the_background_the_component():
    """Half of a square is 0.7 and called 0.6: 0.1 from where it is tied, no error. Tied nowhere, it is off by 0.1."""
    true = np.zeros((60, 60), np.float64)
    true[25:35, 25:35] = 1
    pred = true.copy()
    true[25:35, 25:30], pred[25:35, 25:30] = 0.7, 0.6
    assert scores("definition", pred, true)["whole", "conn"] == 0
    assert scores("gca", pred, true)["whole", "conn"] == pytest.approx(50 * 0.1 / 1000)
    assert scores("gca", pred[25:35, 25:35], true[25:35, 25:35])["whole", "conn"] == 0


def test_a_shallow_matte_is_stretched_by_some():
    """At half the contrast the gradient is half wrong; brought to [0, 1] it is right."""
    true = portrait()
    half = true / 510
    assert scores("whole", half, true)["whole", "grad"] == pytest.approx(0, abs=1e-9)
    assert scores("rvm-hd", half, true)["whole", "grad"] > 1


# Regions


def test_rwp_by_hand():
    true = np.array([[0, 51], [255, 255]], np.uint8)
    pred = np.array([[51, 51], [0, 204]], np.uint8)
    detail = np.array([[3, 0], [0, 128]], np.uint8)
    expected = {
        ("whole", "mse"): 1000 * 1.08 / 4,
        ("whole", "sad"): 1.4 / 1000,
        ("detail", "mse"): 1000 * 0.08 / 2,
        ("detail", "sad"): 0.4 / 1000,
    }
    assert scores("rwp", pred, true, None, detail) == pytest.approx(expected)
    assert scores("rwp", pred, true, None, detail > 0) == pytest.approx(expected)
    assert scores("rwp", pred, true, None, np.zeros_like(detail))["detail", "mse"] == 0


def test_definition_is_the_image_metrics():
    true = portrait()
    pred, trimap = predicted(true), trimap_of(true)
    rows = image.all_metrics(pred, true, {"whole": None, "unknown": trimap == 128})
    assert protocols.score("definition", pred, true, trimap) == rows
    assert protocols.score("definition", pred, true) == rows[: len(rows) // 2]


@pytest.mark.parametrize(
    ("name", "word"),
    [("composition-1k", "composition-1k needs a trimap"), ("rwp", "rwp needs a detail map, for its detail region")],
)
def test_a_protocol_says_what_it_lacks(name, word):
    pred, true, _ = drawn()
    with pytest.raises(ValueError, match=word):
        protocols.score(name, pred, true)


def test_an_unknown_protocol_is_refused_with_the_names():
    with pytest.raises(ValueError, match=r"no protocol dim; there are definition, composition-1k, .*rvm-hd\.$"):
        protocols.get("dim")


@pytest.mark.parametrize(
    ("trimap", "detail", "word"),
    [
        (np.zeros((4, 4), np.uint8), None, r"trimap is \(96, 96\) uint8"),
        (np.zeros((96, 96), bool), None, "not .* bool"),
        (None, np.zeros((96, 96)), "detail map .* float64"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(trimap, detail, word):
    pred, true, _ = drawn()
    with pytest.raises(ValueError, match=word):
        protocols.score("definition", pred, true, trimap, detail)


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_units_are_those_of_the_metrics(protocol):
    metrics = {metric for region in protocol.regions.values() for metric in region}
    assert set(protocol.units) == metrics | set(protocol.temporal) | set(protocol.colour)
    assert set(protocol.units.values()) <= set(protocols.FACTORS)


# Video


def moving(frames: int = 3) -> tuple[np.ndarray, np.ndarray]:
    true = np.stack([np.roll(portrait(size=48), 2 * t, axis=1) for t in range(frames)])
    return np.stack([predicted(alpha, seed) for seed, alpha in enumerate(true)]), true


def test_rvm_averages_a_first_frame_without_flicker():
    pred, true = moving()
    found = {row["metric"]: row["value"] for row in protocols.score_video("rvm", pred, true)}
    everywhere = np.ones(true[0].shape, bool)
    pairs = [(unit(pred[t]), unit(true[t]), everywhere) for t in range(3)]
    expected = {
        "mad": 1000 * np.mean([textbook.mad(*pair) for pair in pairs]),
        "mse": 1000 * np.mean([textbook.mse(*pair) for pair in pairs]),
        "grad": np.mean([textbook.grad_stretched(*pair) for pair in pairs]),
        "conn": np.mean([textbook.conn(*pair) for pair in pairs]),
        "dtssd": 100 * np.mean([0, *textbook.dtssd_frames(unit(pred), unit(true))]),
    }
    assert found == pytest.approx(expected, rel=1e-6)


def test_rvm_at_high_resolution_has_no_conn_and_stretches_nothing():
    pred, true = moving()
    found = {row["metric"]: row["value"] for row in protocols.score_video("rvm-hd", pred, true)}
    assert list(found) == ["mad", "mse", "grad", "dtssd"]
    everywhere = np.ones(true[0].shape, bool)
    grads = [textbook.grad(unit(pred[t]), unit(true[t]), everywhere) for t in range(3)]
    assert found["grad"] == pytest.approx(np.mean(grads), rel=1e-6)


def test_the_definition_of_video_counts_no_first_frame():
    pred, true = moving()
    found = {row["metric"]: row["value"] for row in protocols.score_video("definition", pred, true)}
    assert found["dtssd"] == pytest.approx(video.dtssd(pred, true))
    assert found["messddt"] == pytest.approx(video.messddt(pred, true))
    assert set(found) == {*image.METRICS, "dtssd", "messddt"}


def test_frames_are_rows():
    pred, true = moving()
    rows = protocols.score_frames("rvm", pred, true)
    assert next(row["value"] for row in rows if row["metric"] == "dtssd") == 0
    assert [row["frame"] for row in rows if row["metric"] == "mad"] == [0, 1, 2]
    rows = protocols.score_frames("definition", pred, true)
    assert [row["frame"] for row in rows if row["metric"] == "dtssd"] == [1, 2]


def test_colour_of_a_video():
    """Of each frame's two pixels one counts; it is wrong by 0.2 in one of three channels, in one of two frames."""
    alpha = np.zeros((2, 1, 2), np.uint8)
    alpha[:, 0, 0] = 255
    true = np.full((2, 1, 2, 3), 102, np.uint8)
    pred = true.copy()
    pred[1, 0, 0, 1] = 153
    pred[:, 0, 1] = 0
    found = {row["metric"]: row["value"] for row in protocols.score_video("rvm", alpha, alpha, pred, true)}
    assert found["fgr_mad"] == pytest.approx(1000 * 0.2 / 3 / 2)
    assert found["fgr_mse"] == pytest.approx(1000 * 0.04 / 3 / 2)
    assert "fgr_mad" not in {row["metric"] for row in protocols.score_video("rvm-hd", alpha, alpha, pred, true)}
    with pytest.raises(ValueError, match="both the predicted and the true colour"):
        protocols.score_video("rvm", alpha, alpha, pred)


def test_a_protocol_for_pictures_scores_no_video():
    pred, true = moving(2)
    with pytest.raises(ValueError, match="p3m is for pictures"):
        protocols.score_video("p3m", pred, true)
