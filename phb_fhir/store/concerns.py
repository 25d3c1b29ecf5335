"""What is asked of MongoDB about every read and write, whatever the address of the replica set says of it (MongoDB: read and write concerns).

An address may carry a read preference or a write concern that suits another application. A read from a secondary could miss what was just
acknowledged, and a transaction cannot be made of such reads at all; so what stands here is not left to the address.
"""

from __future__ import annotations

from typing import Any

from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

MAJORITY = WriteConcern(w="majority", j=True)
KEPT = ReadConcern("majority")  # what a majority has, and no failover takes back; all of it, as `store/primary` asks
SNAPSHOT = ReadConcern("snapshot")
PRIMARY = ReadPreference.PRIMARY
DRIVER: dict[str, Any] = {
    "w": "majority",
    "journal": True,
    "readPreference": "primary",
    "retryWrites": True,
    "retryReads": True,
}  # over what the address says
