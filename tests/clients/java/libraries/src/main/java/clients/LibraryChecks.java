package clients;

import static clients.Report.check;
import static clients.Report.rejected;
import static clients.Report.require;

import com.auth0.jwk.Jwk;
import com.auth0.jwk.JwkProviderBuilder;
import com.auth0.jwt.JWT;
import com.auth0.jwt.algorithms.Algorithm;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.TokenIntrospectionRequest;
import com.nimbusds.oauth2.sdk.TokenIntrospectionResponse;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.TokenRevocationRequest;
import com.nimbusds.oauth2.sdk.as.AuthorizationServerMetadata;
import com.nimbusds.oauth2.sdk.auth.ClientAuthentication;
import com.nimbusds.oauth2.sdk.auth.ClientSecretBasic;
import com.nimbusds.oauth2.sdk.auth.ClientSecretPost;
import com.nimbusds.oauth2.sdk.auth.Secret;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.id.Issuer;
import com.nimbusds.oauth2.sdk.token.AccessToken;
import com.nimbusds.openid.connect.sdk.op.OIDCProviderMetadata;
import java.net.URL;
import java.security.PublicKey;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jose4j.jwk.HttpsJwks;
import org.jose4j.jwt.consumer.JwtConsumer;
import org.jose4j.jwt.consumer.JwtConsumerBuilder;
import org.jose4j.keys.resolvers.HttpsJwksVerificationKeyResolver;

/** Verifies and gets tokens with libraries for Java without a framework. */
public final class LibraryChecks {
    private static final String NIMBUS = "nimbus-jose-jwt";
    private static final String SDK = "oauth2-oidc-sdk";
    private static final String JWKS_RSA = "jwks-rsa with java-jwt";
    private static final String JOSE4J = "jose4j";

    private final Fixture fixture;

    private LibraryChecks(Fixture fixture) {
        this.fixture = fixture;
    }

    public static void main(String[] arguments) throws Exception {
        var checks = new LibraryChecks(new Fixture(arguments[0]));
        checks.nimbus();
        checks.sdk();
        checks.jwksRsa();
        checks.jose4j();
        new JjwtChecks(checks.fixture).run();
        new VertxChecks(checks.fixture).run();
        new HttpClientChecks(checks.fixture).run();
        new QuarkusChecks(checks.fixture).run(arguments[1]);
        Report.exit();
    }

    private static URL jwks(String issuer) throws Exception {
        return new URL(issuer + "/.well-known/jwks.json");
    }

    private void nimbus() throws Exception {
        for (String name : new String[] {"es256-jwt", "es256", "rs256", "ps256"}) {
            check(NIMBUS, "verifies " + name, () -> {
                var processor = nimbus(fixture.issuer(), name.endsWith("-jwt") ? JOSEObjectType.JWT : new JOSEObjectType("at+jwt"));
                String token = fixture.token(name);
                require(name.equals(processor.process(token, null).getStringClaim("client_id")), "another client_id");
                rejected("a changed signature", () -> processor.process(Fixture.forged(token), null));
            });
        }
        for (Fixture.Imported key : fixture.imported()) {
            if (!key.alg().equals("EdDSA")) {
                check(NIMBUS, "verifies a token by the imported key " + key.name(),
                        () -> nimbus(fixture.importIssuer(), JOSEObjectType.JWT).process(key.token(), null));
            }
        }
    }

    private static DefaultJWTProcessor<SecurityContext> nimbus(String issuer, JOSEObjectType type) throws Exception {
        var processor = new DefaultJWTProcessor<SecurityContext>();
        processor.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(type));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(
                Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256, JWSAlgorithm.PS256),
                JWKSourceBuilder.create(jwks(issuer)).build()));
        processor.setJWTClaimsSetVerifier(new DefaultJWTClaimsVerifier<>(
                "https://api.example",
                new JWTClaimsSet.Builder().issuer(issuer).build(),
                Set.of("sub", "exp", "client_id")));
        return processor;
    }

    private void sdk() throws Exception {
        check(SDK, "resolves the metadata of RFC 8414 and of OpenID Connect Discovery", () -> {
            var metadata = AuthorizationServerMetadata.resolve(new Issuer(fixture.issuer()));
            var openid = OIDCProviderMetadata.resolve(new Issuer(fixture.issuer()));
            require(metadata.getJWKSetURI().equals(openid.getJWKSetURI()), "the documents differ in jwks_uri");
            require(openid.getIDTokenJWSAlgs().contains(JWSAlgorithm.ES256), "ES256 is missing");
        });
        Fixture.Client client = fixture.client("es256-jwt");
        var id = new ClientID(client.id());
        var secret = new Secret(client.secret());
        for (ClientAuthentication method : List.of(new ClientSecretBasic(id, secret), new ClientSecretPost(id, secret))) {
            check(SDK, "gets, introspects and revokes a token with " + method.getMethod(), () -> lifecycle(method));
        }
    }

    private void lifecycle(ClientAuthentication method) throws Exception {
        var metadata = AuthorizationServerMetadata.resolve(new Issuer(fixture.issuer()));
        var request = new TokenRequest.Builder(metadata.getTokenEndpointURI(), method, new ClientCredentialsGrant()).build();
        var response = TokenResponse.parse(request.toHTTPRequest().send());
        require(response.indicatesSuccess(), "no token");
        AccessToken token = response.toSuccessResponse().getTokens().getAccessToken();
        require(active(metadata, method, token), "the token is not active");
        var revocation = new TokenRevocationRequest(metadata.getRevocationEndpointURI(), method, token);
        require(revocation.toHTTPRequest().send().getStatusCode() == 200, "the revocation fails");
        require(!active(metadata, method, token), "the token is active after its revocation");
    }

    private static boolean active(AuthorizationServerMetadata metadata, ClientAuthentication method, AccessToken token) throws Exception {
        var request = new TokenIntrospectionRequest(metadata.getIntrospectionEndpointURI(), method, token);
        return TokenIntrospectionResponse.parse(request.toHTTPRequest().send()).toSuccessResponse().isActive();
    }

    private void jwksRsa() throws Exception {
        for (String name : new String[] {"es256-jwt", "es256", "rs256"}) {
            check(JWKS_RSA, "verifies " + name, () -> {
                String token = fixture.token(name);
                verifyByJwksRsa(fixture.issuer(), token);
                rejected("a changed signature", () -> verifyByJwksRsa(fixture.issuer(), Fixture.forged(token)));
            });
        }
        check("java-jwt", "verifies hs256 with the shared secret", () -> {
            var verifier = JWT.require(Algorithm.HMAC256(fixture.sharedSecret())).withIssuer(fixture.issuer()).build();
            verifier.verify(fixture.token("hs256"));
        });
    }

    private static Object verifyByJwksRsa(String issuer, String token) throws Exception {
        var keys = new JwkProviderBuilder(jwks(issuer)).cached(10, 5, TimeUnit.MINUTES).build();
        Jwk jwk = keys.get(JWT.decode(token).getKeyId());
        PublicKey key = jwk.getPublicKey();
        Algorithm algorithm = key instanceof ECPublicKey ec ? Algorithm.ECDSA256(ec, null) : Algorithm.RSA256((RSAPublicKey) key, null);
        return JWT.require(algorithm).withIssuer(issuer).withAudience("https://api.example").build().verify(token);
    }

    private void jose4j() throws Exception {
        for (String name : new String[] {"es256-jwt", "es256", "eddsa", "rs256", "ps256"}) {
            check(JOSE4J, "verifies " + name, () -> {
                JwtConsumer consumer = jose4j(fixture.issuer());
                String token = fixture.token(name);
                consumer.processToClaims(token);
                rejected("a changed signature", () -> consumer.processToClaims(Fixture.forged(token)));
            });
        }
        for (Fixture.Imported key : fixture.imported()) {
            check(JOSE4J, "verifies a token by the imported key " + key.name(),
                    () -> jose4j(fixture.importIssuer()).processToClaims(key.token()));
        }
    }

    private static JwtConsumer jose4j(String issuer) throws Exception {
        return new JwtConsumerBuilder()
                .setVerificationKeyResolver(new HttpsJwksVerificationKeyResolver(new HttpsJwks(jwks(issuer).toString())))
                .setExpectedIssuer(issuer)
                .setExpectedAudience("https://api.example")
                .setRequireExpirationTime()
                .build();
    }
}
