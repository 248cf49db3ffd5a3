"""The transparent decoder: a picture and its latents to alpha and colour (Zhang and Agrawala 2024, section 3.1).

A U-Net on the picture, into which the latents are added where it is as small as they are. Its blocks are those of
diffusers, which give the tensors the names that they have in the published file.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from torch import nn

from ldportrait.weights import load_strictly

WIDTHS = (32, 32, 64, 128, 256, 512, 512)
HEAD = 8  # channels of an attention head
PLAIN = 4  # levels without attention, from the finest
LATENT_LEVEL = 3  # the level that is as small as the latents, an eighth
STEP = 64  # six halvings
BLOCK = {"temb_channels": None, "resnet_eps": 1e-5, "resnet_act_fn": "silu", "resnet_groups": 4}
TURNS = [(flip, quarters) for flip in (False, True) for quarters in range(4)]


class TransparentDecoder(nn.Module):
    """Published as 538 tensors with 104,104,804 numbers; other widths make a smaller one, for tests."""

    def __init__(self, widths: Sequence[int] = WIDTHS, head: int = HEAD) -> None:
        """Take the channels of the seven levels, multiples of 4 and of `head` where there is attention."""
        super().__init__()
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.latent_conv_in = nn.Conv2d(4, widths[LATENT_LEVEL - 1], 1)
        self.down_blocks = nn.ModuleList(
            get_down_block(
                "DownBlock2D" if level < PLAIN else "AttnDownBlock2D",
                num_layers=2,
                in_channels=widths[max(level - 1, 0)],
                out_channels=widths[level],
                add_downsample=level < last,
                attention_head_dim=head,
                downsample_padding=1,
                **BLOCK,
            )
            for level in range(len(widths))
        )
        self.mid_block = UNetMidBlock2D(widths[-1], attention_head_dim=head, **BLOCK)
        self.up_blocks = nn.ModuleList(
            get_up_block(
                "UpBlock2D" if level < PLAIN else "AttnUpBlock2D",
                num_layers=3,
                in_channels=widths[max(level - 1, 0)],
                out_channels=widths[level],
                prev_output_channel=widths[min(level + 1, last)],
                add_upsample=level > 0,
                attention_head_dim=head,
                **BLOCK,
            )
            for level in reversed(range(len(widths)))
        )
        self.conv_norm_out = nn.GroupNorm(BLOCK["resnet_groups"], widths[0], eps=BLOCK["resnet_eps"])
        self.conv_out = nn.Conv2d(widths[0], 4, 3, padding=1)

    @classmethod
    def load(cls, path: Path | str, sha256: str | None = None) -> "TransparentDecoder":
        """Load the published file, in its precision (float16) and in eval mode; errors as in `load_strictly`."""
        with torch.device("meta"):
            decoder = cls()
        return load_strictly(decoder, path, sha256)

    def forward(self, pixels: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W) in [0, 1] and latents (B, 4, H/8, W/8) to (B, 4, H, W): alpha first, not clipped.

        The latents are those that the VAE decodes, already divided by its scaling factor (SDXL: 0.13025). Both are
        taken to the decoder's precision. ValueError for sides that are not multiples of 64, or that do not agree.
        """
        check_sizes(pixels, latents)
        hidden = self.conv_in(pixels.to(self.conv_in.weight.dtype))
        skips = [hidden]
        for level, block in enumerate(self.down_blocks):
            if level == LATENT_LEVEL:  # the skip connections keep what was there before
                hidden = hidden + self.latent_conv_in(latents.to(hidden.dtype))
            hidden, new = block(hidden)
            skips += new
        hidden = self.mid_block(hidden)
        for block in self.up_blocks:
            count = len(block.resnets)
            hidden = block(hidden, tuple(skips[-count:]))
            del skips[-count:]
        return self.conv_out(nn.functional.silu(self.conv_norm_out(hidden)))

    @torch.no_grad()
    def estimate(
        self, pixels: torch.Tensor, latents: torch.Tensor, passes: int = 8, batch: int = 4, median: str = "lower"
    ) -> torch.Tensor:
        """Return (B, 4, H, W) float32 in [0, 1], alpha first, from what `forward` takes, by 1 or 8 passes.

        Eight passes see the picture in its eight orientations (four quarter turns, each also mirrored); what they say,
        clipped, is turned back, and its median is taken per pixel and channel: of eight values the `lower` middle
        one, the 4th, as published, or the mean of the 4th and 5th (`true`). At most `batch` pictures go through the
        network at once, which bounds the memory; the result does not depend on it but for rounding.

        ValueError for another number of passes, batch or median, for sizes as in `forward`, and where the network
        gives numbers that are not finite.
        """
        if passes not in (1, 8):
            raise ValueError(f"The decoder makes 1 or 8 passes, not {passes}.")
        if batch < 1:
            raise ValueError(f"The decoder needs a batch of at least 1, not {batch}.")
        if median not in ("lower", "true"):
            raise ValueError(f"The median of the passes is lower or true, not {median}.")
        check_sizes(pixels, latents)
        turns = TURNS[:passes]
        square = pixels.shape[-2] == pixels.shape[-1]
        groups = [turns] if square else [turns[0::2], turns[1::2]]  # orientations of one shape
        at_once = max(1, batch // len(groups[0]))  # pictures, whose passes are kept until their median is taken
        done = []
        for some in zip(pixels.split(at_once), latents.split(at_once), strict=True):
            estimates = [estimate for group in groups if group for estimate in self._estimates(*some, group, batch)]
            done.append(_median(estimates, median) if passes > 1 else estimates[0])
        return torch.cat(done)

    def _estimates(
        self, pixels: torch.Tensor, latents: torch.Tensor, turns: Sequence[tuple[bool, int]], batch: int
    ) -> list[torch.Tensor]:
        """Return what the network says of (B, 3, H, W) in orientations of one shape, each turned back: (B, 4, H, W)."""
        inputs = [torch.cat([_turn(x, *turn) for turn in turns]).split(batch) for x in (pixels, latents)]
        outputs = torch.cat([self(*some).float() for some in zip(*inputs, strict=True)])
        if not torch.isfinite(outputs).all():
            precision = str(self.conv_in.weight.dtype).removeprefix("torch.")
            raise ValueError(f"The transparent decoder gave numbers that are not finite in {precision}.")
        estimates = outputs.clamp(0, 1).split(len(pixels))
        return [_turn_back(estimate, *turn) for estimate, turn in zip(estimates, turns, strict=True)]


def decode(
    vae: nn.Module, decoder: TransparentDecoder, latents: torch.Tensor, passes: int = 8, batch: int = 4
) -> torch.Tensor:
    """Decode a diffusion model's latents (B, 4, H/8, W/8) to straight RGBA (B, 4, H, W) float32 in [0, 1].

    The VAE, diffusers' AutoencoderKL, is asked for one picture at a time; `passes` and `batch` are those of `estimate`.
    """
    latents = latents.float() / vae.config.scaling_factor
    with torch.no_grad():
        pictures = torch.cat([vae.decode(latent.to(vae.dtype)).sample.float() for latent in latents.split(1)])
    argb = decoder.estimate((pictures / 2 + 0.5).clamp(0, 1), latents, passes, batch)
    return argb.roll(-1, dims=1)


def check_sizes(pixels: torch.Tensor, latents: torch.Tensor | None = None) -> None:
    """Raise ValueError unless a picture's sides are multiples of 64, and its latents' an eighth of that."""
    height, width = pixels.shape[-2:]
    if height % STEP or width % STEP or not height or not width:
        raise ValueError(f"LayerDiffuse takes pictures whose sides are multiples of {STEP}, not {width} × {height}.")
    if latents is not None and latents.shape != (len(pixels), 4, height // 8, width // 8):
        raise ValueError(f"Latents {tuple(latents.shape)} do not belong to pictures {tuple(pixels.shape)}.")


def _turn(x: torch.Tensor, mirrored: bool, quarters: int) -> torch.Tensor:
    return torch.rot90(x.flip(-1) if mirrored else x, quarters, (-2, -1))


def _turn_back(x: torch.Tensor, mirrored: bool, quarters: int) -> torch.Tensor:
    x = torch.rot90(x, -quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


def _median(values: Sequence[torch.Tensor], kind: str) -> torch.Tensor:
    """Return the elementwise median of an even number of tensors: the `lower` middle value, or the `true` mean of both.

    Sorted by odd-even transposition (Knuth, The Art of Computer Programming 3, 5.3.4), which needs no more memory than
    the values, and takes a fifth of the time of `torch.median` on a CPU.
    """
    values = list(values)
    for step in range(len(values)):
        for i in range(step % 2, len(values) - 1, 2):
            low, high = values[i], values[i + 1]
            values[i], values[i + 1] = torch.minimum(low, high), torch.maximum(low, high)
    middle = len(values) // 2
    return values[middle - 1] if kind == "lower" else (values[middle - 1] + values[middle]) / 2
