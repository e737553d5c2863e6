package clients;

import java.util.Map;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** An API that Spring Boot protects by its defaults: src/main/resources/application.yml is all its configuration. */
@SpringBootApplication
@RestController
public class ResourceServer {
    @GetMapping("/claims")
    public Map<String, Object> claims(@AuthenticationPrincipal Jwt token) {
        return token.getClaims();
    }
}
