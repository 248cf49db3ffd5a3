"""Keying: formulas by hand, the known backing, and real green shots of the bank against their exact alpha."""

import functools

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from ldportrait import chroma, images

BANK = ROOT / "resources" / "bank"
SCREEN = np.float32([0.2, 0.6, 0.3])
GREEN_SHOTS = ["green-00", "green-01", "green-02", "green-03", "green-06", "green-08"]


@functools.cache
def bank() -> pd.DataFrame:
    return pd.read_parquet(BANK / "bank.parquet").set_index("id")


def shot(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A real green shot and its exact alpha."""
    row = bank().loc[name]
    return images.read_rgb(BANK / row.shot_path), images.read_rgba(BANK / row.path)[..., 3]


def portrait(name: str) -> np.ndarray:
    return images.read_rgba(BANK / bank().loc[name].path)


def pixels(*colours: tuple[float, float, float]) -> np.ndarray:
    return np.float32([colours])


def error(pred: np.ndarray, true: np.ndarray) -> float:
    """Mean absolute error in thousandths."""
    return float(np.abs(pred.astype(float) - true.astype(float)).mean() / 255 * 1000)


# The keyers by hand


def test_colour_difference_by_hand():
    rgb = pixels(SCREEN, (0.5, 0.5, 0.5), (0.7, 0.4, 0.3), (0.3, 0.45, 0.2))
    # excess over max(r, b): 0.3 (screen), 0, -0.3, 0.15
    np.testing.assert_allclose(chroma.colour_difference(rgb, SCREEN), [[0, 1, 2, 0.5]], atol=1e-6)


def test_vlahos_by_hand():
    rgb = pixels(SCREEN, (0.5, 0.6, 0.4))
    # g - 0.5 max(r, b): screen 0.6 - 0.15 = 0.45; pixel 0.6 - 0.25 = 0.35
    np.testing.assert_allclose(chroma.vlahos(rgb, SCREEN, 0.5, 1.0), [[0, 1 - 0.35 / 0.45]], atol=1e-6)
    # g - 0.5 min(r, b): screen 0.6 - 0.1 = 0.5; pixel 0.6 - 0.2 = 0.4
    np.testing.assert_allclose(chroma.vlahos(rgb, SCREEN, 0.5, 0.0), [[0, 1 - 0.4 / 0.5]], atol=1e-6)


def test_cbcr_distance_by_hand():
    """A blend of screen and grey lies between them in the CbCr plane, whatever its brightness."""
    rgb = pixels(SCREEN, (0.4, 0.4, 0.4), (0.9, 0.9, 0.9), tuple(0.25 * SCREEN + 0.75 * 0.5))
    np.testing.assert_allclose(chroma.cbcr_distance(rgb, SCREEN), [[0, 1, 1, 0.75]], atol=1e-5)


@pytest.mark.parametrize("keyer", chroma.KEYERS)
def test_blends_of_grey_with_the_screen_are_keyed_exactly(keyer):
    alpha = np.linspace(0, 1, 11, dtype=np.float32)[None]
    rgb = alpha[..., None] * np.float32(0.5) + (1 - alpha[..., None]) * SCREEN
    np.testing.assert_allclose(chroma.KEYERS[keyer](rgb, SCREEN), alpha, atol=1e-5)


def test_a_matte_has_its_levels():
    key = np.float32([[-0.5, 0.1, 0.5, 0.9, 1.7]])
    np.testing.assert_allclose(chroma.matte(key, chroma.Levels(0.1, 0.9, 0)), [[0, 0, 0.5, 1, 1]], atol=1e-6)


def test_a_core_fills_the_inside_alone():
    key = np.zeros((100, 100), np.float32)
    key[20:80, 20:80] = 0.5
    alpha = chroma.matte(key, chroma.Levels(0, 1, 0.4))
    assert (alpha[25:75, 25:75] == 1).all()
    assert (alpha[20, 20:80] == 0.5).all()  # the rim keeps the soft key
    assert (alpha[key == 0] == 0).all()


def test_despill_by_hand():
    rgb = pixels((0.4, 0.6, 0.2), (0.4, 0.1, 0.2))
    np.testing.assert_allclose(chroma.despill(rgb, "max"), pixels((0.4, 0.4, 0.2), (0.4, 0.1, 0.2)), atol=1e-6)
    np.testing.assert_allclose(chroma.despill(rgb, "average"), pixels((0.4, 0.3, 0.2), (0.4, 0.1, 0.2)), atol=1e-6)
    with pytest.raises(ValueError, match="median"):
        chroma.despill(rgb, "median")


# The wall


def test_a_wall_is_lit_as_unevenly_as_a_real_one():
    real = [np.std(rgb[..., 1][alpha == 0]) for rgb, alpha in map(shot, GREEN_SHOTS)]
    ours = [chroma.wall((256, 256), chroma.Stage(), np.random.default_rng(seed))[..., 1].std() for seed in range(12)]
    assert np.mean(ours) * 255 == pytest.approx(np.mean(real), rel=0.4)
    assert chroma.wall((64, 48), chroma.Stage(0, 0, 0), np.random.default_rng(0)).std(axis=(0, 1)).max() < 1e-4


def test_spill_is_on_the_edge():
    alpha = np.zeros((100, 100), np.float32)
    alpha[10:90, 10:90] = 1
    rgb = np.full((100, 100, 3), 0.5, np.float32)
    lit = chroma.spilled(rgb, alpha, np.broadcast_to(SCREEN, rgb.shape), 0.1)
    gain = lit[..., 1] - 0.5
    assert gain[10, 50] == pytest.approx(0.1 * 0.6 * np.exp(-1 / 2), rel=0.05)  # depth 1, reach 2 pixels
    assert gain[50, 50] < 1e-6


def test_a_shot_without_light_noise_and_spill_is_the_composite():
    rgba = portrait("portrait-003")
    stage = chroma.Stage(0, 0, 0)
    screen = chroma.wall(rgba.shape[:2], stage, np.random.default_rng(5))
    expected = images.composite(rgba, np.rint(screen * 255).astype(np.uint8))
    taken = chroma.shoot(rgba, stage, np.random.default_rng(5))
    assert np.abs(taken.astype(int) - expected).max() <= 1  # the wall was rounded for the composite


def test_a_seed_gives_a_shot():
    rgba = portrait("portrait-003")
    one, two, other = (chroma.shoot(rgba, chroma.Stage(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


@pytest.mark.parametrize("name", ["portrait-003", "portrait-077"])
def test_the_screen_is_found_behind_the_subject(name):
    rgba = portrait(name)
    screen = chroma.wall(rgba.shape[:2], chroma.Stage(), np.random.default_rng(3))
    taken = chroma.shoot(rgba, chroma.Stage(), np.random.default_rng(3))
    found = chroma.find_screen(taken.astype(np.float32) / 255)
    assert np.abs(found - screen).mean() * 255 < 4
    assert np.abs(found - screen)[rgba[..., 3] == 0].mean() * 255 < 1  # blotches and all; the noise has deviation 2


def test_blotches_of_a_real_wall_are_found():
    """The best quadratic, fitted here to what truly is wall, leaves a deviation of 2 to 5 levels; noise is 1."""
    for name in GREEN_SHOTS[:3]:
        rgb, alpha = shot(name)
        found = chroma.find_screen(rgb.astype(np.float32) / 255)
        y, x = np.argwhere(alpha == 0).T
        terms = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1) / [1, 1e2, 1e2, 1e4, 1e4, 1e4]
        green = rgb[y, x, 1].astype(float)
        quadratic = green - terms @ np.linalg.lstsq(terms, green, rcond=None)[0]
        assert (green - 255 * found[y, x, 1]).std() < 0.6 * quadratic.std()


def test_without_a_wall_the_usual_one_is_assumed():
    grey = np.full((40, 40, 3), 0.5, np.float32)
    np.testing.assert_array_equal(chroma.find_screen(grey)[0, 0], np.float32(chroma.WALL))
    assert (chroma.key(np.full((40, 40, 3), 128, np.uint8))[..., 3] == 255).all()


# Real and made green shots


@pytest.mark.parametrize("name", GREEN_SHOTS)
@pytest.mark.parametrize("keyer", chroma.KEYERS)
def test_real_green_shots_are_keyed_well(keyer, name):
    """Measured: 2.7 to 6.4 thousandths, and 13.7 to 16.3 in the wind of green-08; a full matte has over 250."""
    rgb, alpha = shot(name)
    keyed = chroma.key(rgb, chroma.KeyParams(keyer))
    assert error(keyed[..., 3], alpha) < (19 if name == "green-08" else 8)
    assert error(np.full_like(alpha, 255), alpha) > 250
    assert (keyed[alpha == 0][:, 3] < 13).mean() > 0.98
    assert (keyed[alpha == 255][:, 3] > 242).mean() > 0.96


@pytest.mark.parametrize("name", GREEN_SHOTS[:3])
def test_the_colour_is_the_subjects(name):
    rgb, alpha = shot(name)
    keyed = chroma.key(rgb, chroma.KeyParams())
    true = portrait(name)
    solid = alpha == 255
    assert np.abs(keyed[..., :3].astype(int) - true[..., :3])[solid].mean() < 2
    soft = keyed[..., 3] < 255
    limit = keyed[..., [0, 2]].mean(axis=-1)
    assert (keyed[..., 1] <= limit + 1)[soft].all()


def test_despill_fades_inwards():
    alpha = np.zeros((100, 100), np.float32)
    alpha[10:90, 10:90] = 1
    rgb = np.full((100, 100, 3), (0.2, 0.8, 0.4), np.float32)
    green = chroma.despill_edge(rgb, alpha)[..., 1]
    assert green[0, 0] == pytest.approx(0.3, abs=1e-6)  # outside: the average of 0.2 and 0.4
    assert green[10, 50] == pytest.approx(0.8 - 0.5 * np.exp(-1), abs=1e-2)  # depth 1, reach 1
    assert green[50, 50] == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_allclose(chroma.despill_edge(rgb, np.ones_like(alpha)), rgb)


def test_the_levels_are_the_best_for_what_they_were_tuned_on():
    """On three of the 19 pictures that `tune` saw no other levels are much better."""
    shots = [shot(name) for name in ("green-00", "green-01", "green-02")]

    def errors(levels: chroma.Levels) -> float:
        params = chroma.KeyParams("vlahos", levels.black, levels.white, levels.core)
        return np.mean([error(chroma.key(rgb, params)[..., 3], alpha) for rgb, alpha in shots])

    assert errors(chroma.LEVELS["vlahos"]) < 1.25 * errors(chroma.tune("vlahos", shots))


def test_a_core_matte_saves_green_clothes():
    rgb, alpha = shot("green-02")  # a green shirt
    without = chroma.key(rgb, chroma.KeyParams(core=0))
    assert error(chroma.key(rgb)[..., 3], alpha) < error(without[..., 3], alpha) / 3


def test_levels_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r"0\.9.*0\.2"):
        chroma.KeyParams(clip_black=0.9, clip_white=0.2).levels()
    with pytest.raises(ValueError, match="primatte"):
        chroma.KeyParams("primatte").levels()


# Two backings


SOFT_HAIR = ["portrait-003", "portrait-077"]
WHITE, BLACK = np.float32([1, 1, 1]), np.float32([0, 0, 0])


def before(rgba: np.ndarray, backing: np.ndarray) -> np.ndarray:
    """The composite, not rounded, float64."""
    alpha = rgba[..., 3:] / 255
    return alpha * (rgba[..., :3] / 255) + (1 - alpha) * backing


def test_triangulation_by_hand():
    # half of (0.4, 0.2, 0.6) before blue and before green
    blue, green = np.float32([0, 0, 1]), np.float32([0, 1, 0])
    half = np.float32([0.2, 0.1, 0.3])
    shots = [np.tile(half + backing / 2, (4, 4, 1)) for backing in (blue, green)]
    rgba = chroma.triangulate(*shots, blue, green)
    assert (rgba == [102, 51, 153, 128]).all()


@pytest.mark.parametrize("name", SOFT_HAIR)
def test_triangulation_is_exact_without_noise(name):
    rgba = portrait(name)
    walls = [chroma.wall(rgba.shape[:2], chroma.Stage(), np.random.default_rng(seed)) for seed in (1, 2)]
    walls[1] = walls[1][..., [0, 2, 1]]  # a blue one
    found = chroma.triangulate(*(before(rgba, wall) for wall in walls), *walls)
    assert (found[..., 3] == rgba[..., 3]).all()
    seen = rgba[..., 3] > 0
    weighted = np.abs(found[..., :3].astype(int) - rgba[..., :3]) * (rgba[..., 3:] / 255)
    assert weighted[seen].max() <= 1


@pytest.mark.parametrize("name", SOFT_HAIR)
def test_triangulation_of_rounded_shots_is_exact_to_the_rounding(name):
    rgba = portrait(name)
    shots = [np.rint(255 * before(rgba, backing)).astype(np.uint8) for backing in (BLACK, WHITE)]
    found = chroma.triangulate(*shots, BLACK, np.uint8([255, 255, 255]))
    assert np.abs(found[..., 3].astype(int) - rgba[..., 3]).max() <= 1


def test_noise_hurts_as_the_formula_says():
    """The noise of alpha is sqrt(2) sigma / |B1 - B2|: each of the two pictures adds sigma / |B1 - B2|."""
    rgba = np.full((256, 256, 4), 128, np.uint8)
    deviations = []
    for second, sigma in ((WHITE, 2.0), (WHITE, 4.0), (WHITE / 3, 4.0)):
        generator = np.random.default_rng(0)
        shots = [before(rgba, backing) + generator.normal(0, sigma / 255, (256, 256, 3)) for backing in (BLACK, second)]
        found = chroma.triangulate(*shots, BLACK, second)[..., 3] / 255
        deviations.append(found.std())
        expected = np.sqrt(2) * sigma / 255 / np.linalg.norm(second)
        assert found.std() == pytest.approx(np.hypot(expected, 1 / 255 / np.sqrt(12)), rel=0.05)
    assert deviations == sorted(deviations)


def test_two_noisy_shots_beat_one_key():
    rgba, stage = portrait(SOFT_HAIR[0]), chroma.Stage()
    generator = np.random.default_rng(4)
    green = chroma.wall(rgba.shape[:2], stage, generator)
    walls = [green, green[..., [0, 2, 1]]]
    shots = [chroma.shoot_before(rgba, wall, chroma.Stage(spill=0), generator) for wall in walls]
    band = (rgba[..., 3] > 0) & (rgba[..., 3] < 255)
    two = chroma.triangulate(*shots, *walls)[..., 3]
    assert error(two[band], rgba[band][:, 3]) < error(chroma.key(shots[0])[band][:, 3], rgba[band][:, 3]) / 2


def test_equal_backings_are_refused():
    shot_ = np.full((4, 4, 3), 0.5, np.float32)
    with pytest.raises(ValueError, match="equal at 16 of 16"):
        chroma.triangulate(shot_, shot_, WHITE, WHITE)
    partly = np.zeros((4, 4, 3), np.float32)
    partly[0, :3] = 1
    with pytest.raises(ValueError, match="equal at 3 of 16"):
        chroma.triangulate(shot_, shot_, WHITE, partly)


def test_pictures_that_do_not_fit_are_refused():
    shot_ = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(4, 5, 3\)"):
        chroma.triangulate(shot_, np.zeros((4, 5, 3), np.uint8), BLACK, WHITE)
    with pytest.raises(ValueError, match=r"\(2, 2, 3\)"):
        chroma.triangulate(shot_, shot_, BLACK, np.ones((2, 2, 3), np.float32))
