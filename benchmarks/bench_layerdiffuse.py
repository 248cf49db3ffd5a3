"""Pictures a second and memory of the LayerDiffuse backend, beside the published way: one at a time, eight passes.

python benchmarks/bench_layerdiffuse.py                 on a GPU: SDXL at full size, random weights, 1024², bfloat16
python benchmarks/bench_layerdiffuse.py --tiny          on a CPU, in a minute: shows that the script works, no more

Weights are random, since neither time nor memory depends on their values; nothing is fetched. Each line is a batch and
a number of passes: pictures a second, the ratio to the plain way in the same run, the decoder's share of the time, and
the greatest memory that torch allocated.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")]

import diffusers  # noqa: E402
import tiny_sdxl  # noqa: E402
import torch  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection  # noqa: E402

from ldportrait.generators import layerdiffuse  # noqa: E402
from ldportrait.layerdiffuse.decoder import TransparentDecoder  # noqa: E402

BARS = {"ratio": 2.0, "share": 0.15}  # of the best batch with eight passes
UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.13025,
    "force_upcast": False,
}
TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
TEXT_2 = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32}


def full_size(scratch: Path) -> diffusers.StableDiffusionXLPipeline:
    """SDXL with the widths and depths of the published checkpoint, random."""
    words = tiny_sdxl.tokenizer(scratch / "tokenizer")
    ids = {"vocab_size": len(words), "eos_token_id": words.eos_token_id, "bos_token_id": words.bos_token_id}
    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(**VAE),
        text_encoder=CLIPTextModel(CLIPTextConfig(projection_dim=768, **TEXT, **ids)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=1280, **TEXT_2, **ids)),
        tokenizer=words,
        tokenizer_2=words,
        unet=diffusers.UNet2DConditionModel(**UNET),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading"
        ),
        add_watermarker=False,
    )


def rows(count: int) -> list[dict]:
    """Prompts as long as the grammar's."""
    prompt = "head and shoulders portrait of a woman"
    return [{"id": f"bench-{i}", "prompt": f"{prompt} {i}", "negative_prompt": "ugly", "seed": i} for i in range(count)]


def finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock, all of the GPU's work done."""
    finish()
    start = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - start


def memory(work: Callable[[], object]) -> float:
    """Greatest memory in GB that torch allocated on the GPU; 0 on a CPU."""
    if not torch.cuda.is_available():
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() / 1e9


@torch.inference_mode()
def plain(generator: layerdiffuse.Generator, row: dict) -> torch.Tensor:
    """The published way: one picture, one pass at a time, torch's median; (4, H, W) in [0, 1], alpha first."""
    latents = generator._sample([row]).float() / generator.pipe.vae.config.scaling_factor
    pixels = generator._decode(latents)
    found = []
    for flip in (False, True):
        for quarters in range(4):
            turned = [torch.rot90(x.flip(-1) if flip else x, quarters, (-2, -1)) for x in (pixels, latents)]
            back = torch.rot90(generator.decoder(*turned).float().clamp(0, 1), -quarters, (-2, -1))
            found.append(back.flip(-1) if flip else back)
    return torch.stack(found).median(dim=0).values[0]


class Stopwatch:
    """Adds up the time of a method of an object while it is in its place."""

    def __init__(self, owner: object, name: str) -> None:
        self.seconds, self.method = 0.0, getattr(owner, name)
        setattr(owner, name, self)

    def __call__(self, *arguments: object) -> object:
        result = []
        self.seconds += timed(lambda: result.append(self.method(*arguments)))
        return result[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="a tiny SDXL at 64² on the CPU")
    chosen = parser.parse_args()
    if not chosen.tiny and not torch.cuda.is_available():
        parser.error("torch finds no GPU; --tiny shows on a CPU that the script works.")
    sys.stdout.reconfigure(line_buffering=True)
    device = torch.device("cpu" if chosen.tiny else "cuda")
    size, steps, dtype = (64, 2, "float32") if chosen.tiny else (chosen.size, chosen.steps, "bfloat16")
    settings = {"size": size, "sampler": "dpmpp-2m-karras", "steps": steps, "cfg": 7.0, "dtype": dtype}
    settings |= {"median": "lower", "channels_last": True, "compile": chosen.compile}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch, torch.device(device):
        pipe = tiny_sdxl.pipeline(Path(scratch)) if chosen.tiny else full_size(Path(scratch))
        decoder = TransparentDecoder().eval()
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = layerdiffuse._scheduler(settings["sampler"], pipe.scheduler.config)
    pipe.to(device, layerdiffuse.PRECISIONS[dtype])
    for module in (pipe.vae, decoder):
        module.to(device, torch.float32 if chosen.tiny else torch.float16)
    for module in (pipe.unet, pipe.vae, decoder):
        layerdiffuse._tune(module, settings)
    name = "CPU" if chosen.tiny else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, diffusers {diffusers.__version__}, {size}², {steps} steps, {dtype}")

    def backend(batch: int, passes: int) -> layerdiffuse.Generator:
        own = settings | {"batch": batch, "passes": passes}
        return layerdiffuse.Generator(pipe, decoder, {"sha256": "", "parts": {}}, own)

    one = backend(1, 8)
    plain(one, rows(1)[0])  # warms up
    seconds = timed(lambda: [plain(one, row) for row in rows(2)]) / 2
    print(f"plain, one at a time, 8 passes: {1 / seconds:.3f} pictures/s")
    best = (0.0, 1.0)
    for batch in chosen.batches:
        for passes in (1, 8):
            generator, some = backend(batch, passes), rows(batch)
            peak = memory(lambda generator=generator, some=some: generator.generate(some))  # warms up too
            watch = Stopwatch(decoder, "estimate")
            rounds = max(1, 4 // batch)
            spent = timed(lambda generator=generator, some=some, n=rounds: [generator.generate(some) for _ in range(n)])
            decoder.estimate = watch.method
            rate, share = batch * rounds / spent, watch.seconds / spent
            at_once = generator.sampling.size
            print(
                f"batch {batch}{f' (halved to {at_once})' if at_once < batch else ''}, {passes} passes: {rate:.3f} "
                f"pictures/s, {rate * seconds:.2f} x plain, decoder {share:.0%}, {peak:.1f} GB"
            )
            if passes == 8:
                best = max(best, (rate * seconds, share))
    print(f"best with 8 passes: {best[0]:.2f} x plain (bar {BARS['ratio']:.0f}), decoder {best[1]:.0%} (bar 15 %)")


if __name__ == "__main__":
    main()
