"""Published results beside ours: the file, its mistakes in a sentence, units, marks, and three tables that agree."""

import copy
import math
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import stages
import yaml
from conftest import ROOT
from test_scripts import assert_refused

from ldportrait import benchmarks, gallery, published, scores, shards, tables
from ldportrait.metrics import protocols

FILE = ROOT / "config" / "published.yaml"
CONTENT = {
    "protocols": {
        "p3m": {"about": "of P3M", "units": {"sad": "sum / 1000", "mse": "mean", "grad": "sum / 10"}},
        "rvm": {"about": "of RVM", "units": {"mad": "mean × 10³", "grad": "sum / 1000", "dtssd": "mean × 10²"}},
        "bgmv2": {"about": "raw sums", "units": {"mse": "mean × 10³", "grad": "sum"}},
        "definition": {
            "about": "of the definitions",
            "units": {"sad": "sum / 1000", "mse": "mean", "mad": "mean", "dtssd": "mean"},
        },
    },
    "papers": {"lu": {"title": "A & B: 5 % of #1", "authors": "Lu_1 et al.", "year": 2025, "arxiv": "2501.16147"}},
    "contamination": {"ppm-100": ["Some weights were trained on it."]},
    "results": [
        {
            "benchmark": "ppm-100",
            "protocol": "p3m",
            "region": "whole",
            "given": "nothing",
            "paper": "lu",
            "source": "R",
            "metrics": ["sad", "mse", "grad"],
            "methods": {"Net A": [42.5, 0.0026, 13], "Net B": [7, None, 0]},
        },
        {
            "benchmark": "ppm-100",
            "protocol": "bgmv2",
            "region": "unknown",
            "given": "trimap",
            "paper": "lu",
            "source": "S",
            "removed": 5,
            "contaminated": "its trainer saw PPM-100",
            "note": "on a Tuesday",
            "metrics": ["mse", "grad"],
            "methods": {"Net C": [9.57, 8736]},
        },
    ],
}


def write(folder, content):
    path = folder / "published.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


@pytest.fixture
def content():
    return copy.deepcopy(CONTENT)


@pytest.fixture
def known(tmp_path, content):
    return published.read(write(tmp_path, content))


def value(rows, benchmark, method, metric, protocol=None, region=None, given=None):
    (row,) = [
        row
        for row in rows
        if (row.benchmark, row.method) == (benchmark, method)
        and protocol in (None, row.protocol)
        and region in (None, row.region)
        and given in (None, row.given)
    ]
    return row.values[metric].value


@pytest.mark.parametrize(
    ("benchmark", "method", "metric", "expected", "more"),
    [  # as printed, but for powers of ten
        ("composition-1k", "ViTMatte-B", "sad", 20.33, {}),
        ("composition-1k", "DiffMatte ViT-S (1024)", "mse", 2.26, {}),
        ("composition-1k", "MGM", "conn", 27.83, {}),
        ("distinctions-646", "ViTMatte-B", "grad", 7.03, {}),
        ("aim-500", "AimNet (update)", "mse", 15.3, {}),
        ("aim-500-portrait", "AimNet (paper)", "sad", 24.68, {}),
        ("p3m-500-p", "P3M-Net (R34)", "mse", 2.6, {}),
        ("p3m-500-p", "DIM", "mse", 11.5, {"region": "unknown"}),
        ("p3m-500-p", "Matting by Generation", "mad", 4.1, {}),
        ("p3m-500-np", "SDMatte", "mad", 3.0, {"given": "mask"}),
        ("p3m-500-np", "SAM2Matting (SAM3)", "mse", 0.97, {}),
        ("p3m-500-np", "BiRefNet-matting", "mad", 3, {}),
        ("ppm-100", "MODNet", "mse", 4.4, {"protocol": "modnet"}),
        ("ppm-100", "MODNet", "mad", 10.1, {"protocol": "matting-by-generation"}),
        ("ppm-100", "MODNet", "sad", 94.78, {"protocol": "sam2matting"}),
        ("rwp-636", "MGM", "mse", 55.57, {"region": "detail"}),
        ("photomatte85", "BGMv2", "grad", 8.736, {}),
        ("videomatte-240k", "RVM", "dtssd", 1.36, {}),
        ("videomatte-240k", "BGMv2", "conn", 3.26, {"given": "clean background"}),
        ("videomatte-240k-hd", "RVM", "grad", 10.55, {}),
        ("videomatte-240k-hd", "MatAnyone", "mad", 4.24, {}),
        ("youtubematte", "RVM-Large", "mad", 3.36, {}),
        ("youtubematte-hd", "MatAnyone 2", "grad", 7.13, {}),
        ("crgnn", "MatAnyone", "mad", 5.76, {}),
        ("am-2k", "SDMatte", "mad", 4.3, {}),
    ],
)
def test_the_numbers_in_the_file(benchmark, method, metric, expected, more):
    assert value(published.read(FILE).rows, benchmark, method, metric, **more) == expected


def test_the_file_has_something_on_every_public_set():
    rows = published.read(FILE).rows
    own = {"bank", "folder", "bank-clips", "bank-clips-moving"}
    assert {row.benchmark for row in rows} == set(benchmarks.NAMES) - own
    assert all(row.removed < benchmarks.get(row.benchmark).COUNTS["test"] for row in rows)


def test_protocols_are_those_of_the_metrics():
    described = published.read(FILE).protocols
    for name, protocol in protocols.PROTOCOLS.items():
        scored = {metric for region in protocol.regions.values() for metric in region}
        scored |= {*protocol.temporal, *protocol.colour}
        assert {metric: protocol.units[metric] for metric in scored} == described[name].units, name


def test_units_become_those_of_the_columns(known):
    assert value(known.rows, "ppm-100", "Net A", "mse") == 2.6  # a mean, printed times 10³
    assert value(known.rows, "ppm-100", "Net A", "grad") == 13  # P3M's sum / 10 is as large as others' / 1000
    assert value(known.rows, "ppm-100", "Net C", "mse") == 9.57
    assert value(known.rows, "ppm-100", "Net C", "grad") == 8.736
    assert "mse" not in known.rows[1].values


CHANGES = {
    "a missing section": (lambda c: c.pop("papers"), r"has no key papers"),
    "an unknown section": (lambda c: c.update(paper={}), r"unknown key 'paper'"),
    "a section that is a list": (lambda c: c.update(papers=[]), r"papers must be a section"),
    "results that are no list": (lambda c: c.update(results={}), r"results must be a list"),
    "an unknown unit": (lambda c: c["protocols"]["p3m"]["units"].update(sad="cm"), r"p3m: there is no unit 'cm'"),
    "an unknown metric": (lambda c: c["protocols"]["p3m"]["units"].update(sdd="mean"), r"no metric 'sdd'"),
    "units that are a text": (lambda c: c["protocols"]["p3m"].update(units="mean"), r"units must be a section"),
    "a paper without a year": (lambda c: c["papers"]["lu"].pop("year"), r"paper lu has no key year"),
    "a number as arXiv's": (lambda c: c["papers"]["lu"].update(arxiv=2501.1), r"paper lu: arxiv must be a text"),
    "an unknown benchmark": (lambda c: c["results"][0].update(benchmark="p4m"), r"1: there is no benchmark 'p4m'"),
    "an unknown protocol": (lambda c: c["results"][1].update(protocol="x"), r"result 2: there is no protocol 'x'"),
    "an unknown region": (lambda c: c["results"][0].update(region="edge"), r"no region 'edge'"),
    "an unknown hint": (lambda c: c["results"][0].update(given="x"), r"result 1: there is no value of given 'x'"),
    "no word on the hint": (lambda c: c["results"][1].pop("given"), r"result 2 has no key given"),
    "an unknown paper": (lambda c: c["results"][0].update(paper="li"), r"no paper 'li'"),
    "memory as a source": (lambda c: c["results"][0].update(source="?"), r"no source '\?'"),
    "an unknown key": (lambda c: c["results"][0].update(tabel="1"), r"result 1 has the unknown key 'tabel'"),
    "a missing key": (lambda c: c["results"][0].pop("source"), r"result 1 has no key source"),
    "a metric of another protocol": (lambda c: c["results"][0].update(metrics=["mad"]), r"no metric of the protocol"),
    "metrics that are a text": (lambda c: c["results"][0].update(metrics="sad"), r"metrics must be a list"),
    "no methods": (lambda c: c["results"][0].update(methods={}), r"methods a section"),
    "too few values": (lambda c: c["results"][0]["methods"].update({"Net A": [1]}), r"Net A must have 3 values"),
    "a text as a value": (lambda c: c["results"][0]["methods"].update({"Net A": [1, 2, "3"]}), r"grad of Net A"),
    "a negative value": (lambda c: c["results"][0]["methods"].update({"Net A": [1, 2, -3]}), r"at least 0, not -3"),
    "not a number": (lambda c: c["results"][0]["methods"].update({"Net A": [1, 2, math.nan]}), r"grad of Net A"),
    "a negative removal": (lambda c: c["results"][1].update(removed=-1), r"removed must be a number of items"),
    "a row twice": (lambda c: c["results"].append(c["results"][0]), r"Net A on ppm-100 by p3m, .* is there twice"),
    "contamination that is a text": (lambda c: c["contamination"].update({"aim-500": "x"}), r"a list of sentences"),
    "contamination of nothing": (lambda c: c["contamination"].update({"x": []}), r"there is no benchmark 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_mistakes_in_the_file_are_named(tmp_path, content, change):
    edit, words = CHANGES[change]
    edit(content)
    with pytest.raises(ValueError, match=words) as error:
        published.read(write(tmp_path, content))
    assert "published.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["results: [", "", "5"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"x\.yaml"):
        published.read(tmp_path / "x.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.yaml"):
        published.read(tmp_path / "x.yaml")


def write_ours(folder, values, protocol="p3m", region="whole", count=100, model="modnet", seeds=(0, 1), **columns):
    """Score tables of a seed each: item i of seed s has the metric's value times 1 + s / 10."""
    for seed in seeds:
        rows = [
            {"item": f"i{number:03d}", "metric": metric, "value": mean * (1 + seed / 10)}
            for number in range(count)
            for metric, mean in values.items()
        ]
        fixed = {"run": "r", "model": model, "variant": "refined", "fraction": 100, "seed": seed}
        fixed |= {"benchmark": "ppm-100", "protocol": protocol, "region": region}
        path = folder / "ppm-100" / model / f"refined-{protocol}-{region}-s{seed}.parquet"
        shards.write_table(pd.DataFrame(rows).assign(**(fixed | columns)), path)
    return folder


def marks(made):
    return {line[0].rstrip("†‡§¶ "): line[0][len(line[0].rstrip("†‡§¶")) :] for line in made.rows}


def test_without_ours_only_published_rows_are_there(tmp_path, known):
    ours = published.read_ours(tmp_path, "ppm-100", known.protocols)
    assert ours == []
    numbers, made = published.tabulate(known, ours, "ppm-100")
    assert [line[0] for line in made.rows] == ["Net A", "Net B", "Net C †‡¶"]
    assert [line[2] for line in made.rows] == ["Lu_1 et al. 2025"] * 3
    assert made.rules == {2}
    assert "None of ours was run on it." in made.note
    assert "§" not in made.note
    for words in (
        "5 of 100 items left out",
        "its trainer saw PPM-100",
        "on a Tuesday",
        "Some weights were trained on it.",
    ):
        assert words in made.note
    assert set(numbers.source) == {"R", "S"}


def test_ours_stands_with_rows_of_its_protocol_and_region(tmp_path, known):
    write_ours(tmp_path, {"sad": 10, "mse": 0.002})
    ours = published.read_ours(tmp_path, "ppm-100", known.protocols)
    _, made = published.tabulate(known, ours, "ppm-100")
    assert [line[0] for line in made.rows] == ["Net A", "Net B", "modnet, refined", "Net C †‡§¶"]
    assert made.rows[2][1:5] == ["nothing", "ours", "p3m", "whole"]
    assert made.rules == {3}
    assert made.rows[2][5].startswith("10.50 ± ")  # seeds 10 and 11
    assert made.rows[2][6].startswith("2.10 ± ")  # stored as P3M prints it, a mean
    assert "2 seeds and 100 items" in made.note
    assert "§ no row of the other side" in made.note


def test_ours_by_another_protocol_is_told_apart(tmp_path, known):
    write_ours(tmp_path, {"sad": 10, "mse": 0.002}, protocol="definition")
    ours = published.read_ours(tmp_path, "ppm-100", known.protocols)
    _, made = published.tabulate(known, ours, "ppm-100")
    assert marks(made) == {"Net A": "§", "Net B": "§", "Net C": "†‡§¶", "modnet, refined": "§"}
    assert made.rules == {2, 3}
    assert made.rows[3][3] == "definition"
    assert "definition, of the definitions" in made.note


def test_the_same_protocol_in_another_region_is_told_apart(tmp_path, known):
    write_ours(tmp_path, {"sad": 10}, region="unknown")
    _, made = published.tabulate(known, published.read_ours(tmp_path, "ppm-100", known.protocols), "ppm-100")
    assert marks(made)["modnet, refined"] == "§"


def test_a_part_of_the_benchmark_is_marked(tmp_path, known):
    write_ours(tmp_path, {"sad": 10}, count=99)
    _, made = published.tabulate(known, published.read_ours(tmp_path, "ppm-100", known.protocols), "ppm-100")
    assert marks(made)["modnet, refined"] == "‡"
    assert "modnet, refined (ours): 99 of 100 items." in made.note


def test_a_gap_in_one_metric_is_marked(tmp_path, known):
    write_ours(tmp_path, {"sad": 10, "mse": 0.002})
    (path,) = tmp_path.rglob("*-s1.parquet")
    table = pd.read_parquet(path)
    table.loc[(table.metric == "mse") & (table["item"] == "i007"), "value"] = math.nan
    table.to_parquet(path)
    _, made = published.tabulate(known, published.read_ours(tmp_path, "ppm-100", known.protocols), "ppm-100")
    assert marks(made)["modnet, refined"] == "‡"
    assert "99 of 100 items" in made.note


def test_only_the_models_asked_for_are_shown(tmp_path, known):
    for model in ("modnet", "gfm"):
        write_ours(tmp_path, {"sad": 10}, model=model)
    ours = published.read_ours(tmp_path, "ppm-100", known.protocols, ["gfm"])
    assert [row.method for row in ours] == ["gfm, refined"]
    assert len(published.read_ours(tmp_path, "ppm-100", known.protocols)) == 2


def test_regions_that_nobody_publishes_are_left_out(tmp_path, known):
    write_ours(tmp_path, {"sad": 10}, region="foreground")
    assert published.read_ours(tmp_path, "ppm-100", known.protocols) == []


def test_scores_of_other_benchmarks_are_left_out(tmp_path, known):
    write_ours(tmp_path, {"sad": 10}, benchmark="aim-500")
    assert published.read_ours(tmp_path, "ppm-100", known.protocols) == []


def test_scores_without_protocols_are_refused(tmp_path, known):
    write_ours(tmp_path, {"sad": 10})
    for path in tmp_path.rglob("*.parquet"):
        pd.read_parquet(path).drop(columns="protocol").to_parquet(path)
    with pytest.raises(ValueError, match=r"parquet .* no column protocol"):
        published.read_ours(tmp_path, "ppm-100", known.protocols)


def test_an_undescribed_protocol_is_refused(tmp_path, known):
    write_ours(tmp_path, {"sad": 10}, protocol="mine")
    with pytest.raises(ValueError, match=r"parquet: there is no protocol 'mine'"):
        published.read_ours(tmp_path, "ppm-100", known.protocols)


def test_a_metric_that_the_protocol_has_not_is_refused(tmp_path, known):
    write_ours(tmp_path, {"conn": 10})
    with pytest.raises(ValueError, match="hold conn, which the protocol p3m has not"):
        published.read_ours(tmp_path, "ppm-100", known.protocols)


def test_a_score_told_twice_is_refused(tmp_path, known):
    write_ours(tmp_path, {"sad": 10})
    (path,) = tmp_path.rglob("*-s0.parquet")
    shutil.copy(path, path.with_name("again.parquet"))
    with pytest.raises(ValueError, match="hold sad of an item more than once"):
        published.read_ours(tmp_path, "ppm-100", known.protocols)


def test_nothing_at_all_is_a_sentence(known):
    with pytest.raises(ValueError, match="neither published results on bank nor scores"):
        published.tabulate(known, [], "bank")


def test_video_columns(tmp_path, content):
    content["results"] = [
        {"benchmark": "crgnn", "protocol": "rvm", "region": "whole", "given": "mask", "paper": "lu",
         "source": "R", "metrics": ["mad", "dtssd"], "methods": {"V": [5.32, 1.24]}}
    ]  # fmt: skip
    known = published.read(write(tmp_path, content))
    _, made = published.tabulate(known, [], "crgnn")
    assert made.headings[5:] == ["MAD ×10³", "dtSSD ×10²"]
    assert made.rows[0][5:] == ["5.32", "1.24"]


def write_clips(folder, errors, benchmark="videomatte-240k", protocol="rvm", units=(1e3, 1, 1e2), count=50, **columns):
    """A table of one method's scores, of 3 frames a clip, in a protocol's units for mad, grad and dtssd.

    Frame f has the mean error `errors` times 1 + f, a tenth of it as dtSSD but 0 in the first frame, and Grad 2.
    """
    rows = []
    for clip in range(count):
        for frame in range(3):
            found = {"mad": errors * (1 + frame), "grad": 2.0, "dtssd": errors / 10 if frame else 0.0}
            for (metric, value), unit in zip(found.items(), units, strict=True):
                rows.append({"item": f"c{clip:02d}", "frame": frame, "metric": metric, "value": value * unit})
    fixed = {"run": "r", "model": "small-trimap", "variant": "truth", "fraction": 100, "seed": 0, "method": "ours"}
    fixed |= {"benchmark": benchmark, "protocol": protocol, "region": "whole"} | columns
    path = folder / "video" / benchmark / f"{fixed['method']}-{protocol}.parquet"
    shards.write_table(scores.table_of([fixed | row for row in rows], scores.VIDEO_TYPES), path)
    return path


@pytest.fixture
def of_video(tmp_path, content):
    entry = {"benchmark": "videomatte-240k", "protocol": "rvm", "region": "whole", "given": "first mask", "paper": "lu"}
    content["results"] = [
        entry | {"source": "R", "metrics": ["mad", "grad", "dtssd"], "methods": {"V": [5.32, 0.9, 1.24]}}
    ]
    return published.read(write(tmp_path, content))


def test_a_clip_s_errors_are_means_over_frames_in_the_units_of_rvm(tmp_path, of_video):
    write_clips(tmp_path, 0.005)
    (row,) = published.read_ours(tmp_path, "videomatte-240k", of_video.protocols)
    assert row.values["mad"].value == pytest.approx(5 * (1 + 2 + 3) / 3)  # times 10³
    assert row.values["dtssd"].value == pytest.approx(0.05 * 2 / 3)  # times 10², and the first frame's 0 counts
    assert row.values["grad"].value == pytest.approx(2)
    assert (row.method, row.given, row.items, row.seeds) == ("ours, small-trimap", "nothing", 50, 0)


def test_the_definitions_are_printed_in_the_same_units(tmp_path, of_video):
    """What rvm stores in its units and the definitions as they are stand in one column as one number."""
    write_clips(tmp_path, 0.005)
    write_clips(tmp_path, 0.005, protocol="definition", units=(1, 1, 1))
    kept = of_video.protocols | {"definition": published.read(FILE).protocols["definition"]}
    rows = {row.protocol: row.values for row in published.read_ours(tmp_path, "videomatte-240k", kept)}
    for metric in ("mad", "grad", "dtssd"):
        assert rows["rvm"][metric].value == pytest.approx(rows["definition"][metric].value), metric


def test_scores_of_a_known_matte_are_the_numbers_of_the_table(tmp_path):
    """A matte that is off by 0.25 everywhere and in every other frame: MAD 0.125, dtSSD of 0.25 between any two."""
    true = np.full((4, 8, 16), 0.5)
    pred = true + np.array([0, 0.25, 0, 0.25])[:, None, None]
    rows = [
        {"item": f"c{clip:02d}", "protocol": name, **row}
        for clip in range(50)
        for name in ("definition", "rvm")
        for row in protocols.score_frames(name, pred, true)
    ]
    fixed = {"run": "r", "model": "", "variant": "", "fraction": 100, "seed": 0, "method": "mask"}
    table = scores.table_of([fixed | {"benchmark": "videomatte-240k"} | row for row in rows], scores.VIDEO_TYPES)
    shards.write_table(table, tmp_path / "video" / "videomatte-240k" / "mask.parquet")
    known = published.read(FILE)
    ours = published.read_ours(tmp_path, "videomatte-240k", known.protocols)
    found = {row.protocol: {metric: made.value for metric, made in row.values.items()} for row in ours}
    assert {row.method for row in ours} == {"mask"}
    for name in ("definition", "rvm"):
        assert found[name]["mad"] == pytest.approx(125)
        assert found[name]["mse"] == pytest.approx(62.5 / 2)
    assert found["definition"]["dtssd"] == pytest.approx(25)
    assert found["rvm"]["dtssd"] == pytest.approx(25 * 3 / 4)


def test_ways_of_matting_stand_beside_published_ones(tmp_path, of_video):
    for method, model in [("truth", "small-trimap"), ("mask", ""), ("ours", "small-trimap"), ("frames", "portrait")]:
        write_clips(tmp_path, 0.005, method=method, model=model)
    ours = published.read_ours(tmp_path, "videomatte-240k", of_video.protocols, ["modnet"])  # names pictures' alone
    numbers, made = published.tabulate(of_video, ours, "videomatte-240k")
    assert [line[:3] for line in made.rows] == [
        ["V", "first mask", "Lu_1 et al. 2025"],
        ["frames, portrait", "nothing", "ours"],
        ["mask", "nothing", "ours"],
        ["ours, small-trimap", "nothing", "ours"],
        ["truth, small-trimap", "trimap", "ours"],
    ]
    assert not made.rules  # one protocol and region
    assert made.rows[1][5].startswith("10.00 ± ")
    for words in (
        "interval over 50 clips, of each the mean over its frames",
        "mask: the mask of the segmentation, as it is",
    ):
        assert words in made.note
    assert "seed" not in made.note
    assert "truth: ours with trimaps of the true alpha" in made.note
    assert set(numbers.given) == {"first mask", "nothing", "trimap"}


def test_a_part_of_the_clips_is_marked(tmp_path, of_video):
    write_clips(tmp_path, 0.005, count=4)
    ours = published.read_ours(tmp_path, "videomatte-240k", of_video.protocols)
    _, made = published.tabulate(of_video, ours, "videomatte-240k")
    assert marks(made) == {"V": "", "ours, small-trimap": "‡"}
    assert "‡ not on all of its clips." in made.note
    assert "ours, small-trimap (ours): 4 of 50 clips." in made.note


def test_a_frame_twice_is_refused(tmp_path, of_video):
    path = write_clips(tmp_path, 0.005)
    table = pd.read_parquet(path)
    shards.write_table(pd.concat([table, table.iloc[:1]]), path)
    with pytest.raises(ValueError, match=r"ours-rvm.parquet holds mad of c00, frame 0, more than once"):
        published.read_ours(tmp_path, "videomatte-240k", of_video.protocols)


def test_scores_of_pictures_among_those_of_clips_are_refused(tmp_path, of_video):
    write_ours(tmp_path, {"sad": 10})
    (tmp_path / "ppm-100").rename(tmp_path / "video")
    (tmp_path / "video" / "modnet").rename(tmp_path / "video" / "videomatte-240k")
    with pytest.raises(ValueError, match=r"parquet is not a score table of clips: it has no column method"):
        published.read_ours(tmp_path, "videomatte-240k", of_video.protocols)


def test_every_number_has_a_source():
    """A paper that can be found, and the place in it if it was read there."""
    for row in published.read(FILE).rows:
        about = (row.benchmark, row.method, row.paper.title)
        assert re.fullmatch(r"\d{4}\.\d{5}", row.paper.arxiv) or row.paper.doi.startswith("10."), about
        assert row.table or row.source == "S", about
        assert row.values, about


@pytest.fixture
def written(tmp_path, content):
    write_ours(tmp_path / "scores", {"sad": 10, "mse": 0.002})
    write_ours(
        tmp_path / "scores",
        {"sad": 9, "mse": 0.001},
        protocol="definition",
        model="vitmatte-s",
        variant="refined|2",
        count=98,
    )
    path = write(tmp_path, content)
    result = stages.call(
        "tabulate_published.py", tmp_path / "scores", tmp_path / "out", "--benchmark", "ppm-100", "--published", path
    )
    assert result.returncode == 0, result.stderr
    return tmp_path / "out"


def test_the_three_tables_agree(written):
    numbers = pd.read_csv(f"{written}.csv", keep_default_na=False)
    page = gallery.read_markdown(written.with_suffix(".md").read_text(encoding="utf-8"))
    md = [[cell.text for cell in row] for row in page["rows"]]
    tex = written.with_suffix(".tex").read_text(encoding="utf-8")
    lines = [line for line in tex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    back = {r"\dag{}": "†", r"\ddag{}": "‡", r"\S{}": "§", r"\P{}": "¶", r"$\pm$": "±", r"\_": "_", "--": "–"}
    back |= {r"\textbar{}": "|"}
    for old, new in back.items():
        lines = [line.replace(old, new) for line in lines]
    cells = [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in lines]
    assert cells[1:] == md
    assert len(md) == 5
    shown = {}
    for row in md:
        for metric, text in zip(["sad", "mse", "grad"], row[5:], strict=True):
            if text != "–":
                shown[row[0].rstrip("†‡§¶ "), metric] = [float(part) for part in re.findall(r"[\d.]+", text)]
    assert len(shown) == len(numbers) == 5 + 2 + 4
    for row in numbers.itertuples():
        found = shown[row.method, row.metric]
        step = 10.0 ** -len(f"{found[0]}".partition(".")[2])
        assert found[0] == pytest.approx(row.value, abs=step if len(found) > 1 else 1e-9)
        if len(found) > 1:
            assert found[1] == pytest.approx((float(row.high) - float(row.low)) / 2, rel=0.05)
    assert set(numbers[numbers.source == "ours"]["items"]) == {"100", "98"}
    assert not page.get("bold")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
@pytest.mark.parametrize("benchmark", ["", "p3m-500-p", "ppm-100", "videomatte-240k"])
def test_latex_compiles(written, tmp_path, benchmark):
    if benchmark:
        tables.write(written, *published.tabulate(published.read(FILE), [], benchmark))
    body = written.with_suffix(".tex").read_text(encoding="utf-8")
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    result = subprocess.run(["pdflatex", "-interaction=batchmode", "t.tex"], cwd=tmp_path, check=False)
    assert result.returncode == 0


def test_every_character_of_the_file_is_known_to_latex():
    known = published.read(FILE)
    for benchmark in sorted({row.benchmark for row in known.rows}):
        text = tables.latex(published.tabulate(known, [], benchmark)[1])
        assert set(re.sub(r"[\x00-\x7f]", "", text)) <= set("éà"), benchmark  # Latin letters are in every installation


def test_the_interval_is_the_seeds_and_items(tmp_path, known):
    write_ours(tmp_path, {"sad": 10})
    (row,) = published.read_ours(tmp_path, "ppm-100", known.protocols)
    found = row.values["sad"]
    # all items alike: the mean of two seeds drawn from 10 and 11 is 10, 10.5 or 11
    np.testing.assert_allclose([found.value, found.low, found.high], [10.5, 10, 11])
    assert (row.items, row.seeds) == (100, 2)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere", "out", "--benchmark", "ppm-100"], "nowhere"),
        ([".", "out", "--benchmark", "p4m"], "p4m"),
        ([".", "out", "--benchmark", "ppm-100", "--published", "absent.yaml"], "absent.yaml"),
        ([".", "out", "--benchmark", "folder"], "folder"),
    ],
)
def test_bad_input_is_refused(tmp_path, monkeypatch, arguments, word):
    (tmp_path / "config").mkdir()
    shutil.copy(FILE, tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    assert_refused(stages.call("tabulate_published.py", *arguments), word)
    assert not list(tmp_path.glob("out*"))
