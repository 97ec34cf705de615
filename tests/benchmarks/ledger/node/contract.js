// The trivial contract of the throughput comparison, on the official Node shim, as a service.
//
// `node contract.js SETTINGS.json`; settings: package_id, address, and key, certificate, client_roots (paths) for
// mutual TLS. Prints "ready" once it listens.
"use strict";

const fs = require("node:fs");
const shim = require("fabric-shim");

class KeyValue {
  async Init() {
    return shim.success();
  }

  async Invoke(stub) {
    const { fcn, params } = stub.getFunctionAndParameters();
    if (fcn === "Put" && params.length === 2) {
      await stub.putState(params[0], Buffer.from(params[1]));
      return shim.success();
    }
    if (fcn === "Get" && params.length === 1) {
      return shim.success(Buffer.from(await stub.getState(params[0])));
    }
    return shim.error(`no transaction ${fcn} with ${params.length} arguments`);
  }
}

const settings = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const options = { ccid: settings.package_id, address: settings.address };
if (settings.key) {
  options.tlsProps = {
    key: fs.readFileSync(settings.key),
    cert: fs.readFileSync(settings.certificate),
    clientCACerts: fs.readFileSync(settings.client_roots),
  };
}
shim
  .server(new KeyValue(), options)
  .start()
  .then(() => process.stdout.write("ready\n"))
  .catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
