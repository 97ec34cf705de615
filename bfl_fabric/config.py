"""Settings from TOML files: checked once, immutable afterwards; an unknown key is an error.

Secrets come as paths and never as values, so nothing here is worth hiding from a log. Relative paths are
relative to the file that names them, so that a directory can be moved as a whole.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from bfl_chaincode.api.records import NodeRole
from bfl_fabric.errors import ConfigurationError


def _anchored(value: Any, info: ValidationInfo) -> Any:
    base = (info.context or {}).get("base")
    return Path(base, value) if base is not None and isinstance(value, str) else value


AnchoredPath = Annotated[Path, BeforeValidator(_anchored)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-]+:[0-9]{1,5}$")]


class Settings(BaseModel):
    """Base of all settings: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LedgerSettings(Settings):
    """Where the ledger's gateway is, and the block that all trust starts from.

    `genesis` is the channel's block 0 and must have `genesis_digest`: the organizations' authorities come from
    it. `address_file` holds host:port of a gateway that chose its own port; `address` names a fixed one. `config` is
    the newest configuration block that the operator has accepted, where there is one: whoever was admitted, and
    authorities that were renewed since block 0, are known from it. It is trusted as much as these settings are.
    """

    channel: str
    chaincode: str
    genesis: AnchoredPath
    genesis_digest: Digest
    config: AnchoredPath | None = None
    address: Address | None = None
    address_file: AnchoredPath | None = None

    def gateway_address(self) -> str:
        """Return host:port. Raises ConfigurationError when the ledger has never been started."""
        if self.address is not None:
            return self.address
        if self.address_file is None:
            raise ConfigurationError("the [ledger] section needs either address or address_file")
        try:
            return self.address_file.read_text("ascii").strip()
        except OSError as error:
            raise ConfigurationError(
                f"the ledger has not announced its address in {self.address_file}; start it with "
                "`bfl federation up` or `bfl ledger serve`"
            ) from error


class IdentitySettings(Settings):
    """An X.509 identity of an organization: one certificate signs, another one speaks TLS."""

    msp_id: str
    certificate: AnchoredPath
    key: AnchoredPath
    tls_certificate: AnchoredPath
    tls_key: AnchoredPath


class TrainingSettings(Settings):
    """A silo's share of the data and the named architecture that its trainer builds."""

    architecture: str
    share: AnchoredPath


class EvaluationSettings(Settings):
    """The held-out set that the coordinator measures each published model on."""

    architecture: str
    holdout: AnchoredPath


class NodeSettings(Settings):
    """One node: what it does, who it is, where its ledger and its disk are.

    `key_seconds` is the life of a joint key that a key holder begins to make; 0: it is good until it is retired.
    """

    role: NodeRole
    node_id: str
    ledger: LedgerSettings
    identity: IdentitySettings
    storage: AnchoredPath
    listen: Address = "127.0.0.1:0"
    poll_seconds: float = Field(default=2.0, gt=0, le=60)
    key_seconds: int = Field(default=0, ge=0)
    training: TrainingSettings | None = None
    evaluation: EvaluationSettings | None = None


class ClientSettings(Settings):
    """What an application or an operator needs to talk to a federation; `name` is its certificate's."""

    name: str
    ledger: LedgerSettings
    identity: IdentitySettings
    storage: AnchoredPath


S = TypeVar("S", bound=Settings)


def load(kind: type[S], path: Path) -> S:
    """Read settings of `kind` from a TOML file. Raises ConfigurationError naming file, key and reason."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    return check(kind, values, source=path)


def check(kind: type[S], values: dict[str, Any], source: Path) -> S:
    """Check values that came from `source`; paths in them are relative to its directory."""
    try:
        return kind.model_validate(values, context={"base": source.parent})
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {explained(error)}") from error


def explained(error: ValidationError) -> str:
    """Return every problem that a check found, each with its place, in one line."""
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        unknown = problem["type"] in ("extra_forbidden", "unexpected_keyword_argument")
        reason = "unknown key" if unknown else problem["msg"]
        problems.append(f"{place}: {reason}" if place else reason)
    return "; ".join(problems)
