"""StructureDefinition/$snapshot: a profile with its snapshot (R4 operation StructureDefinition-snapshot).

Of a definition that is sent, or stored, the snapshot is made anew from its differential: that is what somebody wants to see
who is writing a profile. Named by url it is answered as this server goes by it, with the snapshot it was published with
where it has one.

A snapshot must have a definition of every element (sdf-3): where the profile says nothing, R4's own words stand
(`definitions/prose.py`).
"""

from __future__ import annotations

from phb_fhir.definitions.operation_inputs import bad_input, read_inputs
from phb_fhir.definitions.prose import prose_of, with_prose
from phb_fhir.definitions.registry import Registry, with_snapshot
from phb_fhir.definitions.snapshot import SnapshotFailed
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, check_resources, instance_of, parameters_of, stored
from phb_fhir.outcome import Kind, Refusal, refuse

_NAME = "StructureDefinition/$snapshot"
_TAKES = {"definition": True, "url": True}


async def snapshot(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 404 for a url that is not known, 422 for a definition no snapshot can be made of."""
    instance = await stored(context, request) if instance_of(request) else None
    known = context.known

    def work() -> Resource:
        parameters = parameters_of(known, request, _NAME, body_is="definition")
        inputs = read_inputs(_NAME, parameters, _TAKES)
        if instance is not None:
            return _made(known, instance)  # R4: "if called at the instance level, these parameters will be ignored"
        given = inputs.resource("definition", "StructureDefinition")
        if (given is None) == (not inputs.text("url")):
            raise bad_input(
                "Which definition is meant must be said once: by url, by definition, or by asking the instance."
            )
        if given is None:
            return _known(known, inputs.text("url"))
        check_resources(known, request, parameters)
        return _made(known, given)

    structure = await apart(request.size, work)
    return answered(context, request, with_prose(structure, prose_of(context.definitions)))


def _made(known: Registry, definition: Resource) -> Resource:
    has_differential = bool(definition.get("differential", {}).get("element"))
    bare = {name: value for name, value in definition.items() if name != "snapshot" or not has_differential}
    try:
        return with_snapshot(bare, known.structure)
    except SnapshotFailed as reason:
        text = f"No snapshot can be made of {definition.get('url', 'this definition')}: {reason}"
        raise refuse(Refusal.UNPROCESSABLE, Kind.INVALID, text) from None


def _known(known: Registry, url: str) -> Resource:
    found = known.structure(url)
    if found is not None:
        return found
    if problem := known.structure_problem(url):
        raise refuse(Refusal.UNPROCESSABLE, Kind.INVALID, problem)
    raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"The definition {url} is not known here.")
