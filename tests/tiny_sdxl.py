"""Weights as LayerDiffuse needs them, random and tiny but for the transparent decoder, whose size is fixed.

An SDXL with a UNet of two levels, text encoders of two layers and tokenizers that spell letter by letter, in diffusers'
layout; full differences for its attention; and a decoder whose alpha is mostly near 0 or 1, as a matte is.
"""

import json
import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ldportrait.layerdiffuse.decoder import TransparentDecoder

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-"
WIDTHS = (32, 48)  # of the text encoders
POOLED = 32


def tokenizer(folder: Path) -> CLIPTokenizer:
    folder.mkdir(parents=True)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def pipeline(scratch: Path) -> StableDiffusionXLPipeline:
    torch.manual_seed(0)
    words = tokenizer(scratch / "tokenizer")
    first, second = (
        CLIPTextConfig(
            hidden_size=width,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=2,
            projection_dim=POOLED,
            vocab_size=len(words),
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
        for width in WIDTHS
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
        cross_attention_dim=sum(WIDTHS),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + POOLED,
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
        text_encoder=CLIPTextModel(first),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )


# How modules are called in SDXL's original single file, in the order in which the patterns are tried.
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
OPEN_CLIP = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "text_model.encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
    "text_projection.weight": "text_projection",
}


def _renamed(name: str, names: dict[str, str]) -> str:
    for new, old in names.items():
        name = name.replace(new, old)
    return name


def _unet_name(name: str) -> str:
    """diffusers' name of a UNet's tensor as in the original, for two layers a block."""
    found = re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.+)", name)
    if found:
        side, level, kind, layer, rest = found.groups()
        place = 3 * int(level) + (int(layer) if kind in ("resnets", "attentions") else 2)
        block = f"input_blocks.{place + 1}" if side == "down" else f"output_blocks.{place}"
        if kind == "downsamplers":
            return f"{block}.0.{rest.replace('conv', 'op', 1)}"
        if kind == "upsamplers":
            return f"{block}.2.{rest}"
        return f"{block}.{int(kind == 'attentions')}.{_renamed(rest, RESNET) if kind == 'resnets' else rest}"
    middle = _renamed(name, UNET)
    return _renamed(middle, RESNET) if ".resnets." in name else middle


def _vae_name(name: str) -> str:
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{3 - int(found[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    attention = {"mid_block.attentions.0": "mid.attn_1", "group_norm": "norm", "to_out.0": "proj_out"}
    attention |= {"to_q": "q", "to_k": "k", "to_v": "v"}
    return _renamed(name, attention | {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut"})


def original(pipe: StableDiffusionXLPipeline) -> dict[str, torch.Tensor]:
    """The checkpoint under the names of SDXL's original single file."""
    unet, vae = pipe.unet.state_dict(), pipe.vae.state_dict()
    state = {f"model.diffusion_model.{_unet_name(name)}": tensor for name, tensor in unet.items()}
    state |= {f"first_stage_model.{_vae_name(name)}": tensor for name, tensor in vae.items()}
    for name, tensor in pipe.text_encoder.state_dict().items():
        state[f"conditioner.embedders.0.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    second = pipe.text_encoder_2.state_dict()
    for name, tensor in second.items():
        key = f"conditioner.embedders.1.model.{_renamed(name, OPEN_CLIP)}"
        if part := re.search(r"\.q_proj\.(weight|bias)$", name):
            parts = [second[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            state[key.replace(part[0], f".in_proj_{part[1]}")] = torch.cat(parts)
        elif name == "text_projection.weight":
            state[key] = tensor.T
        elif not re.search(r"\.[kv]_proj\.", name):
            state[key] = tensor
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


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
    """Fill a folder with base/, the same as single.safetensors, vae/, attention.safetensors and decoder.safetensors."""
    pipe = pipeline(folder / "scratch")
    pipe.save_pretrained(folder / "base", safe_serialization=True)
    pipe.vae.save_pretrained(folder / "vae", safe_serialization=True)
    save_file(original(pipe), folder / "single.safetensors")
    save_file(differences(pipe.unet), folder / "attention.safetensors")
    save_file({name: tensor.half() for name, tensor in decoder().state_dict().items()}, folder / "decoder.safetensors")
    return folder


def parts(folder: Path) -> dict[str, str]:
    """The folder's weights, by role."""
    names = {"base": "base", "vae": "vae", "attention": "attention.safetensors", "decoder": "decoder.safetensors"}
    return {role: str(folder / name) for role, name in names.items()}
