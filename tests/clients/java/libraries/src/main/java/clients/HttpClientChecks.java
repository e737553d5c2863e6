package clients;

import static clients.Report.check;
import static clients.Report.require;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.concurrent.atomic.AtomicInteger;

/** The JDK's HTTP client with its defaults, which offers `Upgrade: h2c` with every request in clear text. */
final class HttpClientChecks {
    private static final int REQUESTS = 4_000;

    private final Fixture fixture;

    HttpClientChecks(Fixture fixture) {
        this.fixture = fixture;
    }

    void run() {
        check("java.net.http.HttpClient", REQUESTS + " token requests over one connection, none fails", this::keepsItsConnection);
    }

    private void keepsItsConnection() throws Exception {
        Fixture.Client client = fixture.client("stateless");
        String basic = Base64.getEncoder().encodeToString((client.id() + ":" + client.secret()).getBytes(StandardCharsets.UTF_8));
        try (var counter = new ConnectionCounter(URI.create(fixture.issuer()).getPort())) {
            HttpClient http = HttpClient.newHttpClient();
            var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + counter.port() + "/oauth/token"))
                    .header("Authorization", "Basic " + basic)
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .POST(HttpRequest.BodyPublishers.ofString("grant_type=client_credentials"))
                    .build();
            int failed = 0;
            String first = null;
            for (int sent = 0; sent < REQUESTS; sent++) {
                try {
                    int status = http.send(request, BodyHandlers.ofString()).statusCode();
                    if (status != 200) {
                        failed++;
                        first = first == null ? "status " + status : first;
                    }
                } catch (IOException error) {
                    failed++;
                    first = first == null ? error.toString() : first;
                }
            }
            require(failed == 0, failed + " requests failed, the first with " + first);
            require(counter.connections() == 1, counter.connections() + " connections");
        }
    }

    /** Forwards connections to the server, and counts them. */
    private static final class ConnectionCounter implements AutoCloseable {
        private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        private final AtomicInteger connections = new AtomicInteger();
        private final int target;

        ConnectionCounter(int target) throws IOException {
            this.target = target;
            start(this::accept);
        }

        int port() {
            return listener.getLocalPort();
        }

        int connections() {
            return connections.get();
        }

        private void accept() throws IOException {
            while (true) {
                Socket client = listener.accept();
                connections.incrementAndGet();
                Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
                client.setTcpNoDelay(true);
                server.setTcpNoDelay(true);
                start(() -> forward(client, server));
                start(() -> forward(server, client));
            }
        }

        private static void forward(Socket from, Socket to) throws IOException {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            in.transferTo(out);
            to.shutdownOutput();
        }

        private interface Job {
            void run() throws IOException;
        }

        private static void start(Job job) {
            var thread = new Thread(() -> {
                try {
                    job.run();
                } catch (IOException closed) {
                    // The end of a connection or of the listener.
                }
            });
            thread.setDaemon(true);
            thread.start();
        }

        @Override
        public void close() throws IOException {
            listener.close();
        }
    }
}
