"""`python -m bfl_chaincode`: the contract as a service for real peers, told what to do by its environment.

The names of the settings stand in `bfl_chaincode.shim.service.environment`.
"""

from bfl_chaincode.main import build_chaincode, environment, invoke
from bfl_chaincode.shim.service.process import run
from bfl_chaincode.shim.stub import ChaincodeStub, Response


def main() -> int:
    """Serve the contract until told to end."""
    chaincode = build_chaincode()

    async def transaction(stub: ChaincodeStub) -> Response:
        return await invoke(chaincode, stub)

    return run(transaction, environment())


if __name__ == "__main__":
    raise SystemExit(main())
