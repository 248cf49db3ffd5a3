"""The configuration: defaults are filled in, and each mistake is one sentence with its key."""

import copy
import dataclasses
import importlib
import inspect
import math
import re
import shlex

import pytest
import yaml
from conftest import ROOT, SCRIPTS

from ldportrait import augment, benchmarks, columns, datasets, recipes, scores, settings
from ldportrait.layerdiffuse import files
from ldportrait.models import NETWORKS

SCHEMA = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8"))


def complete(**sections: object) -> dict:
    return settings.complete(sections, SCHEMA)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_nothing_given_is_the_default_whole():
    config = complete()
    assert config == settings.complete(config, SCHEMA)
    assert config["run"] == "demo"
    assert config["prompts"]["count"] == 96
    settings.cross_check(config)


def test_the_given_goes_over_the_default():
    config = complete(prompts={"count": 5})
    assert config["prompts"]["count"] == 5
    assert config["prompts"]["shard_size"] == complete()["prompts"]["shard_size"]


def test_the_given_stays_as_it_is():
    given = {"prompts": {"count": 5}}
    settings.complete(given, SCHEMA)
    assert given == {"prompts": {"count": 5}}


@pytest.mark.parametrize("name", ["config.yaml", "paper.yaml", "study.yaml", "trimap-model.yaml", "video.yaml"])
def test_the_shipped_configurations_are_valid(name):
    settings.complete(yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")), SCHEMA)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prompts": {"cuont": 3}}, r"The key prompts.cuont is unknown; did you mean prompts.count\?"),
        ({"promts": {}}, r"The key promts is unknown; did you mean prompts\?"),
        ({"prompts": {"count": "many"}}, "prompts.count must be a whole number, not 'many'."),
        ({"prompts": {"count": 0}}, "prompts.count must be at least 1, not 0."),
        ({"prompts": {"train": 1.5}}, "prompts.train must be at most 1, not 1.5."),
        ({"prompts": 3}, "prompts must be a section with keys of its own, not 3."),
        ({"prompts": {"file": 3}}, "prompts.file must be a text or null, not 3."),
        ({"generate": {"backend": "magic"}}, r"generate.backend must be one of bank, .*, not 'magic'."),
        ({"run": "My Run"}, r"run must match \^\[a-z0-9-\]\+\$, which 'My Run' does not."),
        ({"prompts": {"train": math.nan}}, "prompts.train must be a finite number, not nan."),
        ({"train": {"factors": [1.0, math.inf]}}, "train.factors must be a finite number, not inf."),
        ({"prompts": {"count": 10**20}}, "prompts.count must be at most 100000000, not 1[0]{20}."),
        ({"run": "x" * 65}, "run: 'x{65}' is too long."),
        ({"compare": {"seeds": []}}, "compare.seeds needs at least 1 entry."),
        ({"train": {"models": {"gfm": {"steps": "x"}}}}, "train.models.gfm.steps must be a whole number, not 'x'."),
        (
            {"train": {"models": {"gfm": {"stepz": 3}}}},
            r"The key train.models.gfm.stepz is unknown; did you mean train.models.gfm.steps\?",
        ),
        ({"train": {"models": {"gmf": {"steps": 3}}}}, "train.models must be one of small-trimap, .*, not 'gmf'."),
        ({"compare": {"seeds": [1, 1]}}, r"compare.seeds lists an entry twice: \[1, 1\]."),
    ],
)
def test_a_mistake_is_one_sentence_with_its_key(given, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        settings.complete(given, SCHEMA)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompts": {"file": "none.txt"}}, ["prompts.file", "none.txt"]),
        ({"prompts": {"grammar": "none.yaml"}}, ["prompts.grammar", "none.yaml"]),
        ({"paths": {"bank": "nowhere"}}, ["paths.bank", "nowhere"]),
        ({"paths": {"mirror": "none"}}, ["paths.mirror", "none"]),
        ({"screen": {"review": "none.csv"}}, ["screen.review", "none.csv"]),
        ({"train": {"backgrounds": "none"}}, ["train.backgrounds", "none"]),
        ({"train": {"initial": "none"}}, ["train.initial", "none/model.json"]),
        ({"train": {"init": "dino", "init_file": "no.safetensors"}}, ["train.init_file", "no.safetensors"]),
        ({"train": {"models": {"small-free": {"initial": "none"}}}}, ["train.models.small-free.initial", "none"]),
        ({"train": {"models": {"small-free": {"gpus": 2}}}}, ["train.models.small-free.gpus", "train.gpus"]),
        ({"train": {"models": {"small-free": {"scale_low": 9}}}}, ["train.scale_low", "small-free"]),
        ({"refine": {"floor": 0.2}}, ["refine.haze", "refine.floor"]),
        ({"refine": {"core": 0.01}}, ["refine.core", "refine.floor"]),
        ({"paths": {"results": ""}}, ["paths.results", "''"]),
        ({"paths": {"results": "/"}}, ["paths.results", "'/'"]),
        ({"paths": {"results": "~/results"}}, ["paths.results", "home folder", "'~/results'"]),
        ({"paths": {"results": "--force"}}, ["paths.results", "'--force'"]),
        ({"paths": {"results": "a{shard}"}}, ["paths.results", "braces", "'a{shard}'"]),
        ({"paths": {"weights": "a\nb"}}, ["paths.weights", "line breaks"]),
        ({"prompts": {"file": "a\0.txt"}}, ["prompts.file"]),
        ({"prompts": {"train": 0.9, "val": 0.2}}, ["prompts.train", "prompts.val"]),
        ({"generate": {"backend": "folder"}}, ["generate.pictures"]),
        ({"assemble": {"variants": ["raw"]}}, ["compare.variants", "assemble.variants"]),
        ({"compare": {"fractions": [50]}}, ["compare.fractions", "100"]),
        ({"compare": {"variants": ["raw", "p3m"]}}, ["compare.variants", "p3m", "external"]),
        ({"compare": {"capacity_variant": "p3m"}}, ["compare.capacity_variant", "p3m"]),
        ({"external": {"raw": {"root": "resources"}}}, ["external.raw", "none of"]),
        ({"external": {"My Set": {"root": "resources"}}}, ["external.My Set", "[a-z0-9-]+"]),
        ({"external": {"mine": {"root": "nowhere"}}}, ["external.mine.root", "nowhere"]),
        ({"benchmark": {"names": ["bank", "p3m-500-np"]}}, ["benchmark.names", "benchmark.roots.p3m-500-np"]),
        (
            {"benchmark": {"names": ["p3m-500-np"], "roots": {"p3m-500-np": "nowhere"}}},
            ["benchmark.roots.p3m-500-np", "nowhere"],
        ),
        (
            {"generate": {"backend": "folder", "pictures": "resources"}, "prompts": {"file": "README.md"}},
            ["prompts.file", "folder"],
        ),
        ({"generate": {"backend": "folder", "pictures": "resources"}}, ["truth", "folder"]),
        ({"generate": {"backend": "layerdiffuse", "size": 1000}}, ["generate.size", "multiple of 64"]),
        ({"generate": {"backend": "layerdiffuse"}, "layerdiffuse": {"base": "mine"}}, ["layerdiffuse.base", "mine"]),
        (
            {"generate": {"backend": "layerdiffuse"}, "layerdiffuse": {"catalogue": "no.yaml"}},
            ["no catalogue", "no.yaml"],
        ),
        ({"generate": {"backend": "layerdiffuse"}}, ["truth", "layerdiffuse"]),
        ({"video": {"benchmarks": ["crgnn"]}}, ["video.benchmarks", "video.roots.crgnn"]),
        ({"video": {"benchmarks": ["crgnn"], "roots": {"crgnn": "nowhere"}}}, ["video.roots.crgnn", "nowhere"]),
        ({"video": {"free": "nowhere"}}, ["video.free", "nowhere/model.json"]),
        ({"video": {"model": "nowhere"}}, ["video.model", "nowhere/model.json"]),
        ({"video": {"model": "resources/models/portrait"}}, ["video.model", "needs a trimap", "portrait"]),
        ({"video": {"segmenter": "sam2"}}, ["video.segmenter", "video.weights"]),
        ({"video": {"segmenter": "sam2", "weights": "nowhere"}}, ["video.weights", "nowhere/model.safetensors"]),
        ({"video": {"segmenter": "sam2", "weights": "resources/models/portrait"}}, ["video.sha256"]),
        ({"video": {"segmenter": "masks"}}, ["video.segmenter", "video.masks"]),
        ({"video": {"segmenter": "masks", "masks": "nowhere"}}, ["video.masks", "nowhere/bank-clips"]),
        (
            {"compare": {"model": "modnet", "others": []}, "video": {"model": None}},
            ["compare.model", "video.model", "video.benchmarks"],
        ),
    ],
)
def test_an_impossible_combination_is_one_sentence(given, words):
    with pytest.raises((ValueError, FileNotFoundError), match=r"^[^\n]+\.$") as caught:
        settings.cross_check(settings.complete(given, SCHEMA))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"crop": 15},
        {"scale_low": 0},
        {"scale_low": 2.0, "scale_high": 1.0},
        {"erosion_low": 11},
        {"two_foregrounds": 1.5},
        {"jitter": 1.5},
        {"degrade": 1.5},
        {"resize_to": 64, "resize": 0.5},
        {"milestones": [0.5]},
        {"milestones": [0.5, 0.2], "factors": [0.1, 0.1]},
        {"keep": "best"},
    ],
)
def test_what_a_training_would_refuse_is_refused_before_the_portraits_are_made(wrong):
    plan = {field.name for field in dataclasses.fields(recipes.Plan)}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        (recipes.Plan if wrong.keys() & plan else augment.Params)(**wrong)
    with pytest.raises(ValueError, match=rf"^train\.{next(iter(wrong))} [^\n]+\.$"):
        settings.cross_check(complete(train=wrong))


def test_a_whole_number_may_be_written_with_a_point():
    """As JSON Schema has it; a command line's numbers are whole."""
    config = complete(prompts={"shard_size": 24.0}, compare={"seeds": [3.0]}, train={"zoom": 2.0})
    assert repr(config["prompts"]["shard_size"]) == "24"
    assert repr(config["compare"]["seeds"]) == "[3]"
    assert repr(config["train"]["zoom"]) == "2.0"


def test_more_shards_than_have_a_number_are_refused():
    config = complete(prompts={"count": 10**8, "shard_size": 9})
    with pytest.raises(ValueError, match=r"11,111,112 shards, .* raise prompts\.shard_size\."):
        settings.source(config)


def test_a_key_that_a_file_has_twice_is_named(tmp_path):
    """YAML would take the later one, and the earlier section would be dropped silently."""
    file = tmp_path / "mine.yaml"
    file.write_text("train: {steps: 3}\ngenerate: &a\n  size: 64\n  size: 128\n")
    with pytest.raises(ValueError, match=r"mine\.yaml has the key generate\.size twice"):
        settings.check_keys(file)
    file.write_text("train: {steps: 3}\nrun: x\ntrain: {crop: 64}\n")
    with pytest.raises(ValueError, match=r"mine\.yaml has the key train twice"):
        settings.check_keys(file)
    file.write_text("\ufeffa: &a {b: 1, c: {b: 2}}\r\nd: {<<: *a, b: 3}\r\ne: &e\r\n  f: *e\r\n")
    settings.check_keys(file)
    for name in ("config.yaml", "paper.yaml", "study.yaml", "video.yaml"):
        settings.check_keys(ROOT / "config" / name)


def test_an_external_data_set_needs_its_root():
    with pytest.raises(ValueError, match=r"^The key external.mine.root is missing.$"):
        complete(external={"mine": {}})


def test_an_external_data_set_is_completed_and_trained_on():
    config = complete(
        external={"mine": {"root": "resources"}}, compare={"variants": ["refined", "mine"], "seeds": [0], "others": []}
    )
    assert config["external"]["mine"] == {"root": "resources", "layout": "folder", "split": "train"}
    settings.cross_check(config)
    assert "small-trimap/mine-f100-s0" in [training.name for training in settings.trainings(config)]


def test_every_key_has_a_description_and_a_default():
    def leaves(schema, prefix=""):
        for key, part in schema["properties"].items():
            assert "default" in part, f"{prefix}{key}"
            if "properties" in part:
                assert part["additionalProperties"] is False, f"{prefix}{key}"
                leaves(part, f"{prefix}{key}.")
            elif "additionalProperties" not in part or part["additionalProperties"] is False:
                assert part["description"].endswith("."), f"{prefix}{key}"

    leaves(SCHEMA)


def test_the_grammar_fills_whole_shards_that_a_larger_count_leaves_alone():
    sizes = [settings.source(complete(prompts={"count": count, "shard_size": 24})).sizes for count in (1, 24, 25, 97)]
    assert sizes == [[24], [24], [24, 24], [24] * 5]


def test_rows_added_to_a_prompt_file_change_no_full_shard(tmp_path):
    file = tmp_path / "prompts.txt"
    config = complete(prompts={"file": str(file), "shard_size": 2})
    file.write_text("a close-up\nan upper body\na third\n")
    before = settings.source(config)
    file.write_text("a close-up\nan upper body\na third\na fourth\na fifth\n")
    after = settings.source(config)
    assert (before.option, before.sizes, after.sizes) == ("file", [2, 1], [2, 2, 1])
    assert after.digests[0] == before.digests[0]
    assert after.digests[1] != before.digests[1]


def test_the_trainings_of_a_comparison():
    config = complete(
        compare={
            "model": "small-trimap",
            "variants": ["raw", "refined"],
            "seeds": [3, 4],
            "capacity_variant": "refined",
            "fractions": [25, 100],
            "others": ["small-free"],
        },
        train={"steps": 7, "models": {"small-free": {"steps": 3}}},
    )
    assert settings.steps(config) == 6 * 7 + 3
    assert [training.name for training in settings.trainings(config)] == [
        "small-free/refined-f100-s3",
        "small-trimap/raw-f100-s3",
        "small-trimap/raw-f100-s4",
        "small-trimap/refined-f025-s3",
        "small-trimap/refined-f025-s4",
        "small-trimap/refined-f100-s3",
        "small-trimap/refined-f100-s4",
    ]


def test_options():
    section = {"some_key": 3, "on": True, "off_it": False, "none": None, "many": ["a b", "c"], "path": "x"}
    text = settings.options(section, "path")
    assert shlex.split(text) == ["--many", "a b", "--many", "c", "--no-off-it", "--on", "--some-key", "3"]


def test_options_do_not_depend_on_the_order_of_keys():
    assert settings.options({"a": 1, "b": 2}) == settings.options({"b": 2, "a": 1})


def test_a_network_s_own_settings_go_over_those_of_all():
    config = copy.deepcopy(complete(train={"steps": 7, "models": {"small-free": {"steps": 9}}}))
    assert "--steps 7" in settings.train_options(config, "small-trimap")
    assert "--steps 9" in settings.train_options(config, "small-free")


def test_what_depends_on_the_machine_is_no_training_option():
    config = complete(train={"threads": 3, "gpus": 0, "nodes": 2, "init_file": "here.safetensors"})
    text = settings.train_options(config, "small-trimap")
    assert not re.search(r"--(threads|gpus|nodes|backgrounds|models|init-file)\b", text)
    assert settings.init_file(config, "small-trimap") == ["here.safetensors"]
    assert settings.init_file(complete(), "small-trimap") == []


def test_the_model_to_go_on_from_is_a_file_that_is_watched():
    config = complete(train={"initial": "here", "models": {"small-free": {"initial": "there"}}})
    assert settings.initial_model(config, "small-trimap") == ["here/model.json"]
    assert settings.initial_model(config, "small-free") == ["there/model.json"]
    assert settings.initial_model(complete(), "small-trimap") == []
    assert "--initial" not in settings.train_options(config, "small-trimap")


def test_what_cannot_be_merged_is_told(tmp_path):
    (tmp_path / "run-a").mkdir()
    with pytest.raises(
        ValueError, match=r"assemble\.merge names .*run-a/datasets/raw/checksums\.sha256, which does not"
    ):
        settings.cross_check(complete(assemble={"merge": [str(tmp_path / "run-a")]}))
    for variant in settings.VARIANTS:
        (tmp_path / "run-a" / "datasets" / variant).mkdir(parents=True)
        (tmp_path / "run-a" / "datasets" / variant / "checksums.sha256").touch()
    settings.cross_check(complete(assemble={"merge": [str(tmp_path / "run-a")]}))
    with pytest.raises(ValueError, match=r"assemble\.limit is of no use"):
        settings.cross_check(complete(assemble={"merge": [str(tmp_path / "run-a")], "limit": 3}))
    with pytest.raises(ValueError, match="this run itself"):
        settings.cross_check(
            complete(run="run-a", paths={"results": str(tmp_path)}, assemble={"merge": [str(tmp_path / "run-a")]})
        )


@pytest.mark.parametrize(
    ("count", "limit", "step"), [(96, 20000, 1), (96, 0, 1), (96, 96, 1), (96, 95, 2), (120, 24, 5)]
)
def test_the_page_shows_no_more_than_its_limit(count, limit, step):
    config = complete(prompts={"count": count}, figures={"gallery_limit": limit})
    assert settings.gallery_step(config, settings.source(config)) == step


def test_options_of_layerdiffuse_leave_out_the_machine_and_the_bank():
    section = {"backend": "layerdiffuse", "size": 1024}
    config = complete(generate=section, layerdiffuse={"steps": 30, "batch": 7})
    making = (
        "--backend layerdiffuse --cfg 7.0 --dtype float16 --passes 8 --sampler dpmpp-2m-karras --size 1024 --steps 30"
    )
    assert settings.generate_options(config) == f"{making} --no-true-median"
    machine = "--batch 7 --channels-last --no-compile --failed 0.5 --gpus 1 --no-offload"
    assert settings.machine_options(config) == machine
    assert settings.machine_options(complete()) == settings.weights(complete()) == ""
    assert settings.weights(config) == (
        "base=realvisxl-v4@49740684,vae=sdxl-vae-fp16-fix@207b116d,attention=layerdiffuse-attention@e76ba7e9,"
        "decoder=layerdiffuse-decoder@e76ba7e9"
    )


def test_the_options_of_section_layerdiffuse_are_those_of_the_commands():
    properties = SCHEMA["properties"]["layerdiffuse"]["properties"]
    for command, keys in [
        ("generate_portraits", properties.keys() - {*files.ROLES, "catalogue", "batch"}),
        ("fetch_weights", files.ROLES),
    ]:
        parameters = inspect.signature(importlib.import_module(command).main).parameters
        assert {key: parameters[key].default for key in keys} == {key: properties[key]["default"] for key in keys}


def test_the_schema_allows_what_the_registries_hold():
    assert set(settings.VARIANTS) == set(datasets.VARIANTS) == set(scores.VARIANTS)
    images = [name for name in benchmarks.NAMES if benchmarks.get(name).KIND == "image"]
    assert SCHEMA["properties"]["benchmark"]["properties"]["names"]["items"]["enum"] == images
    clips = [name for name in benchmarks.NAMES if benchmarks.get(name).KIND == "video"]
    assert SCHEMA["properties"]["video"]["properties"]["benchmarks"]["items"]["enum"] == clips
    layouts = SCHEMA["properties"]["external"]["additionalProperties"]["properties"]["layout"]["enum"]
    assert layouts == [name for name in images if name != "bank"]
    models = {path.stem for path in (SCRIPTS / "ldportrait" / "generators").glob("*.py")} - {"__init__", "artifacts"}
    assert set(SCHEMA["properties"]["generate"]["properties"]["backend"]["enum"]) == models


COMMANDS = {
    "refine": "refine_mattes",
    "key": "key_mattes",
    "screen": "screen_portraits",
    "assemble": "assemble_dataset",
    "train": "train_matting",
}


@pytest.mark.parametrize("section", COMMANDS)
def test_defaults_are_those_of_the_command(section):
    parameters = inspect.signature(importlib.import_module(COMMANDS[section]).main).parameters
    handled_by_the_rule = {"models", "variants", "backgrounds", "gpus", "nodes", "threads", "review", "merge"}
    properties = SCHEMA["properties"][section]["properties"]
    wanted = {key: part["default"] for key, part in properties.items() if key not in handled_by_the_rule}
    assert wanted == {key: parameters[key].default for key in wanted}


def test_the_networks_that_need_a_trimap_are_those_of_the_registry():
    assert set(columns.TRIMAP_BASED) == {name for name, network in NETWORKS.items() if network.needs_trimap}


def test_clips_are_matted_by_the_first_network_that_needs_a_trimap():
    config = complete(compare={"model": "small-free", "others": ["gfm", "vitmatte-s"], "seeds": [5, 3]})
    training = settings.video_training(config)
    assert training.name == "vitmatte-s/refined-f100-s5"
    assert training in settings.trainings(config)
    assert settings.video_training(complete()) in settings.trainings(complete())
    assert settings.video_training(complete(compare={"model": "gfm", "others": []})) is None


def test_without_clips_no_network_for_them_is_needed():
    settings.cross_check(complete(compare={"model": "gfm", "others": []}, video={"benchmarks": []}))


def test_a_trimap_based_model_does_not_segment(tmp_path):
    (tmp_path / "model.json").write_text('{"model": "small-trimap"}')
    settings.cross_check(complete(video={"model": str(tmp_path)}))
    with pytest.raises(ValueError, match=r"^video.free must name one that needs no trimap, which small-trimap "):
        settings.cross_check(complete(video={"free": str(tmp_path)}))


def test_the_ways_to_matte_clips():
    assert settings.video_methods(complete(), "bank-clips") == list(settings.VIDEO_ORDER) == list(scores.METHODS)
    config = complete(video={"others": ["truth"], "strength": 2})
    assert settings.video_methods(config, "bank-clips") == ["frames", "ours", "truth"]
    assert settings.video_methods(config, "crgnn") == ["frames", "ours"]  # it has no true alpha of every frame
    assert settings.matte_video_options(config, "frames") == "--trimaps none --no-smooth"
    assert settings.matte_video_options(config, "ours") == "--trimaps evidence --smooth --neighbours 3 --strength 2"
    assert {*settings.VIDEO_METHODS, "mask"} == set(scores.METHODS)


def test_defaults_of_video_are_those_of_its_commands():
    properties = SCHEMA["properties"]["video"]["properties"]
    for command, keys in [("matte_video", ("strength", "neighbours")), ("segment_video", ("segmenter", "sha256"))]:
        parameters = inspect.signature(importlib.import_module(command).main).parameters
        assert {key: parameters[key].default for key in keys} == {key: properties[key]["default"] for key in keys}


def test_what_segmenting_takes():
    assert settings.segment_video_options(complete()) == "--segmenter frames"
    assert settings.segmenter_files(complete(), "crgnn") == {"weights": [], "masks": []}
    sam2 = complete(video={"segmenter": "sam2", "weights": "here", "sha256": "ab", "masks": "there"})
    assert settings.segment_video_options(sam2) == "--segmenter sam2 --sha256 ab"
    assert settings.segmenter_files(sam2, "crgnn") == {"weights": ["here/model.safetensors"], "masks": []}
    given = complete(video={"segmenter": "masks", "masks": "there"})
    assert settings.segmenter_files(given, "crgnn") == {"weights": [], "masks": ["there/crgnn"]}
