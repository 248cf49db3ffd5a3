"""Follow an object through a clip by SAM 2 (Ravi et al. 2024), frame by frame, in memory that does not grow.

transformers has the network, `Sam2VideoModel`, and a session that remembers every frame. Its picture processor wants
torchvision, so that pictures are scaled and normalised here; and what memory attention can no longer reach is dropped
from the session here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ldportrait.weights import open_weights

if TYPE_CHECKING:
    from transformers import Sam2VideoModel

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, with which the model was trained
BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3  # SAM's labels of points; a box is two of them
HEAVY = ("maskmem_features", "maskmem_pos_enc")  # what is remembered of a frame's mask; its pointer is one vector
USED = ("pred_masks", "high_res_masks")  # of no use once the frame is done


@dataclass(frozen=True)
class Prompt:
    """What to follow, shown in the first frame: a mask (H, W) uint8, or a box (left, top, right, bottom) and points.

    Points are (column, row, whether it is on the person), in pixels. ValueError for none, or a mask and more.
    """

    mask: np.ndarray | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float, bool], ...] = ()

    def __post_init__(self) -> None:
        """Check what was given."""
        if (self.mask is None) == (self.box is None and not self.points):
            raise ValueError("SAM 2 is shown a mask, or a box and points; one of the two, not both.")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"The box {self.box} has its right side or bottom before its left or top.")


def load(folder: Path, sha256: str, device: str = "cpu") -> "Sam2VideoModel":
    """Load SAM 2 from a folder with config.json and model.safetensors, as the hub has them; never without a SHA-256.

    Raises FileNotFoundError or ValueError, naming the file, if one is missing, if the weights are others than their
    SHA-256 says, or if they do not fit.
    """
    from transformers import Sam2VideoConfig, Sam2VideoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; fetch {CONFIG} and {WEIGHTS} of a SAM 2 video model there.")
    if not sha256:
        raise ValueError(f"The weights {Path(folder) / WEIGHTS} are not loaded without their SHA-256; give it.")
    with open_weights(Path(folder) / WEIGHTS, sha256):
        pass
    try:
        config = Sam2VideoConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
        model, report = Sam2VideoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # a configuration that makes no sense fails in many ways
        raise ValueError(f"{folder} is no SAM 2 video model: {error}") from error
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ValueError(f"{Path(folder) / WEIGHTS} lacks {len(lacking)} tensors of SAM 2 ({lacking[0]} …).")
    return model.to(device).eval()


class Tracker:
    """Follows what a prompt shows, a picture at a time."""

    def __init__(self, model: "Sam2VideoModel", prompt: Prompt) -> None:
        """Begin a clip: the prompt is for the first picture."""
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self.model, self.prompt, self.index = model, prompt, 0
        self.session = Sam2VideoInferenceSession(
            inference_device=model.device,
            inference_state_device=model.device,
            video_storage_device=model.device,
            dtype=torch.float32,
        )

    @torch.inference_mode()
    def follow(self, rgb: np.ndarray) -> tuple[np.ndarray, float]:
        """Return logits (h, w) float32 of where the object is in a picture (H, W, 3), and one of whether it is there.

        The logits' size is the model's own.
        """
        if self.index == 0:
            show(self.session, self.prompt, rgb.shape[:2], self.model.config.image_size)
        picture = pixels(rgb, self.model.config.image_size).to(self.model.device)
        found = self.model(inference_session=self.session, frame=picture, frame_idx=self.index)
        self._forget()
        self.index += 1
        return found.pred_masks[0, 0].float().cpu().numpy(), float(found.object_score_logits.flatten()[0])

    def _forget(self) -> None:
        """Drop from the session what later frames do not ask for.

        Memory attention reads the masks of the last `num_maskmem` - 1 frames, the pointers of the last
        `max_object_pointers_in_encoder` - 1, and all of the prompt's frame.
        """
        config = self.model.config
        self.session.processed_frames.clear()
        self.session.frames_tracked_per_obj[0].clear()
        outputs = self.session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        pointers = max(config.max_object_pointers_in_encoder, config.num_maskmem)
        outputs.pop(self.index - pointers + 1, None)
        for frame, output in outputs.items():
            distant = frame <= self.index - config.num_maskmem + 1
            for name in USED + HEAVY * distant:
                output.pop(name, None)


def show(session: object, prompt: Prompt, shape: tuple[int, int], side: int) -> None:
    """Give a session the prompt for its frame 0, of (height, width), to a model that sees `side` × `side` pixels."""
    object_index = session.obj_id_to_idx(1)
    if prompt.mask is not None:
        if prompt.mask.shape != shape:
            raise ValueError(f"The prompt's mask is {prompt.mask.shape}, but the frames are {shape}.")
        mask = torch.from_numpy((prompt.mask > 127).astype(np.float32))[None, None]
        mask = functional.interpolate(mask, (side, side), mode="bilinear", align_corners=False, antialias=True)
        session.add_mask_inputs(object_index, 0, (mask >= 0.5).float())
    else:
        labelled = [(column, row, FOREGROUND if on else BACKGROUND) for column, row, on in prompt.points]
        if prompt.box is not None:
            left, top, right, bottom = prompt.box
            labelled = [(left, top, TOP_LEFT), (right, bottom, BOTTOM_RIGHT), *labelled]
        scale = torch.tensor([side / shape[1], side / shape[0]])
        places = torch.tensor([point[:2] for point in labelled], dtype=torch.float32) * scale
        labels = torch.tensor([point[2] for point in labelled], dtype=torch.int32)
        session.add_point_inputs(
            object_index, 0, {"point_coords": places[None, None], "point_labels": labels[None, None]}
        )
    session.obj_with_new_inputs = [1]


def pixels(rgb: np.ndarray, side: int) -> torch.Tensor:
    """Scale a picture (H, W, 3) uint8 to (1, 3, side, side), whatever its shape, and normalise it."""
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
    size = (side, side)
    picture = functional.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)
    mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (picture - mean) / deviation
