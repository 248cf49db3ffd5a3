"""The sets of pictures and mattes: right values in a fixed order, and one sentence for whatever is wrong."""

import re
import shutil
import time

import numpy as np
import pytest
import trees
from conftest import ROOT
from PIL import Image

from ldportrait import benchmarks
from ldportrait.benchmarks import bank, composition_1k, pairs

SETS = sorted(trees.PAIRS)
ROLES = [(name, split, role) for (name, split), places in sorted(trees.PAIRS.items()) for role in places]


@pytest.fixture
def tree(tmp_path, request):
    name, split = request.param[:2]
    return trees.paired(tmp_path / "set", name, split)


def items(name, root, split="test", count=3):
    module = benchmarks.get(name)
    return module.items(root, split) if name == "folder" else module.items(root, split, {split: count})


def place(root, name, split, role, stem):
    return root / trees.PAIRS[name, split][role].format(stem)


@pytest.mark.parametrize(("tree", "key"), [(key, key) for key in SETS], indirect=["tree"])
def test_values_and_order(tree, key):
    name, split = key
    samples = items(name, tree, split)
    assert [sample.item for sample in samples] == ["x_a3", "x_b7", "x_c1"]
    for sample in samples:
        seed = trees.STEMS.index(sample.item)
        loaded = benchmarks.get(name).load(sample)
        assert all(array.dtype == np.uint8 for array in loaded if array is not None)
        np.testing.assert_allclose(loaded.image.astype(int), trees.picture(seed), atol=2)
        exact = trees.PAIRS[key]["alpha"].endswith("png")
        np.testing.assert_allclose(loaded.alpha.astype(int), trees.matte(seed), atol=0 if exact else 3)
        if "trimap" in trees.PAIRS[key]:
            np.testing.assert_array_equal(loaded.trimap, trees.trimap(seed))
        else:
            np.testing.assert_array_equal(loaded.trimap, bank.trimap(loaded.alpha))
        assert (loaded.detail is not None) == (name == "rwp-636")
        if loaded.detail is not None:
            np.testing.assert_allclose(loaded.detail.astype(int), trees.matte(seed), atol=3)
        if name == "folder":
            np.testing.assert_array_equal(loaded.foreground, trees.picture(seed + 3))
        elif key in [("distinctions-646", "train"), ("composition-1k", "train")]:
            np.testing.assert_array_equal(loaded.foreground, loaded.image)
        else:
            assert loaded.foreground is None


@pytest.mark.parametrize("key", sorted(set(trees.PAIRS) | set(trees.PUBLISHED)))
def test_the_counts_are_the_published_ones(key):
    name, split = key
    assert benchmarks.get(name).COUNTS.get(split) == trees.PUBLISHED.get(key)


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_a_module_says_what_it_is(name):
    module = benchmarks.get(name)
    assert module.KIND in ("image", "video")
    assert module.PROTOCOL in ("composition-1k", "whole", "p3m", "rvm", "rvm-hd", "rwp", "definition")
    assert all(isinstance(text, str) and text for text in (module.TITLE, module.LICENCE, module.SOURCE, *module.NOTES))
    wanted = {"items", "load"} if module.KIND == "image" else {"items", "load_clip", "frames"}
    assert wanted <= set(dir(module))
    assert not (set(trees.PUBLISHED) - {(n, s) for n in benchmarks.NAMES for s in benchmarks.get(n).COUNTS})


def test_a_benchmark_of_the_wrong_kind_is_refused():
    assert benchmarks.get("crgnn", "video").KIND == "video"
    with pytest.raises(ValueError, match="crgnn is of the kind video"):
        benchmarks.get("crgnn", "image")


@pytest.mark.parametrize("name", [name for name in benchmarks.NAMES if not name.startswith("bank")])
def test_a_missing_root_is_named(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        benchmarks.get(name).items(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [name for name in benchmarks.NAMES if not name.startswith("bank")])
def test_an_unknown_split_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="no split 'holdout'"):
        benchmarks.get(name).items(tmp_path, "holdout")


@pytest.mark.parametrize(
    ("tree", "key"), [(key, key) for key in ROLES if key[0] != "folder" or key[2] in ("image", "alpha")],
    indirect=["tree"],
)  # fmt: skip
def test_a_missing_folder_is_named(tree, key):
    name, split, role = key
    folder = place(tree, name, split, role, "x").parent
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError) as error:
        items(name, tree, split)
    # where a training set's parts lie in one folder, the loader can only ask for the parts
    assert str(folder if key[:2] != ("composition-1k", "train") else folder.parent) in str(error.value)


@pytest.mark.parametrize(("tree", "key"), [(key, key) for key in ROLES if key[2] != "image"], indirect=["tree"])
def test_a_missing_partner_is_named(tree, key):
    path = place(tree, *key, "x_b7")
    path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        items(key[0], tree, key[1])
    assert str(path.with_suffix("")) in str(error.value)
    assert f"no {key[2]}" in str(error.value)


@pytest.mark.parametrize(("tree", "key"), [(key, key) for key in SETS], indirect=["tree"])
def test_a_matte_without_a_picture_is_named(tree, key):
    place(tree, *key, "image", "x_b7").unlink()
    with pytest.raises(FileNotFoundError, match=r"x_b7.* has no picture"):
        items(key[0], tree, key[1])


@pytest.mark.parametrize(
    ("tree", "key", "count"),
    [(key, key, count) for key in SETS if key[0] != "folder" for count in (2, 4)],
    indirect=["tree"],
)
def test_another_count_is_refused(tree, key, count):
    with pytest.raises(ValueError, match=rf"has {count} items .* has 3; scores of a part \(a limit, a subset\)"):
        items(key[0], tree, key[1], count)
    with pytest.raises(ValueError, match=f"has {trees.PUBLISHED[key]} items"):
        benchmarks.get(key[0]).items(tree, key[1])


@pytest.mark.parametrize(
    ("tree", "key"),
    [(key, key) for key in ROLES if key[2] != "image"],
    indirect=["tree"],
)
def test_another_size_is_refused(tree, key):
    name, split, role = key
    array = trees.matte(0, (13, 16)) if role != "foreground" else trees.picture(0, (13, 16))
    trees.write(np.zeros_like(array) if role == "trimap" else array, place(tree, *key, "x_a3"))
    sample = items(name, tree, split)[0]
    with pytest.raises(ValueError, match="16 x 13") as error:
        benchmarks.get(name).load(sample)
    assert str(place(tree, *key, "x_a3")) in str(error.value)
    assert str(place(tree, name, split, "image", "x_a3")) in str(error.value)
    assert "16 x 12" in str(error.value)


@pytest.mark.parametrize(("tree", "key"), [(key, key) for key in ROLES], indirect=["tree"])
def test_an_unreadable_picture_is_named(tree, key):
    name, split, _ = key
    path = place(tree, *key, "x_a3")
    path.write_bytes(path.read_bytes()[:45])
    sample = items(name, tree, split)[0]
    with pytest.raises(ValueError, match="not a readable picture") as error:
        benchmarks.get(name).load(sample)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("tree", "key"), [(key, key) for key in SETS], indirect=["tree"])
def test_junk_is_passed_over(tree, key):
    for template in trees.PAIRS[key].values():
        trees.junk((tree / template).parent)
    assert len(items(*key[:1], tree, key[1])) == 3


def test_items_read_no_pixels(tmp_path):
    folders = [(tmp_path / template).parent for template in trees.PAIRS["p3m-500-np", "test"].values()]
    for folder in folders:
        folder.mkdir(parents=True)
        for number in range(500):
            (folder / f"p_{number:08x}.png").touch()
    started = time.process_time()
    assert len(benchmarks.get("p3m-500-np").items(tmp_path)) == 500  # of files that no reader of pictures could read
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("rwp-636", {"image": "images"}),
        ("aim-500", {"original": "validation/original", "mask": "validation/mask", "trimap": "validation/trimap"}),
        ("composition-1k", {part: f"Combined_Dataset/Test_set/{part}" for part in ("merged", "alpha_copy", "trimaps")}),
        (  # merged/ by Composition_code.py, alpha_copy/ by GCA-Matting's script beside the trimaps
            "composition-1k",
            {"merged": "Test_set/merged"}
            | {part: f"Test_set/Adobe-licensed images/{part}" for part in ("alpha_copy", "trimaps")},
        ),
        ("p3m-500-p", {"validation/P3M-500-P": "P3M-500-P"}),
        ("p3m-500-np", {"validation/P3M-500-NP": "P3M-500-NP"}),
    ],
)
def test_other_names_of_folders_are_known(tmp_path, name, moves):
    trees.paired(tmp_path, name)
    for old, new in moves.items():
        (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / old).rename(tmp_path / new)
    assert len(items(name, tmp_path)) == 3


def test_trimaps_of_distinctions_are_read_where_there_are_some(tmp_path):
    trees.paired(tmp_path, "distinctions-646")
    for seed, stem in enumerate(trees.STEMS):
        trees.write(trees.trimap(seed), tmp_path / "Test" / "Trimap" / f"{stem}.png")
    loaded = pairs.load(items("distinctions-646", tmp_path)[1])
    np.testing.assert_array_equal(loaded.trimap, trees.trimap(0))


def test_both_parts_of_the_composition_training_set_count(tmp_path):
    for part, stems in (("Adobe-licensed images", ("a", "c")), ("Other", ("b",))):
        for seed, stem in enumerate(stems):
            trees.write(trees.picture(seed), tmp_path / "Training_set" / part / "fg" / f"{stem}.png")
            trees.write(trees.matte(seed), tmp_path / "Training_set" / part / "alpha" / f"{stem}.png")
    assert [sample.item for sample in composition_1k.items(tmp_path, "train", {"train": 3})] == ["a", "b", "c"]
    twice = tmp_path / "Training_set" / "Other"
    trees.write(trees.picture(0), twice / "fg" / "a.png")
    trees.write(trees.matte(0), twice / "alpha" / "a.png")
    with pytest.raises(ValueError, match=r"Two pictures of Composition-1k .* are called a"):
        composition_1k.items(tmp_path, "train", {"train": 4})


def test_one_stem_twice_is_refused(tmp_path):
    trees.paired(tmp_path, "ppm-100")
    trees.write(trees.picture(0), tmp_path / "image" / "x_a3.png")
    with pytest.raises(ValueError, match=r"both x_a3.jpg and x_a3.png"):
        items("ppm-100", tmp_path)


def test_a_trimap_with_other_values_is_refused(tmp_path):
    trees.paired(tmp_path, "aim-500")
    path = tmp_path / "trimap" / "x_a3.png"
    trees.write(np.where(trees.trimap(1) == 128, 127, trees.trimap(1)).astype(np.uint8), path)
    with pytest.raises(ValueError, match=r"trimap.x_a3.png has the value 127"):
        pairs.load(items("aim-500", tmp_path)[0])


def test_a_transparent_matte_is_refused(tmp_path):
    trees.paired(tmp_path, "am-2k")
    rgba = np.dstack([trees.picture(0), trees.matte(0)])
    trees.write(rgba, tmp_path / "validation" / "mask" / "x_a3.png")
    with pytest.raises(ValueError, match=r"x_a3.png is transparent"):
        pairs.load(items("am-2k", tmp_path)[0])


def test_a_16_bit_matte_is_rounded(tmp_path):
    trees.paired(tmp_path, "am-2k")
    deep = trees.matte(1).astype(np.uint16) * 257
    deep[0, 0] = 65535 - 257 - 100  # 254 - 0.39: rounds to 254
    Image.fromarray(deep).save(tmp_path / "validation" / "mask" / "x_a3.png")
    expected = trees.matte(1)
    expected[0, 0] = 254
    np.testing.assert_array_equal(pairs.load(items("am-2k", tmp_path)[0]).alpha, expected)


@pytest.mark.parametrize(
    ("content", "word"),
    [("[1, 2]", "category"), ("{", "category"), ('{"x_a3": {}}', "category")],
)
def test_a_broken_list_of_portraits_is_named(tmp_path, content, word):
    trees.paired(tmp_path, "aim-500-portrait")
    (tmp_path / "aim_category_type.json").write_text(content)
    with pytest.raises(ValueError, match=rf"aim_category_type.json does not say each picture's {word}"):
        items("aim-500-portrait", tmp_path)


def test_a_missing_list_of_portraits_is_named(tmp_path):
    trees.paired(tmp_path, "aim-500-portrait")
    (tmp_path / "aim_category_type.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*aim_category_type.json"):
        items("aim-500-portrait", tmp_path)


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_the_page_says_what_the_modules_say(name):
    page = " ".join((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8").split())
    module = benchmarks.get(name)
    assert f"### {name} " in page
    for words in (*module.NOTES, module.LICENCE, module.SOURCE):
        assert " ".join(words.split()) in page or name == "folder", words
    (row,) = re.findall(rf"\| \[`{name}`\]\(#{name}\) \|[^[]*", page)
    assert f"`{module.PROTOCOL}`" in row
    assert module.KIND in row
    assert all(str(count) in row for count in module.COUNTS.values())


def test_a_link_to_itself_is_a_missing_file(tmp_path):
    trees.paired(tmp_path, "ppm-100")
    (tmp_path / "matte" / "x_a3.jpg").unlink()
    (tmp_path / "matte" / "x_a3.jpg").symlink_to("x_a3.jpg")
    with pytest.raises(FileNotFoundError, match=r"matte/x_a3\.\* is missing"):
        benchmarks.get("ppm-100").items(tmp_path, counts={})
