"""A data set has the same bytes on old and new processors: libraries are told to leave out the newer instructions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, SCRIPTS
from numpy._core import _multiarray_umath

MADE = ("faults", "key", "generated", "refined", "keyed", "measured")
NUMPY = [name for name in _multiarray_umath.__cpu_dispatch__ if _multiarray_umath.__cpu_features__[name]]
OPENCV = [word.strip("*") for word in cv2.getCPUFeaturesLine().split() if word.startswith("*")]
OLD = {  # the first 64-bit processors with SSE4.2, as far as the libraries can be told
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": " ".join(NUMPY),
    "OPENCV_CPU_DISABLE": ",".join(OPENCV),
    "OPENCV_IPP": "sse42",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable",
}
HASWELL = {  # with AVX2, without AVX-512
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in NUMPY if name != "X86_V3"),
    "OPENCV_CPU_DISABLE": ",".join(name for name in OPENCV if name.startswith("AVX512")),
    "OPENCV_IPP": "avx2",
}


def digests(folder: Path, changes: dict[str, str]) -> dict[str, str]:
    """What small_set.py makes where the environment has these changes."""
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in OLD}
    path = os.pathsep.join([str(SCRIPTS), str(ROOT / "tests")])
    result = subprocess.run(
        [sys.executable, ROOT / "tests" / "small_set.py", folder],
        env={**kept, "PYTHONPATH": path, **{name: value for name, value in changes.items() if value}},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> dict[str, str]:
    return digests(tmp_path_factory.mktemp("here") / "made", {})


@pytest.mark.parametrize("processor", [OLD, HASWELL], ids=["old", "haswell"])
def test_a_data_set_is_the_same_on_another_processor(here, processor, tmp_path):
    there = digests(tmp_path / "made", processor)
    if there["kernels"] == here["kernels"]:
        pytest.skip("This processor's kernels round alike, or the libraries here cannot be told to use others.")
    assert [name for name in MADE if there[name] != here[name]] == []
