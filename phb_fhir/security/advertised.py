"""What clients are told of how to sign in here: for SMART apps, and for the CapabilityStatement.

The authorization server that is told of is the first issuer of the configuration; tokens of the others are taken all the same, by
clients who know them anyway. Only what that server says of itself is promised, and only where what is asked of this server is done
here: so `launch-ehr` stands there when it grants the scope `launch`, and never because it would look well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# SMART App Launch 2.2, "Conformance": fields that are taken over as the authorization server says them
_FIELDS = (
    "issuer",
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "registration_endpoint",
    "management_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "scopes_supported",
    "response_types_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
)
_ALWAYS = ("permission-patient", "permission-user", "permission-v1", "permission-v2")  # what this server does itself
_BY_AUTH_METHOD = {
    "none": "client-public",
    "client_secret_basic": "client-confidential-symmetric",
    "private_key_jwt": "client-confidential-asymmetric",
}
_BY_SCOPE = {
    "openid": ("sso-openid-connect",),
    "offline_access": ("permission-offline",),
    "online_access": ("permission-online",),
    "launch": ("launch-ehr", "context-ehr-patient"),
    "launch/patient": ("launch-standalone", "context-standalone-patient"),
}
_NEEDS_AUTHORIZATION = ("launch-ehr", "launch-standalone", "context-ehr-patient", "context-standalone-patient")


@dataclass(frozen=True, slots=True)
class Advertised:
    """`issuers` are those whose tokens are taken. `server` is what the first says of itself; empty while it cannot be asked."""

    issuers: tuple[str, ...] = ()
    server: Mapping[str, Any] = field(default_factory=dict)


async def nobody_signs_in() -> Advertised | None:
    """What an open server tells."""
    return None


def smart_configuration(server: Mapping[str, Any]) -> dict[str, Any]:
    """The document of `.well-known/smart-configuration` for an authorization server that says this of itself."""
    said = {name: server[name] for name in _FIELDS if name in server}
    defaults = {"grant_types_supported": ["authorization_code"], "code_challenge_methods_supported": []}
    return {**defaults, **said, "capabilities": capabilities_of(server)}


def capabilities_of(server: Mapping[str, Any]) -> list[str]:
    """The SMART capabilities that this server and that authorization server have together, sorted."""
    methods, scopes = _words(server, "token_endpoint_auth_methods_supported"), _words(server, "scopes_supported")
    found = {*_ALWAYS, *(_BY_AUTH_METHOD[method] for method in methods if method in _BY_AUTH_METHOD)}
    found |= {capability for scope in scopes for capability in _BY_SCOPE.get(scope, ())}
    if "authorization_endpoint" not in server or "S256" not in _words(server, "code_challenge_methods_supported"):
        found -= {*_NEEDS_AUTHORIZATION, "sso-openid-connect"}
    return sorted(found)


def _words(server: Mapping[str, Any], name: str) -> list[str]:
    value = server.get(name)
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
