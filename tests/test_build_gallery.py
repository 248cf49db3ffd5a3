"""The static page, read as text and opened in a real browser."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stages
import synthetic
from conftest import SCRIPTS
from PIL import Image

import build_gallery
from ldportrait import figures, gallery, shards, tables

COUNT = 130  # more than two pages of the gallery
PROMPTS = [synthetic.EVIL, "a sea-green scarf & </script> in \u2028 wind", "quotes \" and ' here"]
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome", "chrome"])), None)
FIGURES, TABLES = ["acceptance", "variants"], ["screening", "variants"]


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> synthetic.Results:
    found = synthetic.results(tmp_path_factory.mktemp("few"), count=9, shard_size=5, size=16)
    synthetic.write_scores(found / "scores")
    add_figures_and_tables(found)
    return found


def thumbnails(made: synthetic.Results, page: Path, every: int = 1, side: int = 32) -> None:
    first = 0
    for number in range(made.shards):
        generated, refined = (made / stage / f"shard-{number:07d}.tar" for stage in ("generated", "refined"))
        places = [generated, refined, page.parent / "gallery" / f"{number:07d}"]
        result = stages.call("make_thumbnails.py", *places, "--first", first, "--every", every, "--thumbnail", side)
        assert result.returncode == 0, result.stderr
        first += len(shards.read_manifest(refined))


def build(made: synthetic.Results, page: Path, *more: object) -> subprocess.CompletedProcess:
    places = [made / name for name in ("refined", "screened.parquet", "measured", "figures", "tables")]
    shown = [word for name in FIGURES for word in ("--figure", name)] + [
        w for name in TABLES for w in ("--table", name)
    ]
    command = [sys.executable, SCRIPTS / "build_gallery.py", *places, page, "--shards", made.shards, *shown, *more]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def add_figures_and_tables(made: synthetic.Results) -> None:
    for name in FIGURES:
        figures.save(figures.message(f"figure {name}"), made / "figures" / name)
    screened = shards.read_table(made / "screened.parquet")
    tables.write(made / "tables" / "screening", *tables.screening(screened))
    scores = shards.read_table(made / "scores" / "variants.parquet")
    tables.write(made / "tables" / "variants", *tables.of_variants(scores, ["sad", "mse"]))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> synthetic.Results:
    folder = tmp_path_factory.mktemp("run") / "my run"  # a blank in the path is no trouble
    found = synthetic.results(folder, count=COUNT, shard_size=70, size=40, prompts=PROMPTS)
    synthetic.write_scores(found / "scores")
    add_figures_and_tables(found)
    return found


@pytest.fixture(scope="module")
def page(made) -> Path:
    thumbnails(made, made / "index.html")
    result = build(made, made / "index.html", "--run", "demo")
    assert result.returncode == 0, result.stderr
    assert f"{COUNT} portraits" in result.stdout
    return made / "index.html"


def data(page: Path) -> dict:
    text = (page.parent / "gallery" / "items.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"window\.GALLERY = (.*);\n", text, re.DOTALL)[1])


class Links(html.parser.HTMLParser):
    """The addresses that a page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_every_link_of_the_page_is_a_file_beside_it(page):
    links = [link for link in Links(page.read_text(encoding="utf-8")).found if link[0] != "#" and link != "data:,"]
    assert {"figures/variants.png", "figures/variants.pdf", "tables/variants.tex", "gallery/items.js"} <= set(links)
    assert all((page.parent / link).is_file() for link in links)


def test_the_page_names_no_other_host(page):
    text = page.read_text(encoding="utf-8") + (page.parent / "gallery" / "items.js").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]+\.", text)


def test_a_table_with_published_results_is_named_by_its_benchmark(tmp_path):
    (tmp_path / "benchmark-p3m-500-np.md").write_text("| a |\n| :-- |\n| b |\n")
    captions = SCRIPTS.parent / "report"
    (entry,) = gallery.table_entries(tmp_path, ["benchmark-p3m-500-np"], captions, tmp_path / "index.html")
    assert entry["caption"].startswith("p3m-500-np: Published results")


def test_the_page_shows_all_figures_that_a_run_makes():
    rules = (SCRIPTS.parent / "rules" / "figures.smk").read_text(encoding="utf-8")
    names = re.search(r"^FIGURE_NAMES = \[(.*?)\]", rules, re.MULTILINE | re.DOTALL)[1]
    assert set(build_gallery.FIGURES) == set(re.findall(r'"(\w+)"', names))


def test_it_carries_captions_tables_and_numbers(page):
    text = page.read_text(encoding="utf-8")
    assert "How many portraits the screening accepted" in text
    assert re.search(r'<td class="right"><b>[\d.]+ ± [\d.]+</b></td>', text)
    assert re.search(r"<strong>130</strong>\s*<span>portraits generated", text)
    assert "of the pixels changed by refinement" in text
    assert "SAD to the exact alpha" in text


def test_the_data_holds_what_the_shards_hold(page, made):
    found = data(page)
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    assert [row["id"] for row in rows] == made.ids
    assert [row["prompt"] for row in rows[:3]] == PROMPTS
    screened = pd.read_parquet(made / "screened.parquet")
    assert [row["accepted"] for row in rows] == screened.accepted.tolist()
    assert {"removed_background", "area", "components"} <= set(found["numbers"])
    assert rows[1]["hair_style"] in synthetic.ATTRIBUTES["hair_style"]


def test_there_are_two_thumbnails_of_each(page, made):
    assert len(list((page.parent / "gallery").rglob("*-before.webp"))) == COUNT
    with Image.open(page.parent / "gallery" / "0000001" / f"{made.ids[-1]}-after.webp") as picture:
        assert picture.size == (32, 32)
        assert picture.mode == "RGBA"


def test_thumbnails_keep_alpha_exactly(tmp_path):
    made = synthetic.results(tmp_path, count=1, shard_size=1, size=32)
    before, after = (made / stage / "shard-0000000.tar" for stage in ("generated", "refined"))
    assert list(gallery.write_thumbnails(before, after, set(made.ids), tmp_path / "thumbs", 32)) == made.ids
    (item,) = shards.read_shard(before)
    with Image.open(tmp_path / "thumbs" / f"{made.ids[0]}-before.webp") as picture:
        np.testing.assert_array_equal(np.array(picture)[..., 3], item.rgba[..., 3])


def test_the_limit_is_kept_and_said(few, tmp_path):
    folder = tmp_path / "elsewhere"
    thumbnails(few, folder / "index.html", every=3)
    result = build(few, folder / "index.html")
    assert result.returncode == 0, result.stderr
    assert "3 of 9 portraits, evenly spaced" in (folder / "index.html").read_text(encoding="utf-8")
    found = [row[0] for row in data(folder / "index.html")["rows"]]
    assert found == [few.ids[index] for index in (0, 3, 6)]
    assert len(list((folder / "gallery").rglob("*.webp"))) == 6
    thumbnails(few, folder / "index.html", every=9)  # none of the second shard
    again = build(few, folder / "index.html")
    assert again.returncode == 0, again.stderr
    assert len(list((folder / "gallery").rglob("*.webp"))) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["gallery", "index.html"]


def test_a_failure_leaves_the_old_page(few, tmp_path):
    folder = tmp_path / "run"
    thumbnails(few, folder / "index.html")
    assert build(few, folder / "index.html").returncode == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = build(few, folder / "index.html", "--figure", "nowhere")
    assert result.returncode == 2
    assert "nowhere.png" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_portrait_without_a_verdict_is_named():
    manifest = pd.DataFrame({"id": ["a", "b"], "split": "train"})
    screened = pd.DataFrame({"id": ["a"], "split": "train", "persona": "p", "accepted": True})
    with pytest.raises(ValueError, match="b was made but never screened"):
        gallery.item_table(manifest, screened, pd.DataFrame({"id": ["a"]}))


def test_missing_numbers_become_null():
    table = pd.DataFrame({"id": ["a", "b"], "area": [0.123456789, np.nan]})
    for name in gallery.BASIC[1:]:
        table[name] = ""
    rows = json.loads(gallery.items_script(table)[len("window.GALLERY = ") : -2])["rows"]
    assert [row[-1] for row in rows] == [0.12346, None]


# In the browser

PROBE = """<script>
const report = (key, value) => { document.documentElement.dataset[key] = value; };
window.addEventListener("error", (event) => report("failed", event.message));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const cards = () => document.querySelectorAll("#cards .card").length;
const set = async (name, value) => {
  const field = document.getElementById("tools").elements[name];
  field.value = value;
  (field.length && !field.options ? [...field].find((radio) => radio.value === value) : field)
    .dispatchEvent(new Event("input", { bubbles: true }));
  await wait(300);
};
const key = (node, name) => node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
(async () => {
  const $ = (id) => document.getElementById(id);
  %s
  report("done", "yes");
})();
</script></body>"""


def browse(
    page: Path, steps: str, fragment: str = "", width: int = 1200, real_time: bool = False
) -> tuple[dict[str, str], str]:
    """Open a copy of the page that also runs `steps`; returns what they reported, and the browser's log.

    In real time, the browser does not wait for steps that wait.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (apt install chromium)")
    probe = page.with_name("probe.html")
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE % steps), encoding="utf-8")
    result = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--disable-dev-shm-usage",
         f"--user-data-dir={page.parent / '.browser'}", f"--window-size={width},1000",
         *([] if real_time else ["--virtual-time-budget=20000"]), "--dump-dom", probe.as_uri() + fragment],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    probe.unlink()
    shutil.rmtree(page.parent / ".browser", ignore_errors=True)
    attributes = re.search(r"<html[^>]*>", result.stdout)[0]
    found = {name: html.unescape(value) for name, value in re.findall(r'data-([\w-]+)="([^"]*)"', attributes)}
    assert found.get("done") == "yes", f"the steps did not end: {found} {result.stderr[-2000:]}"
    found["dom"] = result.stdout
    return found, "\n".join(line for line in result.stderr.splitlines() if "CONSOLE" in line)


def test_the_page_in_a_browser(page):
    rejected = COUNT // 3
    found, console = browse(
        page,
        """
        report("first", cards());
        report("where", $("where").textContent);
        $("next").click();
        $("next").click();
        report("last", cards());
        report("nextdisabled", $("next").disabled);
        await set("verdict", "rejected");
        report("rejected", cards() + " " + $("status").textContent);
        await set("reason", "two_persons");
        const reasons = [...document.querySelectorAll(".reasons")];
        report("reason", reasons.every((node) => node.textContent.includes("two persons")));
        await set("gender", "man");
        report("both", cards());
        report("address", location.hash);
        $("tools").reset();
        await wait(300);
        report("reset", $("status").textContent);
        await set("q", "SEA-green");
        report("search", document.querySelector("#cards .name").textContent + " " + cards());
        await set("q", "no such words");
        report("none", $("cards").textContent);
        await set("q", "");
        await set("sort", "-components");
        report("sorted", document.querySelector("#cards .name").textContent);
        await set("ground", "green");
        report("ground", getComputedStyle(document.querySelector(".frame")).backgroundColor);
        await set("view", "zero");
        report("view", getComputedStyle(document.querySelector(".frame img")).filter);
        """,
    )
    assert console == ""
    assert "failed" not in found
    assert (found["first"], found["where"]) == ("60", "1 / 3")
    assert (found["last"], found["nextdisabled"]) == ("10", "true")
    assert found["rejected"] == f"{rejected} {rejected} of {COUNT} portraits"
    assert found["reason"] == "true"
    assert 0 < int(found["both"]) < rejected
    assert found["address"] == "#verdict=rejected&reason=two_persons&gender=man"
    assert found["reset"] == f"{COUNT} portraits"
    assert found["search"] == "demo-000000001 1"
    assert "No portrait matches" in found["none"]
    assert found["sorted"] == "demo-000000069"  # the last of the first shard, which has the most
    assert found["ground"] == "rgb(38, 168, 82)"
    assert "show-zero" in found["view"]


def test_an_evil_prompt_is_inert(page):
    found, console = browse(
        page,
        """
        await wait(500);
        report("title", document.title);
        report("text", document.querySelector("#cards .prompt").textContent);
        report("foreign", document.querySelectorAll("#cards script, #cards img[src='x']").length);
        document.querySelector("#cards .name").click();
        report("detail", $("detail-prompt").textContent);
        report("inside", document.querySelectorAll("#detail script, #detail img[src='x']").length);
        """,
    )
    assert console == ""
    assert found["title"] == "LD-Portrait · demo"
    assert found["text"] == found["detail"] == synthetic.EVIL
    assert found["foreign"] == found["inside"] == "0"


def test_sliders_and_details_by_keyboard(page):
    found, console = browse(
        page,
        """
        const range = document.querySelector("#cards input[type=range]");
        report("label", range.getAttribute("aria-label"));
        range.value = 80;
        range.dispatchEvent(new Event("input"));
        report("cut", range.parentElement.style.getPropertyValue("--cut"));
        $("all").value = 10;
        $("all").dispatchEvent(new Event("input", { bubbles: true }));
        const frames = [...document.querySelectorAll(".frame")];
        report("all", frames.every((frame) => frame.style.getPropertyValue("--cut") === "10%"));
        const name = document.querySelector("#cards .name");
        name.focus();
        report("focus", document.activeElement === name);
        name.click();
        report("open", $("detail").open + " " + $("detail-title").textContent);
        key($("detail"), "n");
        report("second", $("detail-title").textContent);
        key($("detail"), "p");
        report("back", $("detail-title").textContent + " " + $("detail-previous").disabled);
        report("facts", $("detail-list").textContent);
        $("detail").close();
        const pictures = [...document.querySelectorAll("#cards img")].slice(0, 4);
        await Promise.all(pictures.map((image) => image.decode()));
        report("loaded", pictures.every((image) => image.naturalWidth === 32));
        """,
    )
    assert console == ""
    assert found["label"] == "demo-000000000: from as generated to refined"
    assert found["cut"] == "80%"
    assert found["all"] == found["focus"] == found["loaded"] == "true"
    assert found["open"] == "true demo-000000000"
    assert found["second"] == "demo-000000001"
    assert found["back"] == "demo-000000000 true"
    assert "hair style" in found["facts"]


def test_an_address_restores_the_view(page):
    found, console = browse(
        page,
        """report("shown", [$("status").textContent, $("where").textContent, $("cards").dataset.ground].join("|"));""",
        "#verdict=accepted&ground=black&page=2",
    )
    assert console == ""
    accepted = COUNT - COUNT // 3
    assert found["shown"] == f"{accepted} of {COUNT} portraits|2 / 2|black"


def test_nothing_is_wider_than_a_phone(page):
    """A window is never narrower than 500 pixels in Chromium, so the phone is a frame of 390 in a page around it."""
    inner = page.with_name("inner.html")
    measure = """<script>
      const wide = [...document.querySelectorAll("body *")].filter((node) => !node.closest(".scroll, svg, .skip"))
        .filter((node) => node.getBoundingClientRect().right > innerWidth + 0.5).map((node) => node.outerHTML);
      parent.postMessage([innerWidth, document.documentElement.scrollWidth, ...wide], "*");
    </script></body>"""
    inner.write_text(page.read_text(encoding="utf-8").replace("</body>", measure), encoding="utf-8")
    outer = page.with_name("outer.html")
    outer.write_text('<!doctype html><html lang="en"><body></body></html>', encoding="utf-8")
    found, _ = browse(
        outer,
        """
        const heard = new Promise((done) => window.addEventListener("message", (event) => done(event.data)));
        const frame = document.createElement("iframe");
        frame.style.width = "390px"; frame.style.height = "800px"; frame.style.border = 0; frame.src = "inner.html";
        document.body.append(frame);
        report("wide", JSON.stringify(await heard));
        """,
    )
    inner.unlink()
    outer.unlink()
    width, scrolled, *wide = json.loads(found["wide"])
    assert width == 390
    assert scrolled <= 390
    assert wide == []


MANY, NUMBERS = 20_051, 45  # portraits of the paper's data set, and numbers that a portrait is measured by


@pytest.fixture(scope="module")
def many(page, tmp_path_factory) -> Path:
    """A page of the paper's size, with rows as long as real ones: a prompt of 300 letters and all measurements."""
    copy = tmp_path_factory.mktemp("many")
    (copy / "gallery").mkdir()
    shutil.copyfile(page, copy / "index.html")
    found = data(page)
    table = pd.DataFrame([found["rows"][index % COUNT] for index in range(MANY)], columns=found["columns"])
    generator = np.random.default_rng(0)
    table["id"] = [f"demo-{index:09d}" for index in range(MANY)]
    table["prompt"] = [f"{text} {'word ' * 60}"[:300] for text in table.prompt]
    numbers = {f"number_{index}": generator.random(MANY) for index in range(NUMBERS - len(found["numbers"]))}
    text = gallery.items_script(pd.concat([table, pd.DataFrame(numbers)], axis=1))
    (copy / "gallery" / "items.js").write_text(text, encoding="utf-8")
    return copy / "index.html"


def test_many_portraits_stay_usable(many):
    report, _ = browse(
        many,
        """
        await set("q", "grey 77");
        report("found", cards() + " " + $("status").textContent);
        report("nodes", document.querySelectorAll("*").length);
        """,
    )
    assert report["found"].endswith("of 20,051 portraits")
    assert int(report["nodes"]) < 3000


def test_a_page_of_the_papers_size_opens_in_two_seconds(many):
    """From the navigation's start to the first portraits drawn; the best of three."""
    assert (many.parent / "gallery" / "items.js").stat().st_size < 1000 * MANY
    seconds = []
    while len(seconds) < 3 and min(seconds, default=9) > 2:
        found, _ = browse(many, """report("ms", performance.now()); report("cards", cards());""", real_time=True)
        assert found["cards"] == "60"
        seconds.append(float(found["ms"]) / 1000)
    if min(seconds) > 2 and os.getloadavg()[0] > os.cpu_count():
        pytest.skip(f"the machine is busy, with a load of {os.getloadavg()[0]:.0f}; the page took {min(seconds):.1f} s")
    assert min(seconds) < 2, seconds


def test_a_figure_that_moves_is_shown_as_it_is(tmp_path):
    figures.save(figures.message("still"), tmp_path / "video_strip")
    one, other = (Image.new("RGB", (30, 20), colour) for colour in ("white", "black"))
    one.save(tmp_path / "video_preview.webp", save_all=True, append_images=[other], loop=0)
    entries = gallery.figure_entries(tmp_path, ["video_preview", "video_strip"], None, tmp_path / "index.html")
    assert (entries[0]["png"], entries[0]["pdf"], entries[0]["wide"]) == ("video_preview.webp", "", True)
    assert (entries[0]["width"], entries[0]["height"]) == (30, 20)
    assert (entries[1]["png"], entries[1]["pdf"]) == ("video_strip.png", "video_strip.pdf")
    page = gallery.page_text("demo", [], entries, [], "")
    assert {"video_preview.webp", "video_strip.pdf"} <= set(Links(page).found)
    assert 'href=""' not in page
    with pytest.raises(FileNotFoundError, match=r"no figure at .*video_dtssd\.png"):
        gallery.figure_entries(tmp_path, ["video_dtssd"], None, tmp_path / "index.html")
