package clients;

import static clients.Report.check;
import static clients.Report.rejected;
import static clients.Report.require;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootVersion;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.InMemoryOAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrations;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.jwt.JwtDecoders;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;

/** Runs {@link ResourceServer} and Spring Security's client against a server. */
public final class SpringChecks {
    private static final String LIBRARY = "spring-boot " + SpringBootVersion.getVersion();

    private final Fixture fixture;

    private SpringChecks(Fixture fixture) {
        this.fixture = fixture;
    }

    public static void main(String[] arguments) throws Exception {
        new SpringChecks(new Fixture(arguments[0])).run();
        Report.exit();
    }

    private void run() throws Exception {
        try (ConfigurableApplicationContext api = start()) {
            for (String name : new String[] {"es256-jwt", "rs256-jwt"}) {
                check(LIBRARY, "the default resource server verifies " + name + " from issuer-uri", () -> verifies(api, name));
            }
            check(LIBRARY, "the default resource server rejects a token for another audience",
                    () -> require(call(api, fixture.token("other-audience")).statusCode() == 401, "it is accepted"));
        }
        try (ConfigurableApplicationContext api = start("--spring.profiles.active=at-jwt")) {
            check(LIBRARY, "a resource server with the decoder of the page verifies es256 at+jwt", () -> verifies(api, "es256"));
        }
        for (Fixture.Imported key : fixture.imported()) {
            if (!key.alg().equals("EdDSA")) {
                check(LIBRARY, "the decoder of JwtDecoders verifies a token by the imported key " + key.name(),
                        () -> JwtDecoders.fromIssuerLocation(fixture.importIssuer()).decode(key.token()));
            }
        }
        for (ClientAuthenticationMethod method : new ClientAuthenticationMethod[] {
            ClientAuthenticationMethod.CLIENT_SECRET_BASIC, ClientAuthenticationMethod.CLIENT_SECRET_POST
        }) {
            check(LIBRARY, "the client gets a token by discovery and " + method.getValue(), () -> getsToken(method));
        }
        check(LIBRARY, "the introspector of opaque tokens accepts and rejects", this::introspects);
    }

    private ConfigurableApplicationContext start(String... arguments) {
        var application = new SpringApplication(ResourceServer.class);
        String[] all = new String[arguments.length + 4];
        all[0] = "--server.port=0";
        all[1] = "--spring.security.oauth2.resourceserver.jwt.issuer-uri=" + fixture.issuer();
        all[2] = "--spring.main.banner-mode=off";
        all[3] = "--logging.level.root=error";
        System.arraycopy(arguments, 0, all, 4, arguments.length);
        return application.run(all);
    }

    private void verifies(ConfigurableApplicationContext api, String client) throws Exception {
        String token = fixture.token(client);
        HttpResponse<String> accepted = call(api, token);
        require(accepted.statusCode() == 200, accepted.statusCode() + " "
                + accepted.headers().firstValue("WWW-Authenticate").orElse(""));
        require(accepted.body().contains("\"client_id\":\"" + client + "\""), "the claims lack the client_id");
        require(call(api, Fixture.forged(token)).statusCode() == 401, "a changed signature is accepted");
    }

    private static HttpResponse<String> call(ConfigurableApplicationContext api, String token) throws Exception {
        String port = api.getEnvironment().getProperty("local.server.port");
        var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/claims"))
                .header("Authorization", "Bearer " + token)
                .build();
        return HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
    }

    private void getsToken(ClientAuthenticationMethod method) throws Exception {
        Fixture.Client client = fixture.client("es256-jwt");
        String issuer = fixture.issuer();
        ClientRegistration registration = ClientRegistrations.fromIssuerLocation(issuer)
                .registrationId("oauth2-server")
                .clientId(client.id())
                .clientSecret(client.secret())
                .clientAuthenticationMethod(method)
                .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
                .build();
        var registrations = new InMemoryClientRegistrationRepository(registration);
        var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(
                registrations, new InMemoryOAuth2AuthorizedClientService(registrations));
        var authorized = manager.authorize(OAuth2AuthorizeRequest.withClientRegistrationId("oauth2-server").principal("check").build());
        require(authorized != null, "no authorized client");
        JwtDecoders.fromIssuerLocation(fixture.issuer()).decode(authorized.getAccessToken().getTokenValue());
    }

    private void introspects() throws Exception {
        Fixture.Client api = fixture.client("api");
        String issuer = fixture.issuer();
        var introspector = SpringOpaqueTokenIntrospector.withIntrospectionUri(issuer + "/oauth/introspect")
                .clientId(api.id())
                .clientSecret(api.secret())
                .build();
        String token = fixture.token("opaque");
        require("opaque".equals(introspector.introspect(token).getAttribute("client_id")), "another client_id");
        rejected("an unknown token", () -> introspector.introspect(token + "x"));
    }
}
