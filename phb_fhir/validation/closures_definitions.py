"""The invariants of terminology and conformance resources, in plain Python: of FHIR's definitions of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from phb_fhir.fhirpath.functions import pattern
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

# ---- names -----------------------------------------------------------------------------------------


def _name_0(node: Node) -> bool:
    name = node.get("name")
    return ("name" not in node and "_name" not in node) or (type(name) is str and _NAME.fullmatch(name) is not None)


_NAME = re.compile(r"[A-Z][A-Za-z0-9_]{0,254}")


def _name_0_says(node: Any, _: Surroundings) -> str:
    name = short(str(node.get("name")))
    return (
        f'"{name}" is a name for people: "name" is meant for software (a capital letter, then letters, digits and _, '
        'without spaces), and "title" is for people.'
    )


# ---- CodeSystem ------------------------------------------------------------------------------------

_CSD_1 = "concept.code.combine($this.descendants().concept.code).isDistinct()"


# ---- StructureDefinition and ElementDefinition -----------------------------------------------------


def _eld_2(node: Node) -> bool:
    least, most = node.get("min"), node.get("max")
    if _MIN.isdisjoint(node) or _MAX.isdisjoint(node) or most == "*":
        return True
    return type(most) is str and most.isascii() and most.isdigit() and type(least) is int and least <= int(most)


_CODE, _URL, _BOUND = keys_of(("code",)), keys_of(("url",)), keys_of(("valueSet", "description"))
_MIN, _MAX, _DEFINITION = keys_of(("min",)), keys_of(("max",)), keys_of(("definition",))


def _types_have_distinct_codes(node: Node) -> bool:
    return are_distinct(row.get("code") for row in node.get("type", ()) if "code" in row or "_code" in row)


def _constraints_have_distinct_keys(node: Node) -> bool:
    return are_distinct(row.get("key") for row in node.get("constraint", ()) if "key" in row or "_key" in row)


def _eld_12(node: Node) -> bool:
    value_set = node.get("valueSet")
    if "valueSet" not in node and "_valueSet" not in node:
        return True
    return type(value_set) is str and value_set.startswith(("http:", "https", "urn:"))


def _eld_3(value: Any, _twin: Any, _frame: Surroundings) -> bool:
    return value == "*" or (type(value) is str and _WHOLE.fullmatch(value) is not None)


_WHOLE = re.compile(r"\+?[0-9]{1,18}|-0{1,18}")
_FIXED_KINDS = (
    "defaultValue[x]",
    "fixed[x]",
    "pattern[x]",
    "example",
    "minValue[x]",
    "maxValue[x]",
    "maxLength",
    "binding",
)
_OWN_CONTENT = keys_of(("type", *_FIXED_KINDS))


def _escaped(regex: str) -> str:
    """A regular expression as it stands in a text of FHIRPath."""
    return regex.replace("\\", "\\\\").replace("'", "\\'")


def _matches(name: str, regex: str) -> Callable[[Node], bool]:
    def holds(node: Node) -> bool:
        text = node.get(name)
        return type(text) is str and text != "" and pattern(regex).search(text) is not None

    return holds


_ELD_16 = r"^[a-zA-Z0-9\/\-_\[\]\@]+$"
_PATH_PART = r"""[^\s\.,:;\'"\/|?!@#$%&*()\[\]{}]{1,64}"""
_ELD_19 = rf"{_PATH_PART}(\.{_PATH_PART}(\[x\])?(\:[^\s\.]+)?)*"
_ELD_20 = r"[A-Za-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*(\[x])?)*"


# ---- tests of servers ------------------------------------------------------------------------------

_ASSERTED = (
    "contentType", "expression", "headerField", "minimumId", "navigationLinks", "path", "requestMethod", "resource",
    "responseCode", "response", "validateProfileId",
)  # fmt: skip
_RESPONSES = keys_of(("response", "responseCode"))
_DIRECTION = keys_of(("direction",))
_COMPARED, _COMPARED_TO = (
    keys_of(("compareToSourceId",)),
    keys_of(("compareToSourceExpression", "compareToSourcePath")),
)


def _is_one_assertion(node: Node) -> bool:
    return "extension" in node or sum(name in node or f"_{name}" in node for name in _ASSERTED) <= 1


def _has_direction(node: Node) -> bool:
    direction = node.get("direction")
    return (
        direction == "response"
        or _DIRECTION.isdisjoint(node)
        or (direction == "request" and _RESPONSES.isdisjoint(node))
    )


def _is_addressed(node: Node) -> bool:
    if not _SOURCE.isdisjoint(node) or count_of(node, "targetId", "url", "params") == 1:
        return True
    return node.get("type", {}).get("code") in ("capabilities", "search", "transaction", "history")


_SOURCE = keys_of(("sourceId",))


# ---- the table -------------------------------------------------------------------------------------

_NAME_EXPRESSION = "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')"
_ELD_19_EXPRESSION = f"path.matches('{_escaped(_ELD_19)}')"
_TST_COUNTS = (
    "extension.exists() or (contentType.count() + expression.count() + headerField.count() + minimumId.count() + "
    "navigationLinks.count() + path.count() + requestMethod.count() + resource.count() + responseCode.count() + "
    "response.count(){gap}+ validateProfileId.count() <=1)"
)
_TST_ADDRESSED = (
    "sourceId.exists() or (targetId.count() + url.count() + params.count() = 1) or "
    "(type.code in ('capabilities' |{gap}'search' | 'transaction' | 'history'))"
)

DEFINITIONS: Table = {
    # terminology
    ("vsd-1", "valueSet.exists() or system.exists()"): any_of("valueSet", "system"),
    ("vsd-2", "(concept.exists() or filter.exists()) implies system.exists()"): required_if(
        "system",
        lambda node: "concept" in node or "filter" in node,
        'Concepts and filters are of one code system: "system" says which.',
    ),
    ("vsd-3", "concept.empty() or filter.empty()"): excludes("concept", "filter"),
    ("vsd-6", "code.exists() or display.exists()"): any_of("code", "display"),
    ("vsd-9", "code.exists() or abstract = true"): required_if(
        "code", lambda node: node.get("abstract") is not True, 'Only an abstract entry of an expansion has no "code".'
    ),
    ("vsd-10", "code.empty() or system.exists()"): needs("code", "system"),
    ("csd-1", _CSD_1): each_has_its_own(_CSD_1, "concept", "code", "Each concept of a code system has a code"),
    ("cmd-1", "comment.exists() or equivalence.empty() or ((equivalence != 'narrower') and (equivalence != 'inexact'))"): (
        required_if(
            "comment", is_one_of("equivalence", "narrower", "inexact"), "A narrower or inexact match says in a comment how it differs."
        )
    ),
    ("cmd-2", "(mode = 'fixed') implies code.exists()"): must(
        lambda node: not _CODE.isdisjoint(node) or is_other_than("mode", "fixed")(node),
        'The mode "fixed" needs the "code" that is meant.',
    ),
    ("cmd-3", "(mode = 'other-map') implies url.exists()"): must(
        lambda node: not _URL.isdisjoint(node) or is_other_than("mode", "other-map")(node),
        'The mode "other-map" needs the "url" of that map.',
    ),
    # definitions
    **{
        (f"{prefix}-0", _NAME_EXPRESSION): Closure(lambda node, _twin, _frame: _name_0(node), _name_0_says)
        for prefix in (
            "adf", "cpb", "csd", "cpd", "cmd", "ees", "evd", "evi", "evv", "esc", "gdf", "ig", "lib", "mea", "msd",
            "nsd", "opd", "pdf", "que", "rsd", "red", "rvs", "spd", "sdf", "smp", "tcp", "tst", "vsd",
        )
    },
    **{
        (key, "operation.exists() xor assert.exists()"): one_of("operation", "assert")
        for key in ("inv-1", "inv-2", "tst-1", "tst-2")
    },
    **{
        (key, _TST_COUNTS.format(gap=gap)): must(_is_one_assertion, "An assertion asserts one thing; this one asserts several.")
        for key, gap in (("tst-5", "  "), ("tst-6", " "))
    },
    **{
        (key, _TST_ADDRESSED.format(gap=gap)): must(
            _is_addressed, 'An operation has a "sourceId", or exactly one of "targetId", "url" and "params".'
        )
        for key, gap in (("tst-7", ""), ("tst-8", " "), ("tst-9", " "))
    },
    **{
        (key, "compareToSourceId.empty() xor (compareToSourceExpression.exists() or compareToSourcePath.exists())"): must(
            lambda node: _COMPARED.isdisjoint(node) is _COMPARED_TO.isdisjoint(node),
            '"compareToSourceId" goes with "compareToSourceExpression" or "compareToSourcePath".',
        )
        for key in ("tst-10", "tst-11")
    },
    **{
        (
            key,
            "(response.empty() and responseCode.empty() and direction = 'request') or direction.empty() or direction = 'response'",
        ): must(_has_direction, 'An assertion on a request has neither "response" nor "responseCode".')
        for key in ("tst-12", "tst-13")
    },
    ("tst-3", "expression.empty() or headerField.empty() or path.empty()"): must(
        lambda node: any(
            name not in node and f"_{name}" not in node for name in ("expression", "headerField", "path")
        ),
        'A variable has one of "expression", "headerField" and "path".',
    ),
    ("smp-1", "element.exists() implies context.exists()"): needs("element", "context"),
    ("smp-2", "context.exists() implies contextType.exists()"): needs("context", "contextType"),
    ("opd-2", "searchType.exists() implies type = 'string'"): only_if(
        "searchType", is_one_of("type", "string"), 'Only a parameter of type string has a "searchType".'
    ),
    ("opd-3", "targetProfile.exists() implies (type = 'Reference' or type = 'canonical')"): only_if(
        "targetProfile", is_one_of("type", "Reference", "canonical"), 'Only a Reference or canonical has a "targetProfile".'
    ),
    ("spd-2", "chain.empty() or type = 'reference'"): only_if(
        "chain", is_one_of("type", "reference"), "Only a search parameter of type reference can be chained."
    ),
    ("grp-1", "member.empty() or (actual = true)"): only_if(
        "member", lambda node: node.get("actual") is True, 'Only a group of actual members lists them: "actual" is true.'
    ),
    ("nor-1", "oralDiet.exists() or supplement.exists() or enteralFormula.exists()"): any_of(
        "oralDiet", "supplement", "enteralFormula"
    ),
    ("cpb-1", "rest.exists() or messaging.exists() or document.exists()"): any_of("rest", "messaging", "document"),
    **{
        (key, "(description.count() + software.count() + implementation.count()) > 0"): any_of(
            "description", "software", "implementation"
        )
        for key in ("cpb-2", "tcp-2")
    },
    (
        "msq-5",
        "(chromosome.empty() and genomeBuild.empty()) or (chromosome.exists() and genomeBuild.exists())",
    ): needs_both_or_none("chromosome", "genomeBuild"),
    ("sdf-3", "element.all(definition.exists() and min.exists() and max.exists())"): must(
        each_of("element", lambda row: not any(keys.isdisjoint(row) for keys in (_DEFINITION, _MIN, _MAX))),
        'Each element of a snapshot has "definition", "min" and "max".',
    ),
    ("sdf-8b", "element.all(base.exists())"): must(
        each_of("element", lambda row: "base" in row), 'Each element of a snapshot says its "base".'
    ),
    ("opd-1", "type.exists() or part.exists()"): any_of("type", "part"),
    ("spd-1", "xpath.empty() or xpathUsage.exists()"): needs("xpath", "xpathUsage"),
    ("sdf-2", "name.exists() or uri.exists()"): any_of("name", "uri"),
    ("sdf-6", "snapshot.exists() or differential.exists()"): any_of("snapshot", "differential"),
    ("sdf-10", "binding.empty() or binding.valueSet.exists() or binding.description.exists()"): must(
        lambda node: "binding" not in node or not _BOUND.isdisjoint(node["binding"]),
        'A binding has a "valueSet" or a "description".',
    ),
    ("eld-1", "discriminator.exists() or description.exists()"): any_of("discriminator", "description"),
    ("eld-2", "min.empty() or max.empty() or (max = '*') or iif(max != '*', min <= max.toInteger())"): must(
        _eld_2, '"min" is not more than "max".'
    ),
    ("eld-3", "empty() or ($this = '*') or (toInteger() >= 0)"): Closure(
        _eld_3, says('"max" is a whole number, or "*" for any number.')
    ),
    ("eld-4", "aggregation.empty() or (code = 'Reference') or (code = 'canonical')"): only_if(
        "aggregation", is_one_of("code", "Reference", "canonical"), 'Only a Reference or canonical has an "aggregation".'
    ),
    (
        "eld-5",
        ("contentReference.empty() or (type.empty() and defaultValue.empty() and fixed.empty() and pattern.empty() and "
         "example.empty() and minValue.empty() and maxValue.empty() and maxLength.empty() and binding.empty())"),
    ): only_if(
        "contentReference",
        _OWN_CONTENT.isdisjoint,
        "An element with a contentReference has the content of another: no type, values, limits or binding of its own.",
    ),
    ("eld-6", "fixed.empty() or (type.count()  <= 1)"): only_if(
        "fixed[x]", lambda node: len(node.get("type", ())) <= 1, "A fixed value is for an element of one type."
    ),
    ("eld-7", "pattern.empty() or (type.count() <= 1)"): only_if(
        "pattern[x]", lambda node: len(node.get("type", ())) <= 1, "A pattern is for an element of one type."
    ),
    ("eld-8", "pattern.empty() or fixed.empty()"): excludes("pattern[x]", "fixed[x]"),
    ("eld-12", "valueSet.exists() implies (valueSet.startsWith('http:') or valueSet.startsWith('https') or valueSet.startsWith('urn:'))"): must(
        _eld_12, 'The "valueSet" of a binding is an absolute URL: it starts with http: or https: or urn:.'
    ),
    ("eld-13", "type.select(code).isDistinct()"): must(
        _types_have_distinct_codes, "Each type of an element is named once, with all its profiles."
    ),
    ("eld-14", "constraint.select(key).isDistinct()"): must(
        _constraints_have_distinct_keys, "Each constraint of an element has a key of its own."
    ),
    ("eld-15", "defaultValue.empty() or meaningWhenMissing.empty()"): excludes("defaultValue[x]", "meaningWhenMissing"),
    ("eld-16", f"sliceName.empty() or sliceName.matches('{_escaped(_ELD_16)}')"): only_if(
        "sliceName", _matches("sliceName", _ELD_16), "The name of a slice is made of letters, digits and / - _ [ ] @ alone."
    ),
    ("eld-19", _ELD_19_EXPRESSION): must(
        _matches("path", f"^{_ELD_19}$"), 'A "path" is made of names of up to 64 characters with dots between them.'
    ),
    ("eld-20", f"path.matches('{_escaped(_ELD_20)}')"): must(
        _matches("path", f"^{_ELD_20}$"), 'The first name of a "path" starts with a letter, the others with a small one.'
    ),
    ("eld-17", "(code='Reference' or code = 'canonical') or targetProfile.empty()"): only_if(
        "targetProfile", is_one_of("code", "Reference", "canonical"), 'Only a Reference or canonical has a "targetProfile".'
    ),
    ("eld-18", "(isModifier.exists() and isModifier) implies isModifierReason.exists()"): required_if(
        "isModifierReason", lambda node: node.get("isModifier") is True, 'An element that modifies says why: "isModifierReason".'
    ),
    ("eld-21", "expression.exists()"): any_of("expression"),
    ("eld-22", "sliceIsConstraining.exists() implies sliceName.exists()"): needs("sliceIsConstraining", "sliceName"),
}  # fmt: skip
