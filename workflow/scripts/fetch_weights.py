"""Fetch the weights of LayerDiffuse once, check them, and record what they are; generation then needs no network.

python workflow/scripts/fetch_weights.py results/paper/weights.json --base realvisxl-v4
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from ldportrait import commands
from ldportrait.layerdiffuse import files
from ldportrait.shards import replacing


def main(
    output: Annotated[Path, typer.Argument(help="The record to write (.json), which generate_portraits.py takes.")],
    catalogue: Annotated[Path, typer.Option(help="What can be fetched, and from where.")] = Path("config/weights.yaml"),
    folder: Annotated[Path, typer.Option(help="Folder for the weights, about 9 GB.")] = Path("weights"),
    mirror: Annotated[
        Path | None, typer.Option(help="Copy from this folder (MIRROR/owner/name/file) instead of the hub.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="The SDXL checkpoint: an entry of the catalogue, a diffusers folder or a .safetensors.")
    ] = "realvisxl-v4",
    vae: Annotated[str, typer.Option(help='The VAE; "" for the checkpoint\'s own.')] = "sdxl-vae-fp16-fix",
    attention: Annotated[str, typer.Option(help="LayerDiffuse's change of the attention.")] = "layerdiffuse-attention",
    decoder: Annotated[str, typer.Option(help="LayerDiffuse's transparent decoder.")] = "layerdiffuse-decoder",
    layout: Annotated[str, typer.Option(help="Configurations and tokenizers for a base in one file.")] = "sdxl-layout",
) -> None:
    """Have all weights on the disk, each with the SHA-256 published for it or recorded at its first fetch.

    What is there is only checked, and a fetch that was stopped goes on within the file. Each licence is shown; who uses
    the weights is bound by it.
    """
    section = {"base": base, "vae": vae, "attention": attention, "decoder": decoder, "layout": layout}
    if mirror is not None and not mirror.is_dir():
        raise FileNotFoundError(f"There is no mirror at {mirror}.")
    chosen = files.choose(section, files.load_catalogue(catalogue))
    record = files.fetch(chosen, folder, mirror, typer.echo)
    count = sum(len(part["files"]) for part in record["parts"].values())
    size = sum(about["bytes"] for part in record["parts"].values() for about in part["files"].values())
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    typer.echo(f"{count} files, {size / 1e9:.1f} GB, are there and checked; from here on no network is needed.")


if __name__ == "__main__":
    commands.run(main)
