"""Who is rendered: `config/bank.yaml` to one full spec per picture.

A persona is a body, a skin and hair, and belongs to one split. A portrait, clip or green shot names a persona and adds
what can change from one picture to the next: clothes, pose, expression, framing, light. A spec is plain JSON, holds all
that the renderer needs and nothing of the machine, so that a digest of it tells whether a picture must be made again.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

SPLITS = ("train", "val", "test")
KINDS = {"portraits": "portrait", "clips": "clip", "green": "green", "backgrounds": "background"}
PERSONA_KEYS = (
    "id split gender age ancestry build face skin mix tint freckles eyes brows hair hair_colour facial_hair"
).split()
LOOK_KEYS = "id persona garment garment_colour accessory pose yaw pitch roll expression framing light seed".split()
CLIP_KEYS = [*(key for key in LOOK_KEYS if key not in ("pose", "yaw", "pitch", "roll")), "motion"]


def read_config(path: Path) -> dict:
    """The parsed configuration. Raises ValueError or FileNotFoundError in one sentence that names the file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such configuration file")
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected a mapping at the top level")
    return config


def cast(config: Mapping) -> dict[str, dict]:
    """A spec per item by id, for all four kinds. Raises ValueError in one sentence naming the item and the key."""
    personas = {}
    for entry in _entries(config, "personas"):
        _check_keys(entry, PERSONA_KEYS)
        if entry["split"] not in SPLITS:
            raise ValueError(f"{entry['id']}: split '{entry['split']}' is none of {', '.join(SPLITS)}")
        if entry["id"] in personas:
            raise ValueError(f"{entry['id']}: listed twice under personas")
        personas[entry["id"]] = entry
    specs: dict[str, dict] = {}
    for section, kind in KINDS.items():
        made = {key: _setting(config, key, section) for key in ("sizes", "samples")}
        for entry in _entries(config, section):
            if kind == "background":
                spec = {"samples": made["samples"], **entry, "kind": kind, "size": made["sizes"]}
            else:
                spec = _spec(entry, kind, personas, config)
            if spec["id"] in specs:
                raise ValueError(f"{spec['id']}: listed twice under {section}")
            specs[spec["id"]] = spec
    return specs


def find(config: Mapping, item: str, kind: str) -> dict:
    """The spec of one item. Raises ValueError where the configuration has none of that kind."""
    spec = cast(config).get(item)
    if spec is None or spec["kind"] != kind:
        raise ValueError(f"{item}: the configuration lists no such {kind}")
    return spec


def _spec(entry: Mapping, kind: str, personas: Mapping, config: Mapping) -> dict:
    _check_keys(entry, CLIP_KEYS if kind == "clip" else LOOK_KEYS)
    if entry["persona"] not in personas:
        raise ValueError(f"{entry['id']}: persona '{entry['persona']}' is not listed under personas")
    persona = personas[entry["persona"]]
    section = next(name for name, value in KINDS.items() if value == kind)
    still = {"pose": "relaxed", "yaw": 0, "pitch": 0, "roll": 0} if kind == "clip" else {}
    look = {key: value for key, value in entry.items() if key not in ("id", "persona")}
    return {
        "id": entry["id"],
        "kind": kind,
        "split": persona["split"],
        "persona": persona["id"],
        "gender": persona["gender"],
        "age": persona["age"],
        "body": {"ancestry": persona["ancestry"], "build": persona["build"], "face": persona["face"]},
        "skin": {key: persona[key] for key in ("mix", "tint", "freckles")} | {"maps": persona["skin"]},
        "eyes": persona["eyes"],
        "brows": persona["brows"],
        "hair": {"style": persona["hair"], "colour": persona["hair_colour"]},
        "facial_hair": persona["facial_hair"],
        **still,
        **look,
        **({"frames": config["frames"]} if kind == "clip" else {}),
        "size": config["sizes"][section],
        "samples": config["samples"][section],
    }


def _setting(config: Mapping, key: str, section: str) -> object:
    if section not in (config.get(key) or {}):
        raise ValueError(f"{key}: no entry for {section}")
    return config[key][section]


def _entries(config: Mapping, section: str) -> list[dict]:
    entries = config.get(section)
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "id" in e for e in entries):
        raise ValueError(f"{section}: expected a list of mappings, each with an id")
    return entries


def _check_keys(entry: Mapping, allowed: list[str]) -> None:
    for key in allowed:
        if key not in entry:
            raise ValueError(f"{entry['id']}: key '{key}' is missing")
    for key in entry:
        if key not in allowed:
            raise ValueError(f"{entry['id']}: unknown key '{key}'")
