"""What every command in workflow/scripts/ does alike: options by typer, and mistakes told in one sentence."""

import functools
from collections.abc import Callable

import typer


def run(function: Callable[..., None]) -> None:
    """Run a command whose options are `function`'s annotated arguments and whose help is its docstring.

    A ValueError or FileNotFoundError is the user's to mend: it is printed in one line and the exit status is 2. Any
    other error is a bug and keeps its traceback.
    """

    @functools.wraps(function)
    def command(*arguments: object, **options: object) -> None:
        try:
            function(*arguments, **options)
        except (ValueError, FileNotFoundError) as error:
            typer.echo(" ".join(str(error).split()), err=True)
            raise typer.Exit(2) from error

    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    app()
