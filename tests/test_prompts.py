"""Prompts are balanced, distinct, and each depends on the seed, the grammar and its index alone."""

import copy

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from ldportrait import prompts

SHARES = {"train": 0.9, "val": 0.05}
TREE = yaml.safe_load((ROOT / "config" / "prompts.yaml").read_text(encoding="utf-8"))
GRAMMAR = prompts.load_grammar(ROOT / "config" / "prompts.yaml")


def rows(first: int = 0, count: int = 200, seed: int = 1, grammar: prompts.Grammar = GRAMMAR) -> pd.DataFrame:
    return prompts.grammar_rows(grammar, seed, first, count, "demo", "bad hands", SHARES)


def age_group(age: str) -> str:
    return next(
        name for name in TREE["attributes"]["age"] if int(name.split("-")[0]) <= int(age) <= int(name.split("-")[1])
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 77])
@pytest.mark.parametrize("first", [0, 400, 900_000])
def test_every_value_is_within_a_fifth_of_its_share_at_200_prompts(seed, first):
    """Counted here from the YAML: each row expects of a value its share among those that the row admits."""
    table = rows(first, 200, seed)
    table["age"] = table["age"].map(age_group)
    for name, values in TREE["attributes"].items():
        expected = dict.fromkeys(values, 0.0)
        for row in table.to_dict("records"):
            admitted = {
                value: settings.get("share", 1)
                for value, settings in values.items()
                if all(row[other] in names for other, names in settings.get("when", {}).items())
            }
            for value, share in admitted.items():
                expected[value] += share / sum(admitted.values())
        counts = table[name].value_counts()
        for value, wanted in expected.items():
            bar = 0.2 if first % 200 == 0 else 0.4
            assert abs(counts.get(value, 0) - wanted) <= bar * wanted, (name, value, counts.get(value, 0), wanted)


def test_early_prompts_are_balanced_too():
    table = rows(count=24)
    assert 10 <= (table["gender"] == "man").sum() <= 14
    assert table["light"].nunique() >= 8
    assert table["hair_style"].nunique() >= 13


def test_conditions_hold():
    table = rows(count=1000)
    assert set(table.loc[table["gender"] == "woman", "facial_hair"]) == {"none"}
    assert set(table.loc[table["framing"] == "close-up", "pose"]) == {"relaxed"}
    young = table["age"].astype(int) < 50
    assert not set(table.loc[young, "hair_colour"]) & {"grey", "white"}
    assert table["age"].astype(int).between(18, 80).all()
    lengths = table.groupby("hair_style")["hair_length"].unique().map(list)
    assert lengths["afro"] == ["medium"]
    assert lengths["bald"] == ["none"]


def test_vocabulary_is_the_banks():
    """Every value of the grammar can be found in the bank, or no portrait would ever match it."""
    bank = pd.read_parquet(ROOT / "resources" / "bank" / "bank.parquet").query("kind == 'portrait'")
    for name in set(TREE["attributes"]) - {"age", "ancestry"}:
        assert set(TREE["attributes"][name]) == set(bank[name]), name
    lengths = {style: entry["also"]["hair_length"] for style, entry in TREE["attributes"]["hair_style"].items()}
    assert lengths == dict(zip(bank["hair_style"], bank["hair_length"], strict=True))


def test_no_duplicates_and_the_wording_is_whole():
    table = rows(count=8_000)
    assert table["prompt"].is_unique
    assert GRAMMAR.distinct >= 1_000_000
    assert table["prompt"].str.match(r"(close-up|head and shoulders|upper body) portrait of an? \d\d-year-old ").all()
    assert not table["prompt"].str.contains(r"[{}]|,,| ,|  |, *$").any()
    assert not table["prompt"].str.contains(r"\ba [aeio]|\ba (?:8\d|18)-|\ban (?!8|18)[^aeiou]", regex=True).any()
    tokens = table["prompt"].str.findall(r"[A-Za-z]+|[^A-Za-z\s]").str.len()
    assert tokens.max() <= 75  # CLIP reads 77 tokens, two of them its own; a digit or a comma is one


@given(st.integers(0, 1_200_000), st.integers(0, 1_200_000))
@settings(max_examples=50, deadline=None)
def test_the_details_alone_tell_any_two_rows_apart(i, j):
    if i != j:
        assert prompts._details(GRAMMAR, 3, i) != prompts._details(GRAMMAR, 3, j)


@given(first=st.integers(0, 1_000_000), seed=st.integers(0, 2**31), count=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_a_row_depends_on_seed_grammar_and_index_alone(first, seed, count):
    alone = rows(first + count - 1, 1, seed)
    together = rows(first, count, seed)
    pd.testing.assert_frame_equal(together.tail(1).reset_index(drop=True), alone)


def test_other_seeds_give_other_prompts():
    first, second = rows(seed=1), rows(seed=2)
    assert not set(first["prompt"]) & set(second["prompt"])
    assert not set(first["seed"]) & set(second["seed"])


def test_columns_ids_and_seeds():
    table = rows(first=198, count=4)
    assert tuple(table.columns) == prompts.COLUMNS
    assert list(table["id"]) == [f"demo-{index:09d}" for index in (198, 199, 200, 201)]
    assert (table["persona"] == table["id"]).all()
    assert table["seed"].dtype == "int64"
    assert (table["seed"] >= 0).all()
    assert (table["negative_prompt"] == "bad hands").all()


def test_splits_follow_the_shares_and_the_persona():
    splits = [prompts.split_of(f"persona {index}", {"train": 0.7, "val": 0.2}) for index in range(5000)]
    assert 0.67 < splits.count("train") / 5000 < 0.73
    assert 0.17 < splits.count("val") / 5000 < 0.23
    assert prompts.split_of("anyone", {"train": 1.0, "val": 0.0}) == "train"
    assert prompts.split_of("anyone", {"train": 0.0, "val": 0.0}) == "test"


def change(path: str, value: object) -> dict:
    tree = copy.deepcopy(TREE)
    *parents, last = path.split("/")
    node = tree
    for key in parents:
        node = node[key]
    node[last] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("attributes/gender/woman", {"share": 0}, "attributes.gender.woman.share"),
        ("attributes/gender/woman", {"share": True}, "attributes.gender.woman.share"),
        ("attributes/gender/woman", {"shares": 1}, "shares"),
        ("attributes/gender/woman", {"words": 3}, "attributes.gender.woman.words"),
        ("attributes/gender", {}, "attributes.gender"),
        ("attributes/gender", ["woman", "man"], "attributes.gender"),
        ("attributes/shoes", {"red": {}}, "shoes"),
        ("attributes/age/12-17", {}, "attributes.age.12-17"),
        ("attributes/age/old", {}, "attributes.age.old"),
        ("attributes/ancestry/asian", {"when": {"light": ["softbox"]}}, "attributes.ancestry.asian.when"),
        ("attributes/ancestry/asian", {"when": {"gender": ["men"]}}, "attributes.ancestry.asian.when.gender"),
        ("attributes/ancestry/asian", {"also": {"gender": "man"}}, "attributes.gender"),
        ("attributes/ancestry/asian", {"words": "{continent}"}, "continent"),
        ("template", "{framing} of a {persn}", "persn"),
        ("template", "{framing of", "template"),
        ("phrases/hair", "{details}", "details"),
        ("details", [["a", "a"]], "details[0]"),
        ("details", "none", "details"),
        ("colour", 1, "colour"),
    ],
)
def test_a_bad_grammar_is_one_sentence_naming_the_key(tmp_path, path, value, named):
    file = tmp_path / "prompts.yaml"
    file.write_text(yaml.safe_dump(change(path, value), sort_keys=False))
    with pytest.raises(ValueError, match=r"^[^\n]*\.$") as error:
        prompts.load_grammar(file)
    assert named in str(error.value)
    assert str(file) in str(error.value)


def test_a_key_given_twice_is_refused(tmp_path):
    file = tmp_path / "prompts.yaml"
    file.write_text("template: a\nattributes:\n  gender:\n    man: {share: 1}\n    man: {share: 2}\n")
    with pytest.raises(ValueError, match="twice"):
        prompts.load_grammar(file)


def test_a_combination_without_a_value_is_named():
    tree = change("attributes/facial_hair/none", {"when": {"gender": ["man"]}})
    with pytest.raises(ValueError, match=r"attributes\.facial_hair admits no value for woman"):
        rows(grammar=prompts.parse_grammar(tree))


def test_too_few_details_are_refused_before_a_prompt_repeats():
    grammar = prompts.parse_grammar(change("details", [["a", "b", "c"], ["d", "e"]]))
    assert rows(count=6, grammar=grammar)["prompt"].is_unique
    with pytest.raises(ValueError, match="`details` keep only 6"):
        rows(count=7, grammar=grammar)


def take(path, first=0, count=2, negative="bad") -> pd.DataFrame:
    return prompts.file_rows(path, 5, first, count, "mine", negative, SHARES)


def test_a_text_file_is_a_prompt_a_line(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("\ufeffa woman, smiling\n  a man with a beard \na “quoted” child of 40\n\n", encoding="utf-8")
    assert len(prompts.read_lines(file)) == 3
    table = take(file, 1, 2)
    assert list(table["prompt"]) == ["a man with a beard", "a “quoted” child of 40"]
    assert list(table["id"]) == ["mine-000000001", "mine-000000002"]
    assert (table["negative_prompt"] == "bad").all()
    assert (table["age"] == "").all()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_brings_its_columns_along(tmp_path, suffix):
    file = tmp_path / f"p.{suffix}"
    table = pd.DataFrame(
        {
            "prompt": ["a woman,\nwith hat", "a man"],
            "seed": [7, 2**63 - 1],
            "persona": ["ann", "bob"],
            "split": ["val", ""],
            "negative_prompt": ["", "fog"],
            "age": [30, 41],
        }
    )
    getattr(table, f"to_{suffix}")(file, index=False)
    assert len(prompts.read_lines(file)) == 2
    found = take(file)
    assert list(found["seed"]) == [7, 2**63 - 1]
    assert list(found["persona"]) == ["ann", "bob"]
    assert list(found["split"]) == ["val", prompts.split_of("bob", SHARES)]
    assert list(found["negative_prompt"]) == ["bad", "fog"]
    assert list(found["age"]) == ["30", "41"]
    assert tuple(found.columns) == prompts.COLUMNS


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("p.txt", "one\n\nthree\n", "line 2"),
        ("p.csv", "prompt,colour\na,b\n", "'colour'"),
        ("p.csv", "text\na\n", "'text'"),
        ("p.csv", "seed\n1\n", "`prompt`"),
        ("p.csv", "prompt,prompt\na,b\n", "twice"),
        ("p.csv", "prompt,seed\na,1\n ,2\n", "line 3"),
        ("p.csv", "prompt,seed\na,1,5\n", "line 2"),
        ("p.csv", "prompt,seed\na,-1\n", "seed"),
        ("p.csv", "prompt,seed\na,9223372036854775808\n", "seed"),
        ("p.csv", "prompt,seed\na," + "9" * 5000, "seed"),
        ("p.csv", "prompt,split\na,training\n", "'training'"),
        ("p.txt", "one\na\0b\n", "line 2: the prompt has the character '\\x00'"),
        ("p.csv", "prompt,garment\na,\x1b[31mred\n", "line 2: the garment has the character"),
        ("p.txt", "x" * 1_000_000, "line 1: the prompt has 1,000,000 characters"),
        ("p.csv", 'prompt\n"a\n', "line"),
        ("p.csv", "", "empty"),
        ("p.parquet", "no table", "Parquet"),
        ("p.docx", "a", ".docx"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, name, text, named):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]*\.$") as error:
        take(file, 0, 1)
    assert named in str(error.value)
    assert str(file) in str(error.value)


def test_rows_beyond_the_file_are_refused(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("one\ntwo\n")
    with pytest.raises(ValueError, match="only 2 prompts"):
        take(file, 1, 2)
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        prompts.read_lines(tmp_path / "absent.txt")


def test_lines_tell_rows_apart_by_all_their_columns(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("prompt,seed\none,1\none,2\ntwo,\n")
    lines = prompts.read_lines(file)
    assert len(lines) == 3
    assert len(set(lines)) == 3
    assert not any("\n" in line for line in lines)


def test_repeated_prompts_are_counted(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("one\ntwo\none\none\n")
    assert prompts.repeated(file) == 2


def test_pictures_become_rows_in_order_of_their_names(tmp_path):
    for name in ("b.PNG", "a/z.webp", "a/y.tif", ".hidden.png", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b.txt").write_text("a man\nwith a hat\n")
    assert prompts.list_pictures(tmp_path) == ["a/y.tif", "a/z.webp", "b.PNG"]
    table = prompts.picture_rows(tmp_path, 1, 1, 2, "own", "bad", SHARES)
    assert list(table["source"]) == ["a/z.webp", "b.PNG"]
    assert list(table["prompt"]) == ["", "a man with a hat"]
    assert list(table["id"]) == ["own-000000001", "own-000000002"]


def test_a_name_that_no_manifest_could_hold_is_refused(tmp_path):
    (tmp_path / "a b é\u202f.png").touch()
    assert prompts.list_pictures(tmp_path) == ["a b é\u202f.png"]
    (tmp_path / "\udcff.png").touch()  # the byte 0xff
    with pytest.raises(ValueError, match=r"\\udcff\.png', whose name is not UTF-8"):
        prompts.list_pictures(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        prompts.list_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        prompts.list_pictures(tmp_path / "absent")
