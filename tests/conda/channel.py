"""A `conda` of our own, with a channel on the disk: enough for `snakemake --use-conda` without a network.

The packages are tiny: `python` is a link to the interpreter of the tests, `pip` links packages from the environment of
the tests (standin_pip.py), `nodejs` is empty. But they have conda's format, the channel is indexed as conda's are, and
Snakemake does all that it does with a real conda.
"""

import hashlib
import io
import json
import sys
import sysconfig
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
INTERPRETER = Path(sys._base_executable)  # outside the virtual environment
PYTHON = "3.11.9"  # whichever runs the tests: so that it is what envs/*.yaml ask for
LIBRARY = Path(sysconfig.get_path("purelib"))
SITE = LIBRARY.relative_to(sys.prefix).as_posix()
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


def make(base: Path, pretended: dict[str, str]) -> Path:
    """Make the stand-in in a folder, with its one channel, and return the folder of the command.

    The packages of `pretended` (name -> version) are empty; others come from the environment of the tests.
    """
    wheels = base / "pretended"
    for name, version in pretended.items():
        folder = wheels / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "RECORD").write_text(f"{folder.name}/METADATA,,\n{folder.name}/RECORD,,\n")
    channel = base / "channels" / "conda-forge"
    python = {
        "bin/python": INTERPRETER,
        "pyvenv.cfg": f"home = {INTERPRETER.parent}\ninclude-system-site-packages = false\n",
        f"{SITE}/sitecustomize.py": (HERE / "standin_site.py").read_text(encoding="utf-8"),
    }
    pip = {
        f"{SITE}/pip/__main__.py": (HERE / "standin_pip.py").read_text(encoding="utf-8"),
        f"{SITE}/pip/folders.json": json.dumps([str(LIBRARY), str(wheels)]),
    }
    records = [
        package(channel, "python", PYTHON, python),
        package(channel, "pip", "26.0", pip, depends=["python"]),
        package(channel, "nodejs", "22.11.0", {"bin/node": "#!/bin/sh\nexit 1\n"}),
    ]
    index = {"info": {"subdir": "noarch"}, "packages": dict(records), "packages.conda": {}, "repodata_version": 1}
    (channel / "noarch" / "repodata.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    command = base / "bin" / "conda"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{HERE / 'standin_conda.py'}' '{base}' \"$@\"\n")
    command.chmod(0o755)
    (command.parent / "activate").write_text(ACTIVATE)
    return command.parent


def package(channel: Path, name: str, version: str, files: dict[str, str | Path], depends: tuple = ()) -> tuple:
    """Write a package (a Path is a link) into a channel, and return its file name and its record in the index."""
    about = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends)}
    about |= {"subdir": "noarch", "noarch": "generic", "license": "CC0-1.0", "timestamp": 0}
    paths = [
        {"_path": path, "path_type": "softlink" if isinstance(content, Path) else "hardlink"} | size_of(content)
        for path, content in files.items()
    ]
    info = {
        "info/index.json": json.dumps(about),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": paths}),
        "info/files": "\n".join(files),
        "info/about.json": "{}",
    }
    archive = channel / "noarch" / f"{name}-{version}-0.tar.bz2"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:bz2") as tar:
        for path, content in (info | files).items():
            member = tarfile.TarInfo(path)
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
                tar.addfile(member)
            else:
                member.size, member.mode = len(content.encode()), 0o755 if path.startswith("bin/") else 0o644
                tar.addfile(member, io.BytesIO(content.encode()))
    raw = archive.read_bytes()
    return archive.name, about | {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}


def size_of(content: str | Path) -> dict:
    raw = b"" if isinstance(content, Path) else content.encode()
    return {"sha256": hashlib.sha256(raw).hexdigest(), "size_in_bytes": len(raw)}
