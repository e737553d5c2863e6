package issuer;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.security.crypto.argon2.Argon2PasswordEncoder;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.crypto.factory.PasswordEncoderFactories;
import org.springframework.security.crypto.password.DelegatingPasswordEncoder;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.crypto.password.Pbkdf2PasswordEncoder;
import org.springframework.security.crypto.scrypt.SCryptPasswordEncoder;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.server.authorization.client.JdbcRegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.settings.TokenSettings;

/** Spring Authorization Server by the defaults of Spring Boot. What an application has to add: the table of its clients, and its key. */
@SpringBootApplication
public class Issuer {
    public static void main(String[] arguments) {
        SpringApplication.run(Issuer.class, arguments);
    }

    /** `file`: a line per client, with its id, the id of the encoder of its secret, and the secret. */
    @Bean
    RegisteredClientRepository clients(JdbcTemplate database, @Value("${clients}") Path file) throws IOException {
        var clients = new JdbcRegisteredClientRepository(database);
        for (String line : Files.readAllLines(file)) {
            String[] parts = line.split(" ");
            clients.save(RegisteredClient.withId(UUID.randomUUID().toString())
                    .clientId(parts[0])
                    .clientIdIssuedAt(Instant.now())
                    .clientSecret(encoded(parts[1], parts[2]))
                    .clientName(parts[0])
                    .clientAuthenticationMethod(ClientAuthenticationMethod.CLIENT_SECRET_BASIC)
                    .clientAuthenticationMethod(ClientAuthenticationMethod.CLIENT_SECRET_POST)
                    .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
                    .scope("read")
                    .scope("write")
                    .tokenSettings(TokenSettings.builder().accessTokenTimeToLive(Duration.ofMinutes(10)).build())
                    .build());
        }
        return clients;
    }

    @SuppressWarnings("deprecation")
    private static String encoded(String id, String secret) {
        Map<String, PasswordEncoder> encoders = new LinkedHashMap<>();
        encoders.put("bcrypt", new BCryptPasswordEncoder());
        encoders.put("pbkdf2", Pbkdf2PasswordEncoder.defaultsForSpringSecurity_v5_5());
        encoders.put("pbkdf2@SpringSecurity_v5_8", Pbkdf2PasswordEncoder.defaultsForSpringSecurity_v5_8());
        encoders.put("argon2@SpringSecurity_v5_8", Argon2PasswordEncoder.defaultsForSpringSecurity_v5_8());
        encoders.put("scrypt@SpringSecurity_v5_8", SCryptPasswordEncoder.defaultsForSpringSecurity_v5_8());
        return id.equals("noop") ? "{noop}" + secret : new DelegatingPasswordEncoder(id, encoders).encode(secret);
    }

    /** Verifies as the default does. That one would also encode every secret with bcrypt again, at its first use. */
    @Bean
    PasswordEncoder encoder() {
        PasswordEncoder encoder = PasswordEncoderFactories.createDelegatingPasswordEncoder();
        return new PasswordEncoder() {
            @Override
            public String encode(CharSequence secret) {
                return encoder.encode(secret);
            }

            @Override
            public boolean matches(CharSequence secret, String encoded) {
                return encoder.matches(secret, encoded);
            }
        };
    }

    /** The key, which the application also writes to `file`. */
    @Bean
    JWKSource<SecurityContext> keys(@Value("${jwks}") Path file) throws IOException, JOSEException {
        var key = new RSAKeyGenerator(2048).keyID("spring-2025").algorithm(JWSAlgorithm.RS256).keyUse(KeyUse.SIGNATURE).generate();
        var set = new JWKSet(key);
        Files.writeString(file, set.toString(false));
        return new ImmutableJWKSet<>(set);
    }
}
