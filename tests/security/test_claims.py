"""From claims to an Actor: what issuers of the NHS and others really say, and what is missing from it when it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.outcome import Rejected
from phb_fhir.security.actor import ROLES, Actor, Scope
from phb_fhir.security.claims import actor_of
from phb_fhir.security.trusted import Issuer

BASE = "https://phb.example.nhs.uk/fhir"
JILL = "9000000106"
ALL_READ = Scope("patient", "*", frozenset("rs"))


def issuer(**more: Any) -> Issuer:
    return Issuer.model_validate({"issuer": "https://login.example.org", "audience": BASE, **more})


def heard(issued: Issuer, claims: dict[str, Any]) -> Actor:
    return actor_of(issued, claims, token="the.to.ken", expires=1.0, base=BASE)


def without(claims: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}


def refusal(issued: Issuer, claims: dict[str, Any]) -> str:
    with pytest.raises(Rejected) as refused:
        heard(issued, claims)
    return refused.value.issues[0].text


# ---- a generic issuer --------------------------------------------------------------------------------------------

GENERIC = {
    "sub": "auth0|42",
    "jti": "t-1",
    "client_id": "portal",
    "scope": "openid fhirUser launch/patient patient/*.rs",
    "role": "care-coordinator",
    "fhirUser": "Practitioner/priya-nair",
    "patient": "jill",
    "organization": "Organization/harbourside-north",
    "ods_code": "98Z",
    "name": "Priya Nair",
    "purpose_of_use": "TREAT",
}


def test_a_generic_issuer_says_who_it_is_in_claims_of_its_own() -> None:
    assert heard(issuer(), GENERIC) == Actor(
        issuer="https://login.example.org",
        subject="auth0|42",
        role="care-coordinator",
        client="portal",
        name="Priya Nair",
        user="Practitioner/priya-nair",
        patient="jill",
        organization="Organization/harbourside-north",
        ods_code="98Z",
        scopes=(ALL_READ,),
        purpose="TREAT",
        expires=1.0,
        token_id="t-1",
    )


@pytest.mark.parametrize(
    ("said", "issued"),
    [
        ({"iat": 7, "exp": 8}, 7.0),
        ({"iat": 7.5, "exp": 8}, 7.5),
        ({"iat": 7}, 0.0),
        ({"exp": 8}, 0.0),
        ({"iat": "7", "exp": 8}, 0.0),
    ],
)
def test_a_token_has_an_age_where_it_says_from_when_until_when(said: dict[str, Any], issued: float) -> None:
    assert heard(issuer(), GENERIC | said).issued == issued


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_known_by_its_own_name(role: str) -> None:
    assert heard(issuer(), GENERIC | {"role": role}).role == role


@pytest.mark.parametrize(
    "role", [None, "", "administrator", "Person", "person ", ["person", "auditor"], [], {"person": True}, 7, True]
)
def test_a_role_that_is_none_or_several_is_nobodys(role: Any) -> None:
    assert heard(issuer(), GENERIC | {"role": role}).role == ""


def test_a_role_may_stand_further_in_and_under_a_name_of_the_issuers_own() -> None:
    keycloak = issuer(claims={"role": ["realm_access", "roles"], "scope": "scp"}, roles={"phb-nurse": "nhs-team"})
    claims = without(GENERIC, "scope") | {
        "realm_access": {"roles": ["offline", "phb-nurse"]},
        "scp": ["openid", "patient/*.rs"],
    }
    actor = heard(keycloak, claims)
    assert (actor.role, actor.scopes) == ("nhs-team", (ALL_READ,))
    assert heard(keycloak, claims | {"realm_access": {"roles": ["system"]}}).role == ""  # only what the table says
    assert heard(keycloak, claims | {"realm_access": "phb-nurse"}).role == ""


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ("Practitioner/priya-nair", "Practitioner/priya-nair"),
        (f"{BASE}/RelatedPerson/ruth-harper", "RelatedPerson/ruth-harper"),
        ("https://other.example/fhir/Practitioner/priya-nair", ""),
        (f"{BASE}.evil.example/Practitioner/priya-nair", ""),
        ("Account/jill-budget", ""),
        ("Practitioner/priya nair", ""),
        ("Practitioner/a/_history/1", ""),
        ("Practitioner/", ""),
        ("priya-nair", ""),
        ("Practitioner/../Patient/jill", ""),
        ({"$ne": None}, ""),
        (["Practitioner/priya-nair"], ""),
        ("Practitioner/priya-nair\n", ""),
    ],
)
def test_a_user_is_a_reference_to_somebody_here_or_nobody(said: Any, user: str) -> None:
    assert heard(issuer(), GENERIC | {"fhirUser": said}).user == user


@pytest.mark.parametrize(
    ("said", "patient"),
    [
        ("jill", "jill"),
        ("Patient/jill", "jill"),
        (f"{BASE}/Patient/jill", "jill"),
        ("Practitioner/jill", ""),
        ("jill/..", ""),
        ("*", ""),
        ("", ""),
        (7, ""),
        ("a" * 65, ""),
        (["jill"], ""),
        ({"reference": "Patient/jill"}, ""),
        ("https://other.example/fhir/Patient/jill", ""),
    ],
)
def test_a_patient_of_the_launch_is_an_id_or_the_token_grants_nothing(said: Any, patient: str) -> None:
    actor = heard(issuer(), GENERIC | {"patient": said})
    assert (actor.patient, actor.role) == (patient, GENERIC["role"] if patient else "")


@pytest.mark.parametrize("claims", [without(GENERIC, "patient"), GENERIC | {"patient": None}])
def test_a_token_without_a_patient_of_the_launch_is_of_its_role(claims: dict[str, Any]) -> None:
    actor = heard(issuer(), claims)
    assert (actor.patient, actor.role) == ("", GENERIC["role"])


@pytest.mark.parametrize(
    ("said", "number"), [(JILL, JILL), ("9000000107", ""), ("900 000 0106", ""), (9000000106, ""), (None, "")]
)
def test_an_nhs_number_counts_when_it_can_be_one(said: Any, number: str) -> None:
    actor = heard(issuer(), GENERIC | {"nhs_number": said})
    assert actor.nhs_number == number
    assert actor.user_identifier == (f"https://fhir.nhs.uk/Id/nhs-number|{number}" if number else "")


def test_a_name_that_would_break_a_line_or_fill_a_page_is_left_out() -> None:
    assert heard(issuer(), GENERIC | {"name": "Priya\nNair"}).name == ""
    assert heard(issuer(), GENERIC | {"name": "x" * 201}).name == ""
    assert heard(issuer(), GENERIC | {"name": "  Zoë  "}).name == "Zoë"


def test_a_token_without_a_name_of_its_own_is_named_by_a_digest() -> None:
    actor = heard(issuer(), without(GENERIC, "jti"))
    assert len(actor.token_id) == 32
    assert actor.token_id not in "the.to.ken"


def test_a_backend_service_is_what_the_configuration_says_and_only_for_itself() -> None:
    service = {"role": "system", "name": "Payments", "organization": "Organization/x", "scopes": "system/*.rs"}
    configured = issuer(clients={"payments": service})
    own = {"sub": "payments", "client_id": "payments", "scope": "system/ChargeItem.rs"}
    actor = heard(configured, own)
    assert (actor.role, actor.name, actor.organization) == ("system", "Payments", "Organization/x")
    assert actor.scopes == (Scope("system", "ChargeItem", frozenset("rs")),)
    assert heard(configured, own | {"sub": "jill-account"}).role == ""  # somebody who signed in through it
    assert heard(configured, own | {"sub": "other", "client_id": "other"}).role == ""
    assert heard(configured, without(own, "client_id")).role == ""


SERVED = {"portal": {"user_role": "person", "role": "system", "name": "The portal"}}


@pytest.mark.parametrize("said", [" ", "\t", "a\nb", "a\u00adb", "x" * 256, "\u2028", 7, ["jill"], None])
def test_whoever_cannot_be_shown_is_not_taken_for_the_application_they_signed_in_through(said: Any) -> None:
    """The application acts for everybody, its users for themselves."""
    configured = issuer(clients=SERVED)
    told = {"client_id": "portal", "scope": "patient/*.rs", "sub": said}
    assert refusal(configured, told) == "The token does not say whose it is."


def test_who_is_named_beside_the_application_is_not_taken_for_it_though_their_sub_is_not_said() -> None:
    """An issuer need not say a `sub` of an opaque token; of the application's own it names nobody (RFC 7662 §2.2)."""
    configured, told = issuer(clients=SERVED), {"client_id": "portal", "scope": "patient/*.rs"}
    assert heard(configured, told).role == "system"
    assert refusal(configured, told | {"username": "jill"}) == "The token does not say whose it is."


@pytest.mark.parametrize("said", ["x" * 201, "x" * 255, " jill", "jill "])
def test_whose_a_token_is_is_kept_as_its_issuer_says_it(said: str) -> None:
    configured = issuer(clients=SERVED)
    actor = heard(configured, {"client_id": "portal", "scope": "patient/*.rs", "sub": said})
    assert (actor.subject, actor.role) == (said, "person")


def test_those_who_sign_in_through_a_client_have_the_role_it_gives_them_unless_they_have_their_own() -> None:
    configured = issuer(clients={"portal": {"user_role": "person", "role": "system"}})
    assert heard(configured, without(GENERIC, "role")).role == "person"
    assert heard(configured, GENERIC).role == "care-coordinator"


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("openid profile", "configured"),
        (None, "configured"),
        ("patient/Account.r", "said"),
        ("patient/nonsense", "none"),
        ("patient/Account.r patient/nonsense", "said"),
        (["openid"], "configured"),
        (7, "configured"),
    ],
)
def test_the_configurations_scopes_stand_in_only_where_a_token_says_nothing_of_resources(
    said: Any, scopes: str
) -> None:
    expected = {"configured": (ALL_READ,), "said": (Scope("patient", "Account", frozenset("r")),), "none": ()}[scopes]
    assert heard(issuer(scopes="patient/*.rs"), GENERIC | {"scope": said}).scopes == expected
    assert heard(issuer(), GENERIC | {"scope": said}).scopes == (() if scopes == "configured" else expected)


# ---- NHS login ---------------------------------------------------------------------------------------------------

NHS_LOGIN = {  # what its ID token and UserInfo say with the scopes openid profile profile_extended gp_registration_details
    "iss": "https://auth.login.nhs.uk",
    "sub": "49f470a1-cc52-49b7-beba-0f9cec937c46",
    "aud": "phb-portal",
    "jti": "b68ddb28-e440-443d-8725-dfe0da330118",
    "vot": "P9.Cp.Cd",
    "vtm": "https://auth.login.nhs.uk/trustmark/auth.login.nhs.uk",
    "identity_proofing_level": "P9",
    "nhs_number": JILL,
    "family_name": "Harper",
    "given_name": "Jillian",
    "birthdate": "1968-05-11",
    "gp_registration_details": {"gp_ods_code": "Z91001"},
    "azp": "phb-portal",
}
P9 = "NHS login has not proved who holds the token to level P9, which this record needs."
NUMBER = "NHS login does not say by which NHS number the holder of the token is known."


def nhs_login(**more: Any) -> Issuer:
    return issuer(mapper="nhs-login", algorithms=["RS512"], scopes="patient/*.rs", **more)


def test_nhs_login_makes_a_person_known_by_their_nhs_number() -> None:
    actor = heard(nhs_login(), NHS_LOGIN)
    assert (actor.role, actor.nhs_number, actor.name, actor.client) == ("person", JILL, "Jillian Harper", "phb-portal")
    assert (actor.user_identifier, actor.patient, actor.user) == (f"https://fhir.nhs.uk/Id/nhs-number|{JILL}", "", "")
    assert actor.scopes == (ALL_READ,)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"identity_proofing_level": "P5", "vot": "P5.Cp.Cd"}, P9),
        ({"identity_proofing_level": "P0"}, P9),
        ({"identity_proofing_level": None}, P9),
        ({"identity_proofing_level": "p9"}, P9),
        ({"identity_proofing_level": ["P9"]}, P9),
        ({"vot": "P5.Cp.Cd"}, P9),
        ({"vot": "P99.Cp"}, P9),
        ({"vot": 9}, P9),
        ({"nhs_number": None}, NUMBER),
        ({"nhs_number": ""}, NUMBER),
        ({"nhs_number": "9000000107"}, NUMBER),
        ({"nhs_number": 9000000106}, NUMBER),
        ({"nhs_number": "900 000 0106"}, NUMBER),
    ],
)
def test_nhs_login_below_p9_or_without_an_nhs_number_is_no_access(changed: dict[str, Any], sentence: str) -> None:
    assert refusal(nhs_login(), NHS_LOGIN | changed) == sentence
    assert refusal(nhs_login(), without(NHS_LOGIN, *changed) | changed) == sentence


def test_nhs_login_without_a_vector_of_trust_goes_by_the_level_it_states() -> None:
    assert heard(nhs_login(), without(NHS_LOGIN, "vot")).role == "person"
    assert refusal(nhs_login(), without(NHS_LOGIN, "identity_proofing_level")) == P9


@pytest.mark.parametrize(
    ("configured", "role"), [("delegate", "delegate"), ("person", "person"), ("auditor", "person"), (None, "person")]
)
def test_nhs_login_gives_nobody_another_role_than_a_persons_or_a_delegates(configured: Any, role: str) -> None:
    clients = {"phb-portal": {"user_role": configured}}
    assert heard(nhs_login(clients=clients), NHS_LOGIN | {"role": "system"}).role == role


# ---- CIS2 --------------------------------------------------------------------------------------------------------

CIS2 = {  # scopes openid profile nationalrbacaccess selectedrole
    "iss": "https://am.nhsidentity.spineservices.nhs.uk:443/openam/oauth2/realms/root/realms/NHSIdentity/realms/Healthcare",
    "sub": "555900000011",
    "uid": "555900000011",
    "nhsid_useruid": "555900000011",
    "azp": "phb-service",
    "name": "Nair Priya Ms",
    "given_name": "Priya",
    "family_name": "Nair",
    "authentication_assurance_level": "3",
    "id_assurance_level": "3",
    "acr": "AAL3_ANY",
    "selected_roleid": "555900000012",
    "nhsid_nrbac_roles": [
        {
            "person_orgid": "555900000013",
            "person_roleid": "555900000012",
            "org_code": "98Z",
            "role_name": '"Clinical":"Clinical Provision":"Health Professional Access Role"',
            "role_code": "S8000:G8000:R8003",
            "activity_codes": ["B0264"],
        },
        {
            "person_orgid": "555900000014",
            "person_roleid": "555900000015",
            "org_code": "RZ8",
            "role_name": '"Admin and Clerical":"Admin and Clerical":"Privacy Officer"',
            "role_code": "S8001:G8002:R0001",
        },
    ],
    "nhsid_user_orgs": [{"org_name": "HARBOURSIDE NORTH", "org_code": "98Z"}, {"org_name": "TRUST", "org_code": "RZ8"}],
}
ROLES_OF_CIS2 = {"R8003": "care-coordinator", "S8001:G8002:R0001": "auditor"}
AAL = "The holder of the token did not sign in to CIS2 as surely as this record needs."
UID = "CIS2 does not say which user holds the token."


def cis2(**more: Any) -> Issuer:
    return issuer(mapper="cis2", **{"roles": ROLES_OF_CIS2, "scopes": "user/*.cruds", **more})


def test_cis2_makes_somebody_of_staff_in_the_role_they_selected_and_for_its_organisation() -> None:
    actor = heard(cis2(), CIS2)
    assert (actor.role, actor.ods_code, actor.name) == ("care-coordinator", "98Z", "Priya Nair")
    assert actor.user_identifier == "https://fhir.nhs.uk/Id/sds-user-id|555900000011"
    assert (actor.nhs_number, actor.patient, actor.organization) == ("", "", "")


def test_cis2_with_another_role_selected_is_another_role_and_organisation() -> None:
    actor = heard(cis2(), CIS2 | {"selected_roleid": "555900000015"})
    assert (actor.role, actor.ods_code) == ("auditor", "RZ8")


def test_cis2_claims_may_come_under_the_name_of_their_scope() -> None:
    claims = without(CIS2, "nhsid_nrbac_roles")
    for value in (CIS2["nhsid_nrbac_roles"], {"nhsid_nrbac_roles": CIS2["nhsid_nrbac_roles"]}):
        assert heard(cis2(), claims | {"nationalrbacaccess": value}).role == "care-coordinator"


_FIRST = CIS2["nhsid_nrbac_roles"][0]


@pytest.mark.parametrize(
    "changed",
    [
        {"selected_roleid": "555900009999"},
        {"selected_roleid": ""},
        {"selected_roleid": None},
        {"selected_roleid": ["555900000012"]},
        {"nhsid_nrbac_roles": []},
        {"nhsid_nrbac_roles": "S8000:G8000:R8003"},
        {"nhsid_nrbac_roles": [[]]},
        {"nhsid_nrbac_roles": [_FIRST, _FIRST]},
        {"nhsid_nrbac_roles": [_FIRST | {"role_code": "S0030:G0100:R0620"}]},
        {"nhsid_nrbac_roles": [without(_FIRST, "role_code")]},
        {"nhsid_nrbac_roles": [without(_FIRST, "org_code")]},
        {"nhsid_nrbac_roles": [_FIRST | {"org_code": "98Z OR 1=1"}]},
        {"nhsid_nrbac_roles": [without(_FIRST, "person_roleid")]},
    ],
)
def test_cis2_without_one_selected_role_that_is_known_here_is_nobody(changed: dict[str, Any]) -> None:
    assert heard(cis2(), CIS2 | changed).role == ""


def test_cis2_with_a_single_role_and_no_selection_acts_in_that_role_and_with_two_in_none() -> None:
    alone = without(CIS2, "selected_roleid")
    assert heard(cis2(), alone | {"nhsid_nrbac_roles": [_FIRST]}).role == "care-coordinator"
    assert heard(cis2(), alone).role == ""


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"authentication_assurance_level": "1"}, AAL),
        ({"authentication_assurance_level": None, "acr": None}, AAL),
        ({"authentication_assurance_level": None, "acr": "AAL1_USERPASS"}, AAL),
        ({"authentication_assurance_level": "three"}, AAL),
        ({"authentication_assurance_level": True}, AAL),
        ({"uid": None, "nhsid_useruid": None}, UID),
        ({"uid": "priya", "nhsid_useruid": None}, UID),
    ],
)
def test_cis2_that_is_not_sure_enough_or_names_no_user_is_refused(changed: dict[str, Any], sentence: str) -> None:
    assert refusal(cis2(), without(CIS2, *changed) | {k: v for k, v in changed.items() if v is not None}) == sentence


def test_cis2_says_how_surely_by_its_acr_where_it_does_not_by_the_level() -> None:
    claims = without(CIS2, "authentication_assurance_level")
    assert heard(cis2(), claims).role == "care-coordinator"
    assert heard(cis2(assurance_level_min=3), claims).role == "care-coordinator"
    assert refusal(cis2(assurance_level_min=3), claims | {"acr": "AAL2_OR_AAL3_ANY"}) == AAL
    assert heard(cis2(assurance_level_min=0), without(claims, "acr")).role == "care-coordinator"
