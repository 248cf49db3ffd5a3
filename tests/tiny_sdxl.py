"""Weights as LayerDiffuse needs them, random and tiny but for the transparent decoder, whose size is fixed.

An SDXL with a UNet of two levels, text encoders of two layers and tokenizers that spell letter by letter, in diffusers'
layout; full differences for its attention; and a decoder whose alpha is mostly near 0 or 1, as a matte is.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ldportrait.layerdiffuse.decoder import TransparentDecoder

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-"
WIDTH = 32  # of the text encoders


def tokenizer(folder: Path) -> CLIPTokenizer:
    folder.mkdir(parents=True)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def pipeline(scratch: Path) -> StableDiffusionXLPipeline:
    torch.manual_seed(0)
    words = tokenizer(scratch / "tokenizer")
    text = CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=WIDTH,
        vocab_size=len(words),
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=2,
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        latent_channels=4,
        scaling_factor=0.13025,
        force_upcast=False,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1
    )
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )


def differences(unet: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A small change of every attention projection."""
    generator = torch.Generator().manual_seed(1)
    names = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
    return {
        name: 0.05 * torch.randn(weight.shape, generator=generator)
        for name, weight in unet.state_dict().items()
        if ".attn" in name and name.endswith(names)
    }


def decoder() -> TransparentDecoder:
    torch.manual_seed(2)
    made = TransparentDecoder().eval()
    with torch.no_grad():
        made.conv_out.weight[0] *= 30
        made.conv_out.bias += 0.5
    return made


def write(folder: Path) -> Path:
    """Fill a folder with base/, vae/, attention.safetensors and decoder.safetensors."""
    pipe = pipeline(folder / "scratch")
    pipe.save_pretrained(folder / "base", safe_serialization=True)
    pipe.vae.save_pretrained(folder / "vae", safe_serialization=True)
    save_file(differences(pipe.unet), folder / "attention.safetensors")
    save_file({name: tensor.half() for name, tensor in decoder().state_dict().items()}, folder / "decoder.safetensors")
    return folder


def parts(folder: Path) -> dict[str, str]:
    """The folder's weights, by role."""
    names = {"base": "base", "vae": "vae", "attention": "attention.safetensors", "decoder": "decoder.safetensors"}
    return {role: str(folder / name) for role, name in names.items()}
