"""What every command in workflow/scripts/ does alike: options by typer, and mistakes told in one sentence.

Snakemake's own Python, which may lack typer, reads this for `of_the_disk`.
"""

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
# a name that cannot be one: a file where a folder should be, a link that leads nowhere
MISPLACED = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
# a disk, a network file system or a machine that is not well: the file may be whole
AILING = {errno.EIO, errno.ESTALE, errno.ENOLCK, errno.ETIMEDOUT, errno.ENODEV, errno.EREMOTEIO, errno.EHOSTDOWN}
AILING |= {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOTCONN, errno.EBUSY}
OF_THE_SYSTEM = FULL | REFUSED | MISPLACED | AILING


def run(function: Callable[..., None]) -> None:
    """Run a command whose options are `function`'s annotated arguments and whose help is its docstring.

    A ValueError or FileNotFoundError is the user's to mend, and so is what the system refuses, as a full disk does: it
    is printed in one line and the exit status is 2. Any other error is a bug and keeps its traceback.
    """

    import typer

    @functools.wraps(function)
    def command(*arguments: object, **options: object) -> None:
        try:
            function(*arguments, **options)
        except (ValueError, FileNotFoundError) as error:
            leave(str(error), error)
        except OSError as error:
            if error.errno not in OF_THE_SYSTEM:
                raise
            leave(of_the_disk(error), error)
        except MemoryError as error:
            leave(
                "The memory does not suffice; give this command more of it, or less to do at a time, and run it again: "
                "what is finished is kept.",
                error,
            )

    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    app()


def leave(sentence: str, error: Exception) -> None:
    """Print a sentence in one line, and leave with status 2."""
    import typer

    typer.echo(" ".join(sentence.split()), err=True)
    raise typer.Exit(2) from error


def of_the_disk(error: OSError) -> str:
    """Say which file could not be read or written, and what to do."""
    place = error.filename or "the output"
    if error.errno in FULL:
        return (
            f"There is no room for {place} ({error.strerror}); free some space, or name a place on a larger disk, and "
            "run the same command again: what is finished is kept."
        )
    if error.errno in AILING:
        advice = "it may well be whole, so keep it, see to the disk or the machine"
    else:
        advice = "let this user do so, or name another place"
    return f"{place} cannot be read or written ({error.strerror}); {advice}, and run the same command again."


def pass_on(error: Exception, path: Path | str) -> None:
    """Raise an error again, as one of this file, if it tells of the system and nothing of what the file holds.

    For whoever would call the file damaged, or throw it away: on a network file system that has dropped out, or with
    too many files open, a shard that took hours is as good as ever.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, OSError) and error.errno in OF_THE_SYSTEM:
        raise OSError(error.errno, os.strerror(error.errno), error.filename or str(path)) from error
