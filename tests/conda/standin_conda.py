"""What the stand-in for `conda` does: it answers Snakemake, and makes environments from a channel on the disk.

It differs from conda on the safe side: of all the ways to write a dependency it knows `name` and `name=version` alone,
there are no channels but the folders beside it, and what it does not know it refuses.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

VERSION = "24.7.1"  # the oldest that Snakemake 9 takes


def main(base: Path, arguments: list[str]) -> None:
    match arguments:
        case ["--version"]:
            print(f"conda {VERSION}")
        case ["info", "--json"]:
            print(json.dumps({"conda_prefix": str(base), "platform": "linux-64"}))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", "-y", "--tarballs"]:
            pass  # it keeps none
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", prefix]:
            create(yaml.safe_load(Path(file).read_text(encoding="utf-8")), Path(prefix), base / "channels")
        case _:
            sys.exit(f"conda: not known to the stand-in: {' '.join(arguments)}")


def create(environment: dict, prefix: Path, channels: Path) -> None:
    """Make an environment: its packages from the first channel that has them, then what is pip's."""
    unknown = environment.keys() - {"name", "channels", "dependencies"}
    if unknown:
        sys.exit(f"EnvironmentSectionNotValid: {', '.join(sorted(unknown))}")
    specs = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    by_pip = [line for entry in environment["dependencies"] if isinstance(entry, dict) for line in entry["pip"]]
    for archive in solve(specs, offers(environment["channels"], channels)):
        with tarfile.open(archive) as package:
            package.extraction_filter = lambda member, _: member  # python is a link to one elsewhere
            package.extractall(prefix, [member for member in package if not member.name.startswith("info/")])
    if by_pip:
        with tempfile.NamedTemporaryFile("w", suffix=".requirements.txt") as requirements:
            requirements.write("\n".join(by_pip) + "\n")
            requirements.flush()
            install = [prefix / "bin" / "python", "-m", "pip", "install", "-U", "-r", requirements.name]
            if subprocess.run(install, check=False).returncode:
                sys.exit("CondaEnvException: Pip failed")


def offers(names: list[str], channels: Path) -> list[dict]:
    """The records of all channels, the first channel's first; without `nodefaults` conda asks its defaults too."""
    names = [name for name in names if name != "nodefaults"] if "nodefaults" in names else [*names, "defaults"]
    found = []
    for name in names:
        index = channels / name / "noarch" / "repodata.json"
        if not index.is_file():
            sys.exit(f"UnavailableInvalidChannel: {name}")
        packages = json.loads(index.read_text(encoding="utf-8"))["packages"]
        found += [record | {"archive": index.with_name(file)} for file, record in packages.items()]
    return found


def solve(specs: list[str], records: list[dict]) -> list[Path]:
    """The archives of what is asked for and of what that depends on."""
    chosen = {}
    for spec in (queue := list(specs)):
        name, _, version = spec.partition("=")
        fits = [
            record
            for record in records
            if record["name"] == name and f"{record['version']}.".startswith(f"{version}." if version else "")
        ]
        if not fits:
            sys.exit(
                f"PackagesNotFoundError: The following packages are not available from current channels:\n  - {spec}"
            )
        if name not in chosen:
            chosen[name] = fits[0]["archive"]
            queue += fits[0]["depends"]
    return list(chosen.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
