package clients;

import static clients.Report.check;
import static clients.Report.rejected;
import static clients.Report.require;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.ext.auth.JWTOptions;
import io.vertx.ext.auth.User;
import io.vertx.ext.auth.authentication.TokenCredentials;
import io.vertx.ext.auth.oauth2.OAuth2Auth;
import io.vertx.ext.auth.oauth2.OAuth2FlowType;
import io.vertx.ext.auth.oauth2.OAuth2Options;
import io.vertx.ext.auth.oauth2.Oauth2Credentials;
import io.vertx.ext.auth.oauth2.providers.OpenIDConnectAuth;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/** Gets and verifies tokens with the OAuth 2.0 provider of Vert.x, by discovery. */
final class VertxChecks {
    private static final String LIBRARY = "vert.x 5";
    /** Held, so that its level stays: it logs each key of an algorithm that Vert.x does not have, with a stack trace. */
    private static final Logger KEYS = Logger.getLogger("io.vertx.ext.auth");

    private final Fixture fixture;

    VertxChecks(Fixture fixture) {
        this.fixture = fixture;
    }

    void run() throws Exception {
        KEYS.setLevel(Level.OFF);
        Vertx vertx = Vertx.vertx();
        try {
            for (String name : new String[] {"es256-jwt", "es256", "rs256"}) {
                check(LIBRARY, "verifies " + name + " by discovery", () -> {
                    OAuth2Auth auth = await(discovered(vertx));
                    String token = fixture.token(name);
                    User user = await(auth.authenticate(new TokenCredentials(token)));
                    require(name.equals(user.attributes().getJsonObject("accessToken").getString("client_id")), "another client_id");
                    rejected("a changed signature", () -> await(auth.authenticate(new TokenCredentials(Fixture.forged(token)))));
                });
            }
            check(LIBRARY, "rejects a token for another audience", () -> {
                OAuth2Auth auth = await(discovered(vertx));
                rejected("it", () -> await(auth.authenticate(new TokenCredentials(fixture.token("other-audience")))));
            });
            check(LIBRARY, "gets, verifies and revokes a token by discovery", () -> {
                OAuth2Auth auth = await(discovered(vertx));
                User user = await(auth.authenticate(new Oauth2Credentials().setFlow(OAuth2FlowType.CLIENT)));
                require(user.principal().getString("access_token") != null, "no token");
                await(auth.revoke(user, "access_token"));
            });
        } finally {
            vertx.close();
        }
    }

    private Future<OAuth2Auth> discovered(Vertx vertx) throws Exception {
        Fixture.Client client = fixture.client("es256");
        return OpenIDConnectAuth.discover(vertx, new OAuth2Options()
                .setSite(fixture.issuer())
                .setClientId(client.id())
                .setClientSecret(client.secret())
                .setJWTOptions(new JWTOptions().addAudience("https://api.example")));
    }

    private static <T> T await(Future<T> future) throws Exception {
        return future.toCompletionStage().toCompletableFuture().get(30, TimeUnit.SECONDS);
    }
}
