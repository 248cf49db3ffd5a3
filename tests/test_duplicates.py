"""Near-duplicates against the plain comparison of all with all, one by one."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldportrait import duplicates


def one_by_one(hashes: list[int], distance: int, keep: set[int]) -> list[int]:
    """The definition, in Python's own integers."""
    stayed, gone = [], []
    for position, value in enumerate(hashes):
        if position not in keep and any((value ^ other).bit_count() <= distance for other in stayed):
            gone.append(position)
        else:
            stayed.append(value)
    return gone


# few bits set around two centres, so that many hashes are near each other and chains occur
FLIPS = st.lists(st.integers(0, 63), max_size=7).map(lambda bits: sum(1 << bit for bit in set(bits)))
HASHES = st.lists(st.tuples(st.sampled_from([0, 2**64 - 1]), FLIPS).map(lambda pair: pair[0] ^ pair[1]), max_size=40)


@settings(deadline=None)
@given(HASHES, st.integers(-1, 9), st.sets(st.integers(0, 39)))
def test_doubles_are_those_of_the_definition(hashes, distance, keep):
    found = duplicates.doubles(np.array(hashes, np.uint64), distance, keep)
    assert found == one_by_one(hashes, distance, keep)


@settings(deadline=None)
@given(HASHES, HASHES, st.integers(-1, 12) | st.just(70))
def test_resembling_compares_with_the_known_alone(known, hashes, distance):
    found = duplicates.resembling(np.array(known, np.uint64), np.array(hashes, np.uint64), distance)
    assert found.tolist() == [any((a ^ b).bit_count() <= distance for b in known) for a in hashes]


def test_pairs_come_in_parts_of_bounded_size(monkeypatch):
    monkeypatch.setattr(duplicates, "PAIRS", 7)
    hashes = np.zeros(5, np.uint64)
    parts = list(duplicates.near_pairs(hashes, hashes, 0))
    assert len(parts) > 1
    assert max(len(i) for i, _ in parts) <= 7
    assert {(a, b) for i, j in parts for a, b in zip(i.tolist(), j.tolist(), strict=True)} == {
        (a, b) for a in range(5) for b in range(5)
    }


def test_a_hundred_thousand_take_seconds():
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 100_000, np.uint64)
    hashes[70_000] = hashes[10] ^ np.uint64(0b1111)
    started = time.process_time()
    assert duplicates.doubles(hashes, 4) == [70_000]
    assert time.process_time() - started < 10  # all with all would be 5e9 comparisons


def test_a_text_that_is_no_hash_is_refused():
    assert duplicates.parse(["00000000000000ff"]).tolist() == [255]
    with pytest.raises(ValueError, match="16 hexadecimal"):
        duplicates.parse(["none"])
    with pytest.raises(ValueError, match="16 hexadecimal"):
        duplicates.parse([None])
