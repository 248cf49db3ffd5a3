"""The shard: what is written is read, equal work gives equal bytes, and damage is noticed."""

import json
import multiprocessing
import os
import signal
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset

from ldportrait import shards

IDS = [f"demo-{index:09d}" for index in range(4)]


def item(id: str, truth: bool = True, seconds: float = 1.0) -> shards.Item:
    generator = np.random.default_rng(int(id[-9:]))
    rgba = generator.integers(0, 256, (24, 20, 4), dtype=np.uint8)
    row = {"id": id, "prompt": "a portrait, “close-up”", "seed": 2**62, "severity": np.float64(1.5), "seconds": seconds}
    return shards.Item(row, rgba, rgba[::-1, :, 3] if truth else None)


def make(tar: Path, ids: list[str] = IDS, **words: object) -> Path:
    shards.make_shard(tar, shards.partial_of(tar), {"a": 1}, [(id, lambda id=id: item(id, **words)) for id in ids])
    return tar


def test_what_is_written_is_read(tmp_path):
    tar = make(tmp_path / "generated" / "shard-0000000.tar")
    found = list(shards.read_shard(tar))
    assert [entry.row["id"] for entry in found] == IDS
    for entry in found:
        expected = item(entry.row["id"])
        np.testing.assert_array_equal(entry.rgba, expected.rgba)  # colour under alpha 0 among it
        np.testing.assert_array_equal(entry.truth, expected.truth)
        assert expected.row.items() <= entry.row.items()


def test_a_shard_without_truth(tmp_path):
    tar = make(tmp_path / "s" / "shard-0000000.tar", truth=False)
    assert [entry.truth for entry in shards.read_shard(tar)] == [None] * len(IDS)


def test_truth_is_passed_on_as_it_is(tmp_path):
    truth = b"bytes of a WebP that nobody decodes"
    tar = tmp_path / "s" / "shard-0000000.tar"
    shards.make_shard(tar, shards.partial_of(tar), {}, [(IDS[0], lambda: replace(item(IDS[0]), truth=truth))])
    (passed,) = shards.read_shard(tar, decode_truth=False)
    assert passed.truth == truth
    np.testing.assert_array_equal(passed.rgba, item(IDS[0]).rgba)


def test_nothing_else_is_left(tmp_path):
    make(tmp_path / "generated" / "shard-0000000.tar")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["generated/shard-0000000.parquet", "generated/shard-0000000.tar"]


def test_equal_work_gives_equal_bytes_whatever_the_time_it_took(tmp_path):
    one, two = make(tmp_path / "a" / "shard.tar"), make(tmp_path / "b" / "shard.tar", seconds=9.0)
    assert one.read_bytes() == two.read_bytes()
    tables = [shards.read_manifest(tar).drop(columns="seconds") for tar in (one, two)]
    assert tables[0].equals(tables[1])


def test_webdataset_reads_it(tmp_path):
    tar = make(tmp_path / "s" / "shard-0000000.tar")
    found = list(webdataset.WebDataset(str(tar), shardshuffle=False).decode("pilrgba"))
    assert [sample["__key__"] for sample in found] == IDS
    np.testing.assert_array_equal(np.array(found[1]["rgba.webp"]), item(IDS[1]).rgba)
    manifest = shards.read_manifest(tar).to_dict("records")
    assert [json.loads(json.dumps(sample["json"])) for sample in found] == [
        {key: value for key, value in row.items() if key != "seconds"} for row in manifest
    ]


def slow_shard(tar: Path, made: Path) -> None:
    def job(id: str) -> shards.Item:
        with made.open("a") as stream:
            stream.write(f"{id}\n")
        if id == IDS[2] and made.read_text().count(id) == 1:
            time.sleep(600)  # it is killed
        return item(id)

    shards.make_shard(tar, shards.partial_of(tar), {"a": 1}, [(id, lambda id=id: job(id)) for id in IDS])


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def killed(tmp_path):
    """A shard whose process was killed while its third item was in flight."""
    tar, made = tmp_path / "s" / "shard-0000000.tar", tmp_path / "made.txt"
    process = multiprocessing.get_context("fork").Process(target=slow_shard, args=(tar, made))
    process.start()
    wait_until(lambda: made.is_file() and IDS[2] in made.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return tar, made


def test_a_killed_shard_goes_on(killed, tmp_path):
    tar, made = killed
    assert not tar.exists()
    slow_shard(tar, made)
    assert made.read_text().split() == [*IDS[:3], *IDS[2:]]
    assert tar.read_bytes() == make(tmp_path / "undisturbed" / "shard.tar").read_bytes()


def test_other_parameters_throw_finished_items_away(killed):
    tar, made = killed
    jobs = [(id, lambda id=id: (made.write_text(made.read_text() + id + "\n"), item(id))[1]) for id in IDS]
    shards.make_shard(tar, shards.partial_of(tar), {"a": 2}, jobs)
    assert made.read_text().split()[3:] == IDS


def patient_shard(tar: Path, made: Path, go: Path) -> None:
    def job(id: str) -> shards.Item:
        with made.open("a") as stream:
            stream.write(f"{id}\n")
        wait_until(go.exists)
        return item(id)

    shards.make_shard(tar, shards.partial_of(tar), {"a": 1}, [(id, lambda id=id: job(id)) for id in IDS])


def test_of_two_at_once_the_second_waits_for_what_the_first_makes(tmp_path, capfd):
    tar, made, go = tmp_path / "s" / "shard-0000000.tar", tmp_path / "made.txt", tmp_path / "go"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=patient_shard, args=(tar, made, go)) for _ in range(2)]
    for process in processes:
        process.start()
    waiting = []
    wait_until(lambda: waiting.append(capfd.readouterr().err) or "waiting for it" in "".join(waiting))
    wait_until(lambda: made.is_file() and made.read_text())  # it may wait before the other has made anything
    assert made.read_text().split() == IDS[:1]
    go.touch()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert made.read_text().split() == IDS  # the second finds that the first has made what it was to make
    assert tar.read_bytes() == make(tmp_path / "alone" / "shard.tar").read_bytes()


def test_who_writes_the_same_file_or_folder_waits(tmp_path, capfd):
    order = []

    def write(replacing, name: str) -> None:
        with replacing(tmp_path / "it") as place:
            order.append(name)
            (place if replacing is shards.replacing else place / "a").write_text(name)

    for replacing in (shards.replacing, shards.replacing_folder):
        with replacing(tmp_path / "it") as place:
            thread = threading.Thread(target=write, args=(replacing, "second"))
            thread.start()
            waiting = []
            wait_until(lambda waiting=waiting: waiting.append(capfd.readouterr().err) or "waiting" in "".join(waiting))
            order.append("first")
            (place if replacing is shards.replacing else place / "a").write_text("first")
        thread.join(20)
        assert order == ["first", "second"]
        made = tmp_path / "it"
        assert (made if made.is_file() else made / "a").read_text() == "second"
        assert [path.name for path in tmp_path.iterdir()] == ["it"]
        order.clear()
        if made.is_file():
            made.unlink()


def test_an_item_under_another_id_is_refused(tmp_path):
    tar = tmp_path / "s" / "shard-0000000.tar"
    with pytest.raises(ValueError, match=IDS[1]):
        shards.make_shard(tar, shards.partial_of(tar), {}, [(IDS[0], lambda: item(IDS[1]))])
    assert not tar.exists()


@pytest.mark.parametrize("where", [0.1, 0.4, 0.6])
def test_a_truncated_tar_is_named(tmp_path, where):
    tar = make(tmp_path / "s" / "shard-0000000.tar")
    content = tar.read_bytes()
    tar.write_bytes(content[: int(len(content) * where)])
    with pytest.raises(ValueError, match=r"shard-0000000\.tar"):
        list(shards.read_shard(tar))


def test_a_flipped_bit_is_noticed(tmp_path):
    tar = make(tmp_path / "s" / "shard-0000000.tar")
    with tarfile.open(tar) as archive:
        offset = archive.getmember(f"{IDS[1]}.rgba.webp").offset_data
    content = bytearray(tar.read_bytes())
    content[offset + 200] ^= 4
    tar.write_bytes(content)
    with pytest.raises(ValueError, match=rf"shard-0000000.tar is damaged: {IDS[1]}"):
        list(shards.read_shard(tar))


def test_a_manifest_that_disagrees_is_noticed(tmp_path):
    tar, other = make(tmp_path / "s" / "shard-0000000.tar"), make(tmp_path / "s" / "shard-0000001.tar", IDS[:2])
    shards.manifest_of(other).replace(shards.manifest_of(tar))
    with pytest.raises(ValueError, match=f"holds {IDS[2]}"):
        list(shards.read_shard(tar))
    make(tar).replace(other)
    make(tar, IDS[:3]).replace(other)
    make(tar)
    other.replace(tar)
    with pytest.raises(ValueError, match=f"{IDS[3]} is missing"):
        list(shards.read_shard(tar))


def test_missing_files_are_named(tmp_path):
    tar = make(tmp_path / "s" / "shard-0000000.tar")
    tar.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-0000000\.tar"):
        list(shards.read_shard(tar))
    shards.manifest_of(tar).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"shard-0000000\.parquet"):
        shards.read_manifest(tar)
