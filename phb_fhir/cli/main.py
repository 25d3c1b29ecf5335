"""`phb-fhir`: the commands, what they take, and how they fail.

A command that cannot do what it was asked says why in one sentence on standard error and ends with code 2. A
traceback means a fault in this program, never a fault in how it was called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from phb_fhir import __version__
from phb_fhir.definitions.package import WrongPackage
from phb_fhir.settings import WrongSetting, read_settings, shown
from phb_fhir.store.embedded import CannotStart

EXIT_REFUSED = 2
SENTENCE_MAX = 3_000  # characters
_WrongUsage: Any = typer.BadParameter.__bases__[0]  # an option that is not there, or lacks; typer has no name for it

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
        sys.exit(app(standalone_mode=False))
    except (CannotStart, WrongSetting, WrongPackage) as refusal:
        sentence = refusal.sentence
    except typer.Abort:
        sys.exit(1)
    except _WrongUsage as wrong:
        sentence = _usage_sentence(wrong)
    if sentence:
        typer.echo(f"phb-fhir: {_on_one_line(sentence)}", err=True)
    sys.exit(EXIT_REFUSED)


def _on_one_line(sentence: str) -> str:
    """A sentence as it is said: what it repeats of a setting, a word or a file name may hold line breaks, or be endless."""
    said = " ".join(map(shown, sentence.split()))
    return said if len(said) <= SENTENCE_MAX else f"{said[: SENTENCE_MAX // 2]} … {said[-SENTENCE_MAX // 2 :]}"


def _usage_sentence(wrong: Any) -> str:
    """What is wrong with the words of the command, and where the right ones stand; "" where the help was shown instead."""
    said = wrong.format_message().strip()
    ended = f"{said}." if said and said[-1] not in ".?" else said
    return f"{ended} See {wrong.ctx.command_path} --help." if ended and wrong.ctx else ended


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


Data = Annotated[
    str | None,  # as a Path, no name would be the folder that it is started in
    typer.Option(
        help="The folder of the private MongoDB: ~/.local/share/phb-fhir if not said.",
        show_default=False,
        metavar="DIR",
    ),
]
MongodbUri = Annotated[
    str | None, typer.Option(help="The replica set of the server, when it is no private MongoDB.", metavar="URI")
]
Server = Annotated[
    str | None,
    typer.Option(help="The base address of the server.", show_default="http://127.0.0.1:8000/fhir", metavar="URL"),
]
Token = Annotated[
    str, typer.Option(help="The token of whoever does this.", envvar="PHB_TOKEN", show_default=False, metavar="TOKEN")
]
Json = Annotated[bool, typer.Option("--json", help="For a program.")]

Host = Annotated[
    str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1", metavar="ADDRESS")
]
Port = Annotated[int | None, typer.Option(help="The port to listen on; 0 takes a free one.", show_default="8000")]
Workers = Annotated[int | None, typer.Option(help="How many processes answer.", show_default="1")]
OtherMongodb = Annotated[
    str | None, typer.Option(help="An existing replica set to use, not a private MongoDB.", metavar="URI")
]
TlsCert = Annotated[
    Path | None,
    typer.Option(help="Serve https with this certificate chain (PEM).", show_default=False, metavar="FILE"),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(help="The private key of that certificate (PEM, no password).", show_default=False, metavar="FILE"),
]
Demo = Annotated[bool, typer.Option("--demo", help="Load the examples, the first time.")]
Open = Annotated[bool, typer.Option("--open", help="Serve without authentication, on a loopback address alone.")]
TrustLocalKey = Annotated[
    bool, typer.Option("--trust-local-key", help="Take the tokens of `phb-fhir token`, on a loopback address alone.")
]


@app.command()
def serve(
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    workers: Workers = None,
    mongodb_uri: OtherMongodb = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    demo: Demo = False,
    open_: Open = False,
    trust_local_key: TrustLocalKey = False,
) -> None:
    """Serve the FHIR API, under /fhir.

    Whoever asks shows a token of an issuer that `PHB_ISSUERS` names (`docs/sign-in.md`), or one that `phb-fhir token` made,
    or needs none with `--open`.

    Without `--mongodb-uri` it runs a MongoDB of its own, whose data stay in the folder `--data`: the next
    start finds them there. Ctrl-C finishes what was accepted, then stops the server and its MongoDB.

    Each option may come from the environment (`PHB_PORT` for `--port`), and so may the settings that have no
    option; `docs/settings.md` lists them.
    """
    settings = read_settings(
        host=host,
        port=port,
        data=data,
        workers=workers,
        mongodb_uri=mongodb_uri,
        tls_cert=tls_cert,
        tls_key=tls_key,
        open=open_ or None,
        trust_local_key=trust_local_key or None,
    )
    from phb_fhir.cli import serve as command  # noqa: PLC0415 - the server's imports are slow, `--help` need not wait

    command.serve(settings, demo=demo)


@app.command()
def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files, folders, or `-` for standard input.", metavar="PATHS…", show_default=False),
    ],
    *,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="A profile every resource is held against, beside those it claims.", metavar="URL"),
    ] = None,
    package: Annotated[
        list[Path] | None,
        typer.Option(help="A FHIR package whose profiles, value sets and codes are known.", metavar="FILE.tgz"),
    ] = None,
    format_: Annotated[
        Literal["text", "json"], typer.Option("--format", help="For a person, or for a program.")
    ] = "text",
) -> None:
    """Say what is wrong with resources in files; no server is needed, and no database.

    A file is one resource as JSON, or NDJSON with one on each line (`.ndjson`, `.ndjson.gz`). Of a folder everything
    so named is read, and everything below it. Each resource is held against FHIR R4, the profiles it claims and those
    of personal health budgets, as the server does with what it is sent.

    Ends with 0 when there are no errors, 1 when there are, and 2 when it could not be done: a path that is not there,
    a package that cannot be read, a profile that is not known.
    """
    settings = read_settings()
    from phb_fhir.cli import validate as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.validate(paths, profile or (), package or (), settings, as_json=format_ == "json"))


@app.command()
def explain(
    search: Annotated[
        str,
        typer.Argument(help="A search, as it stands behind the base address.", metavar="SEARCH", show_default=False),
    ],
    *,
    server: Server = None,
    token: Token = "",
) -> None:
    """Say how a running server answers a search: the filter, the index chosen, and what was looked at.

    `phb-fhir explain 'ChargeItem?account=Account/jill-budget&_sort=-occurrence'`

    Where somebody signs in it is told to those who see all, such as the role system. Ends with 2 when the server refuses the
    search, with its reasons, or cannot be reached.
    """
    settings = read_settings()
    from phb_fhir.cli import explain as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.explain(settings, search, server, token))


@app.command()
def token(
    *,
    who: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Somebody of the examples: jill, ruth, co-ordinator, commissioner, provider, practice, auditor, system.",
            metavar="WHO",
        ),
    ] = None,
    role: Annotated[str, typer.Option(help="The role acted in, such as person or care-coordinator.")] = "",
    user: Annotated[str, typer.Option(help="Who signed in, such as Practitioner/priya-nair.", metavar="TYPE/ID")] = "",
    patient: Annotated[str, typer.Option(help="The Patient whose record is open.", metavar="ID")] = "",
    organization: Annotated[
        str, typer.Option(help="The organisation acted for, such as Organization/elm-icb.", metavar="TYPE/ID")
    ] = "",
    name: Annotated[str, typer.Option(help="The name that others read.")] = "",
    scope: Annotated[
        str, typer.Option(help="SMART scopes, such as 'patient/Account.rs'.", show_default="all that the role may need")
    ] = "",
    purpose: Annotated[str, typer.Option(help="A purpose of use, such as TREAT or BTG.", metavar="CODE")] = "",
    minutes: Annotated[int, typer.Option(min=1, max=43_200, help="How long it holds.")] = 480,
    data: Data = None,
) -> None:
    """Print a token that this machine's own server takes, when it was started with `--trust-local-key`.

    `curl -H "Authorization: Bearer $(phb-fhir token --as jill)" http://127.0.0.1:8000/fhir/Account`

    It is signed by the key in the data folder, which is made if there is none: for development, not for people.
    """
    from phb_fhir.cli import token as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    asked = command.Asked(role, name, user, patient.removeprefix("Patient/"), organization, scope, purpose)
    typer.echo(command.token(read_settings(data=data), who, asked, minutes))


packages = typer.Typer(
    name="packages",
    help="Packages of profiles, value sets and code systems: install them, take them away, list them, build our own.",
    no_args_is_help=True,
)
app.add_typer(packages)


@app.command()
def index(*, data: Data = None, mongodb_uri: MongodbUri = None) -> None:
    """Say how far resources are indexed by the search parameters of this moment, and who is at it.

    After a SearchParameter was stored, or after an update of this software, running servers index in the background what
    was written before. Searches that would find only half meanwhile are refused. Ends with 0 when everything is indexed,
    and with 1 while something is not.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import index as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.index(settings))


demo = typer.Typer(name="demo", help="See it work.", no_args_is_help=True)
app.add_typer(demo)


@demo.callback()
def demo_() -> None:
    """See it work."""


@demo.command()
def story(
    *,
    base: Annotated[
        str | None,
        typer.Option(
            help="Tell it to a server that runs: its base address.", show_default="a server of its own", metavar="URL"
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            help="The token that asks for all of them there, of the role system.",
            envvar="PHB_TOKEN",
            show_default=False,
            metavar="TOKEN",
        ),
    ] = "",
) -> None:
    """Tell two stories by taking every step of them: Jill's budget and the family's, from nothing to closed.

    Each step is a request, taken by whoever takes it; what must not be is tried as well, and refused with its reasons. It ends with a
    check of the whole record. Without `--base` it starts a server of its own, which is gone afterwards.

    Ends with 0 when the stories could be told, and with 1 when a step went otherwise or something does not agree.
    """
    from phb_fhir.cli import story as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.story(base, token))


@app.command()
def check(
    *,
    json: Json = False,
    data: Data = None,
    mongodb_uri: MongodbUri = None,
) -> None:
    """Work everything out anew, and say what does not agree: balances, ledger, purchases, index values, histories, references.

    It goes through all of the record, beside a server or without one, and writes nothing. Ends with 0 when everything agrees, and
    with 1 when something does not.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import check as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.check_record(settings, as_json=json))


BackupFile = Annotated[Path, typer.Argument(help="The file.", metavar="FILE", show_default=False)]


@app.command()
def backup(file: BackupFile, *, data: Data = None, mongodb_uri: MongodbUri = None) -> None:
    """Write the whole record to a new file, as it is at one instant, while servers go on or without one.

    The file holds the record in the clear: keep it where the record itself might be kept.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import backup as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.make(settings, file)


@app.command()
def restore(file: BackupFile, *, data: Data = None, mongodb_uri: MongodbUri = None) -> None:
    """Make the record of such a file, in a database or a data folder that has none yet."""
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import backup as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.take(settings, file)


report = typer.Typer(
    name="report",
    help="What the record says across budgets.",
    no_args_is_help=True,
)
app.add_typer(report)


@report.command(name="overdue-reviews")
def overdue_reviews(
    *,
    on: Annotated[str, typer.Option(help="The day it is asked for.", show_default="today", metavar="DATE")] = "",
    json: Json = False,
    data: Data = None,
    mongodb_uri: MongodbUri = None,
) -> None:
    """List the reviews whose day has passed, the longest overdue first. Nothing is written.

    Ends with 0 when none is overdue, and with 1 when some are.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import report as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.overdue_reviews(settings, on=on, as_json=json))


@report.command(name="surpluses")
def surpluses(
    *,
    as_of: Annotated[str, typer.Option(help="The day it is asked for.", show_default="today", metavar="DATE")] = "",
    json: Annotated[bool, typer.Option("--json", help="For a program: amounts in pence.")] = False,
    data: Data = None,
    mongodb_uri: MongodbUri = None,
) -> None:
    """List the budgets whose money has built up beyond their commissioner's limit, the most weeks first. Nothing is written.

    For a past day, by their ledgers as they stood when it ended. Ends with 0 when there is none, and with 1 when there are some.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import report as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.surpluses(settings, as_of=as_of, as_json=json))


audit = typer.Typer(
    name="audit",
    help="The audit trail: whether it is whole, and where it ends.",
    no_args_is_help=True,
)
app.add_typer(audit)


@audit.command()
def verify(
    *,
    since: Annotated[
        int, typer.Option("--from", min=1, help="The record to begin with; what was before it is trusted.", metavar="N")
    ] = 1,
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head that was kept elsewhere, which the trail must still have.", metavar="N:HASH"),
    ] = None,
    json: Json = False,
    data: Data = None,
    mongodb_uri: MongodbUri = None,
) -> None:
    """Follow the audit trail from its beginning, and name the first record that was changed, moved or taken away.

    What is published of it as AuditEvents is held against it, too. Nothing is written. Ends with 0 when the trail is whole, and
    with 1 when it is broken. That all of it was made anew shows only against a head that was kept elsewhere (`--head`).
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import audit as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.audit_verify(settings, since=since, heads=head or (), as_json=json))


@audit.command(name="head")
def head_(*, data: Data = None, mongodb_uri: MongodbUri = None) -> None:
    """Print where the audit trail ends, the number of its last record and its hash: to be kept elsewhere, for `verify --head`."""
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import audit as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.audit_head(settings)


payments = typer.Typer(
    name="payments",
    help="Payments: write what is due for the bank, and record what the bank says of it.",
    no_args_is_help=True,
)
app.add_typer(payments)


@payments.command(name="run")
def run_(
    issuer: Annotated[
        str, typer.Argument(help="The organisation that pays.", metavar="ORGANIZATION/ID", show_default=False)
    ],
    *,
    accounts: Annotated[
        Path,
        typer.Option(
            help="Bank accounts, with the columns holder, name, sort-code, account-number.", metavar="FILE.csv"
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file for the bank, which is written anew.", metavar="FILE.xml")],
    until: Annotated[
        str, typer.Option("--date", help="The last day of what is due.", show_default="today", metavar="DATE")
    ] = "",
    name: Annotated[
        str, typer.Option("--run", help="The name of the run.", show_default="one is made", metavar="NAME")
    ] = "",
    advances: Annotated[bool, typer.Option(help="Queue the advances that are due by schedule, first.")] = True,
    server: Server = None,
    token: Token = "",
) -> None:
    """Write the payments of an organisation that are queued and due to a file for the bank: ISO 20022, pain.001.

    Each payment goes with one run alone. The same run asked for again (`--run`) gives the same file. The accounts are kept nowhere; a payment
    to somebody who has none in the file is left out, and told of.
    """
    settings = read_settings()
    from phb_fhir.cli import payments as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    asked = command.server_of(settings, server, token)
    raise typer.Exit(command.run(asked, issuer, accounts, out, until=until, name=name, advances=advances))


@payments.command()
def results(
    report: Annotated[
        Path, typer.Argument(help="The bank's report, a pain.002.", metavar="FILE.xml", show_default=False)
    ],
    *,
    server: Server = None,
    token: Token = "",
) -> None:
    """Record what the bank says came of a payment run: ISO 20022, pain.002.

    What was settled is complete, and its purchases are billed; what was rejected waits to be paid anew. Ends with 1 where
    something could not be recorded.
    """
    settings = read_settings()
    from phb_fhir.cli import payments as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    raise typer.Exit(command.results(command.server_of(settings, server, token), report))


@packages.command()
def install(
    files: Annotated[list[Path], typer.Argument(help="FHIR packages.", metavar="FILE.tgz…", show_default=False)],
    *,
    data: Data = None,
    mongodb_uri: MongodbUri = None,
) -> None:
    """Put the definitions of packages into the record, all of them or none.

    A server that is running goes by them at once. None needs to run. A package for another version of FHIR than R4, or
    with a definition that cannot be used, is refused with the reason, and nothing is changed.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import packages as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.install(settings, files)


@packages.command()
def uninstall(
    name: Annotated[str, typer.Argument(help="The package, as `list` names it.", metavar="NAME", show_default=False)],
    *,
    data: Data = None,
    mongodb_uri: MongodbUri = None,
) -> None:
    """Delete the definitions that a package brought, all of them or none.

    What another package has brought, too, stays, and so does what somebody has changed since. Nothing is lost: what was deleted
    is in the history.
    """
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import packages as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.uninstall(settings, name)


@packages.command(name="list")
def list_(*, data: Data = None, mongodb_uri: MongodbUri = None) -> None:
    """List the packages that are installed, and how many definitions each has brought."""
    settings = read_settings(data=data, mongodb_uri=mongodb_uri)
    from phb_fhir.cli import packages as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.list_installed(settings)


@packages.command()
def build(
    *,
    out: Annotated[Path, typer.Option(help="The folder to write it to.", metavar="DIR")] = Path(),
) -> None:
    """Make a package of the implementation guide in profiles/: every definition with its snapshot, and the examples."""
    from phb_fhir.cli import packages as command  # noqa: PLC0415 - its imports are slow, `--help` need not wait

    command.build(out)


if __name__ == "__main__":
    main()
