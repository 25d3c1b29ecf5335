"""`phb-fhir token`, and a server that trusts its key: as a person runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.cli.token import MINUTES, PERSONAS, tokens_of_personas
from phb_fhir.cli.welcome import say_welcome
from phb_fhir.data import data_path
from phb_fhir.outcome import Rejected
from phb_fhir.security.actor import ROLES, Actor
from phb_fhir.security.authenticate import Authenticator
from phb_fhir.security.local_key import key_path, local_key
from phb_fhir.security.scopes import parse_scopes
from phb_fhir.settings import PREFIX, Settings, WrongSetting
from tests.commands import run
from tests.security.authorization import parts_of

LIFE_MAX_MINUTES = 1440


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)


def token(data: Path, *words: str) -> str:
    done = run("token", "--data", str(data), *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def refused(data: Path, *words: str) -> str:
    done = run("token", "--data", str(data), *words)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr.removeprefix("phb-fhir: ").rstrip("\n")


async def heard(data: Path, text: str) -> Actor:
    server = Authenticator.of(Settings(data=data, trust_local_key=True))
    try:
        return await server.actor_of(f"Bearer {text}")
    finally:
        await server.close()


def actor(data: Path, text: str) -> Actor:
    import asyncio

    return asyncio.run(heard(data, text))


def test_the_command_that_the_welcome_names_makes_tokens_that_this_server_trusts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "a long way down" / "data"
    monkeypatch.setattr(sys, "argv", [".venv/bin/phb-fhir", "serve"])
    say_welcome(Settings(data=data, trust_local_key=True), demo=True)
    (said,) = re.findall(r"a day's work \((.+) makes others\)", capsys.readouterr().out)
    program, *words = shlex.split(said)
    assert (program, words) == (".venv/bin/phb-fhir", ["token", "--data", str(data)])
    assert actor(data, token(data, "--as", "jill")).user == "Patient/jill"


# ---- who it is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("jill", ("person", "Patient/jill", "jill", "", "patient")),
        ("ruth", ("delegate", "RelatedPerson/ruth-harper", "jill", "", "patient")),
        ("co-ordinator", ("care-coordinator", "Practitioner/priya-nair", "", "Organization/harbourside-north", "user")),
        ("commissioner", ("commissioner", "", "", "Organization/harbourside-north", "user")),
        ("provider", ("provider", "", "", "Organization/riverbank-therapies", "user")),
        ("practice", ("practice", "", "", "Organization/oakfield-surgery", "user")),
        ("auditor", ("auditor", "", "", "Organization/harbourside-icb", "user")),
        ("system", ("system", "", "", "", "system")),
    ],
)
def test_a_token_as_somebody_of_the_examples_is_theirs(tmp_path: Path, who: str, said: tuple[str, ...]) -> None:
    found = actor(tmp_path, token(tmp_path, "--as", who))
    assert (found.role, found.user, found.patient, found.organization, found.scopes[0].context) == said
    assert (found.subject, found.issuer, found.client) == (who, "urn:phb-fhir:local", "phb-fhir-token")


def test_everybody_that_as_knows_is_in_the_examples_and_has_a_token(tmp_path: Path) -> None:
    there = {path.stem.replace("-", "/", 1) for path in (data_path("examples") / "jill").glob("*.json")}
    named = {ref for persona in PERSONAS for ref in (persona.asked.user, persona.asked.organization) if ref}
    assert named <= there
    given = tokens_of_personas(Settings(data=tmp_path))
    assert [persona.who for persona, _ in given] == [persona.who for persona in PERSONAS]
    assert {actor(tmp_path, text).name for _, text in given} == {persona.asked.name for persona in PERSONAS}


def test_a_token_says_what_was_asked_for(tmp_path: Path) -> None:
    words = ["--role", "nhs-team", "--user", "Practitioner/tom-whelan", "--patient", "jill", "--name", "Tom Whelan"]
    words += ["--organization", "Organization/harbourside-community-trust", "--scope", "patient/Account.rs user/Task.u"]
    found = actor(tmp_path, token(tmp_path, *words, "--purpose", "TREAT", "--minutes", "5"))
    assert (found.role, found.user, found.patient) == ("nhs-team", "Practitioner/tom-whelan", "jill")
    assert (found.organization, found.name) == ("Organization/harbourside-community-trust", "Tom Whelan")
    assert found.scopes == parse_scopes("patient/Account.rs user/Task.u")
    assert found.purpose == "TREAT"


def test_what_is_asked_goes_before_what_somebody_is(tmp_path: Path) -> None:
    narrow = actor(tmp_path, token(tmp_path, "--as", "jill", "--scope", "patient/Account.r"))
    assert (narrow.role, narrow.patient, narrow.scopes) == ("person", "jill", parse_scopes("patient/Account.r"))
    other = actor(tmp_path, token(tmp_path, "--as", "jill", "--role", "analyst"))
    assert (other.role, other.patient, other.user) == ("analyst", "", "")  # nothing of Jill's is an analyst's


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_the_scopes_it_may_need_at_most(tmp_path: Path, role: str) -> None:
    (scope,) = actor(tmp_path, token(tmp_path, "--role", role)).scopes
    expected = {"person": "patient/*.cruds", "delegate": "patient/*.cruds", "system": "system/*.cruds"}
    expected |= {"analyst": "user/*.rs", "auditor": "user/*.rs"}
    assert (scope,) == parse_scopes(expected.get(role, "user/*.cruds"))


@pytest.mark.parametrize("minutes", [1, MINUTES, LIFE_MAX_MINUTES])
def test_a_token_holds_as_long_as_was_asked(tmp_path: Path, minutes: int) -> None:
    header, claims = parts_of(token(tmp_path, "--as", "jill", "--minutes", str(minutes)))
    assert claims["exp"] - claims["iat"] == minutes * 60
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--as", "jil"], "There is nobody called jil here: --as takes one of jill, "),
        (["--role", "wizard"], '"wizard" is no role. Roles are person, '),
        ([], "A token needs a role, or somebody to be: --role, or --as. Roles are person, "),
        (["--as", "jill", "--patient", "a b"], '--patient "a b" is no id of a Patient, such as jill.'),
        (["--as", "jill", "--user", "Account/1"], '--user "Account/1" is no reference such as '),
        (["--as", "jill", "--organization", "x"], '--organization "x" is no reference such as Organization/an-id.'),
        (["--as", "jill", "--scope", "patient/*.sr"], '--scope "patient/*.sr" has a word that is no SMART scope, '),
        (["--as", "jill", "--minutes", "1441"], "A token of 1441 minutes would be refused: 86400 seconds is the most "),
    ],
)
def test_a_token_that_no_server_would_take_is_not_made(tmp_path: Path, words: list[str], sentence: str) -> None:
    assert refused(tmp_path, *words).startswith(sentence)


# ---- the key -----------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_for_its_owner_alone_and_no_half_key_is_ever_left(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: local_key(tmp_path).trusted().key_id, range(16)))
    assert len(set(keys)) == 1
    assert [path.name for path in key_path(tmp_path).parent.iterdir()] == ["local-signing-key.json"]
    assert stat.S_IMODE(key_path(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_path(tmp_path).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_can_use_is_not_used(tmp_path: Path, mode: int) -> None:
    token(tmp_path, "--as", "jill")
    key_path(tmp_path).chmod(mode)
    assert refused(tmp_path, "--as", "jill") == (
        f"The local signing key, {key_path(tmp_path)}, can be used by others than you, so no token it signed is worth "
        "anything: delete it, and a new one is made."
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"kty": "oct", "k": "AAAA"}', '{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}']
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    token(tmp_path, "--as", "jill")
    key_path(tmp_path).write_text(text)
    assert refused(tmp_path, "--as", "jill") == (
        f"The local signing key, {key_path(tmp_path)}, is no key: delete it, and a new one is made."
    )


def test_the_public_half_of_the_key_cannot_sign(tmp_path: Path) -> None:
    own = local_key(tmp_path)
    key_path(tmp_path).write_text(json.dumps(own.key.as_dict(private=False)))
    with pytest.raises(WrongSetting):
        local_key(tmp_path)


def test_a_token_of_another_folders_key_or_where_the_key_is_not_trusted_is_refused(tmp_path: Path) -> None:
    import asyncio

    text = token(tmp_path / "a", "--as", "jill")
    token(tmp_path / "b", "--as", "jill")
    with pytest.raises(Rejected):
        actor(tmp_path / "b", text)

    async def untrusting() -> Any:
        server = Authenticator(Settings(data=tmp_path / "a"), ())
        return await server.actor_of(f"Bearer {text}")

    with pytest.raises(Rejected):
        asyncio.run(untrusting())
    assert actor(tmp_path / "a", text).subject == "jill"


def test_the_command_as_a_process_prints_one_line_that_is_a_token(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "phb_fhir.cli.main", "token", "--as", "jill", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert actor(tmp_path, done.stdout.removesuffix("\n")).subject == "jill"
    assert done.stderr == ""


# ---- the server --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_server_that_would_trust_its_key_beyond_loopback_does_not_start(host: str) -> None:
    done = run("serve", "--trust-local-key", "--host", host)
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be loopback addresses" in done.stderr


def test_a_server_with_a_wrong_file_of_issuers_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "issuers.json"
    command = [sys.executable, "-m", "phb_fhir.cli.main", "serve", "--port", "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PHB_ISSUERS": str(file)}, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"phb-fhir: The file of PHB_ISSUERS, {file}, cannot be read: No such file or directory.\n"
