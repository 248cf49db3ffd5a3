"""SAM 2 in a tiny random configuration: what it is shown, what it remembers, and that forgetting changes nothing."""

import json

import numpy as np
import pytest
import scenes
import tiny_sam2
import torch
from PIL import Image

from ldportrait.video import segmenters, tracking
from ldportrait.video.tracking import Prompt

COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("sam2")
    (place / "sha256").write_text(tiny_sam2.save(place))
    return place


@pytest.fixture
def model(folder, one_thread):
    return tracking.load(folder, (folder / "sha256").read_text())


@pytest.fixture(scope="module")
def clip():
    frames, masks = scenes.person(COUNT, shape=(48, 64), side=24, start=4, step=2)
    return frames, np.where(masks, np.uint8(255), np.uint8(0))


def test_a_mask_is_followed(model, clip):
    frames, masks = clip
    found = list(segmenters.sam2(iter(frames), model, Prompt(mask=masks[0])))
    assert [segment.frame.index for segment in found] == list(range(COUNT))
    for segment in found:
        for values in (segment.mask, segment.doubt):
            assert (values.shape, values.dtype) == ((48, 64), np.uint8)
        assert set(np.unique(segment.mask)) <= {0, 255}
    wrong = found[0].mask != masks[0]
    assert wrong.mean() < 0.06  # the model's masks have 16 x 16 places
    assert found[0].doubt[20:28, 14:18].max() == found[0].doubt[:4, 40:].max() == 0
    assert (found[0].doubt[wrong] > 0).all()


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(box=(4, 12, 28, 36)),
        Prompt(points=((16, 24, True), (50, 5, False))),
        Prompt(box=(4, 12, 28, 36), points=((16, 24, True),)),
    ],
)
def test_forgetting_changes_nothing_and_memory_is_bounded(model, clip, prompt):
    """Against a session of transformers' own that keeps every frame."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    frames, _ = clip
    whole = Sam2VideoInferenceSession(dtype=torch.float32)
    tracking.show(whole, prompt, (48, 64), tiny_sam2.SIDE)
    tracker = tracking.Tracker(model, prompt)
    sizes = []
    for frame in frames:
        logits, score = tracker.follow(frame.rgb)
        with torch.inference_mode():
            kept = model(whole, frame=tracking.pixels(frame.rgb, tiny_sam2.SIDE), frame_idx=frame.index)
        assert (logits == kept.pred_masks[0, 0].numpy()).all()
        assert score == kept.object_score_logits.item()
        outputs = tracker.session.output_dict_per_obj[0]
        remembered = outputs["non_cond_frame_outputs"].values()
        heavy = sum("maskmem_features" in output for output in remembered)
        sizes.append(
            (len(tracker.session.processed_frames), len(outputs["cond_frame_outputs"]), len(remembered), heavy)
        )
    assert max(sizes) == (0, 1, 4, 2)  # pointers of 5 frames and masks of 3, the coming one among them
    assert len(whole.output_dict_per_obj[0]["non_cond_frame_outputs"]) == COUNT - 1


def test_what_is_remembered_has_an_effect(model, clip):
    """Else the test above would pass whatever is forgotten."""
    frames, masks = clip
    answers = []
    for mask in (masks[0], masks[0][:, ::-1].copy()):
        tracker = tracking.Tracker(model, Prompt(mask=mask))
        answers.append([tracker.follow(frame.rgb)[0] for frame in frames[:2]][1])
    assert np.abs(answers[0] - answers[1]).max() > 1e-4


def test_points_and_boxes_are_in_the_models_pixels():
    """Of 64 x 48 pixels shown as 128 x 128: twice as wide, 8/3 as high; a box is the points 2 and 3 of SAM."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession()
    tracking.show(session, Prompt(box=(4, 12, 28, 36), points=((16, 24, True), (50, 3, False))), (48, 64), 128)
    given = session.point_inputs_per_obj[0][0]
    assert np.allclose(given["point_coords"][0, 0], [(8, 32), (56, 96), (32, 64), (100, 8)])
    assert given["point_labels"].tolist() == [[[2, 3, 1, 0]]]


def test_pictures_are_normalised():
    rgb = np.zeros((30, 50, 3), np.uint8)
    rgb[...] = (255, 0, 51)
    found = tracking.pixels(rgb, 16)
    assert found.shape == (1, 3, 16, 16)
    wanted = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert np.allclose(found.amax((0, 2, 3)), wanted, atol=1e-5)
    assert np.allclose(found.amin((0, 2, 3)), wanted, atol=1e-5)


class Gone:
    """A model that loses the object at its third frame."""

    def __init__(self):
        self.asked = 0

    def follow(self, rgb):
        self.asked += 1
        return np.full((4, 4), 9, np.float32), (3.0 if self.asked < 3 else -0.5)


def test_an_absent_object_has_no_mask_and_the_doubt_of_that_verdict(clip):
    found = list(segmenters.watched(segmenters._followed(clip[0][:4], Gone())))
    assert [segment.event for segment in found] == ["", "", "left", "absent"]
    assert found[1].mask.all()
    assert not found[2].mask.any()
    probability = 1 / (1 + np.exp(0.5))
    assert (found[2].doubt == round(255 * (1 - abs(2 * probability - 1)))).all()


@pytest.mark.parametrize(
    "options",
    [{}, {"mask": np.zeros((4, 4), np.uint8), "box": (0, 0, 2, 2)}, {"box": (5, 0, 2, 2)}],
)
def test_prompts_that_make_no_sense(options):
    with pytest.raises(ValueError, match=r"SAM 2 is shown|The box"):
        Prompt(**options)


def test_a_mask_of_another_size_is_refused(model, clip):
    with pytest.raises(ValueError, match="the frames are"):
        next(segmenters.sam2(clip[0], model, Prompt(mask=np.zeros((9, 9), np.uint8))))


def test_weights_are_never_loaded_unchecked(folder, tmp_path):
    with pytest.raises(ValueError, match="SHA-256; give it"):
        tracking.load(folder, "")
    with pytest.raises(ValueError, match="not the expected file"):
        tracking.load(folder, "0" * 64)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        tracking.load(tmp_path, "0" * 64)


def test_weights_that_do_not_fit_are_refused(folder, tmp_path):
    content = json.loads((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    content["num_maskmem"] = 4
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="SAM 2"):
        tracking.load(tmp_path, (folder / "sha256").read_text())


def test_a_mask_file_is_read(tmp_path, clip):
    Image.fromarray(clip[1][0]).save(tmp_path / "mask.png")
    assert (segmenters.read_mask(tmp_path / "mask.png", (48, 64)) == clip[1][0]).all()
