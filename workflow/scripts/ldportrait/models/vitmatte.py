"""ViTMatte (Yao et al. 2023): a plain vision transformer with a light decoder, from image and trimap.

The network is that of transformers, built from a configuration of ours. Images are normalised as in the published
training, by the mean and deviation of ImageNet (transformers' processor divides by 0.5 instead); the trimap is the
fourth channel as it is, 0.5 where unknown.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import VitDetConfig, VitMatteConfig, VitMatteForImageMatting

from ldportrait.models import losses as terms
from ldportrait.models import pretrained, sizes

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCH, STEP = 16, 32
POSITIONS = 224  # side of the pictures that the transformer was first trained on
GLOBAL = 3  # every third block attends to the whole picture and ends in a residual convolution
WEIGHTS = {"unknown": 1.0, "known": 1.0, "laplacian": 1.0, "gradient": 1.0}
# a block of a ViT as transformers calls it, and as DINO, MAE and timm do
VIT_NAMES = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}


class ViTMatte(nn.Module):
    """`vitmatte-s` and `vitmatte-b`: 25,814,753 and 96,686,561 parameters; other settings make smaller ones."""

    INITS = ("dino", "mae", "published")

    def __init__(
        self,
        width: int = 384,
        heads: int = 6,
        depth: int = 12,
        window: int = 14,
        picture: int = 512,
        convstream: Sequence[int] = (48, 96, 192),
        fusion: Sequence[int] = (256, 128, 64, 32),
        keep_known: bool = True,
    ) -> None:
        """Take the transformer's width, heads and blocks, its windows' side in patches, and the decoder's channels.

        `picture` is the side of the pictures that the relative positions are made for; they are interpolated for
        others. With `keep_known` alpha is the trimap where that is known, as in `small-trimap`.
        """
        super().__init__()
        everywhere = [block for block in range(depth) if block % GLOBAL == GLOBAL - 1]
        backbone = VitDetConfig(
            num_channels=4,
            image_size=picture,
            pretrain_image_size=POSITIONS,
            patch_size=PATCH,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            use_absolute_position_embeddings=True,
            use_relative_position_embeddings=True,
            window_size=window,
            window_block_indices=[block for block in range(depth) if block not in everywhere],
            residual_block_indices=everywhere,
            out_features=[f"stage{depth}"],
        )
        # lists, since transformers 5.23 adds a list to them
        channels = {"convstream_hidden_sizes": list(convstream), "fusion_hidden_sizes": list(fusion)}
        self.network = VitMatteForImageMatting(VitMatteConfig(backbone_config=backbone, hidden_size=width, **channels))
        for layer in self.network.decoder.modules():
            # transformers draws the scales of batch normalisation around 0; the published training started from 1
            if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)):
                layer.reset_parameters()
        self.keep_known = keep_known
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, image: torch.Tensor, trimap: torch.Tensor) -> torch.Tensor:
        """Alpha (B, 1, H, W) from image (B, 3, H, W) and trimap (B, 1, H, W)."""
        return self.predict_all(image, trimap)["alpha"]

    def predict_all(self, image: torch.Tensor, trimap: torch.Tensor) -> dict[str, torch.Tensor]:
        """`alpha`, and `raw`, what the network says where the trimap is known too; both (B, 1, H, W)."""
        height, width = image.shape[-2:]
        pixels = sizes.padded(torch.cat([(image - self.mean) / self.deviation, trimap], 1), STEP)
        raw = self.network(pixels).alphas[..., :height, :width]
        alpha = torch.where(terms.unknown_region(trimap), raw, trimap) if self.keep_known else raw
        return {"alpha": alpha, "raw": raw}

    def initialise(self, init: str, path: Path | str, sha256: str) -> pretrained.Report:
        """Start from the safetensors file at `path`: all from `published`, the transformer from `dino` or `mae`.

        `published` has transformers' names, as hustvl distributes it. The others hold a ViT under the names of DINO,
        MAE and timm or of transformers: the trimap's channel starts at zero (Yao et al. 2023), the positions are
        interpolated if they are for another size, and relative positions, residual convolutions and the decoder stay
        fresh. Raises as `pretrained.read` and `pretrained.fill` do.
        """
        tensors = pretrained.read(path, sha256)
        if init == "published":
            return pretrained.fill(self.network, tensors, set(self.network.state_dict()), path, "ViTMatte")
        grid = POSITIONS // PATCH
        named = _for_backbone(_plain(tensors), grid)
        own = set(self.network.state_dict())
        needed = {name for name in own if name.startswith("backbone.") and not re.search(r"rel_pos|\.residual\.", name)}
        return pretrained.fill(self.network, named, needed, path, "plain ViT")


def losses(parts: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """L1 in the unknown and in the known region (each by its area), Laplacian (5 levels) and gradient penalty.

    Yao et al. 2023, all of weight 1, of the network's own answer in the known region too. The penalty counts in the
    unknown region.
    """
    alpha, true = parts["raw"], batch["alpha"]
    unknown = terms.unknown_region(batch["trimap"]).to(alpha.dtype)
    error = (alpha - true).abs()
    return {
        "unknown": terms.masked_mean(error, unknown),
        "known": terms.masked_mean(error, 1 - unknown),
        "laplacian": terms.laplacian(alpha, true, levels=5),
        "gradient": terms.gradient_penalty(alpha, true, unknown),
    }


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring a ViT's tensors to the names of DINO, MAE and timm, whatever goes before them; what is none keeps its name.

    transformers keeps query, key and value apart; they are put together, as (3 C, C).
    """
    found = (re.fullmatch(r"(.*?)(pos_embed|embeddings\.position_embeddings)", name) for name in tensors)
    prefix = next((match[1] for match in found if match and (match[1] == "" or match[1].endswith("."))), "")
    renamed = {}
    for name, tensor in pretrained.strip(tensors, prefix).items():
        name = name.replace("embeddings.position_embeddings", "pos_embed")
        name = name.replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
        if match := re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", name):
            name = f"blocks.{match[1]}.{VIT_NAMES.get(match[2], match[2])}.{match[3]}"
        renamed[name] = tensor
    for name in [name for name in renamed if ".attention.attention.query." in name]:
        trio = [name.replace("query", role) for role in ("query", "key", "value")]
        if all(one in renamed for one in trio):
            together = torch.cat([renamed.pop(one) for one in trio])
            renamed[name.replace("attention.attention.query", "attn.qkv")] = together
    return renamed


def _for_backbone(tensors: Mapping[str, torch.Tensor], grid: int) -> dict[str, torch.Tensor]:
    """Bring a ViT's tensors to the names and shapes of ViTMatte's transformer; what is none keeps its name."""
    named = {}
    for name, tensor in tensors.items():
        if name == "pos_embed":
            named["backbone.embeddings.position_embeddings"] = _positions(tensor, grid)
        elif name == "patch_embed.proj.weight" and tensor.ndim == 4 and tensor.shape[1] == 3:
            named["backbone.embeddings.projection.weight"] = functional.pad(tensor, (0, 0, 0, 0, 0, 1))
        elif name.startswith("patch_embed.proj."):
            named[name.replace("patch_embed.proj", "backbone.embeddings.projection")] = tensor
        elif name.startswith("blocks."):
            named[name.replace("blocks", "backbone.encoder.layer", 1).replace(".attn.", ".attention.")] = tensor
        else:
            named[name] = tensor
    return named


def _positions(tensor: torch.Tensor, grid: int) -> torch.Tensor:
    """Interpolate positions (1, 1 + n², C), the class token's first, to (1, 1 + grid², C), as DINO does (bicubic)."""
    side = math.isqrt(max(tensor.shape[1] - 1, 0)) if tensor.ndim == 3 else 0
    if side in (0, grid) or side * side != tensor.shape[1] - 1:
        return tensor  # it fits, or is refused for its shape
    first, rest = tensor[:, :1].float(), tensor[:, 1:].float()
    rest = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    rest = functional.interpolate(rest, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([first, rest.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], 1)
