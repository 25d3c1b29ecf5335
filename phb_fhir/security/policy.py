"""May they: one table of role × type × interaction → predicate, and one predicate everywhere.

`POLICY` is the whole of it, to be read top to bottom. A row gives a role some letters on some types (SMART's: c create, r read, u
update, d delete, s search) for those resources that its predicate holds for. What no row gives, nobody has; a role with no row
for a type and a letter hears 403, and what a predicate does not hold for is as if it were not there.

A predicate is a condition in the words of `query`, so that it narrows searches, is held against single versions and against what is
about to be written, and is the same each time. It asks for nothing but the entries of `search/access`. What a token cannot say by
itself (who has consented, whose plan somebody co-ordinates) is in `Who`, which `interactions/access` reads from the record at each
request: a consent that is withdrawn is withdrawn at once.

Sources: R1, R7, R9, R11, R17, R38, R148, R169, R170, R172 and RULE-ACCESS; docs/access.md is the table for people.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from phb_fhir.query import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Id,
    InHierarchy,
    InList,
    Key,
    Linked,
    LinkedFrom,
    Node,
    Not,
    OfType,
)
from phb_fhir.rules.words import TASK_CODE
from phb_fhir.search.access import CONCERNS, TAKEN_BACK
from phb_fhir.search.kinds.keys import beginning
from phb_fhir.security.actor import Role

Right = Literal["view", "purchase", "plan", "receive-payment"]  # CodeSystem phb-consent-action

# --- the types, in groups ---

PERSON = ("Patient",)
MONEY = ("Account", "ChargeItem", "Coverage", "Invoice", "PaymentReconciliation")
PLAN = ("CarePlan", "CareTeam", "Goal", "RiskAssessment")
EVIDENCE = ("DocumentReference", "Binary")
WORK = ("Task",)
CONSENT = ("Consent", "RelatedPerson")
WORDS = ("Communication", "QuestionnaireResponse")
CLINICAL = (
    "AllergyIntolerance",
    "Appointment",
    "ClinicalImpression",
    "Condition",
    "Device",
    "DiagnosticReport",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "Flag",
    "Immunization",
    "List",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
    "ServiceRequest",
)
PROVENANCE = ("Provenance",)
AUDIT = ("AuditEvent",)
CRITERIA = ("Group",)
FIGURES = ("MeasureReport",)
OFFERED = ("ChargeItemDefinition", "HealthcareService")
DIRECTORY = (
    *OFFERED,
    "Location",
    "Organization",
    "Practitioner",
    "PractitionerRole",
)
GUIDE = (
    "ActivityDefinition",
    "CapabilityStatement",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "Endpoint",
    "GraphDefinition",
    "ImplementationGuide",
    "Library",
    "Measure",
    "NamingSystem",
    "OperationDefinition",
    "PlanDefinition",
    "Questionnaire",
    "SearchParameter",
    "StructureDefinition",
    "StructureMap",
    "ValueSet",
)
ALL = ("*",)  # but for AuditEvents, which nobody writes

# --- who is asking, as the record knows them ---


@dataclass(frozen=True, slots=True)
class Mandate:
    """What one Consent lets somebody do for a patient (`Patient/1`); with `accounts`, for these budgets and their plans alone, and with
    `types`, for these types.
    """

    patient: str
    rights: frozenset[str]
    accounts: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def gives(self, right: str, type_: str) -> bool:
        return right in self.rights and (not self.types or type_ in self.types)


@dataclass(frozen=True, slots=True)
class Who:
    """An actor whose role is known here, with what the record says of them.

    `user`, `organization` and `patients` are local references, `patients` whose record is theirs, or in their care; `roles` the
    PractitionerRoles they act in. `items` are the urls of the directory items that their organisation provides. `is_breaking_glass`:
    with a stated purpose, restricted records are shown.
    """

    role: Role
    user: str = ""
    organization: str = ""
    patients: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    mandates: tuple[Mandate, ...] = ()
    items: tuple[str, ...] = ()
    is_breaking_glass: bool = False


# --- predicates ---

Predicate = Callable[[Who, str], Node]


def anybody(_: Who, __: str) -> Node:
    return EVERYTHING


def own(who: Who, type_: str) -> Node:
    """It is the record of one of their patients: of the person, or of those in somebody's care."""
    return of_patients(who.patients, type_)


def consented(right: Right) -> Predicate:
    """A Consent lets them, and it covers this."""

    def holds(who: Who, type_: str) -> Node:
        giving = [one for one in who.mandates if one.gives(right, type_)]
        whole = dict.fromkeys(
            one.patient for one in giving if not one.accounts
        )  # one condition for all of these, however many
        return any_of(
            (of_patients(tuple(whole), type_), *(_mandated(who, one, type_) for one in giving if one.accounts))
        )

    return holds


def taking_part(who: Who, type_: str) -> Node:
    """They take part in the plan. A worry about harm or abuse is not for whoever it may be about: they see what they raised, or have to do."""
    node = consented("plan")(who, type_)
    return node if type_ != "Task" or node == NOTHING else AllOf((node, Not(Key((SAFEGUARDING,)))))


def handed_in(who: Who, type_: str) -> Node:
    """It is for somebody whom they may purchase for: evidence is handed in before a purchase says what it is of."""
    return of_patients(tuple(one.patient for one in who.mandates if one.gives("purchase", type_)), type_)


def named(who: Who, type_: str) -> Node:
    """It is they themselves, or a Consent that names them."""
    parties = tuple(party for party in (who.user, who.organization, *who.roles) if party)
    if type_ == "Consent":
        return keys("actor", parties)
    return Id(tuple(party for party in parties if party.startswith(f"{type_}/"))) if parties else NOTHING


def commissioned(who: Who, type_: str) -> Node:
    """It is, or concerns, a budget that their organisation owns (`Account.owner`); what concerns other funders alone is not theirs.

    What a person's record holds besides is there where something of these budgets leads to it (decision 0016); a budget that was entered
    in error leads to nobody.
    """
    owned = keys("owner", (who.organization,))
    if owned == NOTHING:
        return NOTHING
    meant = _meant(owned)
    match type_:
        case "Account" | "Task":
            return owned
        case "Patient" | "RelatedPerson":
            return _of_people_of(meant, type_)
        case "ChargeItem" | "Invoice" | "PaymentReconciliation":
            return _charged(owned)
        case "Provenance":  # who made and approved what is bought from it, too (R17)
            charged = Linked("target", ("ChargeItem",), _charged(owned))
            return AnyOf((Linked("target", ("Account",), owned), charged))
        case "Binary":
            documents = commissioned(who, "DocumentReference")
            shown = (
                Linked("security-context", SECURED, documents),
                LinkedFrom("DocumentReference", "location", documents),
            )
            return AllOf((_of_people_of(meant, type_), AnyOf(shown)))
    return AllOf((_of_people_of(meant, type_), any_of(_LEADS_TO[type_](who, meant))))


def co_funded(who: Who, type_: str) -> Node:
    """It is a joint budget that a budget of theirs is a part of, or was bought from one (R28): of whoever leads it, and theirs to answer for."""
    owned = keys("owner", (who.organization,))
    if owned == NOTHING:
        return NOTHING
    joint = LinkedFrom("Account", "part-of", _parts(_meant(owned)))
    return joint if type_ == "Account" else Linked("account", ("Account",), joint)


def funds_alone(who: Who, access: Collection[str]) -> bool:
    """Whether an Account that somebody sees, with these access entries, is there for them as one of its funders alone."""
    is_funder = any(row.where is co_funded for row in POLICY[who.role])
    return is_funder and f"owner={who.organization}" not in access


def _meant(owned: Node) -> Node:
    """Those of these budgets that were not entered in error: somebody else may be whose budget it never was."""
    return AllOf((owned, Not(Key((TAKEN_BACK,)))))


def _of_people_of(owned: Node, type_: str) -> Node:
    """Of whoever has one of these budgets."""
    return _of_those(LinkedFrom("Account", "patient", owned), type_)


def _shared(owned: Node) -> Node:
    """Of Accounts: one of these budgets, or the joint budget that one of them is a part of (`Account.partOf`, R28)."""
    return AnyOf((owned, LinkedFrom("Account", "part-of", _parts(owned))))


def _parts(owned: Node) -> Node:
    """Those of these budgets that are a part of a joint one, which are few, of however many."""
    return AllOf((owned, beginning("part-of=Account/")))


def _planned(owned: Node) -> Node:
    """Of CarePlans: the plan of these budgets, what is to take its place, and what it took the place of."""
    current = LinkedFrom("Account", "care-plan", _shared(owned))
    return AnyOf((current, Linked("replaces", ("CarePlan",), current), LinkedFrom("CarePlan", "replaces", current)))


def _charged(owned: Node) -> Node:
    """Of what is bought and paid: it is charged to one of these budgets."""
    return Linked("account", ("Account",), owned)


def _about(parameter: str, owned: Node) -> tuple[Node, ...]:
    """It says itself that it is about these budgets, their plans, or what was bought from them."""
    return (
        Linked(parameter, ("Account",), _shared(owned)),
        Linked(parameter, ("CarePlan",), _planned(owned)),
        Linked(parameter, CHARGED, _charged(owned)),
    )


def _attached(who: Who) -> Node:
    """A task that they see brings it, or it is what came of one: the papers of a decision, the record of a review."""
    seen = (commissioned(who, "Task"), asked_by_them(who, "Task"), about_their_budgets(who, "Task"))
    return LinkedFrom("Task", "attached", any_of(seen))


def _plans_for(who: Who, owned: Node) -> Iterable[Node]:
    del who
    return (_planned(owned), LinkedFrom("ChargeItem", "care-plan", _charged(owned)))


def _parts_for(type_: str) -> Callable[[Who, Node], Iterable[Node]]:
    return lambda _, owned: (LinkedFrom("CarePlan", PART_OF_PLAN[type_], _planned(owned)),)


def _assessments_for(who: Who, owned: Node) -> Iterable[Node]:
    return (
        Linked("based-on", ("CarePlan",), _planned(owned)),
        LinkedFrom("CarePlan", "supporting-info", _planned(owned)),
        LinkedFrom("Account", "source", owned),
        _attached(who),
    )


def _documents_for(who: Who, owned: Node) -> Iterable[Node]:
    return (
        LinkedFrom("ChargeItem", "evidence", _charged(owned)),
        *_about("related", owned),
        LinkedFrom("Account", "source", owned),
        _attached(who),
    )


def _letters_for(who: Who, owned: Node) -> Iterable[Node]:
    them = (who.organization, who.user, *who.roles)
    others = (
        Linked("about", ("Task",), about_their_budgets(who, "Task")),
        Linked("about", ("Coverage",), keys("payor", (who.organization,))),
    )
    return (keys("sender", them), keys("recipient", them), *_about("about", owned), *others, _attached(who))


def _consents_for(who: Who, owned: Node) -> Iterable[Node]:
    """For all of somebody's budgets, or for these."""
    del who
    return (Not(beginning("data=Account/")), Linked("data", ("Account",), _shared(owned)))


def _cover_for(who: Who, owned: Node) -> Iterable[Node]:
    return (keys("payor", (who.organization,)), LinkedFrom("Account", "coverage", owned))


# of a person's record, by what it is a commissioner's business: one of these holds
_LEADS_TO: dict[str, Callable[[Who, Node], Iterable[Node]]] = {
    "CarePlan": _plans_for,
    "CareTeam": _parts_for("CareTeam"),
    "Communication": _letters_for,
    "Consent": _consents_for,
    "Coverage": _cover_for,
    "DocumentReference": _documents_for,
    "Goal": _parts_for("Goal"),
    "QuestionnaireResponse": _assessments_for,
    "RiskAssessment": _assessments_for,
}


def about_their_budgets(who: Who, type_: str) -> Node:
    """Of tasks: it is about a budget that their organisation owns, its plan, or what is paid from it."""
    del type_
    owned = keys("owner", (who.organization,))
    if owned == NOTHING:
        return NOTHING
    meant = _meant(owned)
    parts = (
        Linked("focus", ("Account",), meant),
        Linked("focus", CHARGED, _charged(meant)),
        Linked("focus", ("CarePlan",), _planned(meant)),
    )
    return AnyOf(parts)


def registered(who: Who, type_: str) -> Node:
    """It is the record of a patient registered with their practice (`Patient.generalPractitioner`)."""
    return _of_those(keys("general-practitioner", (who.organization,)), type_)


def managed(who: Who, type_: str) -> Node:
    """It is the record of a patient whom their organisation manages (`Patient.managingOrganization`)."""
    return _of_those(keys("organization", (who.organization,)), type_)


def addressed(who: Who, type_: str) -> Node:
    """They own the task: themselves, in a role, or their organisation."""
    del type_
    return keys("owner", (who.user, who.organization, *who.roles))


def asked_by_them(who: Who, type_: str) -> Node:
    """They asked for it."""
    del type_
    return keys("requester", (who.user, who.organization, *who.roles))


def asked_while_trusted(who: Who, type_: str) -> Node:
    """They asked for it, for somebody who lets them act still: what becomes of it is not told to whom a consent let act once."""
    trusting = tuple(dict.fromkeys(one.patient for one in who.mandates if one.rights))
    asked = asked_by_them(who, type_)
    return NOTHING if NOTHING in (asked, of_patients(trusting, type_)) else AllOf((asked, of_patients(trusting, type_)))


def delivered(who: Who, type_: str) -> Node:
    """Their organisation delivers it, or delivers to this person; to nobody, by what was entered in error."""
    meant = named_to_deliver(who, type_)
    performed = meant if meant == NOTHING else AllOf((meant, Not(Key((TAKEN_BACK,)))))
    return performed if type_ == "ChargeItem" else _of_those(LinkedFrom("ChargeItem", "patient", performed), type_)


def named_to_deliver(who: Who, type_: str) -> Node:
    """Of purchases: it says that their organisation delivers it, though it were a mistake."""
    del type_
    return any_of(keys(code, (who.organization,)) for code in ("performing-organization", "performer-actor"))


def provided(who: Who, type_: str) -> Node:
    """It is of their organisation's part of the directory: an item, a service; or an invoice they issued."""
    match type_:
        case "ChargeItem":
            return keys("definition", who.items)
        case "Invoice":
            return keys("issuer", (who.organization,))
        case "HealthcareService":  # providedBy
            return keys("organization", (who.organization,))
    return keys("provider", (who.organization,))


def held(who: Who, type_: str) -> Node:
    """Their organisation manages it: criteria, lists of candidates."""
    del type_
    return keys("managing-entity", (who.organization,))


def directory(who: Who, type_: str) -> Node:
    """It is a directory of what can be bought, not a list about somebody."""
    del who, type_
    return Key((f"code={DIRECTORY_CODE}",))


def aggregate(who: Who, type_: str) -> Node:
    """It is a summary: figures, of nobody in particular."""
    del who, type_
    return AllOf((Key(("report-type=*summary",)), Not(beginning("patient="))))


SAFEGUARDING = f"code={TASK_CODE}|safeguarding-referral"
DIRECTORY_CODE = "https://fhir.phb.nhs.example/CodeSystem/phb-list-code|phb-directory"


def of_patients(patients: tuple[str, ...], type_: str) -> Node:
    """It is the record of one of these (`Patient/1`)."""
    if not patients:
        return NOTHING
    match type_:
        case "Patient":
            return Id(patients)
        case "PaymentReconciliation":
            return Linked("account", ("Account",), keys("patient", patients))
        case "Binary":
            of_a_document = Linked("security-context", SECURED, keys("patient", patients))
            return AnyOf((of_a_document, keys("security-context", patients)))
        case "Provenance":
            return AnyOf((keys("patient", patients), Linked("target", TRACED, keys("patient", patients))))
    return keys("patient", patients)


UNTRACED = ("PaymentReconciliation", "Binary")  # two references away from whose they are
# whose record these are, they say themselves: who made them is told with them
TRACED = tuple(
    type_ for type_ in (*MONEY, *PLAN, *EVIDENCE, *WORK, *CONSENT, *WORDS, *CLINICAL) if type_ not in UNTRACED
)
SECURED = ("DocumentReference",)  # and Patient: as whose content is protected, says R4 §2.42.2


def _of_those(patients: Node, type_: str) -> Node:
    """It is the record of a patient whom a condition holds for."""
    match type_:
        case "Patient":
            return patients
        case "PaymentReconciliation":
            return Linked("account", ("Account",), Linked("patient", ("Patient",), patients))
        case "Binary":
            of_a_document = Linked("security-context", SECURED, Linked("patient", ("Patient",), patients))
            return AnyOf((of_a_document, Linked("security-context", ("Patient",), patients)))
        case "Provenance":
            there = Linked("patient", ("Patient",), patients)
            return AnyOf((there, Linked("target", TRACED, there)))
    return Linked("patient", ("Patient",), patients)


def _mandated(who: Who, mandate: Mandate, type_: str) -> Node:
    """What a Consent that is for some budgets alone opens."""
    theirs = of_patients((mandate.patient,), type_)
    match type_:
        case "Account":
            return Id(mandate.accounts)
        case "ChargeItem" | "Invoice" | "PaymentReconciliation":
            return keys("account", mandate.accounts)
        case "CarePlan":
            return AllOf((theirs, Id(mandate.plans))) if mandate.plans else NOTHING
        case "Task":
            return AllOf((theirs, _about_these(mandate)))
        case "Goal" | "CareTeam":
            of_plans = LinkedFrom("CarePlan", PART_OF_PLAN[type_], Id(mandate.plans)) if mandate.plans else NOTHING
            return AllOf((theirs, any_of((of_plans, _made_by(who)))))
        case "QuestionnaireResponse" | "RiskAssessment":
            return AllOf((theirs, any_of((keys("based-on", mandate.plans), Not(beginning("based-on=CarePlan/"))))))
        case "DocumentReference":
            of_charges = LinkedFrom("ChargeItem", "evidence", keys("account", mandate.accounts))
            return AllOf((theirs, AnyOf((of_charges, _made_by(who)))))
        case "Binary":
            of_evidence = Linked("security-context", SECURED, _mandated(who, mandate, "DocumentReference"))
            return AnyOf((of_evidence, AllOf((theirs, _made_by(who)))))
    return theirs


def _made_by(who: Who) -> Node:
    """They wrote it, as its Provenance says."""
    parties = keys("agent", (who.user, who.organization, *who.roles))
    return LinkedFrom("Provenance", "target", parties) if parties != NOTHING else NOTHING


def _about_these(mandate: Mandate) -> Node:
    """Of tasks: it is about these budgets and what is theirs, or about no budget at all; the words of others tell of others' money."""
    charged = Linked("focus", CHARGED, keys("account", mandate.accounts))
    theirs = any_of((keys("focus", (*mandate.accounts, *mandate.plans)), charged))
    about_any = any_of(beginning(f"focus={type_}/") for type_ in ("Account", "CarePlan", "Task", *CHARGED))
    return any_of((theirs, Linked("focus", ("Task",), theirs), Not(about_any)))


CHARGED = ("ChargeItem", "Invoice", "PaymentReconciliation")
PART_OF_PLAN = {"Goal": "goal", "CareTeam": "care-team"}  # by which a CarePlan points to them


def keys(code: str, values: Iterable[str]) -> Node:
    """One of these values, none of which is empty; nothing where there is none."""
    entries = tuple(f"{code}={value}" for value in values if value)
    return Key(entries) if entries else NOTHING


def any_of(nodes: Iterable[Node]) -> Node:
    """Any of these, as simply as it can be said."""
    parts = tuple(dict.fromkeys(node for node in nodes if node != NOTHING))
    if EVERYTHING in parts:
        return EVERYTHING
    return parts[0] if len(parts) == 1 else AnyOf(parts)


# --- the table ---


@dataclass(frozen=True, slots=True)
class Row:
    """These letters, on these types, where the predicate holds. `is_masked`: in part (`security/mask`)."""

    types: tuple[str, ...]
    letters: str
    where: Predicate
    is_masked: bool = False


_COMMON = (Row(GUIDE, "rs", anybody), Row(DIRECTORY, "rs", anybody), Row(("List",), "rs", directory))
_HELPING = (
    Row(("Patient", "Account", "ChargeItem", "Invoice", "PaymentReconciliation"), "rs", consented("view")),
    Row(("CarePlan",), "rs", consented("view")),
    Row(("ChargeItem",), "crsu", consented("purchase")),
    Row(("Account", *EVIDENCE, "Patient"), "rs", consented("purchase")),
    Row(EVIDENCE, "c", handed_in),
    Row(("CarePlan", "Goal", "QuestionnaireResponse", "Task"), "crsu", taking_part),
    Row(("CareTeam", "Patient", "RiskAssessment"), "rs", consented("plan")),
    Row(("PaymentReconciliation",), "rs", consented("receive-payment")),
    Row(("Consent", "Practitioner", "RelatedPerson"), "rs", named),
    Row(WORK, "rsu", addressed),
    Row(WORK, "crs", asked_while_trusted),
)
_RECORD = (*PERSON, *MONEY, *PLAN, *EVIDENCE, *WORK, *CONSENT, *WORDS, *CLINICAL)
_CARING = (
    Row(_RECORD, "crsu", own),
    Row(_RECORD, "crsu", managed),
    Row(WORK, "crsu", addressed),
    Row(PROVENANCE, "rs", own),
    Row(PROVENANCE, "rs", managed),
)

POLICY: dict[Role, tuple[Row, ...]] = {
    "person": (
        *_COMMON,
        Row((*PERSON, *MONEY, *PLAN, *EVIDENCE, *WORDS, *CLINICAL, *PROVENANCE, *CONSENT, *WORK), "rs", own),
        Row(AUDIT, "rs", own, is_masked=True),
        Row(("CarePlan", "ChargeItem", "Consent", "Goal", "QuestionnaireResponse", "RelatedPerson", "Task"), "cu", own),
        Row(("Communication", "DocumentReference", "Binary"), "c", own),
    ),
    "delegate": (*_COMMON, *_HELPING),
    "broker": (*_COMMON, *_HELPING),
    "peer-supporter": (*_COMMON, *_HELPING),
    "care-coordinator": (*_COMMON, *_CARING),
    "nhs-team": (*_COMMON, *_CARING),
    "commissioner": (
        *_COMMON,
        Row((*PERSON, *MONEY, *PLAN, *EVIDENCE, *CONSENT, *WORDS, *WORK, *PROVENANCE), "rs", commissioned),
        Row(("Account", "ChargeItem"), "rs", co_funded),
        Row(("Account", "ChargeItem", "Coverage", "Invoice", "PaymentReconciliation", "Task"), "cu", commissioned),
        Row(("Communication",), "c", commissioned),  # whoever is told no is told why, and by whom (R139, R150)
        Row(WORK, "crsu", asked_by_them),
        Row(WORK, "rs", about_their_budgets),
        Row(CRITERIA, "crsu", held),
        Row(OFFERED, "c", anybody),  # what can be bought, and who helps with a budget (R23, R82, R171)
        Row(("List",), "c", directory),
        Row(FIGURES, "rs", aggregate, is_masked=True),
    ),
    "provider": (
        *_COMMON,
        Row(OFFERED, "cu", provided),
        Row(("ChargeItem", "Patient"), "rs", delivered),
        Row(("ChargeItem",), "rs", provided, is_masked=True),
        Row(("ChargeItem",), "rs", named_to_deliver, is_masked=True),
        Row(("Invoice",), "crsu", provided),
        Row(WORK, "rsu", addressed),
    ),
    "practice": (
        *_COMMON,
        Row((*PERSON, *MONEY, *PLAN, *EVIDENCE, *CONSENT, *WORDS, *CLINICAL, *WORK), "rs", registered),
        Row(WORK, "rsu", addressed),
        Row(WORK, "crs", asked_by_them),
        Row(("Communication", "DocumentReference", "Binary", *CLINICAL), "c", registered),
    ),
    "finance": (
        *_COMMON,
        Row(MONEY, "rs", commissioned),
        Row(("Account", "ChargeItem"), "rs", co_funded),
        Row(("Invoice", "PaymentReconciliation"), "cu", commissioned),
        Row(WORK, "rsu", addressed),
    ),
    "analyst": (*_COMMON, Row(FIGURES, "rs", aggregate, is_masked=True)),
    "auditor": (*_COMMON, Row((*AUDIT, *PROVENANCE), "rs", anybody)),
    "system": (Row(ALL, "crsud", anybody), Row(AUDIT, "rs", anybody)),
}

# whose own record it is sees all of it; who reads the trail, and machines, see no labels (v3 Confidentiality)
_UNLABELLED = ("person", "auditor", "system")
BREAKS_GLASS = ("care-coordinator", "nhs-team", "practice")
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
# who may be told that their record was opened: what is nobody's in particular stays closed
_TOLD = tuple(beginning(start) for start in CONCERNS)
RESTRICTED = Key((f"_security={CONFIDENTIALITY}|R", f"_security={CONFIDENTIALITY}|V"))
RESTRICTED_OR_IN = AnyOf(
    (RESTRICTED, Linked("security-context", SECURED, RESTRICTED))
)  # itself, or the document it is a file of


def letters_of(role: Role, type_: str) -> frozenset[str]:
    """What a role may ever do with a type."""
    return frozenset(letter for row in POLICY[role] if _is_of(row, type_) for letter in row.letters)


def reach(who: Who, type_: str, letters: str, *, masked: bool = False) -> Node:
    """For which resources of a type somebody has one of these letters. `masked`: those that are shown in part alone."""
    rows = [row for row in POLICY[who.role] if _is_of(row, type_) and row.is_masked is masked]
    node = any_of(row.where(who, type_) for row in rows if set(letters) & set(row.letters))
    if node == NOTHING or who.role in _UNLABELLED or type_ in (*GUIDE, *DIRECTORY):
        return node
    closed = AllOf((RESTRICTED, Not(AnyOf(_TOLD)))) if who.is_breaking_glass else RESTRICTED
    telling = tuple(Linked(by, types, _tells_of(type_, closed)) for by, types in _TELLING.get(type_, ()))
    return AllOf((node, *(Not(one) for one in (closed, *telling))))


def as_far_as_seen(who: Who, node: Node) -> Node:
    """A condition that a client may choose, as a scope's, with what it asks of other resources asked of those alone that somebody may see.

    Else they would learn of the others by what it leaves. A hierarchy is asked for only where they may see all of its type.
    """
    match node:
        case AllOf(parts) | AnyOf(parts):
            return type(node)(tuple(as_far_as_seen(who, part) for part in parts))
        case Not(part):
            return Not(as_far_as_seen(who, part))
        case Linked(types=types, where=where):
            return replace(node, where=_seen(who, types, as_far_as_seen(who, where)))
        case LinkedFrom(type=type_, where=where):
            return replace(node, where=_seen(who, (type_,), as_far_as_seen(who, where)))
        case InList(id_):
            return AllOf((node, LinkedFrom("List", "item", _seen(who, ("List",), Id((f"List/{id_}",))))))
        case InHierarchy(type=type_, parameter=parameter, starts=starts):
            is_open = reach(who, type_, "rs") == EVERYTHING
            return node if is_open else keys(parameter, starts)
    return node


def _seen(who: Who, types: tuple[str, ...], where: Node) -> Node:
    """Of resources of these types: it is one that they may see, and this holds for it."""
    rows = {type_: reach(who, type_, "rs") for type_ in types}
    if all(row == EVERYTHING for row in rows.values()):
        return where
    return AllOf((where, any_of(AllOf((OfType((type_,)), row)) for type_, row in rows.items() if row != NOTHING)))


def _tells_of(type_: str, closed: Node) -> Node:
    """What is told of by this type, and stays closed: a file opens with its document; who wrote what is restricted, for nobody."""
    return closed if type_ == "Binary" else RESTRICTED


_TELLING = {  # what tells of something restricted: that it was written, and by whom; and what stands in it (R4 §2.42.2)
    "Provenance": (("target", (*PERSON, *TRACED, *UNTRACED)),),
    "Binary": (("security-context", SECURED),),
}


def _is_of(row: Row, type_: str) -> bool:
    return type_ in row.types or (row.types is ALL and type_ not in AUDIT)
