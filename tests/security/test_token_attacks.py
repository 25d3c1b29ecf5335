"""Tokens as attackers make them, each refused, beside the nearest token that is right and let in.

Each row of `ATTACKS` says what is done, how the bad token is made, how its good twin is made, and with which sentence the bad one is
refused. The keys are real, and so is the HTTP server that publishes them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.security.actor import Actor
from tests.security.issuing import AUDIENCE, NOW, Key, RunningIssuer, authenticator, b64, packed, signed

SKEW_S = 60
LIFE_MAX_S = 86_400

STRANGER = "The token is from nobody whose tokens are taken here."
WAY = "The token is signed in a way that is not taken from its issuer."
SIGNATURE = "The signature of the token is not right."
KEY = "The token is signed with a key that its issuer does not have."
FORM = "The token is not a signed JWT in its compact form."
UNREADABLE = "The token cannot be read."
HEADER = "The header of the token is not right."
CRITICAL = "The header of the token asks for something that is not understood here."
TYPE = "The token is of a type that is not taken here."
ID_TOKEN = "This is an ID token: it says who signed in to an application, and opens nothing here."
AUDIENCES = "The token is for somebody else than this server."
SUBJECT = "The token does not say whose it is."
NO_EXPIRY = "The token does not say when it expires."
EXPIRED = "The token has expired."
EARLY = "The token does not hold yet."
FUTURE = "The token says that it was issued at a time that is still to come."
BACKWARDS = "The token says that it expired before it was issued."
LONG = "The token lives longer than any token that is taken here."
TIME = "A time in the token is not a time."
BOUND = "The token is bound to a key of the client, which a bearer token is not."
OPAQUE = "The token is of a form that is not taken here."
HEADER_FORM = "The Authorization header does not hold one bearer token."
SIZE = "The token is longer than any that is looked at."
NOBODY = "This needs somebody to be signed in: send an access token, as Authorization: Bearer …"


class World:
    """Two issuers that are trusted, one that is not, and their keys."""

    def __init__(self) -> None:
        self.rs = Key("RS256", "rs")
        self.rs_next = Key("RS256", "rs-next")
        self.es = Key("ES256", "es")
        self.ed = Key("EdDSA", "ed")
        self.es384 = Key("ES384", "es384", alg="ES384")
        self.encryption = Key("RS256", "enc", use="enc")
        self.weak = Key("RS256", "weak", bits=1024)
        self.ps_only = Key("RS256", "ps-only", alg="PS256")
        self.twin = Key("RS256", "rs")  # a key of the other issuer, by the same name
        self.one = RunningIssuer(
            self.rs, self.rs_next, self.es, self.ed, self.es384, self.encryption, self.weak, self.ps_only
        )
        self.other = RunningIssuer(self.twin)
        self.stranger = RunningIssuer(Key("RS256", "rs"))

    def good(self, header: dict[str, Any] | None = None, **changed: Any) -> str:
        return self.one.token(self.rs, header, **changed)

    def raw(self, header: bytes, claims: bytes) -> str:
        message = f"{b64(header)}.{b64(claims)}"
        return f"{message}.{b64(self.rs.sign(message.encode()))}"

    def hmac(self, alg: str, secret: bytes, kid: str = "rs") -> str:
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[alg]
        return signed(
            {"alg": alg, "typ": "at+jwt", "kid": kid}, self.one.claims(), lambda text: hmac.digest(secret, text, digest)
        )

    def pem(self, key: Key) -> bytes:
        return key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


Made = Callable[[World], str]


class Attack(NamedTuple):
    name: str
    bad: Made
    good: Made
    sentence: str


def claims(name: str, sentence: str, bad: dict[str, Any], good: dict[str, Any] | None = None) -> Attack:
    """An attack by what the token says; a claim that is None is left out."""
    return Attack(name, lambda w: w.good(**bad), lambda w: w.good(**(good or {})), sentence)


def header(name: str, sentence: str, bad: dict[str, Any], good: dict[str, Any] | None = None) -> Attack:
    return Attack(name, lambda w: w.good(bad), lambda w: w.good(good), sentence)


def plain(world: World) -> str:
    return world.good()


def flipped(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def with_claims(token: str, said: dict[str, Any]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{packed(said)}.{signature}"


def with_header(token: str, said: dict[str, Any]) -> str:
    _, body, signature = token.split(".")
    return f"{packed(said)}.{body}.{signature}"


def unsigned(world: World, alg: str) -> str:
    return f"{packed({'alg': alg, 'typ': 'at+jwt'})}.{packed(world.one.claims())}."


def _loose(world: World) -> str:
    """A header whose last character has bits beyond the last byte: two texts for one meaning."""
    body = json.dumps({"alg": "RS256", "kid": "rs", "x": "1"}).encode()
    body += b" " * ((1 - len(body)) % 3)  # so that two characters stand for the last byte
    loose = b64(body)[:-1] + chr(ord(b64(body)[-1]) + 1)
    message = f"{loose}.{packed(world.one.claims())}"
    return f"{message}.{b64(world.rs.sign(message.encode()))}"


ATTACKS = (
    # ---- no signature, or none worth the name ----
    Attack("alg none, without a signature", lambda w: unsigned(w, "none"), plain, WAY),
    Attack("alg None, in capitals", lambda w: unsigned(w, "nOnE"), plain, WAY),
    header("alg none, with a signature that is right", WAY, {"alg": "none"}),
    Attack("the signature left out", lambda w: w.good().rpartition(".")[0] + ".", plain, SIGNATURE),
    Attack("one character of the signature changed", lambda w: flipped(w.good()), plain, SIGNATURE),
    Attack("a signature of zeros (CVE-2022-21449)", lambda w: w.one.token(w.es).rpartition(".")[0] + "." + b64(bytes(64)), lambda w: w.one.token(w.es), SIGNATURE),
    Attack("a signature in ASN.1, not of two numbers", lambda w: signed({"alg": "ES256", "kid": "es"}, w.one.claims(), lambda text: _der(w.es, text)), lambda w: w.one.token(w.es), SIGNATURE),
    # ---- what was signed is not what is shown ----
    Attack("claims changed after signing", lambda w: with_claims(w.good(), w.one.claims(role="auditor")), lambda w: w.good(role="auditor"), SIGNATURE),
    Attack("header changed after signing", lambda w: with_header(w.good(), {"alg": "RS256", "kid": "rs", "typ": "JWT"}), lambda w: w.good({"typ": "JWT"}), SIGNATURE),
    Attack("the signature of another token", lambda w: w.good(role="system").rpartition(".")[0] + "." + w.good().rpartition(".")[2], plain, SIGNATURE),
    # ---- a public key as a secret ----
    *(
        Attack(f"{alg} with the public key in PEM as its secret", lambda w, alg=alg: w.hmac(alg, w.pem(w.rs)), plain, WAY)
        for alg in ("HS256", "HS384", "HS512")
    ),
    Attack("HS256 with the JWK as its secret", lambda w: w.hmac("HS256", json.dumps(w.rs.jwk()).encode()), plain, WAY),
    Attack("HS256 with an empty secret", lambda w: w.hmac("HS256", b""), plain, WAY),
    # ---- algorithms and keys that do not belong together ----
    header("an algorithm that this issuer is not allowed", WAY, {"alg": "RS512"}),
    header("an algorithm nobody knows", WAY, {"alg": "XS256"}),
    header("an algorithm that is a number", WAY, {"alg": 256}),
    header("an algorithm that is a list of the right one", WAY, {"alg": ["RS256"]}),
    header("no algorithm", UNREADABLE, {"alg": None}),
    header("an algorithm in small letters", WAY, {"alg": "rs256"}),
    header("an elliptic curve's algorithm with an RSA key", KEY, {"alg": "ES256"}),
    Attack("an algorithm other than the key is for", lambda w: w.one.token(w.ps_only), lambda w: signed({"alg": "PS256", "kid": "ps-only"}, w.one.claims(), lambda text: w.ps_only.sign(text, "PS256")), KEY),
    Attack("ES256 with a key of another curve", lambda w: signed({"alg": "ES256", "kid": "es384"}, w.one.claims(), lambda text: w.es384.sign(text, "ES256")), lambda w: w.one.token(w.es), KEY),
    Attack("a key that the issuer publishes for encryption", lambda w: w.one.token(w.encryption), plain, KEY),
    Attack("a key too weak to be trusted", lambda w: w.one.token(w.weak), plain, KEY),
    # ---- keys of the attacker's own ----
    Attack("an attacker's key under the issuer's key id", lambda w: w.one.token(Key("RS256", "rs")), plain, SIGNATURE),
    Attack("an attacker's key in the header (jwk)", lambda w: _own_key(w, "jwk"), lambda w: w.good({"jwk": w.rs.jwk()}), SIGNATURE),
    Attack("an attacker's key at an address (jku)", lambda w: _own_key(w, "jku"), lambda w: w.good({"jku": f"{w.one.url}/jwks"}), SIGNATURE),
    Attack("an attacker's certificate at an address (x5u)", lambda w: _own_key(w, "x5u"), lambda w: w.good({"x5u": f"{w.one.url}/cert"}), SIGNATURE),
    Attack("an attacker's certificate in the header (x5c)", lambda w: _own_key(w, "x5c"), lambda w: w.good({"x5c": ["MIIB"]}), SIGNATURE),
    header("a key id nobody has", KEY, {"kid": "nobody"}),
    header("a key id that is a path", KEY, {"kid": "../../../../dev/null"}),
    header("a key id that is an injection", KEY, {"kid": "rs' UNION SELECT 'secret"}),
    header("a key id that is a list", HEADER, {"kid": ["rs"]}),
    Attack("no key id where several keys fit", lambda w: w.good({"kid": None}), lambda w: w.one.token(w.es, {"kid": None}), KEY),
    # ---- issuers ----
    Attack("an issuer nobody trusts", lambda w: w.stranger.token(), plain, STRANGER),
    claims("no issuer", STRANGER, {"iss": None}),
    Attack("the issuer's name with a slash more", lambda w: w.good(iss=w.one.url + "/"), plain, STRANGER),
    Attack("the issuer among others in a list", lambda w: w.good(iss=[w.one.url]), plain, STRANGER),
    Attack("the issuer's name in capitals", lambda w: w.good(iss=w.one.url.upper()), plain, STRANGER),
    Attack("one trusted issuer in the name of another", lambda w: w.other.token(iss=w.one.url), lambda w: w.other.token(), SIGNATURE),
    claims("the issuer of the local key, which is not trusted here", STRANGER, {"iss": "urn:phb-fhir:local", "aud": "urn:phb-fhir:local"}),
    # ---- for somebody else ----
    claims("another server's token", AUDIENCES, {"aud": "https://other.example.nhs.uk/fhir"}, {"aud": ["https://other.example.nhs.uk/fhir", AUDIENCE]}),
    claims("no audience", AUDIENCES, {"aud": None}),
    claims("an empty list of audiences", AUDIENCES, {"aud": []}),
    claims("an audience that only begins like ours", AUDIENCES, {"aud": AUDIENCE + ".attacker.example"}),
    claims("an audience that is an object", AUDIENCES, {"aud": {AUDIENCE: True}}),
    claims("an audience of which one is no name", AUDIENCES, {"aud": [AUDIENCE, 7]}),
    # ---- time ----
    claims("expired", EXPIRED, {"exp": int(NOW) - SKEW_S, "iat": None}, {"exp": int(NOW) - SKEW_S + 1, "iat": None}),
    claims("never expires", NO_EXPIRY, {"exp": None}),
    claims("lives longer than any may", LONG, {"exp": int(NOW) + LIFE_MAX_S + SKEW_S + 1}, {"exp": int(NOW) + LIFE_MAX_S}),
    claims("expires in the year 300000", TIME, {"exp": 10**13}),
    claims("expires at a text", TIME, {"exp": str(int(NOW) + 600)}),
    claims("expires at true", TIME, {"exp": True}),
    claims("expires before the beginning of time", TIME, {"exp": -1}),
    claims("holds later", EARLY, {"nbf": int(NOW) + SKEW_S + 1}, {"nbf": int(NOW) + SKEW_S}),
    claims("holds from a text on", TIME, {"nbf": "now"}),
    claims("issued in the future", FUTURE, {"iat": int(NOW) + SKEW_S + 1, "nbf": None}, {"iat": int(NOW) + SKEW_S, "nbf": None}),
    claims("expired before it was issued", BACKWARDS, {"iat": int(NOW) + 30, "exp": int(NOW) + 20, "nbf": None}, {"iat": int(NOW) + 20, "exp": int(NOW) + 30, "nbf": None}),
    Attack("expires at infinity", lambda w: w.raw(b'{"alg":"RS256","kid":"rs"}', json.dumps(w.one.claims()).encode().replace(b"1800000600", b"Infinity")), plain, UNREADABLE),
    Attack("expires at a number that fills the memory", lambda w: w.raw(b'{"alg":"RS256","kid":"rs"}', json.dumps(w.one.claims()).encode().replace(b"1800000600", b"1e999999999")), plain, UNREADABLE),
    # ---- another kind of token ----
    header("a DPoP proof", TYPE, {"typ": "dpop+jwt"}),
    header("a logout token", TYPE, {"typ": "logout+jwt"}),
    header("a client's assertion", TYPE, {"typ": "client-authentication+jwt"}),
    header("a type that is a list", HEADER, {"typ": ["at+jwt"]}, {"typ": "application/at+jwt"}),
    claims("an ID token, by its nonce", ID_TOKEN, {"nonce": "n-1"}),
    claims(
        "a logout token without a type of its own",
        "This tells of something that happened to an account, and opens nothing here.",
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    ),
    claims("an ID token, by its at_hash", ID_TOKEN, {"at_hash": "x"}),
    claims("an ID token, as NHS login marks it", ID_TOKEN, {"token_use": "id"}, {"token_use": "access"}),
    claims("bound to a key by DPoP, shown as a bearer token", BOUND, {"cnf": {"jkt": "x"}}),
    claims("bound to a client certificate", BOUND, {"cnf": {"x5t#S256": "x"}}),
    Attack("an encrypted token (JWE)", lambda _: ".".join([packed({"alg": "RSA-OAEP", "enc": "A256GCM"}), *["AAAA"] * 4]), plain, OPAQUE),
    Attack("an opaque token where none are taken", lambda _: "2YotnFZFEjr1zCsicMWpAA", plain, OPAQUE),
    # ---- extensions ----
    header("a critical header nobody knows", CRITICAL, {"crit": ["http://example.org/x"], "http://example.org/x": 1}, {"http://example.org/x": 1}),
    header("an empty list of critical headers", CRITICAL, {"crit": []}),
    header("a payload that is not encoded (b64 false)", CRITICAL, {"crit": ["b64"], "b64": False}),
    header("b64 false, not said to be critical", CRITICAL, {"b64": False}),
    # ---- whose it is ----
    claims("no subject", SUBJECT, {"sub": None}),
    claims("an empty subject", SUBJECT, {"sub": ""}),
    claims("a subject that is an object", SUBJECT, {"sub": {"$ne": ""}}),
    claims("a subject as long as a book", SUBJECT, {"sub": "x" * 256}, {"sub": "x" * 200}),
    # ---- forms ----
    Attack("two parts", lambda w: w.good().rpartition(".")[0], plain, OPAQUE),
    Attack("four parts", lambda w: w.good() + ".AAAA", plain, OPAQUE),
    Attack("an empty header", lambda w: "." + w.good().partition(".")[2], plain, FORM),
    Attack("no claims", lambda w: w.good().split(".")[0] + ".." + w.good().split(".")[2], plain, FORM),
    Attack("base64 of another alphabet", lambda w: w.good().replace(".", "+.", 1), plain, FORM),
    Attack("bits after the end of the base64", _loose, plain, UNREADABLE),
    Attack("a header that is no JSON", lambda w: w.raw(b"alg=RS256", b"{}"), plain, UNREADABLE),
    Attack("claims that are a list", lambda w: w.raw(b'{"alg":"RS256"}', b'["iss"]'), plain, UNREADABLE),
    Attack("claims that are no UTF-8", lambda w: w.raw(b'{"alg":"RS256"}', b'{"iss":"\xff"}'), plain, UNREADABLE),
    Attack("a key twice in the header", lambda w: w.raw(b'{"alg":"none","alg":"RS256","kid":"rs"}', json.dumps(w.one.claims()).encode()), plain, UNREADABLE),
    Attack("a claim twice", lambda w: w.raw(b'{"alg":"RS256","kid":"rs"}', json.dumps(w.one.claims()).encode()[:-1] + b',"role":"auditor"}'), plain, UNREADABLE),
    Attack("claims that nest without end", lambda w: w.raw(b'{"alg":"RS256","kid":"rs"}', b'{"x":' + b"[" * 500 + b"]" * 500 + b"}"), plain, UNREADABLE),
    Attack("a token as long as a book", lambda w: w.good(name="x" * 20_000), lambda w: w.good(name="x" * 5_000), SIZE),
)  # fmt: skip


def _der(key: Key, text: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return key.private.sign(text, ec.ECDSA(hashes.SHA256()))


def _own_key(world: World, member: str) -> str:
    """Signed with a key that the token itself brings along, or says where to find."""
    mine = Key("RS256", "rs")
    world.stranger.keys = [mine]
    where = {"jwk": mine.jwk(), "jku": f"{world.stranger.url}/jwks", "x5u": f"{world.stranger.url}/x", "x5c": ["MIIB"]}
    return world.one.token(mine, {member: where[member]})


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    with made.one, made.other, made.stranger:
        yield made


def ask(world: World, *authorizations: str) -> list[Actor | Rejected]:
    """What one server that trusts both issuers says to each of these headers in turn."""

    async def all_of_them() -> list[Actor | Rejected]:
        server = authenticator(world.one.configured(), world.other.configured())
        answers: list[Actor | Rejected] = []
        for authorization in authorizations:
            try:
                answers.append(await server.actor_of(authorization))
            except Rejected as rejected:
                answers.append(rejected)
            else:
                assert server.known(authorization.encode("latin-1")) == answers[-1]
        await server.close()
        return answers

    return asyncio.run(all_of_them())


def test_there_are_many_attacks_and_each_has_a_name_of_its_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 45


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_a_forged_token_is_refused_and_its_good_twin_is_let_in(world: World, attack: Attack) -> None:
    bad, good = ask(world, f"Bearer {attack.bad(world)}", f"Bearer {attack.good(world)}")
    assert isinstance(bad, Rejected), bad
    assert (bad.refusal, [issue.text for issue in bad.issues]) == (Refusal.UNAUTHENTICATED, [attack.sentence])
    assert isinstance(good, Actor), good


def test_no_forged_token_makes_the_server_fetch_from_an_address_of_its_choice(world: World) -> None:
    before = dict(world.stranger.asked)
    for member in ("jku", "x5u"):
        ask(world, f"Bearer {_own_key(world, member)}")
    assert dict(world.stranger.asked) == before


@pytest.mark.parametrize(
    ("header_value", "sentence"),
    [
        ("", NOBODY),
        ("Basic amlsbDpzZWNyZXQ=", NOBODY),
        ("DPoP {}", NOBODY),
        ("Bearer", HEADER_FORM),
        ("Bearer ", HEADER_FORM),
        ("Bearer {} {}", HEADER_FORM),
        ("Bearer {},{}", HEADER_FORM),
        ("Bearer  {}\t", HEADER_FORM),
        ('Bearer "{}"', HEADER_FORM),
        ("Bearer {}\x00", HEADER_FORM),
        ("Bearer ünïcöde", HEADER_FORM),
        ("bearertoken {}", NOBODY),
    ],
)
def test_a_header_that_holds_no_one_bearer_token_is_refused_beside_a_remembered_good_one(
    world: World, header_value: str, sentence: str
) -> None:
    token = world.good()
    good, bad, again = ask(world, f"Bearer {token}", header_value.replace("{}", token), f"bearer {token}")
    assert isinstance(good, Actor)
    assert isinstance(bad, Rejected)
    assert (bad.refusal, bad.issues[0].text) == (Refusal.UNAUTHENTICATED, sentence)
    assert again == good


def test_no_sentence_repeats_what_a_token_says(world: World) -> None:
    secret = "9000000106-secret"
    for changed in ({"iss": secret}, {"aud": secret}, {"sub": secret * 20}, {"nbf": secret}):
        (refused,) = ask(world, f"Bearer {world.good(**changed)}")
        assert isinstance(refused, Rejected)
        assert secret not in str(refused)
    for said in ({"kid": secret}, {"alg": secret}, {"typ": secret}):
        (refused,) = ask(world, f"Bearer {world.good(said)}")
        assert isinstance(refused, Rejected)
        assert secret not in str(refused)


@pytest.mark.parametrize(
    "alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
)
def test_each_algorithm_that_an_issuer_is_allowed_is_verified_and_no_other(alg: str) -> None:
    key = Key(alg, "k")

    async def answers() -> tuple[Actor, Rejected]:
        right = authenticator(issuer.configured(algorithms=[alg]))
        wrong = authenticator(issuer.configured(algorithms=["RS512" if alg == "RS256" else "RS256"]))
        actor = await right.actor_of(f"Bearer {issuer.token()}")
        with pytest.raises(Rejected) as refused:
            await wrong.actor_of(f"Bearer {issuer.token()}")
        await right.close()
        await wrong.close()
        return actor, refused.value

    with RunningIssuer(key) as issuer:
        actor, refused = asyncio.run(answers())
    assert actor.subject == "jill-account"
    assert refused.issues[0].text == WAY


PARTIES = {
    "one audience, and no party": ({"aud": "portal"}, True),
    "one audience that is the party": ({"aud": "portal", "azp": "portal"}, True),
    "the other of ours as the party": ({"aud": ["portal", "leaflets"], "azp": "kiosk"}, True),
    "several audiences, and no party": ({"aud": ["portal", "leaflets"]}, False),
    "another application's, with us among its audiences": ({"aud": ["leaflets", "portal"], "azp": "leaflets"}, False),
    "another party than the audience": ({"aud": "portal", "azp": "leaflets"}, False),
    "a party that is a list": ({"aud": "portal", "azp": ["portal"]}, False),
    "an access token of whichever client": ({"aud": "portal", "azp": "leaflets", "nonce": None}, True),
}


@pytest.mark.parametrize("name", PARTIES)
def test_an_id_token_is_taken_that_was_issued_to_one_of_ours(world: World, name: str) -> None:
    """OpenID Connect Core 1.0 §3.1.3.7: where its issuer's ID tokens are taken at all."""
    said, is_taken = PARTIES[name]

    async def found() -> Actor | Rejected:
        server = authenticator(world.one.configured(audience=["portal", "kiosk"], id_tokens=True))
        try:
            return await server.actor_of(f"Bearer {world.good(**{'nonce': 'n-1'} | said)}")
        except Rejected as rejected:
            return rejected
        finally:
            await server.close()

    answer = asyncio.run(found())
    assert isinstance(answer, Actor) is is_taken
    if isinstance(answer, Rejected):
        assert answer.issues[0].text.startswith("The token was issued to another application")
