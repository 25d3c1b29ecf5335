"""A QuestionnaireResponse against the Questionnaire it answers, and a Questionnaire's own questions (R4 §4.2 to §4.4).

The questionnaire is looked for where the answers say it is: contained, or among the definitions here. One that is not at
hand cannot be asked; the response is then taken at its word, and a warning says so. An item answers the item of the same
linkId, in the same place and in the same order; what it may hold follows from that item's type, its options, its length,
its extensions (`question_limits`), and on whether it is enabled by the answers to others (`enableWhen`). Answers that are
missing are told of when the response says that it is complete.

No item is asked for that is not enabled, and none may then be answered: R4 says of both "SHALL NOT".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.question_limits import Limits, complaint_of_number, complaints, limits_of
from phb_fhir.validation.values import compared, fits, numbered_objects
from phb_fhir.validation.wording import listed, short, shown

Node = dict[str, Any]

# What an answer to each type of question is; a choice's options may be of other types, and then so are its answers.
_ANSWERS: dict[str, tuple[str, ...]] = {
    "boolean": ("valueBoolean",),
    "decimal": ("valueDecimal",),
    "integer": ("valueInteger",),
    "date": ("valueDate",),
    "dateTime": ("valueDateTime",),
    "time": ("valueTime",),
    "string": ("valueString",),
    "text": ("valueString",),
    "url": ("valueUri",),
    "choice": ("valueCoding",),
    "open-choice": ("valueCoding", "valueString"),
    "attachment": ("valueAttachment",),
    "reference": ("valueReference",),
    "quantity": ("valueQuantity",),
}
_UNFINISHED = ("in-progress", "stopped", "entered-in-error")  # what is missing may yet come, or never will
_ANSWERS_MAX = 100  # answers to one question that a condition looks at


# ---- the questions -------------------------------------------------------------------------------


def check_questionnaire(node: Node, trail: Trail, frame: Frame) -> None:
    """Every condition of a question is about another question of the same questionnaire."""
    every = {link for item, _ in _everything(node, trail) if type(link := item.get("linkId")) is str}
    for item, at in _everything(node, trail):
        for index, condition in numbered_objects(item.get("enableWhen")):
            question = condition.get("question")
            here = path_of(((at, "enableWhen", index), "question", None))
            if type(question) is not str:
                continue
            if question == item.get("linkId"):
                text = f"The item {shown(question)} is enabled by an answer to itself, which nobody can give."
                frame.issues.append(Issue(Kind.INVALID, text, here))
            elif question not in every:
                text = f"The condition is about the item {shown(question)}, and the questionnaire has none with this linkId."
                frame.issues.append(Issue(Kind.NOT_FOUND, text, here))


def _everything(node: Node, trail: Trail) -> Iterator[tuple[Node, Trail]]:
    """Every item of a questionnaire, however deep."""
    ahead = deque((item, (trail, "item", index)) for index, item in numbered_objects(node.get("item")))
    while ahead:
        item, at = ahead.popleft()
        yield item, at
        ahead.extend((inner, (at, "item", index)) for index, inner in numbered_objects(item.get("item")))


# ---- the answers ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Response:
    """One response being checked against its questionnaire.

    `given` has the answers to each question, by its linkId and each object around them (by its identity); `offered` what
    the options of a question are, and `limits` what its extensions allow, by its identity; `members` what is wrong with a
    code that a value set is asked for.
    """

    frame: Frame
    questionnaire: Node
    is_complete: bool
    links: frozenset[Any]
    given: dict[tuple[str, int], list[Any]] = field(default_factory=dict)
    offered: dict[int, dict[str, set[Any]]] = field(default_factory=dict)
    members: dict[tuple[str, str, str], str] = field(default_factory=dict)
    limits: dict[int, Limits] = field(default_factory=dict)

    def limits_of(self, question: Node) -> Limits:
        if id(question) not in self.limits:
            self.limits[id(question)] = limits_of(question)
        return self.limits[id(question)]

    def complain(self, kind: Kind, text: str, at: Trail) -> None:
        self.frame.issues.append(Issue(kind, text, path_of(at)))


def check_response(node: Node, trail: Trail, frame: Frame) -> None:
    """The answers of a QuestionnaireResponse against the questions they answer, where these are at hand."""
    canonical = node.get("questionnaire")
    questionnaire = _questionnaire(canonical, frame) if type(canonical) is str else None
    if questionnaire is None:
        if type(canonical) is str and canonical[:1] != "#" and node.get("status") != "entered-in-error":
            text = f"The questionnaire {short(canonical, 200)} is not known here; the answers were not held against it."
            frame.issues.append(Issue(Kind.NOT_FOUND, text, path_of((trail, "questionnaire", None)), "warning"))
        return
    links = frozenset(link for item, _ in _everything(questionnaire, "") if type(link := item.get("linkId")) is str)
    response = _Response(frame, questionnaire, node.get("status") not in _UNFINISHED, links)
    _gather(node, (), response.given)
    _check_items(response, questionnaire, node, trail, ())


def _questionnaire(canonical: str, frame: Frame) -> Node | None:
    if canonical.startswith("#"):
        found = frame.find(canonical)
        resource: Any = found.resource if found is not None else None
    else:
        resource = frame.known.find("Questionnaire", canonical)
    return resource if type(resource) is dict and resource.get("resourceType") == "Questionnaire" else None


def _gather(node: Node, around: tuple[int, ...], given: dict[tuple[str, int], list[Any]]) -> None:
    """Note every answer by the linkId of its item and each of the objects around it."""
    here = (*around, id(node))
    for _, item in numbered_objects(node.get("item")):
        link, answers = item.get("linkId"), [answer for _, answer in numbered_objects(item.get("answer"))]
        if answers and type(link) is str:
            values = [value for answer in answers for name, value in answer.items() if name.startswith("value")]
            for object_ in here:
                given.setdefault((link, object_), []).extend(values)
        _gather(item, here, given)
        for answer in answers:
            _gather(answer, (*here, id(item)), given)


def _check_items(response: _Response, asked: Node, holder: Node, trail: Trail, around: tuple[int, ...]) -> None:
    """The items in `holder`, a response, group or answer, against the questions below `asked`."""
    rows = numbered_objects(asked.get("item"))
    if not rows and not holder.get("item"):
        return
    questions = {item["linkId"]: item for _, item in rows if type(item.get("linkId")) is str}
    places = {link: place for place, link in enumerate(questions)}
    response.frame.run.step(4 * len(questions), trail)  # they are looked through for every group and answer
    here = (*around, id(holder))
    found: dict[str, list[tuple[Node, Trail]]] = {}
    last = -1
    for index, item in numbered_objects(holder.get("item")):
        link, at = item.get("linkId"), (trail, "item", index)
        if type(link) is not str:
            continue
        if link not in questions:
            response.complain(Kind.INVALID, _not_asked(response, link), (at, "linkId", None))
            continue
        if places[link] < last:
            response.complain(
                Kind.INVALID, f"The item {shown(link)} comes before those above it in the questionnaire.", at
            )
        last = max(last, places[link])
        found.setdefault(link, []).append((item, at))
    for link, question in questions.items():
        _check_question(response, question, found.get(link, []), trail, here)


def _not_asked(response: _Response, link: str) -> str:
    where = "asks it elsewhere" if link in response.links else "has none with this linkId"
    return f"The item {shown(link)} answers nothing here: the questionnaire {where}."


def _check_question(
    response: _Response, question: Node, found: list[tuple[Node, Trail]], trail: Trail, around: tuple[int, ...]
) -> None:
    kind, link = question.get("type"), short(str(question.get("linkId")))
    if not _is_enabled(question, response, around):
        for at in (at for item, at in found if item.get("answer") or item.get("item")):
            text = f'The item "{link}" is not asked with these answers to the others, so it is left out.'
            response.complain(Kind.BUSINESS_RULE, text, at)
        return
    if question.get("required") is True and response.is_complete and not _is_answered(kind, found):
        at = found[0][1] if found else (trail, "item", None)
        response.complain(Kind.REQUIRED, f'The questionnaire asks for an answer to "{link}".', at)
    if len(found) > 1 and not (kind == "group" and question.get("repeats") is True):
        text = f'The item "{link}" stands here once; several answers are in one item.'
        response.complain(Kind.INVALID, text, found[1][1])
    _check_number(response, question, found, trail)
    for item, at in found:
        if kind == "group":
            _check_group(response, question, item, at, around)
        else:
            _check_answers(response, question, item, at, around)


def _check_number(response: _Response, question: Node, found: list[tuple[Node, Trail]], trail: Trail) -> None:
    is_group = question.get("type") == "group"
    count = len(found) if is_group else sum(len(numbered_objects(item.get("answer"))) for item, _ in found)
    if text := complaint_of_number(response.limits_of(question), count, is_complete=response.is_complete):
        response.complain(Kind.INVALID, text, (trail, "item", None) if is_group else (found[0][1], "answer", None))


def _is_answered(kind: Any, found: list[tuple[Node, Trail]]) -> bool:
    name = "item" if kind == "group" else "answer"
    return any(item.get(name) for item, _ in found)


def _check_group(response: _Response, question: Node, item: Node, at: Trail, around: tuple[int, ...]) -> None:
    if item.get("answer"):
        response.complain(Kind.INVALID, "A group has no answers of its own, only items.", (at, "answer", None))
    _check_items(response, question, item, at, around)


def _check_answers(response: _Response, question: Node, item: Node, at: Trail, around: tuple[int, ...]) -> None:
    kind, answers = question.get("type"), numbered_objects(item.get("answer"))
    if kind == "display" and answers:
        response.complain(Kind.INVALID, "A text that is only displayed has no answer.", (at, "answer", None))
        return
    if item.get("item") and not answers:  # qrs-1 says it of an item with both
        text = "What is asked below a question stands inside its answer (answer.item), not beside it."
        response.complain(Kind.STRUCTURE, text, (at, "item", None))
    if len(answers) > 1 and question.get("repeats") is not True:
        text = f"The questionnaire takes one answer here, and there are {len(answers)}."
        response.complain(Kind.INVALID, text, (at, "answer", None))
    for index, answer in answers:
        here = (at, "answer", index)
        _check_value(response, question, answer, (here, "value", None))
        _check_items(response, question, answer, here, (*around, id(item)))


# ---- one answer ----------------------------------------------------------------------------------


def _check_value(response: _Response, question: Node, answer: Node, at: Trail) -> None:
    key = next((name for name in answer if name.startswith("value")), None)
    kind = question.get("type")
    if key is None or type(kind) is not str or kind not in _ANSWERS:
        return
    options = _options(response, question)
    names = {*(options or _ANSWERS[kind]), *(("valueString",) if kind == "open-choice" else ())}
    if key not in names:
        wanted = listed(sorted(names))
        response.complain(Kind.INVALID, f"The answer to a question of type {kind} is {wanted}, not {short(key)}.", at)
        return
    _check_length(response, question, answer[key], at)
    for text in complaints(response.limits_of(question), answer[key]):
        response.complain(Kind.VALUE, text, at)
    if kind == "open-choice" and key == "valueString":
        return
    if options and _identity(answer[key]) not in options[key]:
        response.complain(Kind.CODE_INVALID, "The answer is none of those the questionnaire offers.", at)
    if key == "valueCoding" and type(question.get("answerValueSet")) is str:
        _check_member(response, question["answerValueSet"], answer[key], at)


def _options(response: _Response, question: Node) -> dict[str, set[Any]]:
    """What a question offers, by the property of its answers."""
    offered = response.offered.get(id(question))
    if offered is None:
        offered = response.offered[id(question)] = {}
        for _, option in numbered_objects(question.get("answerOption")):
            for name in option:
                if name.startswith("value"):
                    offered.setdefault(name, set()).add(_identity(option[name]))
    return offered


def _identity(value: Any) -> Any:
    """What makes two answers the same: of a Coding its system and code, of a Reference where it leads."""
    if type(value) is dict:
        return tuple(str(value.get(name, "")) for name in ("system", "code", "reference"))
    return str(value)


def _check_length(response: _Response, question: Node, value: Any, at: Trail) -> None:
    longest = question.get("maxLength")
    if type(longest) is int and type(value) is str and len(value) > longest:
        text = f"The questionnaire takes {longest} characters here; these are {len(value)}."
        response.complain(Kind.TOO_LONG, text, at)


def _check_member(response: _Response, canonical: str, coding: Any, at: Trail) -> None:
    code = coding.get("code") if type(coding) is dict else None
    if type(code) is not str:
        return
    value_set = _contained_set(response, canonical) if canonical.startswith("#") else canonical
    if value_set is None:
        return
    system = coding["system"] if type(coding.get("system")) is str else ""
    key = (canonical, system, code)
    if key not in response.members:
        terminology = response.frame.terminology
        is_contained = type(value_set) is dict  # then it is made ready anew for every answer
        cost = 4 * _size(value_set) if is_contained else 2 * terminology.parts_of(canonical)
        response.frame.run.step(cost, at)
        verdict = terminology.validate_code(value_set, system, code)
        response.members[key] = verdict.sentence if verdict.valid is False else ""
    if response.members[key]:
        response.complain(Kind.CODE_INVALID, response.members[key], at)


def _contained_set(response: _Response, canonical: str) -> Node | None:
    """A value set contained beside the questions: in the questionnaire, or with it in the response."""
    inside = numbered_objects(response.questionnaire.get("contained"))
    found = next((resource for _, resource in inside if resource.get("id") == canonical[1:]), None)
    beside = response.frame.find(canonical) if found is None else None
    return beside.resource if beside is not None else found


def _size(value_set: Any) -> int:
    """What it costs to look into a value set: the codes a contained one lists."""
    compose = value_set.get("compose") if type(value_set) is dict else None
    parts = numbered_objects(compose.get("include")) if type(compose) is dict else []
    return 1 + sum(len(numbered_objects(part.get("concept"))) for _, part in parts)


# ---- conditions ----------------------------------------------------------------------------------


def _is_enabled(question: Node, response: _Response, around: tuple[int, ...]) -> bool:
    """Whether the answers to other questions let this one be asked (Questionnaire.item.enableWhen)."""
    conditions = [_is_met(condition, response, around) for _, condition in numbered_objects(question.get("enableWhen"))]
    if not conditions:
        return True
    return all(conditions) if question.get("enableBehavior") == "all" else any(conditions)


def _is_met(condition: Node, response: _Response, around: tuple[int, ...]) -> bool:
    answers = _values(str(condition.get("question")), response, around)
    wanted = next((value for name, value in condition.items() if name.startswith("answer")), None)
    operator = condition.get("operator")
    if operator == "exists":
        return bool(answers) is (wanted is True)
    test = _OPERATORS.get(str(operator))
    return test is None or any(test(answer, wanted) for answer in answers)


def _values(link: str, response: _Response, around: tuple[int, ...]) -> list[Any]:
    """The answers to a question: of several occurrences, those of the nearest around."""
    nearest = next((found for object_ in reversed(around) if (found := response.given.get((link, object_)))), [])
    return nearest[:_ANSWERS_MAX]


def _is_equal(answer: Any, wanted: Any) -> bool:
    if type(answer) is dict and type(wanted) is dict:
        said = {name: wanted[name] for name in ("system", "code", "value", "reference") if name in wanted}
        return fits(said, answer)
    return fits(wanted, answer)


def _is_compared(*signs: int) -> Callable[[Any, Any], bool]:
    return lambda answer, wanted: compared(answer, wanted) in signs


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": _is_equal,
    "!=": lambda answer, wanted: not _is_equal(answer, wanted),
    ">": _is_compared(1),
    "<": _is_compared(-1),
    ">=": _is_compared(0, 1),
    "<=": _is_compared(-1, 0),
}
