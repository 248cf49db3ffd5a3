"""LayerDiffuse's change of the attention, on SDXL's layout with narrow layers, against W + D and W + up @ down."""

import copy
import hashlib
import json
import pickle
import re

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn

from ldportrait.layerdiffuse.files import digest
from ldportrait.layerdiffuse.weights import load_attention
from ldportrait.weights import load_strictly, open_weights

RANK = 4
# SDXL's original code -> diffusers, and the transformer layers there
PLACES = {
    "input_blocks.4.1": ("down_blocks.1.attentions.0", 2),
    "input_blocks.5.1": ("down_blocks.1.attentions.1", 2),
    "input_blocks.7.1": ("down_blocks.2.attentions.0", 10),
    "input_blocks.8.1": ("down_blocks.2.attentions.1", 10),
    "middle_block.1": ("mid_block.attentions.0", 10),
    "output_blocks.0.1": ("up_blocks.0.attentions.0", 10),
    "output_blocks.1.1": ("up_blocks.0.attentions.1", 10),
    "output_blocks.2.1": ("up_blocks.0.attentions.2", 10),
    "output_blocks.3.1": ("up_blocks.1.attentions.0", 2),
    "output_blocks.4.1": ("up_blocks.1.attentions.1", 2),
    "output_blocks.5.1": ("up_blocks.1.attentions.2", 2),
}
MAPS = "to_q", "to_k", "to_v", "to_out.0"
# name in diffusers -> (name in the original code, the attention's name in diffusers, to_q …)
NAMES = {
    f"{ours}.{block}.{part}": (f"{original}.{block}.{part}", f"{ours}.{block}", part)
    for original, (ours, depth) in PLACES.items()
    for block in [f"transformer_blocks.{layer}.attn{i}" for layer in range(depth) for i in (1, 2)]
    for part in MAPS
}
FIRST = next(iter(NAMES))


@pytest.fixture(scope="module")
def sdxl() -> UNet2DConditionModel:
    """SDXL's blocks, transformer layers and conditions; 4 to 16 channels instead of 320 to 1280."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8, 16),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(1, 2, 4),
        cross_attention_dim=12,
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=32,
    )


@pytest.fixture(scope="module")
def original(sdxl) -> dict[str, torch.Tensor]:
    return copy.deepcopy(sdxl.state_dict())


@pytest.fixture
def unet(sdxl, original):
    """The UNet as it was made, its numbers to be changed."""
    yield sdxl
    sdxl.load_state_dict(original)


@pytest.fixture
def spare(sdxl) -> UNet2DConditionModel:
    """A UNet to be changed in its build."""
    return copy.deepcopy(sdxl)


def whole(*shape: int, generator: np.random.Generator) -> torch.Tensor:
    """Multiples of 1/64 without zero: products and sums are exact in float32, and need more digits than float16's."""
    return torch.from_numpy(generator.integers(1, 64, shape) * generator.choice([-1, 1], shape) / 64).float()


@pytest.fixture(scope="module")
def factors(sdxl) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    generator, state = np.random.default_rng(5), sdxl.state_dict()
    return {
        name: tuple(whole(*size, generator=generator) for size in [(shape[0], RANK), (RANK, shape[1])])
        for name in NAMES
        for shape in [state[f"{name}.weight"].shape]
    }


@pytest.fixture
def lora(factors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Name -> up (out, 4), down (4, in)."""
    return dict(factors)


def as_forge(lora) -> dict[str, torch.Tensor]:
    keys = {name: f"diffusion_model.{original}.weight::lora::" for name, (original, _, _) in NAMES.items()}
    return {f"{keys[name]}{i}": tensor for name, pair in lora.items() for i, tensor in enumerate(pair)}


def underscored(lora, names: dict[str, str]) -> dict[str, torch.Tensor]:
    return {
        f"lora_unet_{names[name].replace('.', '_')}.lora_{role}.weight": tensor
        for name, pair in lora.items()
        for role, tensor in zip(("up", "down"), pair, strict=True)
    }


def as_kohya(lora) -> dict[str, torch.Tensor]:
    return underscored(lora, {name: original for name, (original, _, _) in NAMES.items()})


def as_kohya_with_other_names(lora) -> dict[str, torch.Tensor]:
    return underscored(lora, {name: name for name in NAMES})


def as_peft(lora) -> dict[str, torch.Tensor]:
    return {
        f"unet.{name}.lora_{letter}.weight": tensor
        for name, pair in lora.items()
        for letter, tensor in zip("BA", pair, strict=True)
    }


def as_diffusers(lora) -> dict[str, torch.Tensor]:
    return {
        f"unet.{attention}.processor.{part.removesuffix('.0')}_lora.{role}.weight": tensor
        for name, pair in lora.items()
        for _, attention, part in [NAMES[name]]
        for role, tensor in zip(("up", "down"), pair, strict=True)
    }


def as_deltas(lora) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": up @ down for name, (up, down) in lora.items()}


def with_alpha(tensors: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    keys = {re.sub(r"\.lora_\w+\.weight$", ".alpha", key) for key in tensors}
    assert len(keys) == 560
    return tensors | {key: torch.tensor(alpha) for key in keys}


STYLES = [as_forge, as_kohya, as_kohya_with_other_names, as_peft, as_diffusers, as_deltas]


def saved(folder, tensors, metadata=None):
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, folder / "a.safetensors", metadata)
    return folder / "a.safetensors"


def largest_error(unet, before, lora, scale: float = 1.0) -> float:
    """Over all parameters, against W + scale × up @ down in float64, rounded to float32; others stay as they are."""
    worst = 0.0
    for name, tensor in unet.state_dict().items():
        expected = before[name].double()
        module = name.removesuffix(".weight")
        if module in NAMES:
            up, down = (x.double() for x in lora[module])
            expected = expected + scale * (up @ down)
            assert (expected.float() != before[name]).any()
        worst = max(worst, (tensor - expected.float()).abs().max().item())
    return worst


def assert_refused(unet, path, said: str, **options) -> None:
    """The file is refused in these words, one sentence, and nothing has changed."""
    before = copy.deepcopy(unet.state_dict())
    with pytest.raises(ValueError, match=said) as caught:
        load_attention(unet, path, **options)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in unet.state_dict().items())


def test_the_layout_is_that_of_sdxl(sdxl):
    found = {name for name, module in sdxl.named_modules() if re.search(r"attn[12]\.to_(q|k|v|out\.0)$", name)}
    assert found == set(NAMES)
    assert len(found) == 560


@pytest.mark.parametrize("style", STYLES)
def test_each_style_changes_all_560_without_error(tmp_path, unet, lora, style):
    before = copy.deepcopy(unet.state_dict())
    assert load_attention(unet, saved(tmp_path, style(lora))) == 560
    assert largest_error(unet, before, lora) == 0


@pytest.mark.parametrize(("style", "alpha"), [(as_kohya, 2.0), (as_peft, None), (as_diffusers, None)])
def test_diffusers_takes_the_same_file_in_the_same_way(tmp_path, unet, spare, lora, style, alpha):
    path = saved(tmp_path, with_alpha(style(lora), alpha) if alpha else style(lora))
    tensors, alphas = StableDiffusionXLPipeline.lora_state_dict(path, unet_config=spare.config)
    StableDiffusionXLPipeline.load_lora_into_unet(tensors, network_alphas=alphas, unet=spare)
    spare.fuse_lora()
    load_attention(unet, path)
    for name in NAMES:
        assert torch.equal(spare.get_submodule(name).base_layer.weight, unet.get_submodule(name).weight)


@pytest.mark.parametrize("style", [as_kohya, as_peft])
def test_alpha_over_rank_scales(tmp_path, unet, lora, style):
    before = copy.deepcopy(unet.state_dict())
    assert load_attention(unet, saved(tmp_path, with_alpha(style(lora), 2.0))) == 560
    assert largest_error(unet, before, lora, scale=2 / RANK) == 0


def test_alpha_of_the_adapters_configuration_scales(tmp_path, unet, lora):
    metadata = {"lora_adapter_metadata": json.dumps({"unet.r": RANK, "unet.lora_alpha": 8})}
    before = copy.deepcopy(unet.state_dict())
    assert load_attention(unet, saved(tmp_path, as_peft(lora), metadata)) == 560
    assert largest_error(unet, before, lora, scale=8 / RANK) == 0


def test_an_alpha_of_many_numbers_is_refused(tmp_path, unet, lora):
    tensors = with_alpha(as_peft(lora), 2.0) | {f"unet.{FIRST}.alpha": torch.ones(4)}
    assert_refused(unet, saved(tmp_path, tensors), rf"alpha of {re.escape(FIRST)} that is not one number")


def test_an_adapter_that_scales_otherwise_is_refused(tmp_path, unet, lora):
    metadata = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 4, "unet.use_rslora": True})}
    assert_refused(unet, saved(tmp_path, as_peft(lora), metadata), "use_rslora, which is not supported")


def test_half_precision_is_summed_in_float32_and_rounded_once(tmp_path, spare, lora):
    """Weights near 1 and changes of the size of float16's last digit, where rounding twice shows."""
    spare.half()
    with torch.no_grad():
        for name in NAMES:
            spare.get_submodule(name).weight.add_(1)
    small = {name: ((up / 8).half(), (down / 32).half()) for name, (up, down) in lora.items()}
    before = copy.deepcopy(spare.state_dict())
    assert load_attention(spare, saved(tmp_path, as_forge(small))) == 560
    twice = 0
    for name in NAMES:
        weight, (up, down) = before[f"{name}.weight"].numpy(), (x.numpy() for x in small[name])
        expected = (weight.astype(np.float32) + up.astype(np.float32) @ down.astype(np.float32)).astype(np.float16)
        found = spare.get_submodule(name).weight.detach()
        assert found.dtype == torch.float16
        assert np.array_equal(found.numpy(), expected)
        twice += (expected != weight + (up.astype(np.float32) @ down.astype(np.float32)).astype(np.float16)).sum()
    assert twice > 0


def test_the_change_reaches_the_output(tmp_path, unet, lora):
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "sample": torch.randn(1, 4, 8, 8, generator=generator),
        "timestep": 500,
        "encoder_hidden_states": torch.randn(1, 3, 12, generator=generator),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(1, 8, generator=generator),
            "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]),
        },
    }
    with torch.no_grad():
        before = unet(**inputs).sample
        load_attention(unet, saved(tmp_path, as_forge(lora)))
        assert (unet(**inputs).sample - before).abs().max() > 0.01


@pytest.mark.parametrize("style", STYLES)
def test_a_missing_projection_is_refused(tmp_path, unet, lora, style):
    del lora[FIRST]
    words = rf"changes only 559 of 560 attention projections; {re.escape(FIRST)} is the first"
    assert_refused(unet, saved(tmp_path, style(lora)), words)


@pytest.mark.parametrize("style", [as_forge, as_kohya, as_peft])
def test_half_a_projection_is_refused(tmp_path, unet, lora, style):
    tensors = style(lora)
    tensors.pop(next(iter(tensors)))
    assert_refused(unet, saved(tmp_path, tensors), r"559 of 560 .* lacks down or up")


@pytest.mark.parametrize("style", STYLES)
def test_a_zero_change_is_refused(tmp_path, unet, lora, style):
    lora[FIRST] = (torch.zeros_like(lora[FIRST][0]), lora[FIRST][1])
    words = rf"leaves 1 of 560 attention projections as they are \({re.escape(FIRST)}"
    assert_refused(unet, saved(tmp_path, style(lora)), words)


def test_a_change_that_rounding_takes_away_is_refused(tmp_path, spare, lora):
    """In bfloat16, with 8 digits, 1 + 1/1024 is 1."""
    spare.bfloat16()
    with torch.no_grad():
        for name in NAMES:
            spare.get_submodule(name).weight.fill_(1)
    tiny = {name: (torch.full_like(up, 2**-7), torch.full_like(down, 2**-5)) for name, (up, down) in lora.items()}
    assert_refused(spare, saved(tmp_path, as_forge(tiny)), "leaves 560 of 560")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, unet, lora, value):
    lora[FIRST] = (torch.full_like(lora[FIRST][0], value), lora[FIRST][1])
    assert_refused(unet, saved(tmp_path, as_peft(lora)), "makes 1 weights infinite")


@pytest.mark.parametrize("style", STYLES)
def test_a_wrong_shape_is_refused(tmp_path, unet, lora, style):
    up, down = lora[FIRST]
    lora[FIRST] = (torch.cat([up, up]), down)
    assert_refused(unet, saved(tmp_path, style(lora)), rf"holds {re.escape(FIRST)} as .*the UNet as \(8, 8\)")


def test_a_broadcast_of_a_delta_is_refused(tmp_path, unet, lora):
    tensors = as_deltas(lora) | {f"{FIRST}.weight": torch.ones(1, 8)}
    assert_refused(unet, saved(tmp_path, tensors), r"as \(1, 8\), the UNet as \(8, 8\)")


def test_unknown_keys_are_refused(tmp_path, unet, lora):
    tensors = {f"other.{key}": tensor for key, tensor in as_forge(lora).items()}
    words = r"No key of .* names an attention projection .*other\.diffusion_model\..*known are Forge, kohya, peft"
    assert_refused(unet, saved(tmp_path, tensors), words)


def test_an_empty_file_is_refused(tmp_path, unet):
    assert_refused(unet, saved(tmp_path, {}), "it is empty")


@pytest.mark.parametrize("key", ["diffusion_model.input_blocks.1.0.in_layers.2.weight::diff::0", "conv_in.weight"])
def test_a_change_of_anything_else_is_refused(tmp_path, unet, lora, key):
    tensors = as_forge(lora) | {key: torch.ones(4, 4, 3, 3)}
    assert_refused(unet, saved(tmp_path, tensors), rf"1 of 1121 keys .*\({re.escape(key)}")


def test_mixed_styles_are_refused(tmp_path, unet, lora):
    one = {FIRST: lora.pop(FIRST)}
    assert_refused(unet, saved(tmp_path, as_forge(lora) | as_peft(one)), "mixes keys in the styles of Forge and peft")


def test_a_projection_that_comes_twice_is_refused(tmp_path, unet, lora):
    tensors = as_kohya(lora) | as_kohya_with_other_names({FIRST: lora[FIRST]})
    assert_refused(unet, saved(tmp_path, tensors), rf"holds {re.escape(FIRST)} twice")


def test_a_unet_that_does_not_heed_its_projections_is_refused(tmp_path, spare, lora):
    path = saved(tmp_path, as_forge(lora))
    spare.fuse_qkv_projections()
    assert_refused(spare, path, "are fused")


def test_a_unet_that_is_elsewhere_is_refused(tmp_path, spare, lora):
    spare.get_submodule(FIRST).to("meta")
    with pytest.raises(ValueError, match=rf"{re.escape(FIRST)} of the UNet is offloaded"):
        load_attention(spare, saved(tmp_path, as_forge(lora)))


def test_a_network_without_attention_is_refused(tmp_path, lora):
    with pytest.raises(ValueError, match="no attention projections"):
        load_attention(nn.Sequential(nn.Linear(2, 2)), saved(tmp_path, as_forge(lora)))


def test_a_unet_with_another_adapter_is_refused(tmp_path, spare, lora):
    """peft puts a layer of its own in a projection's place; what it covers would be left out."""
    from peft import LoraConfig

    spare.add_adapter(LoraConfig(r=1, target_modules=["to_q"]))
    assert_refused(spare, saved(tmp_path, as_forge(lora)), "280 of 1120 keys .* name no attention projection")


def test_the_sha256_is_checked(tmp_path, unet, lora):
    path = saved(tmp_path, as_peft(lora))
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest(path) == right
    assert_refused(unet, path, f"its SHA-256 is {right}, expected 0000", sha256="0" * 64)
    assert load_attention(unet, path, sha256=right.upper()) == 560


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("write", [torch.save, lambda tensors, path: path.write_bytes(pickle.dumps(tensors))])
def test_a_pickle_is_refused_under_any_name(tmp_path, unet, lora, name, write):
    write({key: tensor.numpy() for key, tensor in as_forge(lora).items()}, tmp_path / name)
    assert_refused(unet, tmp_path / name, f"{name} is a pickle, which is never loaded")


def test_a_broken_file_is_refused(tmp_path, unet, lora):
    path = saved(tmp_path, as_forge(lora))
    path.write_bytes(path.read_bytes()[:-10])
    assert_refused(unet, path, "not a safetensors file")
    path.write_bytes(b"")
    assert_refused(unet, path, "not a safetensors file")


def test_a_missing_file_is_named(tmp_path, unet):
    for call in (lambda path: load_attention(unet, path), open_weights):
        with pytest.raises(FileNotFoundError, match=r"There are no weights at .*none\.safetensors"):
            call(tmp_path / "none.safetensors")


def test_strict_loading_names_each_fault(tmp_path):
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    before = copy.deepcopy(module.state_dict())
    wrong = {name: tensor for name, tensor in before.items() if name != "0.bias"}
    path = saved(tmp_path, wrong | {"1.weight": torch.ones(2, 2), "2.bias": torch.ones(1), "2.weight": torch.ones(1)})
    words = r"4 tensors, 1 missing \(0\.bias …\), 2 unknown \(2\.bias …\), 1 of another shape \(1\.weight …\)"
    with pytest.raises(ValueError, match=words):
        load_strictly(module, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
