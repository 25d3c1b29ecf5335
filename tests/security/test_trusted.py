"""The file that says whose tokens are taken: what is wrong with one is said in one sentence, at the start, and without its secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.security.authenticate import Authenticator
from phb_fhir.security.trusted import read_issuers
from phb_fhir.settings import Settings, WrongSetting, read_settings

LOGIN = "https://login.example.org"
GOOD: dict[str, Any] = {"issuer": LOGIN, "audience": "https://phb.example.nhs.uk/fhir"}
CIS2_ROLES = {"R8003": "care-coordinator"}
ASKED = {"client_id": "phb", "client_secret_env": "TEST_SECRET"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_SECRET", "hush")
    return tmp_path / "issuers.json"


def write(file: Path, *issuers: Any, **more: Any) -> Path:
    file.write_text(json.dumps({"issuers": list(issuers), **more}))
    return file


def refusal(file: Path) -> str:
    with pytest.raises(WrongSetting) as refused:
        read_issuers(file)
    sentence = refused.value.sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    "issuer",
    [
        GOOD,
        GOOD | {"audience": ["a", "b"]},
        GOOD | {"issuer": "http://127.0.0.1:9000"},
        GOOD | {"issuer": "http://localhost:9000/realms/phb"},
        GOOD | {"mapper": "nhs-login", "algorithms": ["RS512"], "id_tokens": True, "scopes": "patient/*.rs"},
        GOOD | {"mapper": "cis2", "roles": CIS2_ROLES, "userinfo": True},
        GOOD | {"introspection": ASKED},
        GOOD | {"clients": {"payments": {"role": "system", "organization": "Organization/x", "scopes": "system/*.rs"}}},
        GOOD | {"claims": {"role": ["realm_access", "roles"], "user": "sub"}},
    ],
)
def test_an_issuer_that_is_right_is_taken(file: Path, issuer: dict[str, Any]) -> None:
    assert read_issuers(write(file, issuer))[0].issuer == issuer["issuer"]


def test_what_is_not_said_is_what_is_safe(file: Path) -> None:
    (issuer,) = read_issuers(write(file, GOOD))
    assert issuer.algorithms == ("RS256", "PS256", "ES256", "EdDSA")
    assert (issuer.mapper, issuer.id_tokens, issuer.userinfo, issuer.introspection) == ("generic", False, False, None)
    assert (issuer.roles, issuer.clients, issuer.scopes) == ({}, {}, "")


@pytest.mark.parametrize(
    ("issuer", "where", "reason"),
    [
        ({"audience": "x"}, "issuers.0.issuer", "Field required"),
        ({"issuer": LOGIN}, "issuers.0.audience", "Field required"),
        (GOOD | {"audience": []}, "issuers.0.audience", "at least 1"),
        (GOOD | {"issuer": "http://login.example.org"}, "issuers.0.issuer", "https"),
        (GOOD | {"issuer": "login.example.org"}, "issuers.0.issuer", "an address such as"),
        (GOOD | {"issuer": "https://u:p@login.example.org"}, "issuers.0.issuer", "an address such as"),
        (GOOD | {"issuer": LOGIN + "?x=1"}, "issuers.0", "no query"),
        (GOOD | {"jwks_uri": "http://keys.example.org/jwks"}, "issuers.0.jwks_uri", "https"),
        (GOOD | {"jwks_uri": LOGIN, "jwks_file": "keys.json"}, "issuers.0", "in one place"),
        (GOOD | {"algorithms": ["HS256"]}, "issuers.0.algorithms.0", "RS256"),
        (GOOD | {"algorithms": ["none"]}, "issuers.0.algorithms.0", "RS256"),
        (GOOD | {"algorithms": []}, "issuers.0.algorithms", "at least 1"),
        (GOOD | {"mapper": "smart"}, "issuers.0.mapper", "nhs-login"),
        (GOOD | {"mapper": "cis2"}, "issuers.0", "cis2 needs roles"),
        (GOOD | {"roles": {"nurse": "doctor"}}, "issuers.0.roles.nurse", "person"),
        (GOOD | {"clients": {"x": {"role": "god"}}}, "issuers.0.clients.x.role", "person"),
        (GOOD | {"clients": {"x": {"organization": "Patient/1"}}}, "issuers.0.clients.x.organization", "pattern"),
        (GOOD | {"scopes": "patient/*.sr"}, "issuers.0", "no SMART scope"),
        (GOOD | {"clients": {"x": {"scopes": "system/all"}}}, "issuers.0", "no SMART scope"),
        (GOOD | {"audiences": "x"}, "issuers.0.audiences", "not permitted"),
        (GOOD | {"introspection": {"client_id": "phb"}}, "issuers.0.introspection", "one of client_secret_file"),
        (
            GOOD | {"introspection": ASKED | {"client_secret_file": "x"}},
            "issuers.0.introspection",
            "one of client_secret_file",
        ),
        (
            GOOD | {"introspection": ASKED | {"client_secret": "hush"}},
            "issuers.0.introspection.client_secret",
            "not permitted",
        ),
        (
            GOOD | {"introspection": ASKED | {"endpoint": "http://x.example/i"}},
            "issuers.0.introspection.endpoint",
            "https",
        ),
        (GOOD | {"assurance_level_min": 4}, "issuers.0.assurance_level_min", "less than or equal to 3"),
    ],
)
def test_an_issuer_that_is_wrong_is_refused_saying_where_and_why(
    file: Path, issuer: dict[str, Any], where: str, reason: str
) -> None:
    sentence = refusal(write(file, issuer))
    assert sentence.startswith(f"In the file of PHB_ISSUERS, {file}, {where} is not right: ")
    assert reason in sentence
    assert "hush" not in sentence


def test_no_issuers_or_one_twice_or_two_for_opaque_tokens_are_refused(file: Path) -> None:
    assert "issuers is not right" in refusal(write(file))
    assert "an issuer stands twice" in refusal(write(file, GOOD, GOOD))
    other = GOOD | {"issuer": "https://other.example.org", "introspection": ASKED}
    assert "one issuer alone may be asked" in refusal(write(file, GOOD | {"introspection": ASKED}, other))
    told = GOOD | {"introspection": ASKED | {"opaque": False}}
    assert len(read_issuers(write(file, told, other))) == 2


def test_a_file_that_is_not_there_or_no_json_is_refused(file: Path) -> None:
    assert refusal(file) == f"The file of PHB_ISSUERS, {file}, cannot be read: No such file or directory."
    file.write_text('{"issuers": [}')
    assert refusal(file).startswith(f"The file of PHB_ISSUERS, {file}, is not JSON: ")
    file.write_text('{"issuers": [], "issuers": []}')
    assert "stands twice" in refusal(file)
    file.write_text("[]")
    assert "the file is not right" in refusal(file)


def test_a_secret_that_cannot_be_read_is_refused_at_the_start_naming_its_place(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, GOOD | {"introspection": ASKED})
    assert read_issuers(file)[0].introspection is not None
    monkeypatch.delenv("TEST_SECRET")
    assert refusal(file) == (
        "PHB_ISSUERS says that the environment variable TEST_SECRET holds a client secret, and none can be read there."
    )
    missing = tmp_path / "secret"
    write(file, GOOD | {"introspection": {"client_id": "phb", "client_secret_file": str(missing)}})
    assert (
        refusal(file) == f"PHB_ISSUERS says that the file {missing} holds a client secret, and none can be read there."
    )


def test_a_file_of_keys_without_a_key_is_refused(file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}')
    write(file, GOOD | {"jwks_file": str(keys)})
    with pytest.raises(WrongSetting) as refused:
        Authenticator.of(Settings(issuers=file))
    assert refused.value.sentence == f"PHB_ISSUERS names {keys} for the keys of {LOGIN}, and no key can be read there."


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"trust_local_key": True, "host": "0.0.0.0"}, "must be loopback addresses"),
        ({"trust_local_key": True, "host": "192.0.2.1"}, "must be loopback addresses"),
        ({"trust_local_key": True, "host": "127.0.0.1.example.org"}, "must be loopback addresses"),
        ({"trust_local_key": True, "base_url": "https://phb.example.nhs.uk/fhir"}, "must be loopback addresses"),
        ({"trust_local_key": True, "open": True}, "would mean nothing"),
        ({"issuers": Path("issuers.json"), "open": True}, "would mean nothing"),
    ],
)
def test_settings_that_would_trust_too_many_do_not_fit_together(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(WrongSetting) as refused:
        read_settings(**given)
    assert reason in refused.value.sentence


@pytest.mark.parametrize(
    "given",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "127.0.0.2"},
        {"base_url": "http://localhost:80/fhir"},
    ],
)
def test_the_local_key_is_trusted_on_every_address_of_loopback(given: dict[str, Any]) -> None:
    assert read_settings(trust_local_key=True, **given).trust_local_key
