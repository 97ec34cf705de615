"""The contract as a service that real peers connect to (chaincode-as-a-service).

Nothing in here decides what a transaction does: it carries requests and replies between a peer and the stub, keeps
one slow function from holding up the others, and says how it is (health, metrics, logs without values). It is the
only part of the contract package with threads, a clock and the network in it; nothing else of the package imports it.
"""

from bfl_chaincode.shim.service.server import ContractServer
from bfl_chaincode.shim.service.settings import ServiceSettings, ServiceTls

__all__ = ["ContractServer", "ServiceSettings", "ServiceTls"]
