"""The LayerDiffuse backend on a tiny random SDXL: from prompts to a shard, all options, a kill, full memory."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pandas as pd
import pytest
import stages
import tiny_sdxl
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from test_scripts import assert_refused, run

from ldportrait import shards
from ldportrait.generators import artifacts, layerdiffuse
from ldportrait.layerdiffuse import files
from ldportrait.prompts import grammar_rows, load_grammar

SETTINGS = {
    "size": 64,
    "sampler": "dpmpp-2m-karras",
    "steps": 2,
    "cfg": 7.0,
    "dtype": "float32",
    "passes": 1,
    "median": "lower",
    "batch": 4,
    "gpus": 0,
    "offload": False,
    "channels_last": True,
    "compile": False,
}
# of diffusers' schedulers under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
OPTIONS = ["--backend", "layerdiffuse", "--size", 64, "--steps", 2, "--dtype", "float32", "--passes", 1, "--gpus", 0]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Tiny weights and their record."""
    folder = tiny_sdxl.write(tmp_path_factory.mktemp("tiny"))
    record = files.fetch(files.choose(tiny_sdxl.parts(folder), {}), folder / "fetched", say=lambda text: None)
    (folder / "weights.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def record(weights) -> dict:
    return json.loads((weights / "weights.json").read_text())


@pytest.fixture(scope="module")
def generate(record):
    return layerdiffuse.load(SETTINGS | {"record": record})


def another(generate, **settings: object):
    """A backend with the same models and other settings of the decoder."""
    loaded = generate.__self__
    settings = loaded.settings | settings
    return layerdiffuse.Generator(loaded.pipe, loaded.decoder, settings["record"], settings).generate


def rows(count: int) -> list[dict]:
    """Rows of a prompt shard; no two negative prompts are equal, and seeds are as large as the workflow's."""
    table = grammar_rows(
        load_grammar(ROOT / "config" / "prompts.yaml"), 2, 0, count, "demo", "bad", {"train": 1, "val": 0}
    )
    table["negative_prompt"] = [f"ugly {index}" for index in range(count)]
    return table.to_dict("records")


def prompts(folder: Path, count: int) -> Path:
    shards.write_table(pd.DataFrame(rows(count)), folder / "prompts.parquet")
    return folder / "prompts.parquet"


def assert_same(one: np.ndarray, other: np.ndarray) -> None:
    """Equal but for rounding: another batch sums in another order."""
    difference = np.abs(one.astype(int) - other)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_a_shard_says_how_it_was_made(tmp_path, weights, record):
    tar = tmp_path / "shard-0000000.tar"
    result = stages.call(
        "generate_portraits.py",
        prompts(tmp_path, 3),
        tar,
        *OPTIONS,
        "--weights",
        weights / "weights.json",
        "--batch",
        2,
    )
    assert result.returncode == 0, result.stderr
    assert "all 96 attention projections" in result.stderr  # 2 + 2 + 3 blocks of up to 2 layers, 8 projections each
    items = list(shards.read_shard(tar))
    assert [item.rgba.shape for item in items] == [(64, 64, 4)] * 3
    row = items[0].row
    assert row["prompt"] == rows(1)[0]["prompt"]
    assert (row["backend"], row["width"], row["height"], row["transparency"]) == ("layerdiffuse", 64, 64, "good")
    assert row["weights_sha256"] == record["sha256"]
    assert row["weights"] == "base base, vae vae, attention attention.safetensors, decoder decoder.safetensors"
    assert row["sampling"] == "dpmpp-2m-karras, 2 steps, CFG 7, float32, 1 passes, lower median"
    assert f"diffusers {diffusers.__version__}" in row["versions"]
    assert len({item.row["seed"] for item in items}) == 3


def test_a_picture_depends_on_neither_batch_nor_shard(generate):
    chosen = rows(5)
    together = generate(chosen)  # five rows at four at once: a whole batch and a rest
    alone = [generate([row])[0] for row in reversed(chosen)][::-1]
    for one, other in zip(together, alone, strict=True):
        assert one.row["id"] == other.row["id"]
        assert_same(one.rgba, other.rgba)
    assert np.abs(together[0].rgba.astype(int) - together[1].rgba).mean() > 1


def test_prompt_negative_prompt_and_seed_all_count(generate):
    row = rows(1)[0]
    (base,) = generate([row])
    for change in ({"prompt": "0 9 8"}, {"negative_prompt": "7 7 7 7"}, {"seed": 1}):
        (other,) = generate([row | change])
        assert np.abs(base.rgba.astype(int) - other.rgba).mean() > 0.01, change


@pytest.mark.parametrize("sampler", layerdiffuse.SAMPLERS)
def test_every_sampler_draws_each_picture_s_noise_by_itself(generate, sampler, monkeypatch):
    pipe, make = generate.__self__.pipe, generate
    monkeypatch.setattr(pipe, "scheduler", layerdiffuse._scheduler(sampler, pipe.scheduler.config))
    together = make(rows(2))
    assert_same(together[1].rgba, make(rows(2)[1:])[0].rgba)


def test_the_picture_is_what_the_published_steps_give(weights, generate):
    """Against the steps written out: sample, divide by 0.13025, VAE, decoder, reorder, round."""
    row = rows(1)[0]
    pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(weights / "base", add_watermarker=False)
    delta = load_file(weights / "attention.safetensors")
    state = pipe.unet.state_dict()
    pipe.unet.load_state_dict(state | {name: state[name] + delta[name] for name in delta})
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    decoder = tiny_sdxl.TransparentDecoder().eval()
    decoder.load_state_dict({k: v.float() for k, v in load_file(weights / "decoder.safetensors").items()})
    with torch.no_grad():
        latents = pipe(
            row["prompt"],
            negative_prompt=row["negative_prompt"],
            generator=torch.Generator().manual_seed(row["seed"]),
            num_inference_steps=2,
            guidance_scale=7.0,
            height=64,
            width=64,
            output_type="latent",
        ).images
        z = latents / 0.13025
        pixels = (pipe.vae.decode(z).sample / 2 + 0.5).clamp(0, 1)
        alpha, red, green, blue = decoder(pixels, z)[0].clamp(0, 1)
    expected = np.rint(torch.stack([red, green, blue, alpha], dim=-1).numpy() * 255).astype(np.uint8)
    assert_same(generate([row])[0].rgba, expected)


def test_alpha_is_rounded_once_and_comes_last():
    estimate = torch.tensor([0.9981, 0.2, 0.4, 0.6]).reshape(1, 4, 1, 1)  # alpha 254.5
    assert layerdiffuse.to_rgba(estimate).tolist() == [[[[51, 102, 153, 255]]]]


def test_eight_passes_and_both_medians(generate):
    pictures = {}
    for median in ("lower", "true"):
        make = another(generate, passes=8, median=median)
        pictures[median] = make(rows(1))[0].rgba.astype(int)
    assert (pictures["lower"] <= pictures["true"]).all()
    assert (pictures["lower"] < pictures["true"]).any()


def test_the_checkpoint_s_own_vae_and_sixteen_bits(record):
    own = {role: part for role, part in record["parts"].items() if role != "vae"}
    settings = SETTINGS | {"record": record | {"parts": own}, "dtype": "bfloat16", "channels_last": False}
    make = layerdiffuse.load(settings)
    assert make.__self__.pipe.unet.dtype == torch.bfloat16
    assert make.__self__.pipe.vae.dtype == torch.float16
    assert make.__self__.decoder.conv_in.weight.dtype == torch.float16
    assert make(rows(1))[0].rgba.shape == (64, 64, 4)


def test_a_checkpoint_in_one_file_gives_the_same_pictures(tmp_path, weights, generate):
    """Offline: configurations and tokenizers come from the layout, without any weights in it."""
    layout = tmp_path / "layout"
    shutil.copytree(weights / "base", layout, ignore=shutil.ignore_patterns("*.safetensors"))
    parts = tiny_sdxl.parts(weights) | {"base": str(weights / "single.safetensors"), "layout": str(layout)}
    record = files.fetch(files.choose(parts, {}), tmp_path / "fetched", say=lambda text: None)
    make = layerdiffuse.load(SETTINGS | {"record": record})
    assert_same(make(rows(1))[0].rgba, generate(rows(1))[0].rgba)


def test_a_vae_that_overflows_in_float16_is_used_in_float32():
    class Vae:
        config = type("Config", (), {"force_upcast": True})

    assert layerdiffuse._vae_precision(Vae, torch.float16) == torch.float32


# Memory --------------------------------------------------------------------------------------------------------------


def test_full_memory_halves_the_batch_and_goes_on(generate, monkeypatch, capsys):
    make = another(generate)
    expected = generate(rows(4))
    sample, tried = make.__self__._sample, []

    def narrow(part):
        tried.append(len(part))
        if len(part) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sample(part)

    monkeypatch.setattr(make.__self__, "_sample", narrow)
    made = make(rows(4))
    assert tried == [4, 2, 1, 1, 1, 1]
    for one, other in zip(made, expected, strict=True):
        assert_same(one.rgba, other.rgba)
    assert "goes on with 1 at once" in capsys.readouterr().err
    tried.clear()
    make(rows(2))
    assert tried == [1, 1]  # it has learnt


def test_the_decoder_halves_too(generate, monkeypatch):
    make, expected = another(generate), generate(rows(1))
    estimate, tried = make.__self__.decoder.estimate, []

    def narrow(pixels, latents, passes, batch, median):
        tried.append(batch)
        if batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return estimate(pixels, latents, passes, batch, median)

    monkeypatch.setattr(make.__self__.decoder, "estimate", narrow)
    assert_same(make(rows(1))[0].rgba, expected[0].rgba)
    assert tried == [8, 4, 2]


def test_one_picture_too_many_is_told_in_a_sentence():
    def full(size):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(
        ValueError, match=r"memory does not suffice for sampling of one picture; set layerdiffuse.offload"
    ):
        layerdiffuse.Batch("sampling", 4, lambda: None).run(full)


# A kill and what is wrong --------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_where_it_was(tmp_path, weights):
    source, partial = prompts(tmp_path, 6), tmp_path / "partial"
    tar, whole = tmp_path / "killed.tar", tmp_path / "whole.tar"
    words = [str(word) for word in [*OPTIONS, "--weights", weights / "weights.json", "--batch", 2]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        amid = partial / "demo-000000003.row"  # amid the second batch
        stages.call_killed(amid, 1, "generate_portraits.py", source, tar, *words, "--partial", partial)
    assert len(list(partial.glob("*.row"))) == 3
    made = []
    generate = layerdiffuse.Generator.generate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerdiffuse.Generator, "generate", lambda self, part: made.extend(part) or generate(self, part))
        result = stages.call("generate_portraits.py", source, tar, *words, "--partial", partial)
        assert result.returncode == 0, result.stderr
    assert len(made) == 3  # the finished ones are not made again
    assert stages.call("generate_portraits.py", source, whole, *words).returncode == 0
    for one, other in zip(shards.read_shard(tar), shards.read_shard(whole), strict=True):
        assert one.row["id"] == other.row["id"]
        assert_same(one.rgba, other.rgba)


def opaque(weights: Path, folder: Path) -> Path:
    """The record of weights with a decoder that sees no background."""
    state = load_file(weights / "decoder.safetensors")
    state["conv_out.bias"][0] = 1000
    folder.mkdir()
    save_file(state, folder / "decoder.safetensors")
    parts = tiny_sdxl.parts(weights) | {"decoder": str(folder / "decoder.safetensors")}
    record = files.fetch(files.choose(parts, {}), folder / "fetched", say=lambda text: None)
    (folder / "weights.json").write_text(json.dumps(record))
    return folder / "weights.json"


def test_a_shard_without_mattes_stops_with_advice_and_stays_stopped(tmp_path, weights):
    source, tar = prompts(tmp_path, 4), tmp_path / "shard.tar"
    command = [source, tar, *OPTIONS, "--weights", opaque(weights, tmp_path / "opaque"), "--batch", 2]
    for _ in range(2):  # the second run finds the pictures of the first
        result = stages.call("generate_portraits.py", *command)
        assert result.returncode == 2
        last = result.stderr.strip().splitlines()[-1]
        assert "Of the first 3 pictures, 3 have no matte (3 opaque)" in last
        assert "checkpoint" in last
        assert "layerdiffuse.attention" in last
        assert not tar.exists()
    result = stages.call("generate_portraits.py", *command, "--failed", 1)
    assert result.returncode == 0, result.stderr
    assert {item.row["transparency"] for item in shards.read_shard(tar)} == {"opaque"}
    assert "4 of 4 pictures have no matte (4 opaque)" in result.stderr


def test_without_a_gpu_one_sentence_says_so(tmp_path, weights):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    words = [*OPTIONS[:-2], "--weights", weights / "weights.json"]
    result = run("generate_portraits.py", prompts(tmp_path, 1), tmp_path / "out" / "s.tar", *words)
    assert_refused(result, "set generate.gpus to 0 (--gpus 0)")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--weights", "absent.json"], "absent.json"),
        ([], "fetch_weights.py"),
        (["--weights", "WEIGHTS", "--size", 96], "multiple of 64"),
        (["--weights", "WEIGHTS", "--sampler", "ddim"], "dpmpp-2m-karras"),
        (["--weights", "WEIGHTS", "--dtype", "int8"], "bfloat16"),
        (["--weights", "WEIGHTS", "--passes", 4], "passes"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, weights, options, word):
    options = [weights / "weights.json" if option == "WEIGHTS" else option for option in options]
    result = stages.call("generate_portraits.py", prompts(tmp_path, 1), tmp_path / "out" / "s.tar", *OPTIONS, *options)
    assert_refused(result, word)
    assert not (tmp_path / "out").exists()


def test_weights_that_changed_are_refused(tmp_path, weights):
    record = opaque(weights, tmp_path / "changed")
    with (tmp_path / "changed" / "decoder.safetensors").open("ab") as stream:
        stream.write(b" ")
    result = stages.call(
        "generate_portraits.py", prompts(tmp_path, 1), tmp_path / "s.tar", *OPTIONS, "--weights", record
    )
    assert_refused(result, "decoder.safetensors is not the file that it should be")


# Sanity --------------------------------------------------------------------------------------------------------------


def alpha_of(clear: float, half: float) -> np.ndarray:
    """An alpha whose rows are clear, half transparent and solid, by shares."""
    alpha = np.full((100, 100), 250, np.uint8)
    alpha[: round(100 * clear)] = 3
    alpha[round(100 * clear) : round(100 * (clear + half))] = 120
    return alpha


@pytest.mark.parametrize(
    ("clear", "half", "word"),
    [
        (0.5, 0.08, "good"),
        (0.05, 0.15, "good"),
        (0.0, 0.0, "opaque"),
        (0.01, 0.2, "opaque"),
        (1.0, 0.0, "empty"),
        (0.99, 0.0, "empty"),
        (0.0, 1.0, "pane"),
        (0.2, 0.5, "pane"),
    ],
)
def test_a_matte_that_failed_is_recognised(clear, half, word):
    assert layerdiffuse.transparency(alpha_of(clear, half)) == word


def test_portraits_of_the_bank_are_mattes_unless_their_damage_is_of_these_kinds():
    kinds = {"pane": {"pane"}, "opaque": {"opaque"}, "near-empty": {"empty", "pane"}}  # a faint person is a pane
    seen = set()
    for _, rgba in stages.portraits(4, 128):
        assert layerdiffuse.transparency(rgba[..., 3]) == "good"
        for seed in range(24):
            damaged, faults = artifacts.damage(rgba, seed, gross=1)
            if faults[-1] in kinds:
                assert layerdiffuse.transparency(damaged[..., 3]) in kinds[faults[-1]], (seed, faults)
                seen.add(faults[-1])
    assert seen == kinds.keys()


def test_failures_are_counted_by_kind():
    found = [{"id": "demo-0", "transparency": kind} for kind in ("good", "pane", "opaque", "pane")]
    assert layerdiffuse.tally(found) == {"opaque": 1, "pane": 2}
    layerdiffuse.check_shard(found, 8, 0.5, Path("x"))
    with pytest.raises(ValueError, match=r"Of the first 4 pictures, 3 have no matte \(1 opaque, 2 pane\)"):
        layerdiffuse.check_shard(found, 5, 0.5, Path("x"))
