"""The settings files of Fabric's own programs: `core.yaml` of a peer, `orderer.yaml` of an orderer.

Complete files, no sample is needed. Paths are relative to the program's home, which is its working directory and
its FABRIC_CFG_PATH, so the same file serves a native process and a container. Each value that is not Fabric's
default is there for a measured reason, given beside it. Which process gets which addresses the plan decides.
"""

from __future__ import annotations

from typing import Any

import yaml

from bfl_fabric.network.plan import OrdererPlan, PeerPlan

PEER_FILE, ORDERER_FILE = "core.yaml", "orderer.yaml"
BUILDER = {
    "detect": "#!/bin/sh\n# Takes packages of chaincode that runs as a service.\n"
    'grep -q \'"type":"ccaas"\' "$2/metadata.json"\n',
    "build": '#!/bin/sh\n# Keeps where the service listens; there is nothing to build.\ncp "$1/connection.json" "$3"\n',
    "release": "#!/bin/sh\n# Tells the peer where the service listens.\n"
    'mkdir -p "$2/chaincode/server"\ncp "$1/connection.json" "$2/chaincode/server/"\n',
}
_CRYPTOGRAPHY = {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256}}


def peer_yaml(peer: PeerPlan, listen: str, network_id: str) -> str:
    """Return a peer's `core.yaml`; `listen` is the address that its ports are bound to."""
    return yaml.safe_dump(_peer(peer, listen, network_id), sort_keys=False)


def fit_peer_yaml(text: str, version: str) -> str:
    """Return a peer's `core.yaml` for a version of the program; a text that fits is returned as it is.

    From 3.0 on a peer can refuse proposals whose time is off by more than a quarter of an hour, and must: contracts
    take their time from them. A peer of 2.5 does not start with a filter that it does not know.
    """
    settings = yaml.safe_load(text)
    handlers = settings["peer"]["handlers"]
    fitting = _filters(checks_time=not version.startswith("2."))
    if handlers["authFilters"] == fitting:
        return text
    handlers["authFilters"] = fitting
    return yaml.safe_dump(settings, sort_keys=False)


def orderer_yaml(orderer: OrdererPlan, listen: str) -> str:
    """Return an orderer's `orderer.yaml`; `listen` is the address that its ports are bound to."""
    return yaml.safe_dump(_orderer(orderer, listen), sort_keys=False)


def _orderer(orderer: OrdererPlan, listen: str) -> dict[str, Any]:
    return {
        "General": {
            "ListenAddress": listen,
            "ListenPort": orderer.main.port,
            "BootstrapMethod": "none",
            "LocalMSPDir": "msp",
            "LocalMSPID": orderer.msp_id,
            "TLS": _orderer_tls(client_auth=False),
            "Keepalive": {"ServerMinInterval": "10s", "ServerInterval": "7200s", "ServerTimeout": "20s"},
            "Cluster": {
                "SendBufferSize": 100,
                "ClientCertificate": "tls/certificate.pem",
                "ClientPrivateKey": "tls/key.pem",
            },
            "BCCSP": _CRYPTOGRAPHY,
            "Authentication": {"TimeWindow": "15m"},
        },
        "FileLedger": {"Location": "data/ledger"},
        "Consensus": {"WALDir": "data/wal", "SnapDir": "data/snapshots"},
        "ChannelParticipation": {"Enabled": True, "MaxRequestBodySize": "1 MB"},
        "Admin": {
            "ListenAddress": f"{listen}:{orderer.admin.port}",
            "TLS": _orderer_tls(client_auth=True),
        },
        "Operations": {
            "ListenAddress": f"{listen}:{orderer.operations.port}",
            "TLS": {"Enabled": False},
        },
        "Metrics": {"Provider": "prometheus"},
    }


def _orderer_tls(*, client_auth: bool) -> dict[str, Any]:
    return {
        "Enabled": True,
        "PrivateKey": "tls/key.pem",
        "Certificate": "tls/certificate.pem",
        "RootCAs": ["tls/authority.pem"],
        "ClientAuthRequired": client_auth,
        "ClientRootCAs": ["tls/authority.pem"],
    }


def _peer(peer: PeerPlan, listen: str, network_id: str) -> dict[str, Any]:
    return {
        "peer": {
            "id": peer.name,
            "networkId": network_id,
            "listenAddress": f"{listen}:{peer.main.port}",
            "address": str(peer.main),
            # Unused by contracts that run as services, but its default is one port for every peer.
            "chaincodeListenAddress": f"{listen}:{peer.chaincode.port}",
            "localMspId": peer.msp_id,
            "mspConfigPath": "msp",
            "fileSystemPath": "data",
            "gateway": {
                "enabled": True,
                "endorsementTimeout": "30s",
                "broadcastTimeout": "30s",
                "dialTimeout": "2m",
            },
            "tls": {
                "enabled": True,
                "clientAuthRequired": False,
                "cert": {"file": "tls/certificate.pem"},
                "key": {"file": "tls/key.pem"},
                "rootcert": {"file": "tls/authority.pem"},
            },
            "BCCSP": _CRYPTOGRAPHY,
            "authentication": {"timewindow": "15m"},
            "client": {"connTimeout": "3s"},
            "keepalive": {"minInterval": "10s"},
            "deliveryclient": {
                "reconnectTotalTimeThreshold": "3600s",
                "connTimeout": "3s",
                "reConnectBackoffThreshold": "5s",
            },
            "handlers": {
                "authFilters": _filters(checks_time=True),
                "decorators": [{"name": "DefaultDecorator"}],
                "endorsers": {"escc": {"name": "DefaultEndorsement"}},
                "validators": {"vscc": {"name": "DefaultValidation"}},
            },
            "discovery": {
                "enabled": True,
                "authCacheEnabled": True,
                "authCacheMaxSize": 1000,
                "authCachePurgeRetentionRatio": 0.75,
                "orgMembersAllowedAccess": False,
            },
            "limits": {
                "concurrency": {"endorserService": 2500, "deliverService": 2500, "gatewayService": 500}
            },
            "gossip": _gossip(peer),
        },
        # Never look for a container engine: contracts are services of their own.
        "vm": {"endpoint": ""},
        "chaincode": _chaincode(),
        "ledger": _ledger(),
        "operations": {
            "listenAddress": f"{listen}:{peer.operations.port}",
            "tls": {"enabled": False},
        },
        "metrics": {"provider": "prometheus"},
    }


def _filters(*, checks_time: bool) -> list[dict[str, str]]:
    names = ["DefaultAuth", "ExpirationCheck", *(["TimeWindowCheck"] if checks_time else [])]
    return [{"name": name} for name in names]


def _gossip(peer: PeerPlan) -> dict[str, Any]:
    """Short intervals: with the defaults peers take 5 to 30 s to see each other again after a restart."""
    return {
        "bootstrap": str(peer.main),
        "endpoint": str(peer.main),
        # Without an external endpoint a peer is invisible to other organizations.
        "externalEndpoint": str(peer.main),
        "useLeaderElection": False,
        "orgLeader": True,
        "state": {"enabled": False},
        "aliveTimeInterval": "1s",
        "aliveExpirationTimeout": "5s",
        "reconnectInterval": "2s",
        "publishStateInfoInterval": "1s",
        "requestStateInfoInterval": "1s",
        "pvtData": {
            # A peer that waits for private data commits nothing meanwhile; the reconciler gets them later.
            "pullRetryThreshold": "1s",
            "transientstoreMaxBlockRetention": 1000,
            # Without a time to acknowledge, every write of private data fails to be disseminated.
            "pushAckTimeout": "3s",
            "btlPullMargin": 10,
            "reconcileBatchSize": 10,
            "reconcileSleepInterval": "1m",
            "reconciliationEnabled": True,
            "skipPullingInvalidTransactionsDuringCommit": True,
            "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
        },
    }


def _chaincode() -> dict[str, Any]:
    system = dict.fromkeys(("_lifecycle", "cscc", "lscc", "qscc"), "enable")
    return {
        "mode": "net",
        "startuptimeout": "60s",
        "executetimeout": "30s",
        "installTimeout": "60s",
        "keepalive": 0,
        "logging": {"level": "info", "shim": "warning"},
        "system": system,
        "externalBuilders": [{"name": "ccaas", "path": "builder", "propagateEnvironment": []}],
        "runtimeParams": {
            "useWriteBatch": True,
            "maxSizeWriteBatch": 1000,
            "useGetMultipleKeys": True,
            "maxSizeGetMultipleKeys": 1000,
        },
    }


def _ledger() -> dict[str, Any]:
    return {
        "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100_000},
        "history": {"enableHistoryDatabase": True},
        "pvtdataStore": {
            "collElgProcMaxDbBatchSize": 5000,
            "collElgProcDbBatchesInterval": 1000,
            "deprioritizedDataReconcilerInterval": "60m",
            "purgeInterval": 100,
            "purgedKeyAuditLogging": True,
        },
    }
