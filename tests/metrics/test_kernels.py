"""The compiled loops: Conn's components against scipy's labels, and where the compiled code is kept."""

import os
import subprocess
import sys

import numpy as np
import textbook
from conftest import SCRIPTS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ldportrait.metrics import kernels

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
LEVELS = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 10) | st.sampled_from([0, 5, 10]))


def connected(levels, largest, skip_empty=False):
    """Threshold by threshold: up to where a pixel is in the largest component without a gap."""
    result = np.full(levels.shape, 10)
    found = np.zeros(levels.shape, bool)
    for level in range(1, 11):
        if skip_empty and not (levels >= level).any():
            continue
        omega = largest(levels >= level)
        result[~omega & ~found] = level - 1
        found |= ~omega
    return result


@settings(deadline=None, max_examples=300)
@given(LEVELS)
def test_components_are_those_of_labelling(levels):
    expected = connected(levels, textbook.largest_component)
    assert (kernels.connect(levels, levels.size, kernels.NONE) == expected).all()


@settings(deadline=None, max_examples=150)
@given(LEVELS)
def test_background_counts_where_it_is_asked_to(levels):
    expected = connected(levels, textbook.largest_label)
    assert (kernels.connect(levels, levels.size, kernels.LARGEST) == expected).all()


@settings(deadline=None, max_examples=150)
@given(LEVELS)
def test_empty_thresholds_are_skipped_where_it_is_asked_to(levels):
    expected = connected(levels, textbook.largest_component, skip_empty=True)
    assert (kernels.connect(levels, levels.size, kernels.EMPTY) == expected).all()


def test_components_of_a_larger_picture():
    """Where long runs, deep trees and a largest component that changes with the threshold come together."""
    generator = np.random.default_rng(5)
    coarse = generator.integers(0, 11, (12, 15)).repeat(9, axis=0).repeat(7, axis=1)
    levels = np.where(generator.random(coarse.shape) < 0.2, generator.integers(0, 11, coarse.shape), coarse)
    levels = levels.astype(np.uint8)
    expected = connected(levels, textbook.largest_component)
    assert (kernels.connect(levels, levels.size, kernels.NONE) == expected).all()
    assert len(np.unique(expected)) >= 5


def test_of_equally_large_components_the_first_counts():
    levels = np.zeros((5, 9), np.uint8)
    levels[3, 0:3] = 10
    levels[1, 5:8] = 10
    result = kernels.connect(levels, levels.size, kernels.NONE)
    assert (result[1, 5:8] == 10).all()
    assert (result[3, 0:3] == 0).all()


def test_a_single_precision_level_stands_for_its_byte():
    levels = np.arange(256) / 255
    alpha = np.append(levels.astype(np.float32), np.float32([0.5, 1e-9, 0.99999994]))[None]
    result = kernels.from_single(alpha, levels)
    assert (result[0, :256] == levels).all()
    assert (result[0, 256:] == alpha[0, 256:].astype(np.float64)).all()


def test_without_a_folder_to_write_to_it_compiles_all_the_same():
    """No other place than the one named here may be looked for, and that one lies under a file."""
    code = (
        "import numpy as np; from ldportrait.metrics import kernels; one = np.ones((1, 1)); "
        "print(kernels.quantise(one, one, np.ones(10, np.float32)))"
    )
    environment = os.environ | {
        "NUMBA_CACHE_DIR": f"{os.devnull}/nowhere",
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "PYTHONPATH": str(SCRIPTS),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[[10]]", done.stderr
