"""Say what a run will take before it is started: pictures, GPU hours, disk."""

from typing import Annotated

import typer

from ldportrait import commands

# Bytes a pixel of lossless WebP, measured on the demo: du -cb results/demo/{generated,refined,keyed}/*.tar over its
# pictures' pixels. The grain of photographs compresses less well than renders, so the plan doubles it.
BYTES_PER_PIXEL = {"generated": 0.82, "refined": 0.72, "keyed": 1.20}
DOUBLED = 2
CPU_SECONDS = 1.4  # a picture of 1024 x 1024, to refine, key and measure it and to make thumbnails (docs/scaling.md)


def main(
    pictures: Annotated[int, typer.Option(help="Pictures to generate.")],
    shards: Annotated[int, typer.Option(help="Shards, which is jobs of each stage.")],
    size: Annotated[int, typer.Option(help="Side of a picture in pixels.")],
    seconds_per_picture: Annotated[float, typer.Option(help="Seconds a picture takes to generate on one device.")],
    acceptance: Annotated[float, typer.Option(help="Share of pictures that screening is expected to accept.")],
    gpus: Annotated[int, typer.Option(help="GPUs a generation job asks for; 0 is the CPU.")],
    variants: Annotated[int, typer.Option(help="Variants of the data set.")],
    trainings: Annotated[int, typer.Option(help="Models to train.")],
    steps: Annotated[int, typer.Option(help="Training steps of all models together.")],
    limit: Annotated[int, typer.Option(help="Accepted pictures wanted; 0 for all.")] = 0,
) -> None:
    """Print how many pictures a run makes, how long they take, how much disk it fills, and how much is trained.

    It writes nothing. How long training takes is not said: it depends on network, crop and machine. Rates are the
    configuration's (section plan): measure one shard on your machine and put in what its manifest says under `seconds`.
    """
    accepted = round(pictures * acceptance)
    kept = min(accepted, limit) if limit else accepted
    hours = pictures * seconds_per_picture / 3600
    pixels = size * size
    work = pictures * pixels * sum(BYTES_PER_PIXEL.values()) * DOUBLED
    sets = kept * variants * pixels * max(BYTES_PER_PIXEL.values()) * DOUBLED
    refined = pictures * CPU_SECONDS * pixels / 1024**2 / 3600
    device = "GPU hours" if gpus else "CPU core hours"
    lines = [
        ("pictures", f"{pictures:,} of {size} x {size}, in {shards:,} shards"),
        ("generation", f"{hours:,.2f} {device} at {seconds_per_picture:g} s a picture"),
        ("refinement", f"{refined:,.2f} CPU core hours, with keying, measuring and thumbnails"),
        ("accepted", f"about {accepted:,} at an acceptance of {acceptance:.0%}, of which {kept:,} are kept"),
        ("data sets", f"{variants}, about {sets / 1e9:,.1f} GB"),
        ("shards", f"about {work / 1e9:,.1f} GB"),
        ("models", f"{trainings}, trained for {steps:,} steps in all, whose time is not reckoned"),
    ]
    for name, text in lines:
        typer.echo(f"{name:<12}{text}")
    if limit and accepted < limit:
        needed = -(-limit // acceptance)
        typer.echo(f"{limit:,} accepted are wanted: set prompts.count to {needed:,.0f} or more.")


if __name__ == "__main__":
    commands.run(main)
