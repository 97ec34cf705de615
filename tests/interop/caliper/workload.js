// The calls of a Caliper round: one contract call with the number of the transaction put into its arguments.
"use strict";

const { WorkloadModuleBase } = require("@hyperledger/caliper-core");

class Calls extends WorkloadModuleBase {
  constructor() {
    super();
    this.count = 0;
  }

  async submitTransaction() {
    this.count += 1;
    const call = this.roundArguments;
    await this.sutAdapter.sendRequests({
      contractId: call.chaincode,
      contractFunction: call.name,
      contractArguments: call.arguments.map((item) => item.replace("NUMBER", `${this.workerIndex}-${this.count}`)),
      readOnly: call.read_only,
    });
  }
}

module.exports = { createWorkloadModule: () => new Calls() };
