"""What the terminal says when the server is up: where it is, and what to try."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from phb_fhir.cli.token import Persona, tokens_of_personas
from phb_fhir.data import data_path

if TYPE_CHECKING:
    from phb_fhir.settings import Settings

NEW_PURCHASE = "PUR-2026-000120"  # the reference in requests/purchase.json: said, it is not recorded twice
A_PURCHASE = "PUR-2026-000101"  # the reference of one among the examples
FHIR_JSON = "Content-Type: application/fhir+json"


def say_welcome(settings: Settings, *, demo: bool) -> None:
    """Prints the base URL and lines that can be pasted into another terminal as they are."""
    console = Console(highlight=False)
    console.print(f"\n[bold]FHIR R4 API[/bold] at [bold cyan]{settings.api_url}[/bold cyan]")
    if settings.open:
        console.print("[yellow]It asks nobody who they are (--open), so it answers this machine alone.[/yellow]")
    if settings.trust_local_key:
        console.print(
            f"[yellow]It trusts the key in {settings.data / 'keys'} (--trust-local-key), so it answers this machine alone: "
            "phb-fhir token signs with it.[/yellow]",
            soft_wrap=True,
        )
    who = tokens_of_personas(settings) if demo and settings.trust_local_key else []
    if who:
        console.print(
            f"\nTokens to look at the examples with, for a day's work ({_token_command(settings)} makes others). To use them, paste:",
            markup=False,
            soft_wrap=True,
        )
    for persona, token in who:
        console.print(f"  {_name_of(persona)}={token}  # {persona.is_}", markup=False, soft_wrap=True)
    console.print("\nTry in another terminal:")
    for line in curl_lines(settings.api_url, demo=demo, token=_name_of(who[0][0]) if who else ""):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print("\nCtrl-C stops the server.\n")


def curl_lines(base: str, *, demo: bool, token: str = "") -> list[str]:
    """Commands to try against the API at `base`; with the examples: read, search, buy. `token` names the variable with the token."""
    if not demo:
        return [f"curl {base}/metadata"]
    signed = f' -H "Authorization: Bearer ${token}"' if token else ""
    purchase = shlex.quote(f"@{data_path('examples') / 'requests' / 'purchase.json'}")
    return [
        f"curl{signed} {base}/Account/jill-budget",
        f"curl{signed} '{base}/ChargeItem?identifier={A_PURCHASE}'",
        f"curl{signed} -X POST {base}/ChargeItem -H '{FHIR_JSON}' -H 'If-None-Exist: identifier={NEW_PURCHASE}' -d {purchase}",
    ]


def _token_command(settings: Settings) -> str:
    """`phb-fhir token` as it is called here, with the key that this server trusts."""
    program = sys.argv[0] if Path(sys.argv[0]).name == "phb-fhir" else "phb-fhir"
    return shlex.join([program, "token", "--data", str(settings.data)])


def _name_of(persona: Persona) -> str:
    """The shell variable for somebody's token."""
    return persona.who.upper().replace("-", "_")
