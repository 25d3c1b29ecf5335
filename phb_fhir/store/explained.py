"""Of MongoDB's explanation of a query, what a person wants to know."""

from __future__ import annotations

from collections.abc import Iterator

from phb_fhir.store.documents import Document


def summary(explained: Document) -> Document:
    """Of MongoDB's explanation: the stages, the indexes they read, and how much was looked at."""
    stats = explained
    if "stages" in explained:  # of an aggregation
        stats = explained["stages"][0]["$cursor"]
        returned = explained["stages"][-1]["nReturned"]
    else:
        returned = stats["executionStats"]["nReturned"]
    done = stats["executionStats"]
    stages = list(_stages(done["executionStages"]))
    return {
        "stages": [stage["stage"] for stage in stages],
        "indexes": sorted({stage["indexName"] for stage in stages if "indexName" in stage}),
        "keys_examined": done["totalKeysExamined"],
        "documents_examined": done["totalDocsExamined"],
        "returned": int(returned),
        "milliseconds": done["executionTimeMillis"],
    }


def _stages(stage: Document) -> Iterator[Document]:
    """The stages of a plan, from the last down."""
    yield stage
    for name in ("inputStage", "outerStage", "innerStage", "thenStage", "elseStage"):
        if name in stage:
            yield from _stages(stage[name])
    for below in stage.get("inputStages", ()):
        yield from _stages(below)
