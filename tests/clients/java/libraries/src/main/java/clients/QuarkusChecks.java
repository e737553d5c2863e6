package clients;

import static clients.Report.check;
import static clients.Report.require;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Starts the Quarkus application and calls it. */
final class QuarkusChecks {
    private static final String LIBRARY = "quarkus 3.33";
    private static final long START_MILLISECONDS = 60_000;

    private final Fixture fixture;

    QuarkusChecks(Fixture fixture) {
        this.fixture = fixture;
    }

    void run(String jar) throws Exception {
        int port = freePort();
        Path log = Files.createTempFile("quarkus", ".log");
        Process process = start(jar, port, log);
        try {
            check(LIBRARY, "starts with the configuration of the page", () -> listening(process, port, log));
            for (String name : new String[] {"es256", "es256-jwt"}) {
                check(LIBRARY, "quarkus-oidc verifies " + name + " by discovery", () -> accepts(port, name));
            }
            check(LIBRARY, "quarkus-oidc introspects opaque", () -> accepts(port, "opaque"));
            check(LIBRARY, "quarkus-oidc rejects a token for another audience",
                    () -> require(get(port, "/subject", fixture.token("other-audience")).statusCode() == 401, "it is accepted"));
            check(LIBRARY, "quarkus-oidc-client gets a token by discovery", () -> {
                HttpResponse<String> token = get(port, "/token", null);
                require(token.statusCode() == 200, "it answers " + token.statusCode());
                require(get(port, "/subject", token.body()).statusCode() == 200, "the token is rejected");
            });
        } finally {
            process.destroy();
            process.waitFor();
            Files.delete(log);
        }
    }

    private Process start(String jar, int port, Path log) throws Exception {
        String issuer = fixture.issuer();
        var command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "-XX:TieredStopAtLevel=1",
                "-Dquarkus.http.host=127.0.0.1",
                "-Dquarkus.http.port=" + port,
                "-Dquarkus.oidc.auth-server-url=" + issuer,
                "-Dquarkus.oidc.token.issuer=" + issuer,
                "-Dquarkus.oidc-client.auth-server-url=" + issuer,
                "-Dquarkus.oidc-client.client-id=" + fixture.client("es256").id(),
                "-jar",
                jar));
        var builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().put("API_SECRET", fixture.client("api").secret());
        builder.environment().put("CLIENT_SECRET", fixture.client("es256").secret());
        return builder.start();
    }

    private static void listening(Process process, int port, Path log) throws Exception {
        long deadline = System.currentTimeMillis() + START_MILLISECONDS;
        while (true) {
            try (var connection = new Socket("127.0.0.1", port)) {
                return;
            } catch (IOException refused) {
                require(process.isAlive() && System.currentTimeMillis() < deadline, Files.readString(log));
                Thread.sleep(20);
            }
        }
    }

    private void accepts(int port, String client) throws Exception {
        String token = fixture.token(client);
        HttpResponse<String> accepted = get(port, "/subject", token);
        require(accepted.statusCode() == 200, "it answers " + accepted.statusCode());
        require(accepted.body().equals(client), "the subject is " + accepted.body());
        String changed = token.contains(".") ? Fixture.forged(token) : token + "x";
        require(get(port, "/subject", changed).statusCode() == 401, "a changed token is accepted");
    }

    private static HttpResponse<String> get(int port, String path, String token) throws Exception {
        var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path));
        if (token != null) {
            request.header("Authorization", "Bearer " + token);
        }
        return HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
    }

    private static int freePort() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
