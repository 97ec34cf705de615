package interop;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.PrivateKey;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.hyperledger.fabric.client.ChaincodeEvent;
import org.hyperledger.fabric.client.CloseableIterator;
import org.hyperledger.fabric.client.Commit;
import org.hyperledger.fabric.client.Contract;
import org.hyperledger.fabric.client.Gateway;
import org.hyperledger.fabric.client.GatewayException;
import org.hyperledger.fabric.client.GatewayRuntimeException;
import org.hyperledger.fabric.client.Hash;
import org.hyperledger.fabric.client.InMemoryCheckpointer;
import org.hyperledger.fabric.client.Network;
import org.hyperledger.fabric.client.Proposal;
import org.hyperledger.fabric.client.SubmittedTransaction;
import org.hyperledger.fabric.client.Transaction;
import org.hyperledger.fabric.client.TransactionException;
import org.hyperledger.fabric.client.identity.Identities;
import org.hyperledger.fabric.client.identity.Identity;
import org.hyperledger.fabric.client.identity.Signer;
import org.hyperledger.fabric.client.identity.Signers;
import org.hyperledger.fabric.client.identity.X509Identity;
import org.hyperledger.fabric.protos.gateway.ErrorDetail;
import org.hyperledger.fabric.protos.peer.FilteredTransaction;

/**
 * Drives a channel with the official Java client and prints one line of JSON.
 *
 * <p>What is called and what must come out is decided by the test that writes the settings file, the only argument;
 * steps and results are those of the Node program beside it.
 */
public final class Client {
    private static final long SECONDS = 20;

    /** One call of the contract. */
    private static final class Call {
        private String name;
        private String[] arguments;
    }

    private static final class Calls {
        private Call submit;
        private Call evaluate;
        private Call refused;
        private Call conflict;
        private List<Call> events;
    }

    private static final class Settings {
        private String address;
        private String tls_roots;
        private String msp_id;
        private String certificate;
        private String key;
        private String channel;
        private String chaincode;
        private String foreign_proposal;
        private Calls calls;
    }

    @FunctionalInterface
    private interface Step {
        void run() throws Exception;
    }

    private final Settings settings;
    private final ManagedChannel connection;
    private final Identity identity;
    private final Signer signer;

    private Client(final Settings settings) throws Exception {
        this.settings = settings;
        this.connection = Grpc.newChannelBuilder(
                        settings.address,
                        TlsChannelCredentials.newBuilder()
                                .trustManager(new File(settings.tls_roots))
                                .build())
                .build();
        try (Reader certificate = Files.newBufferedReader(Paths.get(settings.certificate));
                Reader key = Files.newBufferedReader(Paths.get(settings.key))) {
            this.identity = new X509Identity(settings.msp_id, Identities.readX509Certificate(certificate));
            final PrivateKey privateKey = Identities.readPrivateKey(key);
            this.signer = Signers.newPrivateKeySigner(privateKey);
        }
    }

    public static void main(final String[] arguments) throws Exception {
        final Path path = Paths.get(arguments[0]);
        final Settings settings;
        try (Reader reader = Files.newBufferedReader(path)) {
            settings = new Gson().fromJson(reader, Settings.class);
        }
        final Client client = new Client(settings);
        try {
            System.out.println(new Gson().toJson(client.run()));
        } finally {
            client.connection.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        }
    }

    private Gateway.Builder builder() {
        return Gateway.newInstance()
                .connection(connection)
                .identity(identity)
                .hash(Hash.SHA256)
                .evaluateOptions(options -> options.withDeadlineAfter(SECONDS, TimeUnit.SECONDS))
                .endorseOptions(options -> options.withDeadlineAfter(SECONDS, TimeUnit.SECONDS))
                .submitOptions(options -> options.withDeadlineAfter(SECONDS, TimeUnit.SECONDS))
                .commitStatusOptions(options -> options.withDeadlineAfter(SECONDS, TimeUnit.SECONDS));
    }

    private Map<String, Object> run() throws Exception {
        final Map<String, Object> results = new LinkedHashMap<>();
        try (Gateway gateway = builder().signer(signer).connect()) {
            final Network network = gateway.getNetwork(settings.channel);
            final Contract contract = network.getContract(settings.chaincode);
            final Calls calls = settings.calls;
            results.put("submit", submitted(contract, calls.submit));
            results.put("evaluate", text(contract.evaluateTransaction(calls.evaluate.name, calls.evaluate.arguments)));
            results.put("binary", text(contract.submitTransaction(calls.submit.name, raw(calls.submit))));
            results.put(
                    "endorse_refused",
                    refusal(() -> contract.submitTransaction(calls.refused.name, calls.refused.arguments)));
            results.put(
                    "evaluate_refused",
                    refusal(() -> contract.evaluateTransaction(calls.refused.name, calls.refused.arguments)));
            results.put(
                    "missing_chaincode",
                    refusal(() -> network.getContract("nobody").evaluateTransaction("x")));
            results.put(
                    "missing_channel",
                    refusal(() -> gateway.getNetwork("nowhere")
                            .getContract(settings.chaincode)
                            .evaluateTransaction("x")));
            results.put("conflict", conflict(contract, calls.conflict));
            results.put("stale", stale(contract, calls.conflict));
            results.put("offline", offline(calls.submit));
            results.put("exchanged", exchanged(calls.submit));
            results.put("events", events(network, calls.events));
            results.put("blocks", blocks(network));
            results.put("blocks_with_private_data", blocksWithPrivateData(network));
        }
        return results;
    }

    private static Map<String, Object> submitted(final Contract contract, final Call call) throws Exception {
        final SubmittedTransaction commit =
                contract.newProposal(call.name).addArguments(call.arguments).build().endorse().submitAsync();
        final var status = commit.getStatus();
        return Map.of(
                "result", text(commit.getResult()),
                "transaction_id", status.getTransactionId(),
                "block_number", status.getBlockNumber(),
                "code", status.getCode().getNumber(),
                "successful", status.isSuccessful());
    }

    /** What the official client says of a call that must be refused. */
    private static Map<String, Object> refusal(final Step step) throws Exception {
        try {
            step.run();
        } catch (TransactionException error) {
            return refusal(error, error.getStatus(), error.getDetails(), error.getTransactionId());
        } catch (GatewayException error) {
            return refusal(error, error.getStatus(), error.getDetails(), "");
        } catch (GatewayRuntimeException error) {
            return refusal(error, error.getStatus(), error.getDetails(), "");
        }
        return Map.of("kind", "none");
    }

    private static Map<String, Object> refusal(
            final Exception error, final Status status, final List<ErrorDetail> details, final String transactionId) {
        final List<JsonObject> told = new ArrayList<>();
        for (final ErrorDetail detail : details) {
            final JsonObject item = new JsonObject();
            item.addProperty("address", detail.getAddress());
            item.addProperty("mspId", detail.getMspId());
            item.addProperty("message", detail.getMessage());
            told.add(item);
        }
        return Map.of(
                "kind", error.getClass().getSimpleName(),
                "message", String.valueOf(error.getMessage()) + " " + status.getDescription(),
                "grpc_code", status.getCode().value(),
                "details", told,
                "transaction_id", transactionId);
    }

    /** Two transactions endorsed on the same state: the second one must come back invalid. */
    private static Map<String, Object> conflict(final Contract contract, final Call call) throws Exception {
        final List<Transaction> endorsed = new ArrayList<>();
        for (int number = 0; number < 2; number += 1) {
            endorsed.add(contract.newProposal(call.name).addArguments(call.arguments).build().endorse());
        }
        final List<Integer> codes = new ArrayList<>();
        for (final Transaction transaction : endorsed) {
            codes.add(transaction.submitAsync().getStatus().getCode().getNumber());
        }
        return Map.of("codes", codes);
    }

    private static Map<String, Object> stale(final Contract contract, final Call call) throws Exception {
        final Transaction transaction =
                contract.newProposal(call.name).addArguments(call.arguments).build().endorse();
        contract.submitTransaction(call.name, call.arguments);
        final var status = transaction.submitAsync().getStatus();
        return Map.of("code", status.getCode().getNumber(), "successful", status.isSuccessful());
    }

    /** Every signature is made outside the client: proposal, transaction, commit status request. */
    private Map<String, Object> offline(final Call call) throws Exception {
        try (Gateway gateway = builder().connect()) {
            final Contract contract = gateway.getNetwork(settings.channel).getContract(settings.chaincode);
            final Proposal unsigned = contract.newProposal(call.name).addArguments(call.arguments).build();
            final Proposal proposal =
                    gateway.newSignedProposal(unsigned.getBytes(), signer.sign(unsigned.getDigest()));
            final Transaction prepared = proposal.endorse();
            final Transaction transaction =
                    gateway.newSignedTransaction(prepared.getBytes(), signer.sign(prepared.getDigest()));
            final SubmittedTransaction asked = transaction.submitAsync();
            final Commit commit = gateway.newSignedCommit(asked.getBytes(), signer.sign(asked.getDigest()));
            final var status = commit.getStatus();
            return Map.of(
                    "result", text(transaction.getResult()),
                    "code", status.getCode().getNumber(),
                    "same_id", status.getTransactionId().equals(proposal.getTransactionId()));
        }
    }

    /** A proposal that another SDK put together, signed and sent by this one; and one of ours for the other. */
    private Map<String, Object> exchanged(final Call call) throws Exception {
        try (Gateway gateway = builder().connect()) {
            final Proposal foreign = gateway.newProposal(Base64.getDecoder().decode(settings.foreign_proposal));
            final Proposal proposal =
                    gateway.newSignedProposal(foreign.getBytes(), signer.sign(foreign.getDigest()));
            final Transaction prepared = proposal.endorse();
            final Transaction transaction =
                    gateway.newSignedTransaction(prepared.getBytes(), signer.sign(prepared.getDigest()));
            final SubmittedTransaction asked = transaction.submitAsync();
            final Commit commit = gateway.newSignedCommit(asked.getBytes(), signer.sign(asked.getDigest()));
            final var status = commit.getStatus();
            final Proposal own = gateway.getNetwork(settings.channel)
                    .getContract(settings.chaincode)
                    .newProposal(call.name)
                    .addArguments(call.arguments)
                    .build();
            return Map.of(
                    "transaction_id", status.getTransactionId(),
                    "code", status.getCode().getNumber(),
                    "proposal", Base64.getEncoder().encodeToString(own.getBytes()),
                    "digest", Base64.getEncoder().encodeToString(own.getDigest()));
        }
    }

    /** The events behind a first one, read from where a checkpoint of it says. */
    private Map<String, Object> events(final Network network, final List<Call> calls) throws Exception {
        final Contract contract = network.getContract(settings.chaincode);
        final Map<String, Object> first = submitted(contract, calls.get(0));
        for (final Call call : calls.subList(1, calls.size())) {
            submitted(contract, call);
        }
        final long block = (Long) first.get("block_number");
        final List<Map<String, String>> all = firstOf(
                network.newChaincodeEventsRequest(settings.chaincode).startBlock(block).build().getEvents(),
                calls.size(),
                Client::seen);
        final InMemoryCheckpointer checkpoint = new InMemoryCheckpointer();
        checkpoint.checkpointTransaction(block, (String) first.get("transaction_id"));
        final List<Map<String, String>> behind = firstOf(
                network.newChaincodeEventsRequest(settings.chaincode)
                        .checkpoint(checkpoint)
                        .build()
                        .getEvents(),
                calls.size() - 1,
                Client::seen);
        return Map.of("all", all, "behind_checkpoint", behind);
    }

    private static Map<String, String> seen(final ChaincodeEvent event) {
        return Map.of(
                "name", event.getEventName(),
                "payload", text(event.getPayload()),
                "transaction_id", event.getTransactionId());
    }

    private static Map<String, Object> blocks(final Network network) {
        final List<Long> full = firstOf(
                network.newBlockEventsRequest().startBlock(0).build().getEvents(),
                2,
                block -> block.getHeader().getNumber());
        final List<Map<String, Object>> filtered = firstOf(
                network.newFilteredBlockEventsRequest().startBlock(1).build().getEvents(), 1, block -> {
                    final List<Integer> codes = new ArrayList<>();
                    for (final FilteredTransaction item : block.getFilteredTransactionsList()) {
                        codes.add(item.getTxValidationCodeValue());
                    }
                    return Map.of("number", block.getNumber(), "codes", codes);
                });
        return Map.of("full", full, "filtered", filtered);
    }

    /** Not every gateway offers these; one that does not must say so in the official client's terms. */
    private static Map<String, Object> blocksWithPrivateData(final Network network) throws Exception {
        final List<Long> numbers = new ArrayList<>();
        final Map<String, Object> refused = refusal(() -> numbers.addAll(firstOf(
                network.newBlockAndPrivateDataEventsRequest().startBlock(0).build().getEvents(),
                2,
                item -> item.getBlock().getHeader().getNumber())));
        return Map.of("numbers", numbers, "refused", refused);
    }

    private static <T, R> List<R> firstOf(
            final CloseableIterator<T> stream, final int count, final Function<T, R> seen) {
        final List<R> found = new ArrayList<>();
        try (stream) {
            while (found.size() < count && stream.hasNext()) {
                found.add(seen.apply(stream.next()));
            }
        }
        return found;
    }

    private static byte[][] raw(final Call call) {
        final byte[][] arguments = new byte[call.arguments.length][];
        for (int number = 0; number < arguments.length; number += 1) {
            arguments[number] = call.arguments[number].getBytes(StandardCharsets.UTF_8);
        }
        return arguments;
    }

    private static String text(final byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
