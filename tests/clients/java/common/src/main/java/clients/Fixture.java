package clients;

import com.nimbusds.jose.util.JSONObjectUtils;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What scripts/check-clients started: the issuer, its clients, and the tokens signed by imported keys. */
public final class Fixture {
    private static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    private final Map<String, Object> json;

    public record Client(String id, String secret) {}

    public record Imported(String name, String alg, String token) {}

    public Fixture(String file) throws Exception {
        json = JSONObjectUtils.parse(Files.readString(Path.of(file)));
    }

    public String issuer() {
        return (String) json.get("issuer");
    }

    public String audience() {
        return (String) json.get("audience");
    }

    public String sharedSecret() {
        return (String) json.get("shared_secret");
    }

    public String importIssuer() {
        return (String) json.get("import_issuer");
    }

    public Client client(String name) throws Exception {
        Map<String, Object> client = JSONObjectUtils.getJSONObject(JSONObjectUtils.getJSONObject(json, "clients"), name);
        return new Client((String) client.get("client_id"), (String) client.get("client_secret"));
    }

    /** Tokens signed by keys that this language generated. */
    public List<Imported> imported() throws Exception {
        List<Imported> found = new ArrayList<>();
        for (Map<String, Object> key : JSONObjectUtils.getJSONObjectArray(json, "imported")) {
            if ("java".equals(key.get("language"))) {
                found.add(new Imported((String) key.get("name"), (String) key.get("alg"), (String) key.get("token")));
            }
        }
        return found;
    }

    /** An access token of a client. */
    public String token(String name) throws Exception {
        Client client = client(name);
        String form = "grant_type=client_credentials&client_id=" + encode(client.id())
                + "&client_secret=" + encode(client.secret());
        var request = HttpRequest.newBuilder(URI.create(issuer() + "/oauth/token"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString(form))
                .build();
        var response = HTTP.send(request, BodyHandlers.ofString());
        Report.require(response.statusCode() == 200, "the token endpoint answers " + response.statusCode());
        return (String) JSONObjectUtils.parse(response.body()).get("access_token");
    }

    /** The token with its signature changed. */
    public static String forged(String token) {
        int last = token.lastIndexOf('.') + 1;
        char changed = token.charAt(last) == 'A' ? 'B' : 'A';
        return token.substring(0, last) + changed + token.substring(last + 1);
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}
