"""SAM 2 in a tiny random configuration, saved as the hub has it."""

import hashlib
from pathlib import Path

import torch

SIDE = 64  # pixels of the pictures that it sees


def config():
    from transformers import Sam2VideoConfig

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 128,
    }
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 128,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
        image_size=SIDE,
        num_maskmem=3,
        max_object_pointers_in_encoder=5,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
    )


def save(folder: Path) -> str:
    """Write config.json and model.safetensors; return the SHA-256 of the weights.

    All is drawn, what starts as zeros too, and so that activations keep their size: memory is to have an effect. The
    object is always there.
    """
    from transformers import Sam2VideoModel

    torch.manual_seed(0)
    model = Sam2VideoModel(config())
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 9)
    model.save_pretrained(folder)
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()
