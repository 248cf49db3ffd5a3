"""LayerDiffuse on SDXL: portraits with alpha from text prompts, on a GPU.

Diffusers' own SDXL pipeline samples latents with the changed attention, the VAE decodes them to pixels, and the
transparent decoder reads alpha and colour from both (Zhang and Agrawala 2024, arXiv 2402.17113).
"""

import importlib.metadata
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import diffusers
import numpy as np
import torch
import transformers

from ldportrait.layerdiffuse import files
from ldportrait.layerdiffuse.decoder import TransparentDecoder
from ldportrait.layerdiffuse.weights import load_attention
from ldportrait.shards import Item

# Only what went wrong is to be said; diffusers would also tell of image processors that SDXL has no use for.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
diffusers.logging.disable_progress_bar()

VERSION = "1"
PACKAGES = ("torch", "diffusers", "transformers")
PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
# The published programs sample with DPM++ 2M (SDE) on Karras' noise levels, down to none at all: a last step that
# leaves noise is what made diffusers' DPM++ look worse on SDXL (huggingface/diffusers, pull request 6477).
DPM = {"use_karras_sigmas": True, "final_sigmas_type": "zero"}
SAMPLERS = {
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", **DPM}),
    "dpmpp-2m-sde-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", **DPM}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
PASSES = 8  # pictures that go through the decoder at once, at first

Result = TypeVar("Result")


def load(settings: Mapping) -> Callable[[Sequence[dict]], list[Item]]:
    """Return the backend; the weights are checked against their record, and nothing is fetched.

    `settings`: record (what fetch_weights wrote), size (pixels, a multiple of 64), sampler, steps, cfg (the
    guidance scale), dtype, passes (of the decoder, 1 or 8) and median (lower or true); and what changes no picture:
    batch (prompts at once), gpus (0 for the CPU), offload (models wait in the computer's memory for their turn),
    channels_last, compile. Raises ValueError or FileNotFoundError for settings or weights that are missing or wrong,
    and where there is no GPU.
    """
    check_settings(settings)
    device = _device(settings["gpus"])
    record = settings["record"]
    files.check(record)
    return Generator(_pipeline(record, settings, device), _decoder(record, settings, device), record, settings).generate


def check_settings(settings: Mapping) -> None:
    """Raise ValueError for a setting that cannot be."""
    if settings["record"] is None:
        raise ValueError("The backend layerdiffuse needs --weights, the record that fetch_weights.py writes.")
    if settings["size"] % 64:
        raise ValueError(f"LayerDiffuse makes pictures whose side is a multiple of 64, not {settings['size']}.")
    for key, known in [("sampler", SAMPLERS), ("dtype", PRECISIONS), ("passes", (1, 8))]:
        if settings[key] not in known:
            raise ValueError(f"{key} must be one of {', '.join(map(str, known))}, not {settings[key]}.")


def _device(gpus: int) -> torch.device:
    if gpus == 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(
            "LayerDiffuse needs a GPU and torch finds none; to use the CPU all the same, at minutes a picture, set "
            "generate.gpus to 0 (--gpus 0)."
        )
    return torch.device("cuda")


# Models --------------------------------------------------------------------------------------------------------------


def _pipeline(record: Mapping, settings: Mapping, device: torch.device) -> diffusers.StableDiffusionXLPipeline:
    """Load SDXL with the changed attention, ready to sample."""
    dtype = PRECISIONS[settings["dtype"]]
    # The change is added before weights are rounded to bfloat16; published checkpoints are float16 themselves.
    loaded_as = torch.float16 if dtype == torch.float16 else torch.float32
    pipe = _checkpoint(record, {"dtype": loaded_as, "local_files_only": True, "use_safetensors": True})
    changed = load_attention(pipe.unet, files.place(record, "attention"))
    print(f"LayerDiffuse changed all {changed} attention projections.", file=sys.stderr)
    vae_dtype = _vae_precision(pipe.vae, dtype)
    if dtype != loaded_as:
        pipe.to(dtype)
    if pipe.vae.dtype != vae_dtype:
        pipe.vae.to(vae_dtype)
    pipe.scheduler = _scheduler(settings["sampler"], pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    if settings["offload"]:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    for module in (pipe.unet, pipe.vae):
        _tune(module, settings)
    return pipe


def _checkpoint(record: Mapping, options: Mapping) -> diffusers.StableDiffusionXLPipeline:
    """Load a folder in diffusers' layout, or a single file with the layout of another folder; its VAE or another."""
    base, layout, vae = (files.place(record, role) for role in ("base", "layout", "vae"))
    parts = {"add_watermarker": False}
    try:
        if vae is not None:
            parts["vae"] = diffusers.AutoencoderKL.from_pretrained(vae, **options)
        if base.is_file():
            options = {key: value for key, value in options.items() if key != "use_safetensors"} | parts
            return diffusers.StableDiffusionXLPipeline.from_single_file(str(base), config=str(layout), **options)
        variant = "fp16" if list(base.glob("unet/*.fp16.safetensors")) else None
        return diffusers.StableDiffusionXLPipeline.from_pretrained(base, variant=variant, **options, **parts)
    except (OSError, KeyError) as error:
        raise ValueError(f"{base} cannot be loaded as an SDXL checkpoint in safetensors: {error}.") from error


def _scheduler(sampler: str, config: Mapping) -> diffusers.SchedulerMixin:
    name, options = SAMPLERS[sampler]
    return getattr(diffusers, name).from_config(config, **options)


def _vae_precision(vae: diffusers.AutoencoderKL, dtype: torch.dtype) -> torch.dtype:
    """SDXL's own VAE overflows in float16 and says so; one that is safe has finer steps in float16 than in bfloat16."""
    if dtype == torch.float32 or vae.config.force_upcast:
        return torch.float32
    return torch.float16


def _decoder(record: Mapping, settings: Mapping, device: torch.device) -> TransparentDecoder:
    """Load the transparent decoder: in float16 as published, since bfloat16 cannot tell alpha 254 from 255."""
    decoder = TransparentDecoder.load(files.place(record, "decoder"))
    decoder.to(device, torch.float32 if settings["dtype"] == "float32" else torch.float16)
    _tune(decoder, settings)
    return decoder


def _tune(module: torch.nn.Module, settings: Mapping) -> None:
    if settings["channels_last"]:
        module.to(memory_format=torch.channels_last)
    if settings["compile"]:
        module.compile()


# Generation ----------------------------------------------------------------------------------------------------------


class Batch:
    """How many things go through a model at once: halved, for good, whenever the GPU's memory does not suffice."""

    def __init__(self, name: str, size: int, clean: Callable[[], None]) -> None:
        self.name, self.size, self.clean = name, size, clean

    def run(self, work: Callable[[int], Result]) -> Result:
        """Return work(size), with ever smaller sizes. ValueError if even one is too many."""
        while True:
            try:
                return work(self.size)
            except torch.OutOfMemoryError as error:
                if self.size == 1:
                    raise ValueError(
                        f"The GPU's memory does not suffice for {self.name} of one picture; set layerdiffuse.offload "
                        "to true, or generate.size to less."
                    ) from error
            # only here have the failed call's tensors been let go
            self.size //= 2
            self.clean()
            print(f"The GPU's memory was full: {self.name} goes on with {self.size} at once.", file=sys.stderr)


class Generator:
    """The loaded models, and how much of them the GPU has had room for so far."""

    def __init__(self, pipe, decoder: TransparentDecoder, record: Mapping, settings: Mapping) -> None:
        self.pipe, self.decoder, self.settings = pipe, decoder, settings
        self.sampling = Batch("sampling", settings["batch"], self._free)
        self.decoding = Batch("the VAE", settings["batch"], self._free)
        self.reading = Batch("the transparent decoder", PASSES, self._free)
        self.about = {"backend": "layerdiffuse", **describe(record, settings)}

    @torch.inference_mode()
    def generate(self, rows: Sequence[dict]) -> list[Item]:
        """Make a picture for each row of a prompt shard; what it looks like does not depend on the others."""
        start = time.perf_counter()
        latents = self._each(rows, self.sampling, self._sample).float() / self.pipe.vae.config.scaling_factor
        pixels = self._each(latents, self.decoding, self._decode)
        passes, median = self.settings["passes"], self.settings["median"]
        estimate = self.reading.run(lambda size: self.decoder.estimate(pixels, latents, passes, size, median))
        pictures = to_rgba(estimate)
        seconds = round((time.perf_counter() - start) / len(rows), 3)
        return [
            Item({**row, **self.about, "transparency": transparency(rgba[..., 3]), "seconds": seconds}, rgba)
            for row, rgba in zip(rows, pictures, strict=True)
        ]

    def _each(self, things: Sequence, batch: Batch, work: Callable) -> torch.Tensor:
        done = []
        while (count := sum(map(len, done))) < len(things):
            done.append(batch.run(lambda size, first=count: work(things[first : first + size])))
        return torch.cat(done)

    def _sample(self, rows: Sequence[dict]) -> torch.Tensor:
        """Sample latents (B, 4, H/8, W/8), scaled as the UNet knows them."""
        size = self.settings["size"]
        return self.pipe(
            prompt=[row["prompt"] for row in rows],
            negative_prompt=[row["negative_prompt"] for row in rows],
            # each picture has noise of its own, drawn on the CPU: so neither batch nor shard nor GPU changes it
            generator=[torch.Generator("cpu").manual_seed(int(row["seed"])) for row in rows],
            num_inference_steps=self.settings["steps"],
            guidance_scale=self.settings["cfg"],
            height=size,
            width=size,
            output_type="latent",
        ).images

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents, no longer scaled, to pixels (B, 3, H, W) float32 in [0, 1]."""
        pixels = self.pipe.vae.decode(latents.to(self.pipe.vae.dtype)).sample.float()
        self.pipe.maybe_free_model_hooks()
        if not torch.isfinite(pixels).all():
            raise ValueError(
                "The VAE gives numbers that are not finite: name one that is safe in float16 by layerdiffuse.vae, or "
                "set layerdiffuse.dtype to float32."
            )
        return (pixels / 2 + 0.5).clamp(0, 1)

    def _free(self) -> None:
        """Give memory back after a call that failed half-way."""
        self.pipe.maybe_free_model_hooks()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def describe(record: Mapping, settings: Mapping) -> dict:
    """What all rows of a shard say about how they were made."""
    size = settings["size"]
    sampling = f"{settings['sampler']}, {settings['steps']} steps, CFG {settings['cfg']:g}, {settings['dtype']}"
    return {
        "width": size,
        "height": size,
        "weights_sha256": record["sha256"],
        "weights": ", ".join(f"{role} {_name(part)}" for role, part in record["parts"].items()),
        "sampling": f"{sampling}, {settings['passes']} passes, {settings['median']} median",
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        "faults": "",
        "severity": 0.0,
    }


def _name(part: Mapping) -> str:
    return f"{part['name']}@{part['revision'][:8]}" if part["revision"] else part["name"]


def to_rgba(estimate: torch.Tensor) -> np.ndarray:
    """Turn (B, 4, H, W) float32 in [0, 1], alpha first, into (B, H, W, 4) uint8 RGBA: rounded, once, here."""
    rgba = torch.cat([estimate[:, 1:], estimate[:, :1]], dim=1).permute(0, 2, 3, 1)
    return (rgba * 255).round().to(torch.uint8).cpu().numpy()


# Sanity --------------------------------------------------------------------------------------------------------------


def transparency(alpha: np.ndarray) -> str:
    """Say from the histogram of an (H, W) uint8 alpha whether there is a matte: good, opaque, empty or pane.

    opaque: hardly anything is clear (alpha to 12), so that the background was kept. pane: much of the frame is half
    transparent (13 to 242), more than any hair. empty: hardly anything is solid (from 243). For comparison, six
    published portraits have 0.4 to 8 % half transparent and 33 to 55 % solid.
    """
    clear, solid = float((alpha <= 12).mean()), float((alpha >= 243).mean())
    if 1 - clear - solid > 0.3:
        return "pane"
    if solid < 0.02:
        return "empty"
    return "opaque" if clear < 0.02 else "good"


def tally(rows: Sequence[Mapping]) -> dict[str, int]:
    """Count the rows whose transparency failed, by how."""
    kinds = [row["transparency"] for row in rows if row["transparency"] != "good"]
    return {kind: kinds.count(kind) for kind in ("opaque", "pane", "empty") if kind in kinds}


def check_shard(rows: Sequence[Mapping], total: int, limit: float, pictures: Path) -> None:
    """Count aloud; raise ValueError with advice if more than `limit` of a shard's `total` pictures have no matte."""
    failed = tally(rows)
    number, kinds = sum(failed.values()), ", ".join(f"{number} {kind}" for kind, number in failed.items())
    if rows[-1]["transparency"] != "good" or len(rows) == total:
        counted = f"{number} of {len(rows)} pictures have no matte" + (f" ({kinds})" if failed else "")
        print(f"{rows[-1]['id']}: {rows[-1]['transparency']}; {counted}", file=sys.stderr)
    if number > limit * total:
        raise ValueError(
            f"Of the first {len(rows)} pictures, {number} have no matte ({kinds}), which is more than "
            f"{limit:.0%} of the shard of {total}: look at them in {pictures}, and check that the checkpoint is near "
            "SDXL base (realvisxl-v4 and juggernaut-xl-v6 are; Turbo, Lightning and v-prediction ones are not), that "
            "layerdiffuse.attention is LayerDiffuse's, and layerdiffuse.sampler (euler-ancestral is the most robust); "
            "layerdiffuse.failed sets how many may fail."
        )
