import copy
import json

import pytest
import yaml
from conftest import ROOT, small_config

from ldportrait.rendering import casting


def test_a_spec_joins_persona_and_look():
    spec = casting.find(small_config(), "portrait-001", "portrait")
    assert spec["split"] == "test"
    assert spec["hair"] == {"style": "long straight", "colour": "dark brown"}
    assert (spec["yaw"], spec["garment"], spec["seed"], spec["size"]) == (10, "shirt", 1, 32)
    assert spec["samples"] == {"alpha": 64, "colour": 16}


def test_specs_are_plain_json():
    specs = casting.cast(small_config())
    assert json.loads(json.dumps(specs)) == specs


def test_a_clip_knows_how_many_frames_it_has():
    config = small_config()
    assert casting.find(config, "clip-00", "clip")["frames"] == config["frames"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["portraits"][1].update(persona="nobody"), ["portrait-001", "nobody"]),
        (lambda c: c["portraits"][1].update(id="portrait-000"), ["portrait-000", "twice"]),
        (lambda c: c["portraits"][1].pop("light"), ["portrait-001", "light", "missing"]),
        (lambda c: c["portraits"][1].update(colour="red"), ["portrait-001", "colour", "unknown"]),
        (lambda c: c["personas"][0].update(split="dev"), ["persona-00", "dev"]),
        (lambda c: c.update(clips=None), ["clips", "list"]),
        (lambda c: c["sizes"].pop("green"), ["sizes", "green"]),
    ],
)
def test_a_wrong_configuration_is_named_in_one_sentence(change, words):
    config = copy.deepcopy(small_config())
    change(config)
    with pytest.raises(ValueError, match=words[0]) as caught:
        casting.cast(config)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_an_item_of_another_kind_is_not_found():
    with pytest.raises(ValueError, match="portrait-000"):
        casting.find(small_config(), "portrait-000", "clip")


def test_the_real_cast_uses_known_words():
    """Every word of config/bank.yaml is one that the renderer knows; Blender's lights cannot be imported here."""
    from ldportrait.rendering import hairstyles, poses, wardrobe

    config = casting.read_config(ROOT / "config" / "bank.yaml")
    for spec in casting.cast(config).values():
        if spec["kind"] == "background":
            continue
        assert spec["hair"]["style"] in hairstyles.STYLES, spec["id"]
        assert spec["hair"]["colour"] in hairstyles.COLOURS, spec["id"]
        assert spec["facial_hair"] in hairstyles.BEARDS, spec["id"]
        assert spec["garment"] in wardrobe.GARMENTS, spec["id"]
        assert wardrobe.GARMENTS[spec["garment"]].sex in ("any", spec["gender"]), spec["id"]
        assert spec["garment_colour"] in wardrobe.GARMENT_COLOURS, spec["id"]
        assert spec["accessory"] in wardrobe.ACCESSORIES, spec["id"]
        assert spec["pose"] in poses.POSES, spec["id"]
        assert spec["expression"] in poses.EXPRESSIONS, spec["id"]


def test_read_config_names_a_broken_file(tmp_path):
    path = tmp_path / "bank.yaml"
    with pytest.raises(FileNotFoundError, match=r"bank\.yaml"):
        casting.read_config(path)
    path.write_text("a: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        casting.read_config(path)
    path.write_text(yaml.safe_dump([1, 2]))
    with pytest.raises(ValueError, match="mapping"):
        casting.read_config(path)
