"""Code systems that are a grammar or a register: units, languages, media types, time zones, countries, currencies."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.terminology import core
from phb_fhir.definitions.terminology_grammars import (
    COUNTRIES,
    CURRENCIES,
    GRAMMARS,
    LANGUAGES,
    MEDIA_TYPES,
    SUBDIVISIONS,
    TIME_ZONES,
    UCUM,
    URIS,
)
from phb_fhir.definitions.terminology_ucum import check_unit
from phb_fhir.outcome import Kind, Rejected
from tests.definitions.codes import R4, code_system, concept, knowing

TERMINOLOGY = core(R4)


def checked(system, code):
    return GRAMMARS[system].check(code).valid


# ---- UCUM §2 and §3 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "m",
            "kg",
            "mm[Hg]",
            "cm[H2O]",
            "mg/dL",
            "10*3/uL",
            "10*-6",
            "10^9/L",
            "/min",
            "1",
            "%",
            "{score}",
            "{beats}/min",
        ),
        *(
            "m2",
            "m-2",
            "kg.m/s2",
            "ug/(24.h)",
            "10.uN.s/(cm5.m2)",
            "[iU]/mL",
            "k[IU]",
            "dB[SPL]",
            "B[10.nV]",
            "Cel",
            "[degF]",
        ),
        *(
            "mo",
            "a",
            "wk",
            "L",
            "l",
            "dl",
            "[m/s2/Hz^(1/2)]",
            "10*3{cells}/uL",
            "[Amb'a'1'U]/mL",
            "{# of fetuses}",
            "((m))",
        ),
    ],
)
def test_a_unit_of_ucum_is_taken(unit):
    assert check_unit(unit) == ""


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        ("mmHg", '"mmHg" is no unit of UCUM (did you mean "mm[Hg]"?)'),
        ("mm[hg]", '"mm[hg]" is no unit of UCUM (did you mean "mm[Hg]"?)'),
        ("mg/DL", '"DL" is no unit of UCUM (did you mean "dL"?)'),
        ("cows", '"cows" is no unit of UCUM'),
        ("k[in_i]", '"k[in_i]" is no unit of UCUM'),
        ("kmin", '"kmin" is no unit of UCUM'),
        ("m/", "it ends where a unit should follow"),
        ("m//s", 'a unit is missing before "/"'),
        ("(m", "a parenthesis is not closed"),
        ("m)", '")" is not expected there'),
        ("m{a", '"{" is not expected there'),
        ("{é}", "the annotation {é} has a character outside ASCII"),
        ("[", 'a unit is missing before "["'),
        ("m s", '"m s" is no unit of UCUM'),
        ("", "a unit has between 1 and 500 characters"),
        ("m." * 300 + "m", "a unit has between 1 and 500 characters"),
        ("(" * 30 + "m" + ")" * 30, "parentheses are nested deeper than 20"),
    ],
)
def test_what_is_no_unit_of_ucum_is_told_why(unit, why):
    assert check_unit(unit) == why


def test_a_wrong_unit_in_a_value_set_of_units_is_an_error_that_says_why():
    verdict = TERMINOLOGY.validate_code("http://hl7.org/fhir/ValueSet/ucum-units", UCUM, "mmHg")
    assert verdict.valid is False
    assert 'it is not written as UCUM has it: "mmHg" is no unit of UCUM (did you mean "mm[Hg]"?)' in verdict.sentence


def test_every_common_unit_that_hl7_lists_follows_the_grammar():
    listed = TERMINOLOGY.value_set("http://hl7.org/fhir/ValueSet/ucum-common")["compose"]["include"][0]["concept"]
    assert len(listed) > 1000
    assert [row["code"] for row in listed if check_unit(row["code"])] == []


# ---- the other grammars ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "valid"),
    [
        *[
            (tag, True)
            for tag in (
                "en",
                "en-GB",
                "EN-gb",
                "cy",
                "zh-Hans-CN",
                "es-419",
                "bfi",
                "zh-cmn",
                "i-klingon",
                "x-ours",
                "en-x-ours",
                "en-XK",
                "iw",
            )
        ],
        *[(tag, None) for tag in ("sl-rozaj", "de-CH-1996", "en-u-ca-gregory", "qqq", "en-Qzzz", "en-998")],
        *[(tag, False) for tag in ("e", "en-UK", "xx", "english", "en_GB", "en-", "-en", "en-GB-x", "klingonisch", "")],
    ],
)
def test_a_language_tag_is_known_open_or_wrong(tag, valid):
    assert checked(LANGUAGES, tag) is valid


@pytest.mark.parametrize(
    ("code", "valid"),
    [
        *[
            (code, True)
            for code in ("application/pdf", "application/fhir+json", "text/plain; charset=utf-8", "xml", "json", "ttl")
        ],
        ("application/dicom; variant=DICOM WADO-RS", True),
        *[(code, False) for code in ("pdf", "a/b/c", "text/", "/plain", "text plain", "")],
    ],
)
def test_a_media_type_follows_its_form_or_is_one_of_fhirs_short_names(code, valid):
    assert checked(MEDIA_TYPES, code) is valid


@pytest.mark.parametrize(
    ("system", "code", "valid"),
    [
        (TIME_ZONES, "Europe/London", True),
        (TIME_ZONES, "UTC", True),
        (TIME_ZONES, "Europe/Lundon", None),
        (TIME_ZONES, "+01:00", False),
        (URIS, "urn:oid:1.2.3", True),
        (URIS, "1.2.3", False),
        (SUBDIVISIONS, "GB-ENG", None),
        (SUBDIVISIONS, "QQ-ENG", False),
        (SUBDIVISIONS, "England", False),
    ],
)
def test_time_zones_uris_and_subdivisions_are_checked_as_far_as_is_known(system, code, valid):
    assert checked(system, code) is valid


@pytest.mark.parametrize("value_set", ["ucum-units", "all-languages", "mimetypes", "timezones"])
def test_a_grammar_cannot_be_listed(value_set):
    with pytest.raises(Rejected, match="is a grammar, not a list") as refused:
        TERMINOLOGY.expand(f"http://hl7.org/fhir/ValueSet/{value_set}")
    assert refused.value.issues[0].kind is Kind.TOO_COSTLY


def test_a_list_brought_along_for_a_grammar_stands_before_it():
    zones = knowing(code_system(concept("Moon/Tranquillity"), url=TIME_ZONES))
    assert zones.validate_code_in_system(TIME_ZONES, "Moon/Tranquillity").valid is True
    assert zones.validate_code_in_system(TIME_ZONES, "Europe/London").valid is False


# ---- registers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "valid", "severity"),
    [("GBP", True, "information"), ("DEM", True, "warning"), ("ABC", False, "error"), ("gbp", False, "error")],
)
def test_a_currency_is_in_use_withdrawn_or_unknown(code, valid, severity):
    verdict = TERMINOLOGY.validate_code("http://hl7.org/fhir/ValueSet/currencies", None, code)
    assert (verdict.valid, verdict.severity) == (valid, severity)


def test_a_currency_has_its_name():
    assert TERMINOLOGY.validate_code_in_system(CURRENCIES, "GBP", "Euro").sentence == (
        'ISO 4217 currencies calls the code "GBP" "Pound Sterling", not "Euro".'
    )


@pytest.mark.parametrize(
    ("code", "valid", "severity"),
    [
        ("GB", True, "information"),
        ("GBR", True, "information"),
        ("826", True, "information"),
        ("YU", True, "warning"),
        ("UK", False, "error"),
    ],
)
def test_a_country_has_a_code_of_two_letters_three_letters_or_digits(code, valid, severity):
    verdict = TERMINOLOGY.validate_code_in_system(COUNTRIES, code)
    assert (verdict.valid, verdict.severity) == (valid, severity)


@pytest.mark.parametrize(
    ("value_set", "like", "count"),
    [("iso3166-1-2", "GB", 249), ("iso3166-1-3", "GBR", 279), ("iso3166-1-N", "826", 249)],
)
def test_the_value_sets_of_countries_are_told_apart_by_the_form_of_the_code(value_set, like, count):
    expansion = TERMINOLOGY.expand(f"http://hl7.org/fhir/ValueSet/{value_set}")["expansion"]
    assert expansion["total"] == count
    assert like in {row["code"] for row in expansion["contains"]}


def test_every_country_currency_and_language_that_hl7_lists_is_in_its_register():
    for url in TERMINOLOGY.loaded.base.value_set_urls():
        for include in TERMINOLOGY.value_set(url)["compose"]["include"]:
            if include.get("system") in (COUNTRIES, CURRENCIES, LANGUAGES, MEDIA_TYPES, URIS):
                codes = [row["code"] for row in include.get("concept", ())]
                judged = [TERMINOLOGY.validate_code_in_system(include["system"], code).valid for code in codes]
                assert judged == [True] * len(codes), (url, codes)
