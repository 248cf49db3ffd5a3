"""What every command in workflow/scripts/ does alike: options by typer, and mistakes told in one sentence.

Snakemake's own Python, which may lack typer, reads this for `of_the_disk`.
"""

import errno
import functools
from collections.abc import Callable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def run(function: Callable[..., None]) -> None:
    """Run a command whose options are `function`'s annotated arguments and whose help is its docstring.

    A ValueError or FileNotFoundError is the user's to mend, and so is a full or read-only disk: it is printed in one
    line and the exit status is 2. Any other error is a bug and keeps its traceback.
    """

    import typer

    @functools.wraps(function)
    def command(*arguments: object, **options: object) -> None:
        try:
            function(*arguments, **options)
        except (ValueError, FileNotFoundError) as error:
            leave(str(error), error)
        except OSError as error:
            if error.errno not in FULL | REFUSED:
                raise
            leave(of_the_disk(error), error)

    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    app()


def leave(sentence: str, error: Exception) -> None:
    """Print a sentence in one line, and leave with status 2."""
    import typer

    typer.echo(" ".join(sentence.split()), err=True)
    raise typer.Exit(2) from error


def of_the_disk(error: OSError) -> str:
    """Say which file a full or read-only disk did not take, and what to do."""
    place = error.filename or "the output"
    if error.errno in FULL:
        return (
            f"There is no room for {place} ({error.strerror}); free some space, or name a place on a larger disk, and "
            "run the same command again: what is finished is kept."
        )
    return (
        f"{place} cannot be read or written ({error.strerror}); let this user do so, or name another place, and run "
        "the same command again."
    )
