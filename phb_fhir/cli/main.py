"""`phb-fhir`: the commands, what they take, and how they fail.

A command that cannot do what it was asked says why in one sentence on standard error and ends with code 2. A
traceback means a fault in this program, never a fault in how it was called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from phb_fhir import __version__
from phb_fhir.settings import WrongSetting, read_settings
from phb_fhir.store.embedded import CannotStart

EXIT_REFUSED = 2

app = typer.Typer(
    name="phb-fhir",
    help="A FHIR R4 server for NHS Personal Health Budgets.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The program. Ends with code 0 when all went well, 2 when it would not start, 1 when it broke."""
    try:
        app()
    except (CannotStart, WrongSetting) as refusal:
        typer.echo(f"phb-fhir: {refusal.sentence}", err=True)
        sys.exit(EXIT_REFUSED)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"phb-fhir {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """A FHIR R4 server for NHS Personal Health Budgets.

    `phb-fhir serve --open --demo` starts one on this machine with example data and nothing to set up.
    """


@app.command()
def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1", metavar="ADDRESS")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to listen on; 0 takes a free one.", show_default="8000")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of the private MongoDB.", show_default="~/.local/share/phb-fhir", metavar="DIR"),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes answer.", show_default="1")] = None,
    mongodb_uri: Annotated[
        str | None,
        typer.Option(help="An existing replica set to use, not a private MongoDB.", metavar="URI"),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Load the examples, the first time.")] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Serve without authentication, on a loopback address alone.")
    ] = False,
) -> None:
    """Serve the FHIR API, under /fhir.

    Without `--mongodb-uri` it runs a MongoDB of its own, whose data stay in the folder `--data`: the next
    start finds them there. Ctrl-C finishes what was accepted, then stops the server and its MongoDB.

    Each option may come from the environment (`PHB_PORT` for `--port`), and so may the settings that have no
    option; `docs/settings.md` lists them.
    """
    settings = read_settings(
        host=host, port=port, data=data, workers=workers, mongodb_uri=mongodb_uri, open=open_ or None
    )
    from phb_fhir.cli import serve as command  # noqa: PLC0415 - the server's imports are slow, `--help` need not wait

    command.serve(settings, demo=demo)


if __name__ == "__main__":
    main()
