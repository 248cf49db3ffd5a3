"""Folders with blanks, quotes and other letters in their names: each rule's command hands on whole names."""

import re
import subprocess

import pytest
from test_dag import copy, snakemake, write

ODD = "odd ü 'q' \"d\" $x;"
PARTS = ["odd", "ü", "'q'", '"d"', "$x"]
SHELL = re.compile(r"^Shell command: (.*) > .* 2>&1$", re.MULTILINE)
SAY = 'python() { printf "%s\\0" "$@"; }; '  # a stand-in that says what it was given


@pytest.mark.parametrize("target", ["all", "study"])
def test_commands_are_given_whole_names(tmp_path, target):
    """Every word that bash makes of a command and that has a piece of a name has all of it, once."""
    folder, grounds = tmp_path / ODD / "workflow", tmp_path / ODD / "grounds"
    folder.mkdir(parents=True)
    grounds.mkdir()
    copy(folder)
    write(
        folder,
        prompts={"count": 4, "shard_size": 2},
        paths={"results": str(tmp_path / ODD / "results")},
        train={"backgrounds": str(grounds)},
        video={"benchmarks": ["bank-clips-moving"], "others": ["unsmoothed", "truth", "mask"], "model": None},
    )
    dry = snakemake(folder, target, "--dry-run", "--printshellcmds")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    commands = sorted(set(SHELL.findall(dry.stdout)))
    assert len(commands) > (50 if target == "all" else 5)
    said = subprocess.run(
        ["bash", "-euo", "pipefail"], input=SAY + "\n".join(commands), capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")
    words = [word for word in said.stdout.split("\0") if any(part in word for part in PARTS)]
    assert len(words) >= 2 * len(commands)  # something to read, and something to write
    assert [word for word in words if word.count(ODD) != 1] == []
