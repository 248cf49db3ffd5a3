"""The published change of SDXL's attention, in the forms that it is published in."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from ldportrait.weights import open_weights

PROJECTION = re.compile(
    r"((?:down_blocks\.\d+|mid_block|up_blocks\.\d+)\.attentions\.\d+\..+\.attn[12])\.(to_q|to_k|to_v|to_out\.0)"
)
LAYERS = 3  # attention blocks and a resampler per level, in the numbering of SDXL's original code
ADAPTER = "lora_adapter_metadata"  # where diffusers keeps peft's configuration in a file
ENDINGS = {  # how a style's keys end, and what the tensor is; the module's name goes before
    "Forge": {".weight::lora::0": "up", ".weight::lora::1": "down"},
    "kohya": {".lora_up.weight": "up", ".lora_down.weight": "down", ".alpha": "alpha"},
    "peft": {".lora_B.weight": "up", ".lora_A.weight": "down", ".alpha": "alpha"},
    "diffusers": {"_lora.up.weight": "up", "_lora.down.weight": "down"},
    "full deltas": {".weight": "delta"},
}


def load_attention(unet: nn.Module, path: Path | str, sha256: str | None = None) -> int:
    """Add LayerDiffuse's change to all attention projections of a UNet; return how many changed (SDXL: 560).

    The file holds full deltas D for W + D, under the UNet's own names; or a LoRA, W + (alpha / rank) up @ down with
    `up` (out, rank), `down` (rank, in), and alpha = rank where none is given (Hu et al. 2021). Its keys are those of

    - Forge, as published: diffusion_model.input_blocks.4.1.….to_q.weight::lora::0 (up) and ::lora::1 (down);
    - kohya: lora_unet_input_blocks_4_1_…_to_q.lora_up.weight, .lora_down.weight, .alpha; or with diffusers' names;
    - peft: unet.down_blocks.1.attentions.0.….to_q.lora_B.weight (up), .lora_A.weight (down);
    - diffusers before peft: unet.down_blocks.1.attentions.0.….processor.to_q_lora.up.weight, .down.weight.

    The sum is taken in float32 and rounded once, to the UNet's precision. Either all projections change or none is
    touched, for which they are held twice for a moment (SDXL in half precision: 1.9 GB more).

    Raises as `open_weights` does, and ValueError, saying what was found, if a projection is missing in the file, would
    stay as it is or become infinite, if a key names anything else, if a shape does not fit, or if the UNet's
    projections cannot be changed as it is.
    """
    projections = _projections(unet)
    with open_weights(path, sha256) as file:
        style, parts = _sorted_keys(path, file.keys(), projections)
        alpha = _adapter_alpha(path, file.metadata() or {})
        changed = {}
        for name, module in projections.items():
            weight = module.weight.detach()
            tensors = {role: file.get_tensor(key).to(weight.device) for role, key in parts[name].items()}
            changed[name] = (weight.float() + _delta(path, name, tensors, weight.shape, alpha)).to(weight.dtype)
    infinite = [name for name, weight in changed.items() if not torch.isfinite(weight).all()]
    if infinite:
        raise ValueError(
            f"{path} ({style}) makes {len(infinite)} weights infinite ({infinite[0]} …); none was changed."
        )
    same = [name for name, module in projections.items() if torch.equal(changed[name], module.weight)]
    if same:
        total = len(projections)
        raise ValueError(
            f"{path} ({style}) leaves {len(same)} of {total} attention projections as they are ({same[0]} …); "
            "none was changed."
        )
    with torch.no_grad():
        for name, module in projections.items():
            module.weight.copy_(changed[name])
    return len(changed)


def _projections(unet: nn.Module) -> dict[str, nn.Linear]:
    """Return the attention's linear maps by name. ValueError if there is none, or changing them would do nothing."""
    found = {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, nn.Linear) and PROJECTION.fullmatch(name)
    }
    if not found:
        raise ValueError("The UNet has no attention projections; load LayerDiffuse before other LoRAs and compilation.")
    if any(getattr(module, "fused_projections", False) for module in unet.modules()):
        raise ValueError("The UNet's attention projections are fused; load LayerDiffuse before fusing them.")
    for name, module in found.items():
        if module.weight.is_meta or not module.weight.is_floating_point():
            raise ValueError(f"{name} of the UNet is offloaded or quantised; load LayerDiffuse before that.")
    return found


def _original_name(name: str) -> str:
    """Translate a module's name from diffusers to SDXL's original code.

    down_blocks.1.attentions.0 is input_blocks.4.1, mid_block.attentions.0 middle_block.1, and up_blocks.1.attentions.0
    output_blocks.3.1; below that, the names agree.
    """
    if name.startswith("mid_block."):
        return name.replace("mid_block.attentions.0", "middle_block.1", 1)
    side, level, _, layer, rest = name.split(".", 4)
    index = LAYERS * int(level) + int(layer)
    return f"input_blocks.{index + 1}.1.{rest}" if side == "down_blocks" else f"output_blocks.{index}.1.{rest}"


def _spellings(name: str) -> list[tuple[str, str]]:
    """Return how each style calls a projection, as (style, what goes before the ending)."""
    attention, projection = PROJECTION.fullmatch(name).groups()
    original = _original_name(name)
    return [
        ("Forge", f"diffusion_model.{original}"),
        ("kohya", f"lora_unet_{original.replace('.', '_')}"),
        ("kohya", f"lora_unet_{name.replace('.', '_')}"),
        ("peft", f"unet.{name}"),
        ("diffusers", f"unet.{attention}.processor.{projection.removesuffix('.0')}"),
        ("full deltas", name),
    ]


def _sorted_keys(
    path: Path | str, keys: Iterable[str], projections: Iterable[str]
) -> tuple[str, dict[str, dict[str, str]]]:
    """Return the style of a file's keys, and the key of each role of each projection.

    ValueError unless all keys are of one style, each names an attention projection, and all projections are complete.
    """
    known = {
        before + ending: (style, name, role)
        for name in projections
        for style, before in _spellings(name)
        for ending, role in ENDINGS[style].items()
    }
    keys = sorted(keys)
    strange = [key for key in keys if key not in known]
    if len(strange) == len(keys):
        example = f"the first is {keys[0]}" if keys else "it is empty"
        raise ValueError(
            f"No key of {path} names an attention projection of this UNet ({example}); "
            f"known are {', '.join(list(ENDINGS)[:-1])} LoRAs and full deltas."
        )
    if strange:
        raise ValueError(
            f"{len(strange)} of {len(keys)} keys of {path} name no attention projection of this UNet ({strange[0]} …)."
        )
    styles = sorted({known[key][0] for key in keys})
    if len(styles) > 1:
        raise ValueError(f"{path} mixes keys in the styles of {' and '.join(styles)}.")
    parts = {name: {} for name in projections}
    for key in keys:
        _, name, role = known[key]
        if role in parts[name]:
            raise ValueError(f"{path} holds {name} twice, as {parts[name][role]} and {key}.")
        parts[name][role] = key
    needed = set(ENDINGS[styles[0]].values()) - {"alpha"}
    missing = [name for name, roles in parts.items() if needed - roles.keys()]
    if missing:
        raise ValueError(
            f"{path} ({styles[0]}) changes only {len(parts) - len(missing)} of {len(parts)} attention projections; "
            f"{missing[0]} is the first that lacks {' or '.join(sorted(needed))}."
        )
    return styles[0], parts


def _adapter_alpha(path: Path | str, metadata: Mapping[str, str]) -> float | None:
    """Return the alpha of peft's configuration, where a file holds one; ValueError if it is more than one number."""
    entries = json.loads(metadata.get(ADAPTER, "{}"))
    config = {key.removeprefix("unet."): value for key, value in entries.items()}
    special = [key for key in ("alpha_pattern", "use_rslora", "use_dora") if config.get(key)]
    if special:
        raise ValueError(f"{path} is a LoRA with {special[0]}, which is not supported.")
    return config.get("lora_alpha")


def _delta(
    path: Path | str, name: str, tensors: Mapping[str, torch.Tensor], shape: torch.Size, alpha: float | None
) -> torch.Tensor:
    """Return the change of one projection in float32; `alpha` holds where the tensors have none of their own."""
    if "delta" in tensors:
        delta = tensors["delta"].float()
        if delta.shape != shape:
            raise ValueError(f"{path} holds {name} as {tuple(delta.shape)}, the UNet as {tuple(shape)}.")
        return delta
    up, down = tensors["up"].float(), tensors["down"].float()
    if down.ndim != 2 or down.shape[1] != shape[1] or up.shape != (shape[0], len(down)):
        found = f"{tuple(up.shape)} times {tuple(down.shape)}"
        raise ValueError(f"{path} holds {name} as {found}, the UNet as {tuple(shape)}.")
    if "alpha" in tensors:
        if tensors["alpha"].numel() != 1:
            raise ValueError(f"{path} holds an alpha of {name} that is not one number.")
        alpha = tensors["alpha"].item()
    return up @ down if alpha is None else (alpha / len(down)) * (up @ down)
