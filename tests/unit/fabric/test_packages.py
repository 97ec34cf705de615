"""Packages and definitions: bytes that everybody computes alike."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from typing import Any

import pytest
from fabric_protos.peer import policy_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from bfl_fabric.errors import ConfigurationError
from bfl_fabric.fabric.definitions import (
    ChaincodeDefinition,
    CollectionDefinition,
    commit_arguments,
    read_definition,
    readiness_arguments,
    signature_policy,
)
from bfl_fabric.fabric.packages import Connection, ConnectionTls, archive, service_package
from bfl_fabric.fabric.policy import Role

TLS = ConnectionTls(b"roots", b"certificate", b"client key")


def unpack(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as opened:
        return {item.name: opened.extractfile(item).read() for item in opened.getmembers()}  # type: ignore[union-attr]


def test_a_package_says_where_the_service_is_and_how_to_reach_it() -> None:
    package = service_package("bfl-1.0", Connection("127.0.0.1:9999", TLS))
    files = unpack(package.content)
    assert list(files) == ["metadata.json", "code.tar.gz"]
    assert json.loads(files["metadata.json"]) == {"type": "ccaas", "label": "bfl-1.0"}
    assert json.loads(unpack(files["code.tar.gz"])["connection.json"]) == {
        "address": "127.0.0.1:9999",
        "dial_timeout": "10s",
        "tls_required": True,
        "client_auth_required": True,
        "client_key": "client key",
        "client_cert": "certificate",
        "root_cert": "roots",
    }
    assert package.package_id == f"bfl-1.0:{hashlib.sha256(package.content).hexdigest()}"


def test_a_packages_bytes_are_the_same_everywhere() -> None:
    """Pinned: another Python, zlib or machine must not make another package id of the same package."""
    assert service_package("bfl", Connection("127.0.0.1:9999", None)).package_id == PINNED


PINNED = "bfl:1df5a62e7d2202d266f1139c3086b2565d8fa097f98ff9392cf21364ea46f7c3"


@pytest.mark.parametrize("size", [0, 1, 65_535 - 1536, 200_000])
def test_an_archive_of_any_size_unpacks_to_what_went_in(size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert unpack(archive({"a": content, "b": b"end"})) == {"a": content, "b": b"end"}


def test_a_package_without_tls_asks_for_none() -> None:
    package = service_package("bfl", Connection("127.0.0.1:9999", None))
    connection = json.loads(unpack(unpack(package.content)["code.tar.gz"])["connection.json"])
    assert connection == {"address": "127.0.0.1:9999", "dial_timeout": "10s", "tls_required": False}


@pytest.mark.parametrize("label", ["", "a b", "-a", "a--b", "a:b", "ä"])
def test_labels_that_peers_refuse_are_refused(label: str) -> None:
    with pytest.raises(ConfigurationError, match="not a package label"):
        service_package(label, Connection("127.0.0.1:9999", None))


def test_the_clients_key_is_not_printed() -> None:
    connection = Connection("127.0.0.1:9999", TLS)
    for shown in (repr(connection), repr(service_package("bfl", connection))):
        assert "client key" not in shown


def test_without_a_policy_of_its_own_the_channels_endorsement_policy_holds() -> None:
    arguments = lifecycle_pb2.CommitChaincodeDefinitionArgs.FromString(
        commit_arguments(ChaincodeDefinition("bfl", "1.0"))[1]
    )
    policy = policy_pb2.ApplicationPolicy.FromString(arguments.validation_parameter)
    assert policy.channel_config_policy_reference == "/Channel/Application/Endorsement"
    assert (arguments.endorsement_plugin, arguments.validation_plugin) == ("escc", "vscc")


@pytest.mark.parametrize(
    "definition",
    [
        ChaincodeDefinition("bfl", "1.0"),
        ChaincodeDefinition("bfl", "2.0", 7, signature_policy(2, ["AMSP", "BMSP"], Role.MEMBER)),
        ChaincodeDefinition(
            "bfl",
            "1.0",
            collections=(
                CollectionDefinition("one", ("AMSP",), False, True, 9, 1, 3),
                CollectionDefinition("two", ("AMSP", "BMSP")),
            ),
        ),
    ],
)
@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (commit_arguments, lifecycle_pb2.CommitChaincodeDefinitionArgs),
        (readiness_arguments, lifecycle_pb2.CheckCommitReadinessArgs),
    ],
)
def test_a_definition_is_read_back_as_it_was_sent(
    definition: ChaincodeDefinition, arguments: Any, kind: Any
) -> None:
    function, raw = arguments(definition)
    assert function.decode() in kind.DESCRIPTOR.name
    assert read_definition("bfl", kind.FromString(raw)) == definition


def test_a_signature_policy_names_each_organization_once() -> None:
    policy = policy_pb2.ApplicationPolicy.FromString(signature_policy(2, ["AMSP", "BMSP"])).signature_policy
    assert policy.rule.n_out_of.n == 2
    assert [rule.signed_by for rule in policy.rule.n_out_of.rules] == [0, 1]
    assert len(policy.identities) == 2
