"""The configuration: checked against its schema, completed with defaults, and read for what the workflow must make.

Every mistake is a ValueError of one sentence that names the key and says what to do. Nothing heavy is imported here,
since Snakemake reads this at every start, on a cluster in every job.
"""

import difflib
import hashlib
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import yaml

from ldportrait.columns import TRIMAP_BASED
from ldportrait.layerdiffuse import files

VARIANTS = ("raw", "refined", "keyed", "truth")
NAME = "[a-z0-9-]+"
MOST_SHARDS = 10_000_000  # of seven digits
TYPES = {
    "object": "a section with keys of its own",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


# Checks


def check_keys(path: Path | str) -> None:
    """Raise ValueError where a configuration file has a key twice: YAML would take the later one and drop the other."""
    queue = [("", yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader))]
    seen = []  # an anchor may hold itself
    while queue:
        prefix, node = queue.pop()
        if isinstance(node, yaml.MappingNode) and node not in seen:
            seen.append(node)
            names = [f"{prefix}{key.value}" for key, _ in node.value]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{path} has the key {twice} twice; put what both say under one.")
            queue += [(f"{name}.", value) for name, (_, value) in zip(names, node.value, strict=True)]


def complete(config: Mapping, schema: Mapping) -> dict:
    """Check a configuration and fill in the schema's defaults. ValueError names the first wrong key.

    The given configuration stays as it is.
    """
    _check(config, schema)
    for model, own in config.get("train", {}).get("models", {}).items():
        _check(own, schema["properties"]["train"], f"train.models.{model}")
    return _defaults(config, schema)


def _check(config: Mapping, schema: Mapping, place: str = "") -> None:
    """Raise ValueError for the first wrong key of a configuration, or of the part of it that lies at `place`."""
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(config))
    if error is not None:
        raise ValueError(_sentence(error, place))


def _defaults(value: object, schema: Mapping, key: str = "") -> object:
    """Fill in defaults; a whole number may be written 24.0, and none is .nan, which passes any range."""
    if isinstance(value, list):
        return [_defaults(item, schema.get("items", {}), key) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{key} must be a finite number, not {value}.")
        return int(value) if "number" not in schema.get("type", "number") and value.is_integer() else value
    if not isinstance(value, Mapping):
        return value
    properties = schema.get("properties", {})
    filled = {key: subschema["default"] for key, subschema in properties.items() if "default" in subschema}
    others = schema.get("additionalProperties") or {}
    return {
        name: _defaults(item, properties.get(name, others), f"{key}.{name}".lstrip("."))
        for name, item in {**filled, **value}.items()
    }


def _sentence(error: jsonschema.ValidationError, place: str) -> str:
    """Say in one sentence what a schema error means for the one who wrote the configuration."""
    key = ".".join(map(str, [place, *error.absolute_path] if place else error.absolute_path))
    value, wanted = error.instance, error.validator_value
    prefix = f"{key}." if key else ""
    match error.validator:
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            unknown = next(name for name in value if name not in known)
            close = difflib.get_close_matches(str(unknown), known, n=1)
            advice = f"did you mean {prefix}{close[0]}?" if close else f"known are: {', '.join(known)}."
            return f"The key {prefix}{unknown} is unknown; {advice}"
        case "required":
            missing = next(name for name in wanted if name not in value)
            return f"The key {prefix}{missing} is missing."
        case "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            return f"{key or 'The configuration'} must be {' or '.join(TYPES[name] for name in types)}, not {value!r}."
        case "enum":
            return f"{key} must be one of {', '.join(map(str, wanted))}, not {value!r}."
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
            return f"{key} must be {words.get(error.validator, 'less than')} {wanted}, not {value!r}."
        case "pattern":
            return f"{key} must match {wanted}, which {value!r} does not."
        case "minItems":
            return f"{key} needs at least {wanted} entr{'y' if wanted == 1 else 'ies'}."
        case "uniqueItems":
            return f"{key} lists an entry twice: {value!r}."
        case "multipleOf":
            return f"{key} must be a multiple of {wanted}, not {value!r}."
    return f"{key}: {error.message}."


def cross_check(config: Mapping) -> None:
    """Refuse what the schema cannot: files that are missing, and keys that do not go together."""
    for key, path in [*(("paths." + name, config["paths"][name]) for name in ("results", "weights")), *_files(config)]:
        if re.match("[-~/]*$|[-~]", path) or re.search(r"[{}\x00-\x1f]", path):
            raise ValueError(
                f"{key} must name a file or folder without braces and line breaks, and not begin with - or ~ "
                f"(which is not taken for the home folder), not be {path!r}."
            )
    for key, path in _files(config):
        if not Path(path).exists():
            raise ValueError(f"{key} names {path}, which does not exist.")
    prompts, generate, compare = config["prompts"], config["generate"], config["compare"]
    backend = generate["backend"]
    if prompts["train"] + prompts["val"] > 1:
        raise ValueError("prompts.train and prompts.val add up to more than 1; what they leave is the test split.")
    if backend == "folder" and not generate["pictures"]:
        raise ValueError("generate.backend is folder, so generate.pictures must name the folder of RGBA pictures.")
    if backend == "folder" and prompts["file"]:
        raise ValueError("prompts.file is of no use with generate.backend folder; set it to null.")
    if backend == "layerdiffuse":
        weights(config)
        if generate["size"] % 64:
            raise ValueError(f"generate.size must be a multiple of 64 for layerdiffuse, not {generate['size']}.")
    merged = config["assemble"]["merge"]
    if f"{config['paths']['results']}/{config['run']}" in merged:
        raise ValueError(
            f"assemble.merge lists this run itself; give the merged run another name than {config['run']}."
        )
    if merged and config["assemble"]["limit"]:
        raise ValueError("assemble.limit is of no use with assemble.merge; set it to 0.")
    if "truth" in config["assemble"]["variants"] and backend != "bank" and not merged:
        raise ValueError(
            f"assemble.variants lists truth, but generate.backend {backend} gives no exact alpha; leave it out."
        )
    for model, own in config["train"]["models"].items():
        for key in own:
            if key in OF_ALL:
                raise ValueError(f"train.models.{model}.{key} is of no use; train.{key} holds for all networks.")
    for model in sorted({training.model for training in trainings(config)}):
        _cross_check_training(_train_section(config, model), model)
    refine = config["refine"]
    if not refine["floor"] <= refine["haze"] < refine["ceiling"]:
        raise ValueError(
            f"refine.haze must be at least refine.floor and below refine.ceiling, not {refine['haze']} "
            f"for {refine['floor']} and {refine['ceiling']}."
        )
    if refine["core"] <= refine["floor"]:
        raise ValueError(f"refine.core must lie above refine.floor, {refine['floor']}, not at {refine['core']}.")
    for name in config["external"]:
        if name in VARIANTS or not re.fullmatch(NAME, name):
            raise ValueError(f"external.{name}: a name must match {NAME} and be none of {', '.join(VARIANTS)}.")
    for key, wanted in [
        ("compare.variants", compare["variants"]),
        ("compare.capacity_variant", [compare["capacity_variant"]]),
    ]:
        for variant in wanted:
            if variant not in [*config["assemble"]["variants"], *config["external"]]:
                raise ValueError(f"{key} names {variant}, which neither assemble.variants nor external lists.")
    for name in config["benchmark"]["names"]:
        if name != "bank" and name not in config["benchmark"]["roots"]:
            raise ValueError(f"benchmark.names lists {name}, so benchmark.roots.{name} must name its folder.")
    if 100 not in compare["fractions"]:
        raise ValueError("compare.fractions must contain 100, the whole data set.")
    if config["video"]["benchmarks"]:
        _cross_check_video(config)


def _cross_check_training(train: Mapping, model: str) -> None:
    """Refuse settings that contradict each other, which a training would refuse once all portraits are made."""
    for low, high in [("scale_low", "scale_high"), ("erosion_low", "erosion_high")]:
        if train[low] > train[high]:
            raise ValueError(f"train.{low} is above train.{high} for {model}: {train[low]} and {train[high]}.")
    if train["resize"] and train["resize_to"] < train["crop"]:
        raise ValueError(
            f"train.resize_to must be at least train.crop for {model}, {train['crop']}, not {train['resize_to']}."
        )
    milestones, factors = train["milestones"] or [], train["factors"] or []
    if len(milestones) != len(factors) or sorted(milestones) != milestones:
        raise ValueError(
            f"train.milestones must rise, and train.factors be as many, for {model}: not {milestones} and {factors}."
        )
    if train["keep"] == "best" and not train["validate_every"]:
        raise ValueError(
            f"train.keep is best for {model}, so train.validate_every must say after how many steps to validate."
        )


def _cross_check_video(config: Mapping) -> None:
    """Refuse benchmarks without a folder, and models that do not do what they are named for."""
    video = config["video"]
    for name in video["benchmarks"]:
        if not name.startswith("bank-") and name not in video["roots"]:
            raise ValueError(f"video.benchmarks lists {name}, so video.roots.{name} must name its folder.")
    for key, needs_trimap in [("model", True), ("free", False)]:
        if video[key] is None:
            continue
        network = json.loads(Path(video[key], "model.json").read_text(encoding="utf-8")).get("model")
        if (network in TRIMAP_BASED) != needs_trimap:
            wanted = "a model that needs a trimap" if needs_trimap else "one that needs no trimap"
            raise ValueError(f"video.{key} must name {wanted}, which {network} in {video[key]} is not.")
    for segmenter, key in [("masks", "masks"), ("sam2", "weights"), ("sam2", "sha256")]:
        if video["segmenter"] == segmenter and not video[key]:
            raise ValueError(f"video.segmenter is {segmenter}, so video.{key} must be given.")
    if video["model"] is None and video_training(config) is None:
        raise ValueError(
            "No network of compare.model and compare.others needs a trimap; name a folder with such a model in "
            "video.model, or leave video out by an empty list in video.benchmarks."
        )


def _files(config: Mapping) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of every file or folder that the configuration names and a run will read."""
    backend = config["generate"]["backend"]
    yield "paths.bank", f"{config['paths']['bank']}/bank.parquet"
    if backend == "folder" and config["generate"]["pictures"]:
        yield "generate.pictures", config["generate"]["pictures"]
    elif config["prompts"]["file"]:
        yield "prompts.file", config["prompts"]["file"]
    else:
        yield "prompts.grammar", config["prompts"]["grammar"]
    for run in config["assemble"]["merge"]:
        for variant in config["assemble"]["variants"]:
            yield "assemble.merge", f"{run}/datasets/{variant}/checksums.sha256"
    for name, external in config["external"].items():
        yield f"external.{name}.root", external["root"]
    train = config["train"]
    for place, section in {
        "train": train,
        **{f"train.models.{name}": own for name, own in train["models"].items()},
    }.items():
        if section.get("init_file"):
            yield f"{place}.init_file", section["init_file"]
        if section.get("initial"):
            yield f"{place}.initial", f"{section['initial']}/model.json"
    for name in config["benchmark"]["names"]:
        if name in config["benchmark"]["roots"]:
            yield f"benchmark.roots.{name}", config["benchmark"]["roots"][name]
    video = config["video"]
    if video["benchmarks"]:
        yield "video.free", f"{video['free']}/model.json"
        if video["model"]:
            yield "video.model", f"{video['model']}/model.json"
        if video["segmenter"] == "sam2" and video["weights"]:
            yield "video.weights", f"{video['weights']}/model.safetensors"
        if video["segmenter"] == "masks" and video["masks"]:
            for name in video["benchmarks"]:
                yield "video.masks", f"{video['masks']}/{name}"
    for name in video["benchmarks"]:
        if name in video["roots"]:
            yield f"video.roots.{name}", video["roots"][name]
    for section, key in [("paths", "mirror"), ("screen", "review"), ("train", "backgrounds")]:
        if config[section][key]:
            yield f"{section}.{key}", config[section][key]


# Generation

# What concerns the machine or the files' places alone, and so must not make pictures again.
MACHINE = ("batch", "offload", "channels_last", "compile", "failed")


def weights(config: Mapping) -> str:
    """Say which weights the layerdiffuse backend uses, checked against the catalogue; "" for another backend.

    Without paths, so that moving the weights makes nothing again. ValueError or FileNotFoundError, naming the key.
    """
    if config["generate"]["backend"] != "layerdiffuse":
        return ""
    section = config["layerdiffuse"]
    return files.identity(files.choose(section, files.load_catalogue(section["catalogue"])))


def generate_options(config: Mapping) -> str:
    """What makes the pictures as options: the keys of section generate that the backend heeds, and its own section."""
    section = config["generate"]
    if section["backend"] != "layerdiffuse":
        return options(section, "pictures", "gpus")
    heeded = {key: section[key] for key in ("backend", "size")}
    return options(heeded | config["layerdiffuse"], *files.ROLES, "catalogue", *MACHINE)


def fetch_options(config: Mapping) -> str:
    """Which weights to fetch and where to, as options; a VAE of null is the checkpoint's own."""
    section = config["layerdiffuse"]
    return options({role: section[role] or "" for role in files.ROLES} | {"folder": config["paths"]["weights"]})


def machine_options(config: Mapping) -> str:
    """What suits the layerdiffuse backend to the machine, as options; pictures do not depend on it."""
    if config["generate"]["backend"] != "layerdiffuse":
        return ""
    return options({key: config["layerdiffuse"][key] for key in MACHINE} | {"gpus": config["generate"]["gpus"]})


# Prompts and pictures


@dataclass(frozen=True)
class Source:
    """Where prompts come from: the option of make_prompts, the file or folder, and what it says about each shard.

    `sizes` counts each shard's pictures. `digests` holds, for a file or folder of the user's, what tells one state of
    a shard's rows from another; `pictures` the files of a shard, for a folder.
    """

    option: str
    path: str
    sizes: list[int]
    digests: list[str]
    pictures: list[list[str]]


def source(config: Mapping) -> Source:
    """Read from the configuration, and from the user's own prompts or pictures, what each shard will hold.

    The grammar fills whole shards, so that a larger count changes no shard that exists.
    """
    prompts, generate = config["prompts"], config["generate"]
    size = prompts["shard_size"]
    if generate["backend"] != "folder" and not prompts["file"]:
        count = math.ceil(prompts["count"] / size)
        if count > MOST_SHARDS:
            raise ValueError(
                f"prompts.count makes {count:,} shards, but numbers end at {MOST_SHARDS:,}; raise prompts.shard_size."
            )
        return Source("grammar", prompts["grammar"], [size] * count, [], [])
    try:
        from ldportrait.prompts import list_pictures, read_lines  # only here, since it takes long to import
    except ModuleNotFoundError as error:  # with conda: Snakemake's environment is not that of the jobs
        raise ValueError(
            f"Your own prompts or pictures are read by Snakemake's own Python, which lacks {error.name}; "
            "docs/conda.md says what to install."
        ) from error

    if generate["backend"] == "folder":
        folder = Path(generate["pictures"])
        rows = [str(name) for name in list_pictures(folder)]
    else:
        rows = read_lines(Path(prompts["file"]))
    parts = [rows[first : first + size] for first in range(0, len(rows), size)]
    digests = [hashlib.sha256("\n".join(part).encode()).hexdigest()[:16] for part in parts]
    if generate["backend"] == "folder":
        pictures = [[str(folder / name) for name in part] for part in parts]
        return Source("pictures", str(folder), [len(part) for part in parts], digests, pictures)
    return Source("file", prompts["file"], [len(part) for part in parts], digests, [])


def gallery_step(config: Mapping, source: Source) -> int:
    """Which portraits the page shows: each so-manieth, so that they are figures.gallery_limit at most (0: all)."""
    limit = config["figures"]["gallery_limit"]
    return math.ceil(sum(source.sizes) / limit) if limit else 1


# Training

# Keys of section train that hold for all networks, and that a rule passes by other ways than as a network's options.
OF_ALL = ("models", "backgrounds", "gpus", "nodes", "threads")


@dataclass(frozen=True, order=True)
class Training:
    """One model to train: which network, on which variant, on how many percent of it, from which seed."""

    model: str
    variant: str
    percent: int
    seed: int

    @property
    def name(self) -> str:
        """The folder of the model, and of all that is made with it."""
        return f"{self.model}/{self.variant}-f{self.percent:03d}-s{self.seed}"


def trainings(config: Mapping) -> list[Training]:
    """List the models to train: the network under comparison on every variant, its data-set sizes, and the others.

    Every seed is used for the network under comparison, the first one for the others.
    """
    compare = config["compare"]
    model, seeds = compare["model"], compare["seeds"]
    wanted = {Training(model, variant, 100, seed) for variant in compare["variants"] for seed in seeds}
    wanted |= {
        Training(model, compare["capacity_variant"], percent, seed)
        for percent in compare["fractions"]
        for seed in seeds
    }
    wanted |= {Training(other, compare["capacity_variant"], 100, seeds[0]) for other in compare["others"]}
    return sorted(wanted)


def train_options(config: Mapping, model: str) -> str:
    """The training settings of one network as options: those of all, with its own over them.

    What depends on the machine and the paths is left out: a rule passes it by other ways, so that it reruns nothing.
    """
    return options(_train_section(config, model), *OF_ALL, "init_file", "initial")


def init_file(config: Mapping, model: str) -> list[str]:
    """The file of weights that a network starts from, as a list of one; else an empty one."""
    file = _train_section(config, model)["init_file"]
    return [file] if file else []


def initial_model(config: Mapping, model: str) -> list[str]:
    """The description of the model that a network goes on from, as a list of one; else an empty one."""
    folder = _train_section(config, model)["initial"]
    return [f"{folder}/model.json"] if folder else []


def _train_section(config: Mapping, model: str) -> dict:
    return config["train"] | config["train"]["models"].get(model, {})


def steps(config: Mapping) -> int:
    """Count the steps of all trainings together."""
    return sum(_train_section(config, training.model)["steps"] for training in trainings(config))


# Video

PARTLY_TRUE = ("crgnn",)  # benchmarks without a true alpha of every frame, of which no trimaps can be made
VIDEO_ORDER = ("frames", "frames-smoothed", "mask", "unsmoothed", "ours", "truth")
# How each way to matte a clip calls matte_video; that of `mask` are the masks of segment_video.
VIDEO_METHODS = {
    "frames": "--trimaps none --no-smooth",
    "frames-smoothed": "--trimaps none --smooth",
    "unsmoothed": "--trimaps evidence --no-smooth",
    "ours": "--trimaps evidence --smooth",
    "truth": "--trimaps truth --smooth",
}


def video_training(config: Mapping) -> Training | None:
    """The trimap-based model of the run's own that mattes clips; None where no network compared is one."""
    compare = config["compare"]
    for model in [compare["model"], *compare["others"]]:
        if model in TRIMAP_BASED:
            return Training(model, compare["capacity_variant"], 100, compare["seeds"][0])
    return None


def video_methods(config: Mapping, benchmark: str) -> list[str]:
    """The ways to matte a benchmark's clips that a run compares, in the order of tables."""
    chosen = {"frames", "ours", *config["video"]["others"]}
    if benchmark in PARTLY_TRUE:
        chosen.discard("truth")
    return [name for name in VIDEO_ORDER if name in chosen]


def segment_video_options(config: Mapping) -> str:
    """How segment_video is called, but for the files that it takes; a rule passes these by other ways."""
    video = config["video"]
    sure = {"sha256": video["sha256"]} if video["segmenter"] == "sam2" else {}
    return options({"segmenter": video["segmenter"]} | sure)


def segmenter_files(config: Mapping, benchmark: str) -> dict[str, list[str]]:
    """The weights and the folder of masks that segmenting needs, as lists of one or none."""
    video = config["video"]
    return {
        "weights": [f"{video['weights']}/model.safetensors"] if video["segmenter"] == "sam2" else [],
        "masks": [f"{video['masks']}/{benchmark}"] if video["segmenter"] == "masks" else [],
    }


def matte_video_options(config: Mapping, method: str) -> str:
    """How a way to matte a clip calls matte_video."""
    how = VIDEO_METHODS[method]
    smoothing = {key: config["video"][key] for key in ("strength", "neighbours")}
    return how if how.endswith("--no-smooth") else f"{how} {options(smoothing)}"


# Words of a command


def options(section: Mapping, *leave_out: str) -> str:
    """A section as options of its command: `some_key: 3` becomes `--some-key 3`, sorted, null left out."""
    words = []
    for key, value in sorted(section.items()):
        name = key.replace("_", "-")
        if key in leave_out or value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            for item in value if isinstance(value, list) else [value]:
                words += [f"--{name}", shlex.quote(str(item))]
    return " ".join(words)


def repeated(option: str, values: list) -> str:
    """An option repeated for each value: `--seed 0 --seed 1`."""
    return " ".join(f"--{option} {shlex.quote(str(value))}" for value in values)
