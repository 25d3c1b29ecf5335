"""The invariants of care, people, money, clinical resources, Bundles and Questionnaires, in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phb_fhir.fhirpath.walk import Surroundings
from phb_fhir.validation.closure_makers import (
    Closure,
    Node,
    Table,
    any_of,
    are_distinct,
    count_of,
    each_has_its_own,
    each_of,
    excludes,
    has_code,
    holds_as_fhirpath,
    is_not_after,
    is_one_of,
    is_other_than,
    keys_of,
    must,
    needs,
    needs_both_or_none,
    one_of,
    only_if,
    required_if,
    says,
)
from phb_fhir.validation.wording import short

# ---- resources -------------------------------------------------------------------------------------


def _inv_1_of_task(node: Node) -> bool:
    authored, modified = node.get("authoredOn"), node.get("lastModified")
    if authored is None or modified is None:  # without a value there is nothing to compare, and that does not hold
        return _AUTHORED.isdisjoint(node) or _MODIFIED.isdisjoint(node)
    return is_not_after(authored, modified)


_START, _END = keys_of(("start",)), keys_of(("end",))
_AUTHORED, _MODIFIED = keys_of(("authoredOn",)), keys_of(("lastModified",))


def _inv_1_says(node: Any, _: Surroundings) -> str:
    authored, modified = short(str(node.get("authoredOn"))), short(str(node.get("lastModified")))
    return f'A task is last modified at its creation or later; this one was created "{authored}" and modified "{modified}".'


_CLINICAL_ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_IN_ERROR = frozenset(("entered-in-error",))
_ABATED = frozenset(("resolved", "remission", "inactive"))


def _is_in_error(system: str) -> Callable[[Node], bool]:
    return lambda node: has_code(node.get("verificationStatus"), system, _IN_ERROR)


def _con_3(node: Node) -> bool:
    return "clinicalStatus" in node or "category" not in node or _is_in_error(_VERIFICATION)(node)


def _ppc(code: str) -> Closure:
    return required_if(
        "patient",
        lambda node: has_code(node.get("scope"), "something", frozenset((code,))),
        f"A consent of the scope {code} names its patient.",
    )


_OBS_7 = "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()"


def _obs_7(node: Node, _twin: Any, frame: Surroundings) -> bool:
    if "component" not in node or _VALUES.isdisjoint(node):
        return True
    return holds_as_fhirpath(_OBS_7, node, frame)


_VALUES = keys_of(("value[x]",))


# ---- Bundle ----------------------------------------------------------------------------------------


def _entries_have(name: str, *types: str) -> Closure:
    """Each entry has this element in Bundles of these types, and none has it in others."""
    wanted = frozenset(types)

    def test(node: Node, _twin: Any, frame: Surroundings) -> bool:
        if not node.get("entry"):
            return True
        if "type" not in frame.resource and "_type" not in frame.resource:
            return False
        expected = frame.resource.get("type") in wanted
        return all((name in entry) is expected for entry in node["entry"])

    def sentence(node: Any, _: Surroundings) -> str:
        kind = short(str(node.get("type")))
        if kind in types:
            return f'Each entry of a Bundle of type "{kind}" has "{name}".'
        return f'An entry has "{name}" only in a Bundle of type {" or ".join(types)}; this one is "{kind}".'

    return Closure(test, sentence)


def _bdl_7(node: Node) -> bool:
    if node.get("type") == "history":
        return True
    return are_distinct(
        (entry.get("fullUrl"), entry.get("resource", {}).get("meta", {}).get("versionId"))
        for entry in node.get("entry", ())
        if "fullUrl" in entry
    )


def _first_entry_is(bundle: str, resource: str) -> Callable[[Node], bool]:
    def holds(node: Node) -> bool:
        if node.get("type") != bundle:
            return "type" in node or "_type" in node or _first_type(node) == resource
        return _first_type(node) == resource

    return holds


def _first_type(node: Node) -> object:
    first: Node = next(iter(node.get("entry", ())), {})
    return first.get("resource", {}).get("resourceType")


def _document(holds: Callable[[Node], object]) -> Callable[[Node], object]:
    """`type = 'document' implies …`; where there is no type, only what follows can make it true."""

    def test(node: Node) -> object:
        if node.get("type") != "document" and ("type" in node or "_type" in node):
            return True
        return holds(node)

    return test


def _is_identified(node: Node) -> bool:
    identifier = node.get("identifier", ())
    return ("system" in identifier or "_system" in identifier) and ("value" in identifier or "_value" in identifier)


# ---- Questionnaire ---------------------------------------------------------------------------------

_TYPE = keys_of(("type",))
_OPTIONS, _ASKING = keys_of(("answerOption", "answerValueSet")), keys_of(("required", "repeats"))
_WITH_OPTIONS = frozenset(
    ("choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity")
)
_WITH_LENGTH = frozenset(("boolean", "decimal", "integer", "string", "text", "url", "open-choice"))


def _que_1(node: Node) -> bool:
    type_, has_items = node.get("type"), "item" in node
    if _TYPE.isdisjoint(node):
        return False  # `type` is required; nothing can be said of an item without it
    return has_items if type_ == "group" else type_ != "display" or not has_items


_QUE_2 = "descendants().linkId.isDistinct()"


def _que_13(node: Node) -> bool:
    return node.get("repeats") is True or count_of(node, "initial") <= 1


# ---- the table -------------------------------------------------------------------------------------

_VERIFIED = f"verificationStatus.coding.where(system = '{_CLINICAL_ALLERGY}' and code = 'entered-in-error')"
_DISPLAY = "An item of the type display"

RESOURCES: Table = {
    # people and organisations
    ("pat-1", "name.exists() or telecom.exists() or address.exists() or organization.exists()"): any_of(
        "name", "telecom", "address", "organization"
    ),
    ("org-1", "(identifier.count() + name.count()) > 0"): any_of("identifier", "name"),
    ("org-2", "where(use = 'home').empty()"): must(
        lambda node: node.get("use") != "home", 'An organisation has no "home" address.'
    ),
    ("org-3", "where(use = 'home').empty()"): must(
        lambda node: node.get("use") != "home", 'An organisation has no "home" telephone.'
    ),
    ("ipn-1", "(identifier.count() + name.count()) > 0"): any_of("identifier", "name"),
    # care, money and work
    ("cpl-3", "detail.empty() or reference.empty()"): excludes("detail", "reference"),
    ("inv-1", "lastModified.exists().not() or authoredOn.exists().not() or lastModified >= authoredOn"): Closure(
        lambda node, _twin, _frame: _inv_1_of_task(node), _inv_1_says
    ),
    ("rqg-1", "resource.exists() != action.exists()"): one_of("resource", "action"),
    ("gol-1", "(detail.exists() and measure.exists()) or detail.exists().not()"): needs("detail[x]", "measure"),
    ("prr-1", "orderDetail.empty() or code.exists()"): needs("orderDetail", "code"),
    ("ces-1", "category.exists() xor productOrService.exists()"): one_of("category", "productOrService"),
    ("app-1", "type.exists() or actor.exists()"): any_of("type", "actor"),
    ("app-2", "start.exists() = end.exists()"): needs_both_or_none("start", "end"),
    ("app-3", "(start.exists() and end.exists()) or (status in ('proposed' | 'cancelled' | 'waitlist'))"): must(
        lambda node: (
            (not _START.isdisjoint(node) and not _END.isdisjoint(node))
            or node.get("status") in ("proposed", "cancelled", "waitlist")
        ),
        "Only an appointment that is proposed, cancelled or on a waiting list has no start and end.",
    ),
    ("apr-1", "participantType.exists() or actor.exists()"): any_of("participantType", "actor"),
    ("ppc-1", "policy.exists() or policyRule.exists()"): any_of("policy", "policyRule"),
    **{
        (key, f"patient.exists() or scope.coding.where(system='something' and code='{code}').exists().not()"): _ppc(code)
        for key, code in (("ppc-2", "patient-privacy"), ("ppc-3", "research"), ("ppc-4", "adr"), ("ppc-5", "treatment"))
    },
    ("lst-1", "emptyReason.empty() or entry.empty()"): excludes("emptyReason", "entry"),
    # clinical
    ("ait-1", f"{_VERIFIED}.exists() or clinicalStatus.exists()"): required_if(
        "clinicalStatus",
        lambda node: not _is_in_error(_CLINICAL_ALLERGY)(node),
        'An allergy has a "clinicalStatus", unless it was entered in error.',
    ),
    ("ait-2", f"{_VERIFIED}.empty() or clinicalStatus.empty()"): only_if(
        "clinicalStatus",
        lambda node: not _is_in_error(_CLINICAL_ALLERGY)(node),
        'An allergy that was entered in error has no "clinicalStatus".',
    ),
    ("con-1", "summary.exists() or assessment.exists()"): any_of("summary", "assessment"),
    ("con-2", "code.exists() or detail.exists()"): any_of("code", "detail"),
    (
        "con-3",
        (f"clinicalStatus.exists() or verificationStatus.coding.where(system='{_VERIFICATION}' and "
         "code = 'entered-in-error').exists() or category.select($this='problem-list-item').empty()"),
    ): must(_con_3, 'A condition with a category has a "clinicalStatus", unless it was entered in error.'),
    (
        "con-4",
        (f"abatement.empty() or clinicalStatus.coding.where(system='{_CLINICAL}' and "
         "(code='resolved' or code='remission' or code='inactive')).exists()"),
    ): only_if(
        "abatement[x]",
        lambda node: has_code(node.get("clinicalStatus"), _CLINICAL, _ABATED),
        'A condition that has abated is of the "clinicalStatus" inactive, resolved or remission.',
    ),
    (
        "con-5",
        (f"verificationStatus.coding.where(system='{_VERIFICATION}' and code='entered-in-error').empty() or "
         "clinicalStatus.empty()"),
    ): only_if(
        "clinicalStatus",
        lambda node: not _is_in_error(_VERIFICATION)(node),
        'A condition that was entered in error has no "clinicalStatus".',
    ),
    ("obs-3", "low.exists() or high.exists() or text.exists()"): any_of("low", "high", "text"),
    ("obs-6", "dataAbsentReason.empty() or value.empty()"): excludes("dataAbsentReason", "value[x]"),
    ("obs-7", _OBS_7): Closure(
        _obs_7, says("A component with the same code as the observation holds its value; the observation itself has none.")
    ),
    ("imm-1", "documentType.exists() or reference.exists()"): any_of("documentType", "reference"),
    ("imr-1", "vaccineCode.exists() or targetDisease.exists()"): any_of("vaccineCode", "targetDisease"),
    ("mad-1", "dose.exists() or rate.exists()"): any_of("dose", "rate[x]"),
    ("fhs-1", "age.empty() or born.empty()"): excludes("age[x]", "born[x]"),
    ("fhs-2", "age.exists() or estimatedAge.empty()"): needs("estimatedAge", "age[x]"),
    ("sev-1", "name.empty() or query.empty()"): excludes("name", "query"),
    ("cmp-1", "text.exists() or entry.exists() or section.exists()"): any_of("text", "entry", "section"),
    ("cmp-2", "emptyReason.empty() or entry.empty()"): excludes("emptyReason", "entry"),
    # Bundle
    ("bdl-1", "total.empty() or (type = 'searchset') or (type = 'history')"): only_if(
        "total", is_one_of("type", "searchset", "history"), 'Only a Bundle of type searchset or history has a "total".'
    ),
    ("bdl-2", "entry.search.empty() or (type = 'searchset')"): must(
        lambda node: node.get("type") == "searchset" or each_of("entry", lambda entry: "search" not in entry)(node),
        'Only the entries of a searchset have "search".',
    ),
    (
        "bdl-3",
        ("entry.all(request.exists() = (%resource.type = 'batch' or %resource.type = 'transaction' or "
         "%resource.type = 'history'))"),
    ): _entries_have("request", "batch", "transaction", "history"),
    (
        "bdl-4",
        ("entry.all(response.exists() = (%resource.type = 'batch-response' or %resource.type = 'transaction-response' or "
         "%resource.type = 'history'))"),
    ): _entries_have("response", "batch-response", "transaction-response", "history"),
    ("bdl-5", "resource.exists() or request.exists() or response.exists()"): any_of("resource", "request", "response"),
    (
        "bdl-7",
        "(type = 'history') or entry.where(fullUrl.exists()).select(fullUrl&resource.meta.versionId).isDistinct()",
    ): must(_bdl_7, 'The same "fullUrl" stands twice in a Bundle that is no history: name each resource once.'),
    ("bdl-8", "fullUrl.contains('/_history/').not()"): must(
        lambda node: "/_history/" not in node.get("fullUrl", ""), 'A "fullUrl" names a resource, not one of its versions.'
    ),
    ("bdl-9", "type = 'document' implies (identifier.system.exists() and identifier.value.exists())"): must(
        _document(_is_identified), 'A document has an "identifier" with "system" and "value".'
    ),
    ("bdl-10", "type = 'document' implies (timestamp.hasValue())"): must(
        _document(lambda node: bool(node.get("timestamp"))), 'A document has a "timestamp": when it was put together.'
    ),
    ("bdl-11", "type = 'document' implies entry.first().resource.is(Composition)"): must(
        _first_entry_is("document", "Composition"), "The first entry of a document is its Composition."
    ),
    ("bdl-12", "type = 'message' implies entry.first().resource.is(MessageHeader)"): must(
        _first_entry_is("message", "MessageHeader"), "The first entry of a message is its MessageHeader."
    ),
    (
        "inv-1",
        "(part.exists() and value.empty() and resource.empty()) or (part.empty() and (value.exists() xor resource.exists()))",
    ): must(
        lambda node: (
            sum((not _VALUES.isdisjoint(node), "resource" in node, "part" in node)) == 1
        ),
        'A parameter has exactly one of "value[x]", "resource" and "part".',
    ),
    # Questionnaire
    (
        "que-1",
        "(type='group' implies item.empty().not()) and (type.trace('type')='display' implies item.trace('item').empty())",
    ): must(_que_1, "A group has items inside it, and a display has none."),
    ("que-2", _QUE_2): each_has_its_own(_QUE_2, "item", "linkId", "Each item of a questionnaire has a linkId"),
    ("que-3", "type!='display' or code.empty()"): only_if(
        "code", is_other_than("type", "display"), f'{_DISPLAY} has no "code".'
    ),
    ("que-4", "answerOption.empty() or answerValueSet.empty()"): excludes("answerOption", "answerValueSet"),
    (
        "que-5",
        ("(type ='choice' or type = 'open-choice' or type = 'decimal' or type = 'integer' or type = 'date' or "
         "type = 'dateTime' or type = 'time' or type = 'string' or type = 'quantity') or "
         "(answerValueSet.empty() and answerOption.empty())"),
    ): must(
        lambda node: node.get("type") in _WITH_OPTIONS or _OPTIONS.isdisjoint(node),
        f"Only an item of one of these types lists its answers: {', '.join(sorted(_WITH_OPTIONS))}.",
    ),
    ("que-6", "type!='display' or (required.empty() and repeats.empty())"): must(
        lambda node: is_other_than("type", "display")(node) or _ASKING.isdisjoint(node),
        f'{_DISPLAY} has neither "required" nor "repeats".',
    ),
    ("que-8", "(type!='group' and type!='display') or initial.empty()"): only_if(
        "initial",
        lambda node: node.get("type") not in ("group", "display") and not _TYPE.isdisjoint(node),
        'A group or display asks nothing, so it has no "initial" answer.',
    ),
    ("que-9", "type!='display' or readOnly.empty()"): only_if(
        "readOnly", is_other_than("type", "display"), f'{_DISPLAY} has no "readOnly".'
    ),
    (
        "que-10",
        "(type in ('boolean' | 'decimal' | 'integer' | 'string' | 'text' | 'url' | 'open-choice')) or maxLength.empty()",
    ): only_if(
        "maxLength",
        lambda node: node.get("type") in _WITH_LENGTH,
        f'Only an item of one of these types has a "maxLength": {", ".join(sorted(_WITH_LENGTH))}.',
    ),
    ("que-11", "answerOption.empty() or initial.empty()"): excludes("answerOption", "initial"),
    ("que-12", "enableWhen.count() > 2 implies enableBehavior.exists()"): required_if(
        "enableBehavior",
        lambda node: count_of(node, "enableWhen") >= 2,
        'Where there are several "enableWhen", "enableBehavior" says whether all of them or any one is to hold.',
    ),
    ("que-13", "repeats=true or initial.count() <= 1"): must(
        _que_13, 'Only an item that repeats has several "initial" answers.'
    ),
    ("qrs-1", "(answer.exists() and item.exists()).not()"): Closure(
        excludes("answer", "item").test,
        says('Items below a question stand inside its "answer"; "answer" and "item" are not given side by side.'),
    ),
}  # fmt: skip
