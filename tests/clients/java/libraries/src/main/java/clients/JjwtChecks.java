package clients;

import static clients.Report.check;
import static clients.Report.rejected;
import static clients.Report.require;

import io.jsonwebtoken.Claims;
import io.jsonwebtoken.Jws;
import io.jsonwebtoken.JwsHeader;
import io.jsonwebtoken.Jwts;
import io.jsonwebtoken.security.Jwk;
import io.jsonwebtoken.security.JwkSet;
import io.jsonwebtoken.security.Jwks;
import java.io.InputStream;
import java.net.URI;
import java.security.Key;
import java.util.Map;
import java.util.stream.Collectors;

/** Verifies tokens with JJWT. */
final class JjwtChecks {
    private static final String LIBRARY = "jjwt";

    private final Fixture fixture;

    JjwtChecks(Fixture fixture) {
        this.fixture = fixture;
    }

    void run() {
        for (String name : new String[] {"es256-jwt", "es256", "rs256", "ps256", "eddsa"}) {
            check(LIBRARY, "verifies " + name, () -> {
                String token = fixture.token(name);
                Claims claims = verify(fixture.issuer(), token).getPayload();
                require(name.equals(claims.get("client_id")), "another client_id");
                rejected("a changed signature", () -> verify(fixture.issuer(), Fixture.forged(token)));
            });
        }
        check(LIBRARY, "rejects a token for another audience",
                () -> rejected("it", () -> verify(fixture.issuer(), fixture.token("other-audience"))));
    }

    private static Jws<Claims> verify(String issuer, String token) throws Exception {
        JwkSet published;
        try (InputStream body = URI.create(issuer + "/.well-known/jwks.json").toURL().openStream()) {
            published = Jwks.setParser().build().parse(body);
        }
        Map<String, Key> keys = published.getKeys().stream().collect(Collectors.toMap(Jwk::getId, Jwk::toKey));
        return Jwts.parser()
                .keyLocator(header -> keys.get(((JwsHeader) header).getKeyId()))
                .requireIssuer(issuer)
                .requireAudience("https://api.example")
                .build()
                .parseSignedClaims(token);
    }
}
