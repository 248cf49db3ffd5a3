"""config/README.md says what the schema says."""

import yaml
from conftest import ROOT

import document_config


def test_the_page_is_up_to_date():
    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8"))
    page = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert page == document_config.document(schema), "make docs writes it anew"


def test_every_leaf_is_a_row():
    schema = {
        "properties": {
            "run": {"type": "string", "default": "demo", "description": "Name."},
            "stage": {
                "description": "A stage.",
                "properties": {
                    "count": {"type": ["integer", "null"], "minimum": 1, "default": None, "description": "How\nmany."},
                    "share": {
                        "type": "number",
                        "exclusiveMinimum": 0,
                        "exclusiveMaximum": 1,
                        "default": 0.5,
                        "description": "Part.",
                    },
                    "of": {"type": "array", "items": {"enum": ["a", "b"]}, "default": ["a"], "description": "Which."},
                },
            },
        }
    }
    page = document_config.document(schema)
    assert '| `run` | string | `"demo"` | Name. |' in page
    assert "| `stage.count` | integer or null ≥ 1 | `null` | How many. |" in page
    assert "| `stage.share` | number > 0, < 1 | `0.5` | Part. |" in page
    assert '| `stage.of` | list of a or b | `["a"]` | Which. |' in page
    assert "A stage." in page
