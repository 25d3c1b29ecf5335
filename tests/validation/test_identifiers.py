"""Identifiers and units that carry their own proof."""

from __future__ import annotations

import pytest

from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.identifiers import (
    NHS_NUMBER,
    ODS_ORGANISATION,
    ODS_SITE,
    check_identifier,
    check_quantity,
    problem_of_nhs_number,
    problem_of_ods_code,
)

AT = ("Patient", "identifier", 0)


def identified(system, value, **more):
    issues: list[Issue] = []
    check_identifier({"system": system, "value": value}, AT, issues, **more)
    return issues


def measured(**quantity):
    issues: list[Issue] = []
    check_quantity(quantity, ("Observation", "value", None), issues)
    return issues


# ---- NHS number -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["9434765919", "9000000009", "9912003888", "4010232137"])
def test_a_number_whose_last_digit_proves_the_others_is_an_nhs_number(number):
    assert problem_of_nhs_number(number) == ""


@pytest.mark.parametrize("number", ["9434765918", "9000000000", "9912003890", "1234567890"])
def test_a_number_with_a_wrong_check_digit_is_none(number):
    assert (
        problem_of_nhs_number(number)
        == f'"{number}" is no NHS number: its check digit does not agree with the other digits.'
    )


def test_every_change_of_one_digit_and_every_swap_of_neighbours_is_noticed():
    number = "9434765919"
    changed = {number[:i] + digit + number[i + 1 :] for i in range(10) for digit in "0123456789"} - {number}
    swapped = {number[:i] + number[i + 1] + number[i] + number[i + 2 :] for i in range(9)} - {number}
    assert len(changed) == 90
    assert [one for one in changed | swapped if not problem_of_nhs_number(one)] == []


@pytest.mark.parametrize("written", ["943 476 5919", "943-476-5919", " 9434765919"])
def test_an_nhs_number_in_groups_is_told_how_it_is_stored(written):
    assert problem_of_nhs_number(written) == (
        f'An NHS number is written without blanks or dashes: "9434765919", not "{written}".'
    )


@pytest.mark.parametrize(
    "text", ["", "943476591", "94347659190", "943476591X", "٩٤٣٤٧٦٥٩١٩", "943 476 5918", "9" * 500]
)
def test_what_has_not_ten_digits_is_no_nhs_number(text):
    assert "is no NHS number: that is ten digits, the last of which proves the others." in problem_of_nhs_number(text)


def test_a_wrong_nhs_number_is_a_warning_at_the_value_and_an_error_where_the_caller_wants_one():
    [issue] = identified(NHS_NUMBER, "9434765918")
    assert (issue.kind, issue.expression, issue.severity) == (Kind.VALUE, "Patient.identifier[0].value", "warning")
    assert [issue.severity for issue in identified(NHS_NUMBER, "9434765918", severity="error")] == ["error"]
    assert identified(NHS_NUMBER, "9434765919") == []


# ---- ODS code -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["RAX", "A81001", "97Z01", "8HK00", "X26", "999"])
def test_an_ods_code_is_capital_letters_and_digits(code):
    assert problem_of_ods_code(code) == ""
    assert identified(ODS_ORGANISATION, code) == identified(ODS_SITE, code) == []


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("a81001", '; did you mean "A81001"?'),
        (" RAX", '; did you mean "RAX"?'),
        ("A8", "."),
        ("A81-001", "."),
        ("A" * 13, "."),
        ("", "."),
    ],
)
def test_another_shape_is_no_ods_code(code, hint):
    assert problem_of_ods_code(code) == (
        f'"{code}" is no ODS code: that is 3 to 12 capital letters and digits, such as A81001{hint}'
    )
    assert [issue.severity for issue in identified(ODS_SITE, code)] == ["warning"]


# ---- UCUM -----------------------------------------------------------------------------------------


def test_a_quantity_in_a_unit_that_is_not_ucums_is_warned_about_at_its_code():
    [issue] = measured(value=120, system="http://unitsofmeasure.org", code="mmHg")
    assert issue == Issue(
        Kind.CODE_INVALID,
        '"mmHg" is not written as UCUM has it: "mmHg" is no unit of UCUM (did you mean "mm[Hg]"?).',
        "Observation.value.code",
        "warning",
    )
    assert measured(value=120, system="http://unitsofmeasure.org", code="mm[Hg]") == []


# ---- what is not looked at ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"system": "http://example.org/id", "value": "anything"},
        {"system": NHS_NUMBER},
        {"value": "9434765918"},
        {"system": ["x"], "value": "9434765918"},
        {"system": NHS_NUMBER, "value": 9434765918},
        "text",
        None,
    ],
)
def test_an_identifier_of_another_system_or_shape_is_passed_over(value):
    issues: list[Issue] = []
    check_identifier(value, AT, issues)
    assert issues == []


@pytest.mark.parametrize(
    "value",
    [
        {"system": "http://example.org/units", "code": "cows"},
        {"code": "cows"},
        {"system": "http://unitsofmeasure.org"},
        {"system": "http://unitsofmeasure.org", "code": 7},
        "text",
    ],
)
def test_a_quantity_of_another_system_or_shape_is_passed_over(value):
    issues: list[Issue] = []
    check_quantity(value, AT, issues)
    assert issues == []
