"""FHIRPath as invariants use it, by section of the specification (N1) and FHIR's additions (R4 fhirpath.html)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from phb_fhir.fhir.codec import Exact
from phb_fhir.fhirpath.evaluate import compiled, evaluate
from phb_fhir.fhirpath.values import NotEvaluableError
from phb_fhir.fhirpath.walk import Evaluation, item_of
from tests.validation.elements import frame_of

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"use": "official", "given": ["Ada", "May"], "family": "Byron"}, {"use": "usual", "given": ["Ada"]}],
    "birthDate": "1970-04-02",
    "_birthDate": {"id": "b", "extension": [{"url": "http://x/time", "valueDateTime": "1970-04-02T09:30:00+01:00"}]},
    "_gender": {"extension": [{"url": "http://x/why", "valueCode": "unknown"}]},
    "multipleBirthInteger": 2,
    "contact": [{"period": {"start": "2020-01-01", "end": "2021-06"}}],
    "generalPractitioner": [{"reference": "#gp"}, {"reference": "Practitioner/9"}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "active": True}],
    "extension": [
        {"url": "http://x/weight", "valueQuantity": {"value": Exact("70.50"), "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}},
        {"url": "http://x/money", "valueMoney": {"value": Exact("10.00"), "currency": "GBP"}},
    ],
}  # fmt: skip

# expression → the values it finds; a tuple of one
ANSWERS = {
    # §6.1 quantities: by what they measure, in UCUM's units; what is not the same kind of thing is neither
    "4.0000 'g' = 4000.0 'mg'": (True,),
    "4 'g' != 4040 'mg'": (True,),
    "4 'g' ~ 4000 'mg'": (True,),
    "7 days = 1 week": (True,),
    "7 days = 1 'wk'": (True,),
    "1 '[in_i]' = 2.54 'cm'": (True,),
    "1 'kg' = 1 'm'": (),
    "extension[0].value = 70.5 'kg'": (True,),
    "extension[0].value = 70500 'g'": (True,),
    "extension[0].value = 70 'kg'": (False,),
    "extension[0].value > 3 '[lb_av]'": (True,),
    "extension[0].value = '70.5 \\'kg\\''.toQuantity()": (True,),
    # §4.1 literals: a time of which only the day, or less, is known
    "@2015T < @2016-02T": (True,),
    "birthDate > @1970-04-01T": (True,),
    "name.T.empty()": (True,),
    # §6.1 times, and numbers that are as good as equal
    "@T14:34:28 = @T14:34:28.000": (True,),
    "@T14:34 = @T14:34:28": (),
    "@T14:34:28 = @T14:34:29": (False,),
    "1.0 ~ 1": (True,),
    "0.67 ~ 0.6666": (True,),
    "0.6 ~ 0.6666": (False,),
    # §5.5 conversions: what is not there to be converted is nothing
    "'2020-02-29'.convertsToDate()": (True,),
    "'2021-02-29'.convertsToDate()": (False,),
    "'2020-13'.toDate()": (),
    "'2020-01-02T10:00:00Z'.toDate()": ("2020-01-02",),
    "'2020-02'.toDateTime()": ("2020-02",),
    "'10:30'.convertsToTime()": (True,),
    "'25:00'.convertsToTime()": (False,),
    "'1 day'.convertsToQuantity()": (True,),
    "'1 dog'.convertsToQuantity()": (False,),
    "1.0.toBoolean()": (True,),
    "'2'.toBoolean()": (),
    # §5.7 and §6.6 mathematics
    "1.5.round()": (2,),
    "3.14159.round(3)": (Decimal("3.142"),),
    "-5 mod 2": (-1,),
    "5 mod 0": (),
    "5.5 mod 0.7": (Decimal("0.6"),),
    # §3 paths, and primitives with extensions
    "name.given": ("Ada", "May", "Ada"),
    "Patient.name.first().family": ("Byron",),
    "Practitioner.name": (),
    "Resource.id": ("p",),
    "multipleBirth": (2,),
    "multipleBirthInteger": (),
    "name[1].use": ("usual",),
    "name[7]": (),
    "birthDate": ("1970-04-02",),
    "birthDate.id": ("b",),
    "birthDate.extension.value": ("1970-04-02T09:30:00+01:00",),
    "gender": (None,),
    "gender.extension.url": ("http://x/why",),
    # §4.5 one value where a truth is wanted
    "name.first() and true": (True,),
    "{} and false": (False,),
    "{} and true": (),
    "{} or true": (True,),
    "{} implies true": (True,),
    "true implies {}": (),
    "{} xor true": (),
    # §5.1 existence
    "gender.exists()": (True,),
    "gender.hasValue()": (False,),
    "birthDate.hasValue()": (True,),
    "name.given.hasValue()": (False,),
    "birthDate.getValue()": ("1970-04-02",),
    "deceased.empty()": (True,),
    "name.exists(use = 'usual')": (True,),
    "name.all(given.exists())": (True,),
    "name.all(family.exists())": (False,),
    "deceased.all(false)": (True,),
    "name.given.count()": (3,),
    "name.given.distinct()": ("Ada", "May"),
    "name.given.isDistinct()": (False,),
    "name.use.subsetOf('usual' | 'official')": (True,),
    "('usual' | 'old').supersetOf(name.use)": (False,),
    "active.not()": (False,),
    "deceased.not()": (),
    # §5.2 filtering and projection, §5.3 subsetting
    "name.where(use = 'usual').given": ("Ada",),
    "name.where($index = 0).family": ("Byron",),
    "name.select(given.first())": ("Ada", "Ada"),
    "name.select(use & ':' & family)": ("official:Byron", "usual:"),
    "contained.repeat(contained)": (),
    "name.given.tail()": ("May", "Ada"),
    "name.given.skip(1).take(1)": ("May",),
    "name.given.last()": ("Ada",),
    "name[0].given.intersect(name[1].given)": ("Ada",),
    "name[0].given.exclude(name[1].given)": ("May",),
    "name[0].given | name[1].given": ("Ada", "May"),
    "name[0].given.combine(name[1].given)": ("Ada", "May", "Ada"),
    "name.given.aggregate($total + 1, 0)": (3,),
    # §5.5 conversion, §5.6 texts
    "iif(active, 'yes', 'no')": ("yes",),
    "iif(deceased, 'yes')": (),
    "'10'.toInteger() + 5": (15,),
    "'ten'.toInteger()": (),
    "active.toString()": ("true",),
    "extension[1].value.value.toString()": ("10.00",),
    "name.family.startsWith('By')": (True,),
    "gender.startsWith('By')": (False,),
    "deceased.startsWith('By')": (),
    "name.family.substring(2)": ("ron",),
    "name.family.substring(1, 2)": ("yr",),
    "name.family.substring(9)": (),
    "name.family.matches('y.')": (True,),
    "name.family.matches('^y.$')": (False,),
    "name.family.replaceMatches('(y)(r)', '$2$1')": ("Bryon",),
    "name.family.length()": (5,),
    "name.family.upper()": ("BYRON",),
    "name[0].given.join(' ')": ("Ada May",),
    "'a,b'.split(',')": ("a", "b"),
    "'Ada'.indexOf('a')": (2,),
    "'it\\'s \\u00a3'": ("it's £",),
    # §5.7 mathematics
    "(-2).abs()": (2,),
    "7 div 2": (3,),
    "7 mod 2": (1,),
    "7 / 2": (Decimal("3.5"),),
    "-multipleBirth": (-2,),
    "1.5.round(0)": (2,),
    # §5.8 the tree
    "name[1].children().count()": (2,),
    "birthDate.children().count()": (2,),
    "contained.descendants().count()": (2,),
    "name.descendants().ofType(string)": ("official", "Ada", "May", "Byron", "usual", "Ada"),  # a code is a string
    "%resource.descendants().where($this is Reference).count()": (2,),
    "active.trace('it')": (True,),
    "today()": ("2026-04-05",),
    "birthDate < today()": (True,),
    # §6.1 equality
    "name.given = name.given": (True,),
    "name.given = ('Ada' | 'May')": (False,),
    "name[0] = name[1]": (False,),
    "deceased = true": (),
    "extension[1].value.value = 10": (True,),
    "active = 1": (False,),
    "birthDate = @1970-04-02": (True,),
    "birthDate = @1970": (),
    "birthDate = @1971": (False,),
    "birthDate != @1971": (True,),
    "'Ada  May' ~ 'ada may'": (True,),
    "(1 | 2) ~ (2 | 1)": (True,),
    # §6.2 order
    "1 < 1": (False,),
    "1 <= 1": (True,),
    "1 > 1": (False,),
    "1 >= 1": (True,),
    "@2026-01-01 > @2026-01-01": (False,),
    "@2026-01-01 >= @2026-01-01": (True,),
    "contact.period.start <= contact.period.end": (True,),
    "contact.period.end > @2021-06-01": (),
    "birthDate.extension.value = @1970-04-02T08:30:00Z": (True,),
    "@T10:30 < @T11:00": (True,),
    "multipleBirth >= 2": (True,),
    "'a' < 'b'": (True,),
    "extension[0].value > 70 'kg'": (True,),
    "extension[0].value > 70000 'g'": (True,),
    "extension[0].value > 2 'm'": (),
    "@2026-01-31 + 1 month": ("2026-02-28",),
    # §6.3 types
    "active is boolean": (True,),
    "active is Boolean": (True,),
    "active is System.Boolean": (True,),
    "active is FHIR.boolean": (True,),
    "birthDate is dateTime": (False,),
    "Patient is DomainResource": (True,),
    "Patient is FHIR.`Patient`": (True,),
    "(multipleBirth as integer) = 2": (True,),
    "multipleBirth.as(boolean)": (),
    "name.given.as(string)": ("Ada", "May", "Ada"),
    "contained.ofType(Practitioner).id": ("gp",),
    "type().name": ("Patient",),
    "contact.type().name": ("BackboneElement",),
    "1.type().namespace": ("System",),
    # §6.4 collections
    "'Ada' in name.given": (True,),
    "name.given contains 'Eve'": (False,),
    "deceased in (true | false)": (),
    # R4 fhirpath.html: variables and functions
    "%ucum": ("http://unitsofmeasure.org",),
    "%sct | %loinc": ("http://snomed.info/sct", "http://loinc.org"),
    "%`vs-account-type`": ("http://hl7.org/fhir/ValueSet/account-type",),
    "%`ext-patient-birthTime`": ("http://hl7.org/fhir/StructureDefinition/patient-birthTime",),
    "%context.id = %resource.id and %rootResource.id = 'p'": (True,),
    "name.where(given.first() = %resource.name.first().given.first()).count()": (2,),
    "extension('http://x/weight').value.unit": ("kg",),
    "birthDate.extension('http://x/time').exists()": (True,),
    "generalPractitioner.resolve().id": ("gp",),
    "generalPractitioner.resolve().ofType(Practitioner).active": (True,),
    "name.use.all($this.memberOf('http://hl7.org/fhir/ValueSet/name-use'))": (True,),
    "'nickname '.memberOf('http://hl7.org/fhir/ValueSet/name-use')": (False,),
    "conformsTo('http://x/known')": (True,),
    "conformsTo('http://x/unknown')": (),
    "text.`div`.htmlChecks()": (True,),
}


def _evaluation():
    conforms = lambda _frame, url, _node: True if url == "http://x/known" else None  # noqa: E731
    frame = frame_of(PATIENT, conforms=conforms, day=date(2026, 4, 5))
    return Evaluation(frame, item_of(PATIENT, ""))


@pytest.mark.parametrize("expression", ANSWERS)
def test_an_expression_finds_what_the_specification_says(expression):
    assert tuple(item[0] for item in evaluate(compiled(expression), _evaluation())) == ANSWERS[expression]


REFUSALS = {
    "name.given.toInteger()": "toInteger() wants one value and there are 3",
    "name.given = 'Ada' or name.given": "true or false is wanted and there are 3 values",
    "name.family < 1": "string and System.Integer cannot be compared",
    "name.single()": "single() finds 2 values",
    "name.given is string": "the type of one value is asked for and there are 3",
    "birthDate +": "it is not FHIRPath",
    "birthDate)": "it is not FHIRPath",
    "name.sortBy(family)": "the function sortBy() is not known here",
    "now()": "the function now() is not known here",
    "name.first(1)": "first() is called with 1 arguments",
    "%vsx": "there is no %vsx",
    "%extension": "there is no %extension",
    "name.family.matches('(?=B)')": "its regular expression cannot be matched in bounded time",
    "2.power(100000)": "power() is called with too large a number",
    "extension[0].value > extension[1].value": "Quantity and Money cannot be compared",
    "name.family + 1": "+ has no answer for such a value",
    "(1 | 2).first() - name.family": "- has no answer for such a value",
    "extension[0].value > 3 'mi-cro'": "how these two units convert is not known here",
    "name.family mod 2": "mod has no answer for such a value",
    "1.5.round(name.count() - 3)": "round() wants a number, and how many places are kept",
}


@pytest.mark.parametrize("expression", REFUSALS)
def test_what_cannot_be_evaluated_says_why(expression):
    with pytest.raises(NotEvaluableError) as refusal:
        evaluate(compiled(expression), _evaluation())
    assert str(refusal.value).startswith(REFUSALS[expression])


def test_what_is_not_at_hand_is_noted_as_unknown():
    evaluation = _evaluation()
    evaluate(compiled("generalPractitioner.resolve() and conformsTo('http://x/unknown')"), evaluation)
    assert evaluation.unknown == [
        'what "Practitioner/9" points to is not at hand',
        "the profile http://x/unknown is not known here",
    ]


def test_data_of_a_wrong_shape_is_refused_and_does_not_break_the_evaluator():
    wrong = {"resourceType": "Patient", "name": "Ada", "contact": [None, 3], "birthDate": ["x"], "_birthDate": 1}
    frame = frame_of(wrong)
    for expression in ("name.given", "contact.name", "birthDate.extension", "descendants()"):
        evaluate(compiled(expression), Evaluation(frame, item_of(wrong, "")))
    with pytest.raises(NotEvaluableError, match=r"does not have the shape|wants a text"):
        evaluate(
            compiled("{}.combine(multipleBirth).all($this) | name.startsWith(3)"), Evaluation(frame, item_of(wrong, ""))
        )
