"""Matting in batches is matting; smoothing steadies the unknown region, keeps motion, and touches nothing else."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from ldportrait import inference, models
from ldportrait.metrics import video
from ldportrait.video import matting
from ldportrait.video.files import Frame


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture (H, W, 3) uint8, which optical flow can follow."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.rint(255 * (soft - soft.min()) / (soft.max() - soft.min())).astype(np.uint8)


def moving(count: int, step: int = 2, size: int = 96) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames and true alphas (T, H, W) of a textured disc that moves right over another texture, `step` a frame."""
    behind, before = texture(size, size), texture(size, size, 1) // 2 + 100
    y, x = np.mgrid[:size, :size]
    frames, alphas = [], []
    for t in range(count):
        alpha = np.clip(127.5 + 30 * (20 - np.hypot(y - size / 2, x - 32 - step * t)), 0, 255).astype(np.uint8)
        shifted = np.roll(before, step * t, 1)
        share = alpha[..., None] / 255
        frames.append(np.rint(share * shifted + (1 - share) * behind).astype(np.uint8))
        alphas.append(alpha)
    return frames, np.stack(alphas)


def frames_of(pictures: list[np.ndarray]) -> list[Frame]:
    return [Frame(index, index / 25, rgb) for index, rgb in enumerate(pictures)]


def band(alpha: np.ndarray) -> np.ndarray:
    """A trimap that is unknown around a disc's rim."""
    mask = (alpha > 127).astype(np.uint8)
    kernel = np.ones((9, 9), np.uint8)
    return np.where(cv2.erode(mask, kernel) > 0, 255, np.where(cv2.dilate(mask, kernel) > 0, 128, 0)).astype(np.uint8)


def trimap_network() -> torch.nn.Module:
    """small-trimap with random weights, which says something."""
    torch.manual_seed(0)
    network = models.get("small-trimap").build(widths=[4, 8])
    torch.nn.init.normal_(network.unet.head.weight, std=0.5)
    return network.eval()


@pytest.mark.parametrize("batch", [1, 3, 5, 16])
def test_a_batch_gives_what_single_frames_give(batch):
    pictures, alphas = moving(7)
    trimaps = [band(alpha) for alpha in alphas]
    network = trimap_network()
    made = list(matting.matte(zip(frames_of(pictures), trimaps, strict=True), matting.batched(network), batch))
    assert [matte.frame.index for matte in made] == list(range(7))
    for matte, picture, trimap in zip(made, pictures, trimaps, strict=True):
        alone = inference.matte(network, picture, trimap)
        assert np.abs(matte.alpha.astype(int) - alone).max() <= 1
        assert np.array_equal(matte.alpha[trimap != 128], trimap[trimap != 128])


def test_batches_are_full_and_known_frames_are_not_shown():
    pictures, alphas = moving(6)
    trimaps = [band(alpha) for alpha in alphas]
    trimaps[1][:], trimaps[4][:] = 0, 255
    shown = []

    def predict(images: np.ndarray, known: np.ndarray) -> np.ndarray:
        shown.append(len(images))
        return np.full(known.shape, 0.2, np.float32)

    made = list(matting.matte(zip(frames_of(pictures), trimaps, strict=True), predict, batch=4))
    assert shown == [3, 1]
    assert (made[1].alpha == 0).all()
    assert (made[4].alpha == 255).all()
    assert (made[0].alpha[trimaps[0] == 128] == 51).all()
    assert np.array_equal(made[0].alpha[trimaps[0] != 128], trimaps[0][trimaps[0] != 128])


def test_a_large_frame_is_matted_in_tiles():
    picture, trimap = texture(700, 1100), np.zeros((700, 1100), np.uint8)
    trimap[:, 500:600], trimap[:, 600:] = 128, 255
    shown = []

    def predict(images: np.ndarray, known: np.ndarray) -> np.ndarray:
        shown.append(known.shape)
        return np.where(known == 128, images[..., 0] / np.float32(255), known / np.float32(255))

    (made,) = matting.matte([(Frame(0, 0, picture), trimap)], predict)
    assert len(shown) > 1
    assert all(max(shape[1:]) <= 1024 for shape in shown)
    assert np.array_equal(made.alpha, np.where(trimap == 128, picture[..., 0], trimap))


def test_streams_take_no_more_than_they_need():
    """Of 100 frames, what is out before the next is asked for: a batch and the neighbours lie between, no more."""
    picture, trimap = texture(32, 32), np.full((32, 32), 128, np.uint8)
    taken = 0

    def source() -> Iterator[tuple[Frame, np.ndarray]]:
        nonlocal taken
        for index in range(100):
            taken += 1
            yield Frame(index, index / 25, picture), trimap

    stream = matting.matte(source(), lambda images, known: np.zeros(known.shape, np.float32), batch=4)
    for given, _ in enumerate(matting.smooth(stream, neighbours=2), 1):
        assert taken - given <= 4 + 2
    assert given == 100


def flickering(alphas: np.ndarray, deviation: float = 25) -> np.ndarray:
    """True alphas with errors that are new in every frame, on soft pixels."""
    noise = np.random.default_rng(2).normal(0, deviation, alphas.shape)
    noise = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) * 5 for frame in noise])
    return np.rint(np.clip(alphas + noise, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize(("step", "left"), [(0, 0.7), (2, 0.95)])
def test_smoothing_takes_flicker_away_and_keeps_motion(step, left):
    """Errors that are independent between frames: a mean of up to 7 frames leaves far less of them.

    Where the disc moves, half its rim is hidden in one neighbour or the other, and less can be followed.
    """
    pictures, alphas = moving(9, step)
    frames, trimaps = frames_of(pictures), [band(alpha) for alpha in alphas]
    noisy = [np.where(trimap == 128, a, trimap) for trimap, a in zip(trimaps, flickering(alphas), strict=True)]
    mattes = [matting.Matte(*parts) for parts in zip(frames, trimaps, noisy, strict=True)]
    steady = np.stack([matte.alpha for matte in matting.smooth(mattes)])
    before = np.stack(noisy)
    assert video.dtssd(steady, alphas) < 0.6 * video.dtssd(before, alphas)
    errors = [np.abs(made - alphas.astype(float)).mean() for made in (steady, before)]
    assert errors[0] < left * errors[1]
    for alpha, noisy_alpha, trimap in zip(steady, noisy, trimaps, strict=True):
        assert np.array_equal(alpha[trimap != 128], noisy_alpha[trimap != 128])


def test_smoothing_of_even_frames_is_the_mean():
    """Frames without motion or any change of colour: the mean of the alphas, by hand."""
    pictures, trimap = [texture(64, 64)] * 4, np.full((64, 64), 128, np.uint8)
    values = [10, 50, 90, 250]
    mattes = [
        matting.Matte(frame, trimap, np.full((64, 64), value, np.uint8))
        for frame, value in zip(frames_of(pictures), values, strict=True)
    ]
    made = [int(matte.alpha[30, 30]) for matte in matting.smooth(mattes, neighbours=1)]
    assert made == [30, 50, 130, 170]
    halved = [int(matte.alpha[30, 30]) for matte in matting.smooth(mattes, strength=0.5, neighbours=1)]
    assert halved == [round((10 + 25) / 1.5), 50, 120, round((45 + 250) / 1.5)]


def test_what_was_hidden_is_not_smeared():
    """A frame of other colours between two alike: nothing of it comes in, and nothing goes out to it."""
    first, other = texture(64, 64) // 3, 170 + texture(64, 64, 7) // 3
    trimap = np.full((64, 64), 128, np.uint8)
    alphas = [np.full((64, 64), value, np.uint8) for value in (200, 40, 200)]
    frames = frames_of([first, other, first])
    mattes = [matting.Matte(*parts) for parts in zip(frames, [trimap] * 3, alphas, strict=True)]
    made = [matte.alpha for matte in matting.smooth(mattes, neighbours=1)]
    for alpha, own in zip(made, alphas, strict=True):
        assert np.abs(alpha.astype(int) - own).max() <= 1


def test_a_scene_that_stays_stays():
    """Without flicker there is nothing to smooth: still frames and their alpha come out as they went in."""
    picture, alpha = moving(1)[0][0], moving(1)[1][0]
    trimap = band(alpha)
    mattes = [matting.Matte(frame, trimap, alpha) for frame in frames_of([picture] * 5)]
    assert all(np.abs(m.alpha.astype(int) - alpha).max() <= 1 for m in matting.smooth(mattes))
    untouched = list(matting.smooth(mattes, strength=0))
    assert all(np.array_equal(matte.alpha, alpha) for matte in untouched)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clips_shorter_than_the_window(count):
    pictures, alphas = moving(count)
    trimaps = [band(alpha) for alpha in alphas]
    mattes = [matting.Matte(*parts) for parts in zip(frames_of(pictures), trimaps, alphas, strict=True)]
    assert [matte.frame.index for matte in matting.smooth(mattes, neighbours=3)] == list(range(count))


@pytest.mark.parametrize("options", [{"strength": -1}, {"neighbours": -1}])
def test_smoothing_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="Smoothing needs"):
        list(matting.smooth([], **options))


def test_a_remembering_network_runs_once_a_picture():
    runs = []

    def predict(image: np.ndarray, trimap: np.ndarray | None) -> np.ndarray:
        runs.append(image[0, 0, 0])
        return image[..., 0] / np.float32(255)

    answer = matting.remembering(predict, kept=2)
    pictures = [np.full((4, 5, 3), value, np.uint8) for value in (1, 2, 3)]
    for index in (0, 0, 1, 0, 1, 2, 0):
        assert np.allclose(answer(pictures[index], None), (index + 1) / 255)
    assert runs == [1, 2, 3, 1]


def test_a_trimap_free_network_is_held_to_the_trimap():
    (picture,), (alpha,) = moving(1)
    trimap = band(alpha)
    predict = lambda image, _: np.full(image.shape[:2], 0.4, np.float32)  # noqa: E731
    (made,) = matting.matte_free([(Frame(0, 0, picture), trimap)], predict)
    assert (made.alpha[trimap == 128] == 102).all()
    assert np.array_equal(made.alpha[trimap != 128], trimap[trimap != 128])
