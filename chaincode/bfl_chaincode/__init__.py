"""The smart contract of bfl-fabric: one code for the embedded ledger and for Hyperledger Fabric."""
