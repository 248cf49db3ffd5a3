"""Starting from published weights: made-up files with their names, and where the values land."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from test_models import SHRUNK, batch, build
from torch.nn import functional

from ldportrait import models

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, HEADS, DEPTH = 32, 2, 3


def write(folder, tensors) -> tuple:
    path = folder / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def vit(grid: int = 14, width: int = WIDTH) -> dict[str, torch.Tensor]:
    """A vision transformer as DINO publishes it."""
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + grid**2, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(DEPTH):
        layers = {"norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        layers |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, shape in layers.items():
            shapes |= {f"blocks.{block}.{name}.weight": shape, f"blocks.{block}.{name}.bias": shape[:1]}
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def in_transformers_names(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The same as the hub's files for transformers' ViT have it, with query, key and value apart."""
    found = {}
    for name, tensor in tensors.items():
        name = name.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
        name = name.replace("pos_embed", "embeddings.position_embeddings").replace("cls_token", "embeddings.cls_token")
        name = name.replace("norm1", "layernorm_before").replace("norm2", "layernorm_after")
        name = name.replace("blocks", "encoder.layer").replace("attn.proj", "attention.output.dense")
        name = name.replace("mlp.fc1", "intermediate.dense").replace("mlp.fc2", "output.dense")
        name = "layernorm" + name[4:] if name.startswith("norm.") else name
        if "attn.qkv" in name:
            for role, part in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[prefix + name.replace("attn.qkv", f"attention.attention.{role}")] = part
        else:
            found[prefix + name] = tensor
    return found


def textbook(tensors: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """A plain transformer without a class token (Dosovitskiy et al. 2021), as (B, C, H / 16, W / 16)."""

    def linear(name, x):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(name, x):
        return functional.layer_norm(x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-6)

    x = functional.conv2d(pixels, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], 16)
    size = x.shape
    x = x.flatten(2).transpose(1, 2) + tensors["pos_embed"][:, 1:]
    for block in range(DEPTH):
        name = f"blocks.{block}"
        heads = linear(f"{name}.attn.qkv", norm(f"{name}.norm1", x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = x + linear(f"{name}.attn.proj", mixed)
        x = x + linear(f"{name}.mlp.fc2", functional.gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.norm2", x))))
    return x.transpose(1, 2).reshape(size)


def test_the_transformer_computes_what_its_weights_did(tmp_path):
    """Without what ViTMatte adds, and with windows as large as the picture, it is a plain ViT."""
    network, tensors = build("vitmatte-s", window=14), vit()
    report = models.initialise(network, "dino", *write(tmp_path, tensors))
    backbone = network.network.backbone
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "rel_pos" in name or "norm3" in name:
                parameter.zero_()
        pixels = torch.randn(2, 4, 224, 224, generator=torch.Generator().manual_seed(4))
        (features,) = backbone(pixels).feature_maps
    assert torch.allclose(features, textbook(tensors, pixels[:, :3]), atol=1e-4)  # the trimap's channel is zero
    assert set(report.unused) == {"cls_token", "norm.weight", "norm.bias"}
    assert len(report.loaded) == len(tensors) - 3
    assert all("rel_pos" in name or ".residual." in name or name.startswith("decoder.") for name in report.fresh)
    assert str(report).startswith(f"{len(tensors) - 3} tensors loaded (backbone.")


@pytest.mark.parametrize("prefix", ["", "vit."])
def test_the_hubs_names_land_in_the_same_places(tmp_path, prefix):
    one, other = build("vitmatte-s"), build("vitmatte-s")
    models.initialise(one, "dino", *write(tmp_path, vit()))
    decoder = {"decoder.decoder_pos_embed": torch.zeros(1, 197, 8)}  # of a masked autoencoder
    report = models.initialise(other, "mae", *write(tmp_path, in_transformers_names(vit(), prefix) | decoder))
    assert "decoder.decoder_pos_embed" in report.unused
    for (name, tensor), again in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, again), name


def test_positions_for_another_size_are_interpolated(tmp_path):
    tensors = vit(grid=28)
    ramp = torch.arange(28.0).repeat(28)  # along a row
    tensors["pos_embed"][0, 1:] = ramp[:, None]
    network = build("vitmatte-s")
    models.initialise(network, "dino", *write(tmp_path, tensors))
    found = network.network.backbone.embeddings.position_embeddings
    assert torch.equal(found[:, 0], tensors["pos_embed"][:, 0])
    rows = found[0, 1:, 0].reshape(14, 14)
    assert torch.allclose(rows[:, 2:-2], (0.5 + 2 * torch.arange(14.0))[2:-2].expand(14, -1), atol=1e-4)


def test_the_published_vitmatte_is_loaded_whole(tmp_path):
    torch.manual_seed(5)
    published = models.get("vitmatte-s").build(**SHRUNK["vitmatte-s"]).eval()
    network, data = build("vitmatte-s"), batch()
    report = models.initialise(network, "published", *write(tmp_path, published.network.state_dict()))
    assert not report.fresh
    assert not report.unused
    with torch.inference_mode():
        alphas = [one(data["image"], data["trimap"]) for one in (network, published)]
    assert torch.equal(*alphas)


@pytest.mark.parametrize(("name", "prefix"), [("modnet", "mobilenet_v2."), ("gfm", "resnet.")])
def test_a_backbone_starts_from_imagenet(name, prefix, tmp_path):
    network = build(name)
    tensors = {
        prefix + key: torch.full_like(tensor, 0.5) if tensor.is_floating_point() else tensor
        for key, tensor in network.backbone.state_dict().items()
    }
    report = models.initialise(
        network, "imagenet", *write(tmp_path, tensors | {"classifier.weight": torch.zeros(10, 4)})
    )
    assert report.unused == ("classifier.weight",)
    assert not report.fresh
    for tensor in network.backbone.state_dict().values():
        assert not tensor.is_floating_point() or (tensor == 0.5).all()


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("init", "tensors", "words"),
    [
        (
            "dino",
            without(vit(), "blocks.1.attn.qkv.bias"),
            r"is no plain ViT: it lacks 1 of 39 tensors \(backbone\.enc",
        ),
        ("mae", vit(width=48), r"is no plain ViT of this size: it holds backbone\.\S+ as \(1, 197, 48\)"),
        ("dino", {"something": torch.zeros(3)}, "is no plain ViT: it lacks 39 of 39"),
        ("dino", vit() | {"norm1": torch.zeros(1), "pos_embed": torch.zeros(3)}, r"as \(3,\), the network as"),
        ("dino", vit() | {"blocks.2.norm1.bias": torch.full((WIDTH,), torch.nan)}, "that are not finite"),
        ("published", vit(), "is no ViTMatte: it lacks"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(init, tensors, words, tmp_path):
    network = build("vitmatte-s")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    path, sha256 = write(tmp_path, tensors)
    with pytest.raises(ValueError, match=words) as caught:
        models.initialise(network, init, path, sha256)
    assert str(path) in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_another_file_is_refused(tmp_path):
    network = build("modnet")
    path, _ = write(tmp_path, vit())
    with pytest.raises(ValueError, match="is not the expected file: its SHA-256"):
        models.initialise(network, "imagenet", path, "0" * 64)
    path.write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(ValueError, match="is a pickle, which is never loaded"):
        models.initialise(network, "imagenet", path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(FileNotFoundError, match="There are no weights at"):
        models.initialise(network, "imagenet", tmp_path / "none.safetensors", "0" * 64)


def test_what_to_start_from_must_be_known(tmp_path):
    assert models.initialise(build("gfm"), "none") is None
    with pytest.raises(ValueError, match="GFM cannot start from dino; it can start from none, imagenet"):
        models.initialise(build("gfm"), "dino", tmp_path, "0")
    with pytest.raises(ValueError, match="FreeUNet cannot start from imagenet; it can start from none"):
        models.initialise(build("small-free"), "imagenet", tmp_path, "0")
    with pytest.raises(ValueError, match="To start from imagenet, a file of weights and its SHA-256 are needed"):
        models.initialise(build("gfm"), "imagenet", tmp_path)
