"""Draw the keying study: the errors of chroma keys and of generated mattes, and pictures of both."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ldportrait import commands, figures, figures_keying, scores


def read_examples(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read pictures by item and view. ValueError names a file that is not that of study_keying."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    found: dict[str, dict[str, np.ndarray]] = {}
    try:
        with np.load(path) as arrays:
            for name in arrays.files:
                item, _, view = name.partition("/")
                found.setdefault(item, {})[view] = arrays[name]
    except (ValueError, OSError, EOFError) as error:
        commands.pass_on(error, path)
        raise ValueError(f"{path} does not hold the pictures of study_keying.") from error
    return found


def main(
    table: Annotated[Path, typer.Argument(metavar="SCORES.parquet", help="Scores of study_keying.")],
    examples: Annotated[Path, typer.Argument(metavar="EXAMPLES.npz", help="Pictures of study_keying.")],
    output: Annotated[Path, typer.Option(help="Folder of the figures: keying and keying_pictures, .pdf and .png.")],
) -> None:
    """Draw the errors by set and method, and, of each set, the best picture for the key, the median and the worst."""
    shown = read_examples(examples)
    figures.save(figures_keying.errors(scores.read_study([table], scores.KEYING)), output / "keying")
    note = (
        "Of each set the picture on which the key comes closest to the refined matte in SAD, the median, and the one "
    )
    note += "on which it is furthest behind. All but the shot show what is in its box."
    figures.save(figures_keying.strip(shown, note=note), output / "keying_pictures")


if __name__ == "__main__":
    commands.run(main)
