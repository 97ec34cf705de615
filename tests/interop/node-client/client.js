// Drives a channel with the official Node client: `node client.js SETTINGS.json` prints one line of JSON.
//
// What is called and what must come out is decided by the test that writes the settings; this program only knows the
// official client. Results are { name: value } per step; a step that fails in an unforeseen way ends the program.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const { checkpointers, connect, hash, signers } = require("@hyperledger/fabric-gateway");

const settings = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const text = (bytes) => Buffer.from(bytes).toString("utf8");
const privateKey = crypto.createPrivateKey(fs.readFileSync(settings.key));
const identity = { mspId: settings.msp_id, credentials: fs.readFileSync(settings.certificate) };
const deadline = () => ({ deadline: Date.now() + 20_000 });

function openClient() {
  const credentials = grpc.credentials.createSsl(fs.readFileSync(settings.tls_roots));
  return new grpc.Client(settings.address, credentials);
}

function openGateway(client, more) {
  return connect({
    client,
    identity,
    hash: hash.sha256,
    evaluateOptions: deadline,
    endorseOptions: deadline,
    submitOptions: deadline,
    commitStatusOptions: deadline,
    ...more,
  });
}

async function submitted(contract, call) {
  const commit = await contract.submitAsync(call.name, { arguments: call.arguments });
  const status = await commit.getStatus();
  return {
    result: text(commit.getResult()),
    transaction_id: status.transactionId,
    block_number: Number(status.blockNumber),
    code: status.code,
    successful: status.successful,
  };
}

async function binary(contract, call) {
  return text(await contract.submitTransaction(call.name, ...call.arguments.map((item) => Buffer.from(item))));
}

/** What the official client says of a call that must be refused. */
async function refusal(work) {
  try {
    await work();
  } catch (error) {
    return {
      kind: error.constructor.name,
      message: error.message,
      grpc_code: error.code,
      details: error.details,
      transaction_id: error.transactionId ?? "",
    };
  }
  return { kind: "none" };
}

/** Two transactions endorsed on the same state: the second one must come back invalid. */
async function conflict(contract, call) {
  const endorsed = [];
  for (let number = 0; number < 2; number += 1) {
    endorsed.push(await contract.newProposal(call.name, { arguments: call.arguments }).endorse());
  }
  const codes = [];
  for (const transaction of endorsed) {
    codes.push((await (await transaction.submit()).getStatus()).code);
  }
  return { codes };
}

async function conflictRaised(contract, call) {
  const stale = await contract.newProposal(call.name, { arguments: call.arguments }).endorse();
  await contract.submitTransaction(call.name, ...call.arguments);
  const status = await (await stale.submit()).getStatus();
  return { code: status.code, successful: status.successful };
}

/** Every signature is made outside the client: proposal, transaction, commit status request. */
async function offline(client, call) {
  const gateway = openGateway(client);
  const sign = signers.newPrivateKeySigner(privateKey);
  try {
    const contract = gateway.getNetwork(settings.channel).getContract(settings.chaincode);
    const unsigned = contract.newProposal(call.name, { arguments: call.arguments });
    const proposal = gateway.newSignedProposal(unsigned.getBytes(), await sign(unsigned.getDigest()));
    const prepared = await proposal.endorse();
    const transaction = gateway.newSignedTransaction(prepared.getBytes(), await sign(prepared.getDigest()));
    const asked = await transaction.submit();
    const commit = gateway.newSignedCommit(asked.getBytes(), await sign(asked.getDigest()));
    const status = await commit.getStatus();
    return { result: text(transaction.getResult()), code: status.code, same_id: status.transactionId === proposal.getTransactionId() };
  } finally {
    gateway.close();
  }
}

/** A proposal that another SDK put together, signed and sent by this one; and one of ours for the other. */
async function exchanged(client, call) {
  const gateway = openGateway(client);
  const sign = signers.newPrivateKeySigner(privateKey);
  try {
    const foreign = gateway.newProposal(Buffer.from(settings.foreign_proposal, "base64"));
    const proposal = gateway.newSignedProposal(foreign.getBytes(), await sign(foreign.getDigest()));
    const prepared = await proposal.endorse();
    const transaction = gateway.newSignedTransaction(prepared.getBytes(), await sign(prepared.getDigest()));
    const asked = await transaction.submit();
    const commit = gateway.newSignedCommit(asked.getBytes(), await sign(asked.getDigest()));
    const status = await commit.getStatus();
    const own = gateway.getNetwork(settings.channel).getContract(settings.chaincode).newProposal(call.name, { arguments: call.arguments });
    const base64 = (bytes) => Buffer.from(bytes).toString("base64");
    return { transaction_id: status.transactionId, code: status.code, proposal: base64(own.getBytes()), digest: base64(own.getDigest()) };
  } finally {
    gateway.close();
  }
}

async function firstOf(stream, count, seen) {
  const found = [];
  try {
    for await (const item of stream) {
      found.push(seen(item));
      if (found.length === count) {
        break;
      }
    }
  } finally {
    stream.close();
  }
  return found;
}

/** The events behind a first one, read from where a checkpoint of it says. */
async function events(network, calls) {
  const contract = network.getContract(settings.chaincode);
  const first = await submitted(contract, calls[0]);
  for (const call of calls.slice(1)) {
    await submitted(contract, call);
  }
  const seen = (event) => ({ name: event.eventName, payload: text(event.payload), transaction_id: event.transactionId });
  const replayed = await network.getChaincodeEvents(settings.chaincode, { startBlock: BigInt(first.block_number) });
  const all = await firstOf(replayed, calls.length, seen);
  const checkpoint = checkpointers.inMemory();
  await checkpoint.checkpointTransaction(BigInt(first.block_number), first.transaction_id);
  const resumed = await network.getChaincodeEvents(settings.chaincode, { checkpoint });
  return { all, behind_checkpoint: await firstOf(resumed, calls.length - 1, seen) };
}

async function blocks(network) {
  const full = await network.getBlockEvents({ startBlock: 0n });
  const numbers = await firstOf(full, 2, (block) => block.getHeader().getNumber());
  const filtered = await network.getFilteredBlockEvents({ startBlock: 1n });
  const codes = await firstOf(filtered, 1, (block) => ({
    number: block.getNumber(),
    codes: block.getFilteredTransactionsList().map((item) => item.getTxValidationCode()),
  }));
  return { full: numbers, filtered: codes };
}

/** Not every gateway offers these; one that does not must say so in the official client's terms. */
async function blocksWithPrivateData(network) {
  let numbers = [];
  const refused = await refusal(async () => {
    const stream = await network.getBlockAndPrivateDataEvents({ startBlock: 0n });
    numbers = await firstOf(stream, 2, (item) => item.getBlock().getHeader().getNumber());
  });
  return { numbers, refused };
}

async function main() {
  const client = openClient();
  const gateway = openGateway(client, { signer: signers.newPrivateKeySigner(privateKey) });
  try {
    const network = gateway.getNetwork(settings.channel);
    const contract = network.getContract(settings.chaincode);
    const calls = settings.calls;
    const results = { submit: await submitted(contract, calls.submit) };
    results.evaluate = text(await contract.evaluateTransaction(calls.evaluate.name, ...calls.evaluate.arguments));
    results.binary = await binary(contract, calls.submit);
    results.endorse_refused = await refusal(() => contract.submitTransaction(calls.refused.name, ...calls.refused.arguments));
    results.evaluate_refused = await refusal(() => contract.evaluateTransaction(calls.refused.name, ...calls.refused.arguments));
    results.missing_chaincode = await refusal(() => network.getContract("nobody").evaluateTransaction("x"));
    results.missing_channel = await refusal(() => gateway.getNetwork("nowhere").getContract(settings.chaincode).evaluateTransaction("x"));
    results.conflict = await conflict(contract, calls.conflict);
    results.stale = await conflictRaised(contract, calls.conflict);
    results.offline = await offline(client, calls.submit);
    results.exchanged = await exchanged(client, calls.submit);
    results.events = await events(network, calls.events);
    results.blocks = await blocks(network);
    results.blocks_with_private_data = await blocksWithPrivateData(network);
    process.stdout.write(JSON.stringify(results) + "\n");
  } finally {
    gateway.close();
    client.close();
  }
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n${JSON.stringify(error.details ?? [])}\n`);
  process.exitCode = 1;
});
