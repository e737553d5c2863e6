// Prints vectors of Spring Security's encoders, a JSON object a line. See README.md.
import java.util.LinkedHashMap;
import java.util.Map;
import org.springframework.security.crypto.argon2.Argon2PasswordEncoder;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.crypto.factory.PasswordEncoderFactories;
import org.springframework.security.crypto.password.DelegatingPasswordEncoder;
import org.springframework.security.crypto.password.MessageDigestPasswordEncoder;
import org.springframework.security.crypto.password.NoOpPasswordEncoder;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.crypto.password.Pbkdf2PasswordEncoder;
import org.springframework.security.crypto.password.StandardPasswordEncoder;
import org.springframework.security.crypto.scrypt.SCryptPasswordEncoder;

@SuppressWarnings("deprecation")
class Make {
    static final String STRONG = "Xy7-q2LmZ0vB9nTfKc4WsJd8RgHe3UaPi5oQ_1rEtYw";

    public static void main(String[] arguments) {
        Map<String, PasswordEncoder> encoders = new LinkedHashMap<>();
        encoders.put("bcrypt", new BCryptPasswordEncoder(5));
        encoders.put("noop", NoOpPasswordEncoder.getInstance());
        encoders.put("pbkdf2", Pbkdf2PasswordEncoder.defaultsForSpringSecurity_v5_5());
        encoders.put("pbkdf2@SpringSecurity_v5_8", Pbkdf2PasswordEncoder.defaultsForSpringSecurity_v5_8());
        encoders.put("scrypt", SCryptPasswordEncoder.defaultsForSpringSecurity_v4_1());
        encoders.put("scrypt@SpringSecurity_v5_8", SCryptPasswordEncoder.defaultsForSpringSecurity_v5_8());
        encoders.put("argon2", Argon2PasswordEncoder.defaultsForSpringSecurity_v5_2());
        encoders.put("argon2@SpringSecurity_v5_8", Argon2PasswordEncoder.defaultsForSpringSecurity_v5_8());
        encoders.put("sha256", new StandardPasswordEncoder());
        encoders.put("SHA-256", new MessageDigestPasswordEncoder("SHA-256"));
        encoders.put("SHA-512", new MessageDigestPasswordEncoder("SHA-512"));
        // The reader of every application accepts each of them, but SHA-512, which an application adds itself.
        PasswordEncoder all = PasswordEncoderFactories.createDelegatingPasswordEncoder();
        for (String id : encoders.keySet()) {
            String hash = new DelegatingPasswordEncoder(id, encoders).encode(STRONG);
            if (!id.equals("SHA-512") && !all.matches(STRONG, hash)) {
                throw new IllegalStateException(id);
            }
            System.out.printf("{\"made_by\":\"Spring Security {%s}\",\"secret\":\"%s\",\"hash\":\"%s\"}%n", id, STRONG, hash);
        }
    }
}
