package bench;

import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import org.hyperledger.fabric.metrics.Metrics;
import org.hyperledger.fabric.shim.ChaincodeBase;
import org.hyperledger.fabric.shim.ChaincodeServerProperties;
import org.hyperledger.fabric.shim.ChaincodeStub;
import org.hyperledger.fabric.shim.NettyChaincodeServer;
import org.hyperledger.fabric.traces.Traces;

/**
 * The trivial contract of the throughput comparison, on the official Java shim, as a service.
 *
 * <p>Arguments: package id, host, port, and for mutual TLS the paths of key, certificate and client authorities.
 */
public final class KeyValue extends ChaincodeBase {
    @Override
    public Response init(final ChaincodeStub stub) {
        return newSuccessResponse();
    }

    @Override
    public Response invoke(final ChaincodeStub stub) {
        final String function = stub.getFunction();
        final List<String> arguments = stub.getParameters();
        if (function.equals("Put") && arguments.size() == 2) {
            stub.putState(arguments.get(0), arguments.get(1).getBytes(StandardCharsets.UTF_8));
            return newSuccessResponse();
        }
        if (function.equals("Get") && arguments.size() == 1) {
            return newSuccessResponse(stub.getState(arguments.get(0)));
        }
        return newErrorResponse("no transaction " + function + " with " + arguments.size() + " arguments");
    }

    public static void main(final String[] arguments) throws Exception {
        final KeyValue contract = new KeyValue();
        contract.initializeLogging();
        contract.processCommandLineOptions(new String[] {"-i", arguments[0]});
        final Properties config = contract.getChaincodeConfig();
        Metrics.initialize(config);
        Traces.initialize(config);
        final ChaincodeServerProperties properties = new ChaincodeServerProperties();
        properties.setServerAddress(new InetSocketAddress(arguments[1], Integer.parseInt(arguments[2])));
        if (arguments.length > 3) {
            properties.setTlsEnabled(true);
            properties.setKeyFile(arguments[3]);
            properties.setKeyCertChainFile(arguments[4]);
            properties.setTrustCertCollectionFile(arguments[5]);
        }
        new NettyChaincodeServer(contract, properties).start();
    }
}
