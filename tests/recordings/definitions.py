"""How the recorded probe is defined on its channel."""

from __future__ import annotations

from bfl_fabric.fabric.definitions import CollectionDefinition
from tests.chaincode.scenario import ORGANIZATIONS

PROBE = "probe"
COLLECTIONS = (
    CollectionDefinition("shared", ORGANIZATIONS[:2]),
    CollectionDefinition("own", ORGANIZATIONS[:1]),
    CollectionDefinition("brief", ORGANIZATIONS, block_to_live=2),
)
