"""OPERATIONS: everything this server can do beside FHIR's own interactions, by the URL of its definition.

Whether it does is the capability statement's to say; `check_promises` holds the two together when the server starts.
"""

from __future__ import annotations

from collections.abc import Mapping

from phb_fhir.definitions.capability import Capability, WrongCapability
from phb_fhir.interactions.operation import Operation
from phb_fhir.operations.balance import balance
from phb_fhir.operations.close import close
from phb_fhir.operations.document import FORMS as DOCUMENT_FORMS
from phb_fhir.operations.document import document
from phb_fhir.operations.eligibility import eligibility
from phb_fhir.operations.everything import everything
from phb_fhir.operations.fsck import fsck
from phb_fhir.operations.indicative import calculate_indicative
from phb_fhir.operations.joint import join, leave
from phb_fhir.operations.ledger import ledger
from phb_fhir.operations.meta import meta, meta_add, meta_delete
from phb_fhir.operations.panel import panel_decide
from phb_fhir.operations.payment_run import payment_results, payment_run
from phb_fhir.operations.purchases import approve, check_purchase, reject
from phb_fhir.operations.repayment import request_repayment
from phb_fhir.operations.risk_log import risks
from phb_fhir.operations.sign_off import check as check_sign_off
from phb_fhir.operations.sign_off import refuse_plan, sign_off
from phb_fhir.operations.snapshot import snapshot
from phb_fhir.operations.statement import FORMS, statement
from phb_fhir.operations.terminology import (
    expand,
    lookup,
    subsumes,
    validate_code_in_code_system,
    validate_code_in_value_set,
)
from phb_fhir.operations.validate import validate

_R4 = "http://hl7.org/fhir/OperationDefinition"
_PHB = "https://fhir.phb.nhs.example/OperationDefinition"
_PURCHASE = frozenset({"ChargeItem"})
_PAYMENT = frozenset({"PaymentReconciliation"})
_PLAN = frozenset({"CarePlan"})
_CODE_SYSTEM, _VALUE_SET, _STRUCTURE = (frozenset({name}) for name in ("CodeSystem", "ValueSet", "StructureDefinition"))

OPERATIONS: Mapping[str, Operation] = {
    operation.url: operation
    for operation in (
        Operation("validate", f"{_R4}/Resource-validate", validate, letters="crus"),
        Operation("meta", f"{_R4}/Resource-meta", meta, on_system=True),
        Operation("meta-add", f"{_R4}/Resource-meta-add", meta_add, on_type=False, affects_state=True),
        Operation("meta-delete", f"{_R4}/Resource-meta-delete", meta_delete, on_type=False, affects_state=True),
        Operation("everything", f"{_R4}/Patient-everything", everything, frozenset({"Patient"}), on_type=False),
        Operation("everything", f"{_PHB}/phb-account-everything", everything, frozenset({"Account"}), on_type=False),
        Operation(
            "check-eligibility",
            f"{_PHB}/phb-patient-check-eligibility",
            eligibility,
            frozenset({"Patient"}),
            on_type=False,
        ),
        Operation(
            "calculate-indicative",
            f"{_PHB}/phb-account-calculate-indicative",
            calculate_indicative,
            frozenset({"Account"}),
            on_type=False,
            affects_state=True,
        ),
        Operation(
            "close", f"{_PHB}/phb-account-close", close, frozenset({"Account"}), on_type=False, affects_state=True
        ),
        Operation("balance", f"{_PHB}/phb-account-balance", balance, frozenset({"Account"}), on_type=False),
        Operation("fsck", f"{_PHB}/phb-fsck", fsck, on_system=True, on_type=False, on_instance=False),
        Operation("ledger", f"{_PHB}/phb-account-ledger", ledger, frozenset({"Account"}), on_type=False),
        Operation(
            "statement", f"{_PHB}/phb-account-statement", statement, frozenset({"Account"}), on_type=False, forms=FORMS
        ),
        Operation(
            "check-purchase",
            f"{_PHB}/phb-chargeitem-check-purchase",
            check_purchase,
            _PURCHASE,
            on_instance=False,
            letters="c",
        ),
        Operation("approve", f"{_PHB}/phb-chargeitem-approve", approve, _PURCHASE, on_type=False, affects_state=True),
        Operation("reject", f"{_PHB}/phb-chargeitem-reject", reject, _PURCHASE, on_type=False, affects_state=True),
        Operation("join", f"{_PHB}/phb-account-join", join, frozenset({"Account"}), on_type=False, affects_state=True),
        Operation(
            "leave", f"{_PHB}/phb-account-leave", leave, frozenset({"Account"}), on_type=False, affects_state=True
        ),
        Operation(
            "request-repayment",
            f"{_PHB}/phb-account-request-repayment",
            request_repayment,
            frozenset({"Account"}),
            on_type=False,
            affects_state=True,
        ),
        Operation(
            "payment-run",
            f"{_PHB}/phb-paymentreconciliation-payment-run",
            payment_run,
            _PAYMENT,
            on_instance=False,
            affects_state=True,
        ),
        Operation(
            "payment-results",
            f"{_PHB}/phb-paymentreconciliation-payment-results",
            payment_results,
            _PAYMENT,
            on_instance=False,
            affects_state=True,
        ),
        Operation("document", f"{_PHB}/phb-careplan-document", document, _PLAN, on_type=False, forms=DOCUMENT_FORMS),
        Operation("check-sign-off", f"{_PHB}/phb-careplan-check-sign-off", check_sign_off, _PLAN, on_type=False),
        # what these write is a Task, and whether somebody may is judged there
        Operation(
            "sign-off",
            f"{_PHB}/phb-careplan-sign-off",
            sign_off,
            _PLAN,
            on_type=False,
            affects_state=True,
            letters="r",
        ),
        Operation(
            "refuse",
            f"{_PHB}/phb-careplan-refuse",
            refuse_plan,
            _PLAN,
            on_type=False,
            affects_state=True,
            letters="r",
        ),
        Operation(
            "panel-decide",
            f"{_PHB}/phb-task-panel-decide",
            panel_decide,
            frozenset({"Task"}),
            on_type=False,
            affects_state=True,
        ),
        Operation(
            "risk-log",
            f"{_PHB}/phb-riskassessment-risk-log",
            risks,
            frozenset({"RiskAssessment"}),
            on_instance=False,
        ),
        Operation("expand", f"{_R4}/ValueSet-expand", expand, _VALUE_SET),
        Operation("validate-code", f"{_R4}/ValueSet-validate-code", validate_code_in_value_set, _VALUE_SET),
        Operation("validate-code", f"{_R4}/CodeSystem-validate-code", validate_code_in_code_system, _CODE_SYSTEM),
        Operation("lookup", f"{_R4}/CodeSystem-lookup", lookup, _CODE_SYSTEM, on_instance=False),
        Operation("subsumes", f"{_R4}/CodeSystem-subsumes", subsumes, _CODE_SYSTEM),
        Operation("snapshot", f"{_R4}/StructureDefinition-snapshot", snapshot, _STRUCTURE),
    )
}


def check_promises(promised: Capability, operations: Mapping[str, Operation] = OPERATIONS) -> None:
    """Raise WrongCapability when the capability statement promises an operation that is not built, or not there."""
    for type_, names in promised.operations.items():
        for name, url in names.items():
            if why := _why_not(type_, name, operations.get(url)):
                where = f"of {type_}" if type_ else "of the whole system"
                raise WrongCapability(f"capability_statement.json promises ${name} {where}, defined by {url}, {why}.")


def _why_not(type_: str, name: str, operation: Operation | None) -> str:
    if operation is None:
        return "which is not built"
    if operation.code != name:
        return f"but that defines ${operation.code}"
    return "" if operation.may_be_of(type_) else "which is not defined there"
