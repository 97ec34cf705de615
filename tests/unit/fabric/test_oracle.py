"""Fabric's own tools as the judge of our genesis blocks and certificates."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.msp import msp_config_pb2

from bfl_fabric.errors import ProgramsMissing
from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.fabric.channel import ChannelConfig, Consensus
from bfl_fabric.fabric.identity import Identity
from bfl_fabric.fabric.membership import Membership, msp_value
from bfl_fabric.fabric.policy import Role
from bfl_fabric.fabric.wire import write
from bfl_fabric.network.programs import Programs, find_programs
from tests.unit.fabric.organizations import CHANNEL, Federation, federation
from tests.unit.fabric.tools import tool

pytestmark = pytest.mark.needs_fabric

NODE_OUS = {
    "NodeOUs": {
        "Enable": True,
        **{
            f"{role}OUIdentifier": {
                "Certificate": "cacerts/ca.pem",
                "OrganizationalUnitIdentifier": role.lower(),
            }
            for role in ("Client", "Peer", "Admin", "Orderer")
        },
    }
}


# Fabric 2.5 has no BFT orderers.
RELEASES = [("2.5.16", Consensus.RAFT), ("3.1.5", Consensus.RAFT), ("3.1.5", Consensus.BFT)]
releases = pytest.mark.parametrize(("version", "consensus"), RELEASES)


def programs_of(version: str) -> Programs:
    try:
        return find_programs(version)
    except ProgramsMissing as missing:
        pytest.skip(str(missing))


def run(programs: Programs, program: str, *arguments: str) -> str:
    command = [tool(programs, program), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def meta(rule: str) -> dict[str, str]:
    return {"Type": "ImplicitMeta", "Rule": rule}


def any_of(msp_id: str, *roles: str) -> dict[str, str]:
    names = ",".join(f"'{msp_id}.{role}'" for role in roles)
    return {"Type": "Signature", "Rule": f"OR({names})"}


META = {"Readers": meta("ANY Readers"), "Writers": meta("ANY Writers"), "Admins": meta("MAJORITY Admins")}
ENDORSEMENT = meta("MAJORITY Endorsement")


def write_msp(folder: Path, organization: Any) -> str:
    for name, content in (
        ("cacerts/ca.pem", organization.authority.certificate_pem),
        ("tlscacerts/tlsca.pem", organization.tls_authority.certificate_pem),
        ("config.yaml", json.dumps(NODE_OUS).encode()),
    ):
        path = folder / organization.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder / organization.name)


def profile(parties: Federation, folder: Path) -> dict[str, Any]:
    """Return the configtx.yaml that says what our genesis block says."""
    organizations = [
        {
            "Name": item.name,
            "ID": item.msp_id,
            "MSPDir": write_msp(folder, item),
            "Policies": {
                "Readers": any_of(item.msp_id, "admin", "peer", "client"),
                "Writers": any_of(item.msp_id, "admin", "client"),
                "Admins": any_of(item.msp_id, "admin"),
                "Endorsement": any_of(item.msp_id, "peer"),
            },
            "AnchorPeers": [{"Host": "127.0.0.1", "Port": 7051}],
        }
        for item in parties.organizations
    ]
    trust = parties.orderer_trust()
    orderer = {
        "Name": trust.name,
        "ID": trust.msp_id,
        "MSPDir": write_msp(folder, parties.orderer),
        "Policies": {
            "Readers": any_of(trust.msp_id, "member"),
            "Writers": any_of(trust.msp_id, "member"),
            "Admins": any_of(trust.msp_id, "admin"),
        },
        "OrdererEndpoints": [str(endpoint) for endpoint in trust.endpoints],
    }
    bft = parties.consensus is Consensus.BFT
    ordering = {
        "OrdererType": parties.consensus.value,
        "BatchTimeout": "50ms",
        "BatchSize": {"MaxMessageCount": 50, "AbsoluteMaxBytes": "10 MB", "PreferredMaxBytes": "2 MB"},
        "Organizations": [orderer],
        "Policies": {**META, "BlockValidation": meta("ANY Writers")},
        "Capabilities": {"V2_0": True},
        **(bft_settings(parties, folder) if bft else raft_settings(parties, folder)),
    }
    channel = {
        "Policies": META,
        "Capabilities": {"V3_0" if bft else "V2_0": True},
        "Orderer": ordering,
        "Application": {
            "Organizations": organizations,
            "Policies": {**META, "Endorsement": ENDORSEMENT, "LifecycleEndorsement": ENDORSEMENT},
            "Capabilities": {"V2_5": True},
        },
    }
    return {"Profiles": {"Ours": channel}}


def raft_settings(parties: Federation, folder: Path) -> dict[str, Any]:
    consenters = []
    for item in parties.orderer_trust().consenters:
        path = folder / f"tls-{item.endpoint.port}.pem"
        path.write_bytes(item.server_tls_certificate)
        consenters.append(
            {
                "Host": item.endpoint.host,
                "Port": item.endpoint.port,
                "ClientTLSCert": str(path),
                "ServerTLSCert": str(path),
            }
        )
    options = {
        "TickInterval": "100ms",
        "ElectionTick": 10,
        "HeartbeatTick": 1,
        "MaxInflightBlocks": 5,
        "SnapshotIntervalSize": "16 MB",
    }
    return {"EtcdRaft": {"Consenters": consenters, "Options": options}}


def bft_settings(parties: Federation, folder: Path) -> dict[str, Any]:
    mapping = []
    raft = raft_settings(parties, folder)["EtcdRaft"]["Consenters"]
    for item, known in zip(parties.orderer_trust().consenters, raft, strict=True):
        path = folder / f"identity-{item.identifier}.pem"
        path.write_bytes(item.identity)
        mapping.append({**known, "ID": item.identifier, "MSPID": item.msp_id, "Identity": str(path)})
    options = {
        "RequestBatchMaxInterval": "50ms",
        "RequestForwardTimeout": "2s",
        "RequestComplainTimeout": "5s",
        "RequestAutoRemoveTimeout": "1m0s",
        "ViewChangeResendInterval": "2s",
        "ViewChangeTimeout": "10s",
        "LeaderHeartbeatTimeout": "5s",
        "LeaderHeartbeatCount": 10,
        "CollectTimeout": "1s",
        "IncomingMessageBufferSize": 200,
        "RequestPoolSize": 100000,
        "RequestBatchMaxCount": 100,
        "RequestBatchMaxBytes": 10485760,
    }
    return {"ConsenterMapping": mapping, "SmartBFT": options}


@releases
def test_our_genesis_block_is_configtxgens_but_for_time_and_nonce(
    version: str, consensus: Consensus, tmp_path: Path
) -> None:
    programs = programs_of(version)
    parties = federation(consensus)
    (tmp_path / "configtx.yaml").write_text(json.dumps(profile(parties, tmp_path)))
    theirs_path = tmp_path / "theirs.block"
    arguments = ["-configPath", str(tmp_path), "-profile", "Ours", "-channelID", CHANNEL]
    run(programs, "configtxgen", *arguments, "-outputBlock", str(theirs_path))
    theirs = parse_block(theirs_path.read_bytes())
    ours = parse_block(write(parties.genesis()))
    assert ours.slots == theirs.slots
    assert tree(ours) == tree(theirs)


def tree(block: Any) -> Any:
    """Return the whole configuration tree as bytes in one order."""
    return write(ChannelConfig.from_block(block).config)


@releases
def test_fabrics_tools_read_our_genesis_block(version: str, consensus: Consensus, tmp_path: Path) -> None:
    programs = programs_of(version)
    path, decoded = tmp_path / "genesis.block", tmp_path / "genesis.json"
    path.write_bytes(write(federation(consensus).genesis()))
    (tmp_path / "configtx.yaml").write_text("{}")
    inspected = json.loads(
        run(programs, "configtxgen", "-configPath", str(tmp_path), "-inspectBlock", str(path))
    )
    run(
        programs,
        "configtxlator",
        "proto_decode",
        "--type",
        "common.Block",
        "--input",
        str(path),
        "--output",
        str(decoded),
    )
    assert json.loads(decoded.read_text()) == inspected
    payload = inspected["data"]["data"][0]["payload"]
    assert payload["header"]["channel_header"]["channel_id"] == CHANNEL
    assert set(payload["data"]["config"]["channel_group"]["groups"]) == {"Application", "Orderer"}


@pytest.mark.parametrize("version", ["2.5.16", "3.1.5"])
def test_certificates_of_cryptogen_pass_our_membership_checks(version: str, tmp_path: Path) -> None:
    programs = programs_of(version)

    settings = {
        "PeerOrgs": [
            {
                "Name": "A",
                "Domain": "a.example",
                "EnableNodeOUs": True,
                "Template": {"Count": 1},
                "Users": {"Count": 1},
            }
        ]
    }
    (tmp_path / "crypto.yaml").write_text(json.dumps(settings))
    output = tmp_path / "out"
    run(programs, "cryptogen", "generate", "--config", str(tmp_path / "crypto.yaml"), "--output", str(output))
    home = output / "peerOrganizations" / "a.example"
    root = (home / "ca" / "ca.a.example-cert.pem").read_bytes()
    config = msp_config_pb2.FabricMSPConfig.FromString(msp_value("AMSP", [root], [], []).config)
    service = Membership(config)
    expected = {"User1@a.example": Role.CLIENT, "Admin@a.example": Role.ADMIN, "peer0.a.example": Role.PEER}
    for name, role in expected.items():
        (path,) = home.glob(f"*/{name}/msp/signcerts/*.pem")
        assert role in service.admit(Identity.of("AMSP", path.read_bytes())).roles
