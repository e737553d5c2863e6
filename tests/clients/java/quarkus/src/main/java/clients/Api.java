package clients;

import io.quarkus.oidc.client.OidcClient;
import io.quarkus.security.Authenticated;
import io.quarkus.security.identity.SecurityIdentity;
import jakarta.inject.Inject;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;

/** An API that Quarkus protects: src/main/resources/application.properties is all its configuration. */
@Path("/")
public class Api {
    @Inject
    SecurityIdentity identity;

    @Inject
    OidcClient client;

    @GET
    @Path("subject")
    @Authenticated
    public String subject() {
        return identity.getPrincipal().getName();
    }

    /** A token that the OIDC client got. */
    @GET
    @Path("token")
    public String token() {
        return client.getTokens().await().indefinitely().getAccessToken();
    }
}
