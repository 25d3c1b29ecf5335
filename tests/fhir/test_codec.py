"""Bytes to resource and back: every digit, every key, and nothing that is not JSON."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phb_fhir.fhir import codec
from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind, Refusal, Rejected, outcome_of

SHARED = Path(__file__).parents[2].parent / "shared" / "conformance" / "examples"
with gzip.open(SHARED / "r4-4.0.1-instances.ndjson.gz") as lines:
    EXAMPLES = [line.rstrip(b"\n") for line in lines]

DEPTH = 50


def loads(body: bytes | str, depth_max: int = DEPTH) -> Any:
    return codec.loads(body.encode() if isinstance(body, str) else body, depth_max=depth_max)


def reason_of(body: bytes | str, depth_max: int = DEPTH) -> str:
    """Why `body` is refused; that it is refused as it should be."""
    with pytest.raises(Rejected) as refused:
        loads(body, depth_max)
    (issue,) = refused.value.issues
    assert (refused.value.refusal, issue.kind) == (Refusal.BAD_REQUEST, Kind.STRUCTURE)
    return issue.text


def malformed(reason: str) -> str:
    return f"The body is not well-formed JSON: {reason}."


# --- numbers --------------------------------------------------------------------------------------

DIGITS = st.text("0123456789", min_size=1, max_size=20)
WHOLE = st.builds(lambda sign, number: f"{sign}{number}", st.sampled_from(["", "-"]), st.integers(0, 10**18))
FRACTIONS = st.builds("{}.{}".format, WHOLE, DIGITS)
EXPONENTS = st.builds("{}{}{}{}".format, WHOLE | FRACTIONS, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.from_regex(r"\A\d{1,3}\Z").filter(str.isascii))  # fmt: skip


@settings(deadline=None)
@given(FRACTIONS | EXPONENTS)
@example("10.00")
@example("-0.0")
@example("0.000")
@example("1E+2")
@example("1.10e-07")
@example("-0e0")
@example("3.14159265358979323846264338327950288419716939937510")
def test_decimal_is_read_and_written_digit_for_digit(text: str) -> None:
    value = loads(text)
    assert type(value) is Exact
    assert value == Decimal(text)
    assert codec.dumps(value) == text.encode()
    nested = f'{{"a":[{text},{{"b":{text}}}]}}'.encode()
    for write in (codec.dumps, codec.canonical):
        assert write(loads(nested)) == nested
    assert codec.dumps(loads(codec.dumps_pretty(loads(nested)))) == nested


@settings(deadline=None)
@given(st.integers(-(10**17) + 1, 10**18 - 1))
def test_whole_number_is_an_int_and_written_as_it_was(number: int) -> None:
    value = loads(str(number))
    assert type(value) is int
    assert codec.dumps(value) == str(number).encode()


@pytest.mark.parametrize("text", ["-0", "[-0]", '{"a":-0,"b":[0,-0,-1]}'])
def test_minus_zero_stays_minus_zero(text: str) -> None:
    assert codec.dumps(loads(text)) == text.encode()


def test_true_and_one_are_read_as_what_they_are() -> None:
    assert [type(item) for item in loads("[true,1,1.0,null,false,0]")] == [bool, int, Exact, type(None), bool, int]


def test_date_with_a_minus_and_a_zero_is_text() -> None:
    assert loads('{"birthDate":"1970-01-01","multipleBirthInteger":2}') == {
        "birthDate": "1970-01-01",
        "multipleBirthInteger": 2,
    }


def test_number_of_a_thousand_characters_is_read_and_a_longer_one_is_refused() -> None:
    text = "0." + "7" * 998
    assert codec.dumps(loads(text)) == text.encode()
    assert reason_of(text + "7") == malformed("a number of 1001 characters is longer than this server takes")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_number_that_is_none_is_refused(text: str) -> None:
    for body in (text, f"[1,{text}]", f'{{"value":{text}}}'):
        assert reason_of(body) == malformed(f"{text} is not a JSON number")


@pytest.mark.parametrize("text", ["01", "+1", ".5", "1.", "1.e5", "1e", "0x10", "1_000", "١", "--1", "1,5"])  # noqa: RUF100
def test_number_written_as_json_does_not_is_refused(text: str) -> None:
    assert reason_of(text).startswith("The body is not well-formed JSON: ")


def test_exact_is_a_number_that_remembers_its_text() -> None:
    price = loads("12.50")
    assert (str(price), f"{price}", price.text) == ("12.50", "12.50", "12.50")
    assert price == Decimal("12.5") == Exact("12.500")
    assert hash(price) == hash(Decimal("12.5"))
    assert price + price == Decimal(25)
    assert price > 12


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_exact_that_is_copied_keeps_its_text(duplicate: Any) -> None:
    value = {"a": [Exact("1.10"), Exact("1E+2")]}
    again = duplicate(value)
    assert codec.dumps(again) == b'{"a":[1.10,1E+2]}'
    assert all(type(item) is Exact for item in again["a"])


def test_plain_decimal_is_written_with_its_digits() -> None:
    assert codec.dumps({"value": Decimal("10.00") + Decimal("0.50")}) == b'{"value":10.50}'


def test_what_json_has_no_word_for_is_not_written() -> None:
    with pytest.raises(TypeError):
        codec.dumps({"value": object()})


# --- keys and text --------------------------------------------------------------------------------

KEYS = st.lists(st.text(max_size=4).filter(lambda text: text.isprintable()), unique=True, max_size=6)


@settings(deadline=None)
@given(KEYS)
def test_keys_keep_the_order_they_came_in(keys: list[str]) -> None:
    body = codec.dumps(dict.fromkeys(keys, 1))
    assert list(loads(body)) == keys
    assert codec.dumps(loads(body)) == body


@settings(deadline=None)
@given(st.lists(st.sampled_from(["object", "array"]), max_size=8), st.sampled_from(['"a"', '"\\u0061"']))
def test_key_that_stands_twice_is_refused_at_any_depth(around: list[str], second: str) -> None:
    once, twice = '{"a":1,"b":{"a":2}}', f'{{"a":1,"b":2,{second}:1}}'
    for kind in around:
        once, twice = (f'{{"x":{body}}}' if kind == "object" else f"[0,{body}]" for body in (once, twice))
    assert codec.dumps(loads(once)) == once.encode()
    assert reason_of(twice) == malformed('the key "a" stands twice in one object; nothing was taken, as one of its values would be lost')  # fmt: skip


@pytest.mark.parametrize("text", ["", " ", "é", "e\u0301", "日本", "😀", "\u2028", "\x7f", "\ufeff", "\ufffd", '"\\/'])
def test_text_is_read_and_written_as_it_is(text: str) -> None:
    assert loads(codec.dumps({text: text})) == {text: text}
    assert loads(json.dumps({text: text})) == {text: text}


def test_text_is_written_in_utf_8_and_not_escaped() -> None:
    assert codec.dumps(loads('"\\u00e9\\ud83d\\ude00/"')) == '"é😀/"'.encode()


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        (b"\xff", 1),
        (b'{"a":"\xe9"}', 7),  # Latin-1
        (b'"\xc0\xaf"', 2),  # overlong
        (b'"\xed\xa0\x80"', 2),  # half of a pair, encoded
        (b'"\xf4\x90\x80\x80"', 2),  # beyond Unicode
        (b'"abc\xe2\x82', 5),  # cut short
        ('{"a":1}'.encode("utf-16"), 1),
    ],
)
def test_what_is_not_utf_8_is_refused_with_its_place(body: bytes, byte: int) -> None:
    assert reason_of(body) == malformed(f"byte {byte} of the body is not valid UTF-8")


@pytest.mark.parametrize(
    "body", ['"\\ud800"', '"\\uDfff"', '["a",{"b":"x\\ud83dy"}]', '{"\\ud800":1}', '"\\ude00\\ud83d"']
)
def test_half_a_character_is_refused(body: str) -> None:
    assert reason_of(body) == malformed("a \\u escape stands for half a character (an unpaired surrogate)")


@pytest.mark.parametrize(
    ("body", "text"), [('"\\ud83d\\ude00"', "😀"), ('"\\\\ud800"', "\\ud800"), ('"\\uD83D\\uDE00\\u00e9"', "😀é")]
)
def test_whole_character_in_two_escapes_is_taken(body: str, text: str) -> None:
    assert loads(body) == text


def test_byte_order_mark_is_passed_over_once() -> None:
    assert loads(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    assert reason_of(b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}').startswith("The body is not well-formed JSON: ")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("{", "line 1, column 2"),
        ('{"a":1,}', "line 1, column"),
        ("[1,]", "line 1, column"),
        ('{"a" 1}', "line 1, column 6"),
        ("{a:1}", "line 1, column 2"),
        ("{'a':1}", "line 1, column 2"),
        ('{"a":1} x', "line 1, column 9"),
        ("1 2", "line 1, column 3"),
        ('{\n"a":\n tru}', "line 3, column 2"),
        ('"a\nb"', "line 1, column 3"),
        ('"\\x"', "line 1, column 2"),
        ('"\\u12"', "line 1, column"),
        ("[1] // comment", "line 1, column 5"),
        ("undefined", "line 1, column 1"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(body: str, where: str) -> None:
    assert where in reason_of(body)


@pytest.mark.parametrize("body", ["", " ", "\n\t "])
def test_empty_body_is_refused_as_empty(body: str) -> None:
    assert reason_of(body) == malformed("it is empty")


# --- depth ----------------------------------------------------------------------------------------


def nested(kinds: str, inside: str = "1") -> str:
    opening = {"[": "[", "{": '{"a":'}
    closing = {"[": "]", "{": "}"}
    return "".join(opening[k] for k in kinds) + inside + "".join(closing[k] for k in reversed(kinds))


@pytest.mark.parametrize("depth_max", [1, 2, 7, 100, 200])
@pytest.mark.parametrize("kind", ["[", "{", "[{"])
def test_body_may_nest_exactly_as_deep_as_allowed(depth_max: int, kind: str) -> None:
    kinds = (kind * depth_max)[:depth_max]
    assert codec.dumps(loads(nested(kinds), depth_max)) == nested(kinds).encode()
    assert codec.dumps(loads(nested(kinds[1:], "[]"), depth_max)) == nested(kinds[1:], "[]").encode()
    too_deep = f"The body nests deeper than the {depth_max} levels this server takes."
    assert reason_of(nested(kinds + "["), depth_max) == too_deep
    assert reason_of(nested(kinds, "{}"), depth_max) == too_deep


def test_only_the_deepest_branch_counts() -> None:
    wide = "[" + ",".join(nested("[{[") for _ in range(50)) + "]"
    assert loads(wide, 4) == json.loads(wide)
    assert "nests deeper than the 3 levels" in reason_of(wide, 3)


def test_brackets_in_text_are_not_levels() -> None:
    assert loads(json.dumps(["[" * 50, "{" * 50]), 1) == ["[" * 50, "{" * 50]


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"a":' * 100_000, nested("[" * 100_000)], ids=["arrays", "objects", "closed"]
)
def test_body_that_nests_without_end_is_refused(body: str) -> None:
    assert reason_of(body) == f"The body nests deeper than the {DEPTH} levels this server takes."


# --- writing --------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=4) | FRACTIONS.map(Exact),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    """`value` with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(VALUES)
def test_whatever_is_written_is_read_back_the_same(value: Any) -> None:
    for write in (codec.dumps, codec.dumps_pretty):
        again = loads(write(value))
        assert again == value
        assert codec.dumps(again) == codec.dumps(value)


@settings(deadline=None)
@given(VALUES)
def test_canonical_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    assert codec.canonical(shuffled(value)) == codec.canonical(value)
    assert loads(codec.canonical(value)) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.00"), ("1", "1.0"), ("1e2", "1E2"), ("[1,2]", "[2,1]"), ('"1"', "1"), ("true", "1"), ("{}", "[]"), ('{"a":null}', "{}")],
)  # fmt: skip
def test_canonical_tells_different_content_apart(one: str, other: str) -> None:
    assert codec.canonical(loads(one)) != codec.canonical(loads(other))


def test_pretty_is_indented_by_two_and_leaves_empty_things_on_their_line() -> None:
    value = loads('{"a":[1.50,{"é":"x"}],"b":{},"c":[],"d":{"e":[[true]]}}')
    assert codec.dumps_pretty(value).decode() == (
        '{\n  "a": [\n    1.50,\n    {\n      "é": "x"\n    }\n  ],\n  "b": {},\n  "c": [],\n'
        '  "d": {\n    "e": [\n      [\n        true\n      ]\n    ]\n  }\n}'
    )


# --- resources ------------------------------------------------------------------------------------


def test_object_with_a_type_is_a_resource() -> None:
    patient = {"resourceType": "Patient"}
    assert codec.as_resource(patient) is patient


@pytest.mark.parametrize("value", [[], "Patient", 1, None, [{"resourceType": "Patient"}]])
def test_what_is_no_object_is_no_resource(value: object) -> None:
    with pytest.raises(Rejected, match="must be one FHIR resource: a JSON object") as refused:
        codec.as_resource(value)
    assert refused.value.refusal is Refusal.BAD_REQUEST


@pytest.mark.parametrize(
    "value", [{}, {"resourceType": None}, {"resourceType": ["Patient"]}, {"resourcetype": "Patient"}]
)
def test_object_without_a_type_is_no_resource(value: object) -> None:
    with pytest.raises(Rejected, match='it has no "resourceType" text') as refused:
        codec.as_resource(value)
    assert refused.value.issues[0].expression == "resourceType"


def test_official_examples_are_all_here() -> None:
    assert len(EXAMPLES) == 497


NUMBERS = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?\d[\d.eE+-]*)')


def numbers_in(body: bytes) -> list[bytes]:
    return [match[1] for match in NUMBERS.finditer(body) if match[1]]


def test_official_examples_are_read_and_written_unchanged_number_for_number() -> None:
    decimals = 0
    for line in EXAMPLES:
        resource = codec.as_resource(loads(line))
        written = codec.dumps(resource)
        assert json.loads(written, parse_float=Decimal) == json.loads(line, parse_float=Decimal)
        assert numbers_in(written) == numbers_in(line), resource["resourceType"]
        assert written == line
        assert codec.dumps(loads(codec.dumps_pretty(resource))) == line
        decimals += sum(b"." in number for number in numbers_in(line))
    assert decimals > 100, "the examples hold decimals, or this test shows nothing"


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 30])
def test_whole_number_beyond_64_bits_is_read_and_written_digit_for_digit(text):
    assert codec.dumps(codec.loads(text.encode(), depth_max=50)) == text.encode()


def test_key_that_stands_twice_and_is_half_a_character_can_be_reported():
    with pytest.raises(Rejected) as refused:
        codec.loads(b'{"\\ud800":1,"\\ud800":2}', depth_max=50)
    orjson.dumps(outcome_of(refused.value.issues))


@pytest.mark.parametrize("text", ["1e99999999999999999999", "9" * 5000])
def test_number_too_large_is_refused_with_a_sentence_for_a_person(text):
    with pytest.raises(Rejected) as refused:
        codec.loads(text.encode(), depth_max=50)
    assert (
        "longer than this server takes" in refused.value.issues[0].text or "too large" in refused.value.issues[0].text
    )


def test_number_whose_exponent_is_out_of_all_proportion_is_refused():
    with pytest.raises(Rejected):
        codec.loads(b"1e99999999999", depth_max=50)  # int(), quantize() or f"{x:f}" of it takes all memory


def test_whole_number_of_more_than_a_thousand_characters_is_refused():
    with pytest.raises(Rejected):
        codec.loads(b"9" * 1500, depth_max=50)  # a decimal of that length is
