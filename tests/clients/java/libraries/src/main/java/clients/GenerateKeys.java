package clients;

import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.spec.ECGenParameterSpec;
import java.util.Base64;

/** Writes private keys, as Java programs make them, to files named {@code java.ALG.NAME}. */
public final class GenerateKeys {
    private GenerateKeys() {}

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        var ec = KeyPairGenerator.getInstance("EC");
        ec.initialize(new ECGenParameterSpec("secp256r1"));
        Files.writeString(directory.resolve("java.ES256.keypairgenerator-pkcs8"), pem(ec.generateKeyPair().getPrivate()));
        var rsa = KeyPairGenerator.getInstance("RSA");
        rsa.initialize(2048);
        Files.writeString(directory.resolve("java.RS256.keypairgenerator-pkcs8"), pem(rsa.generateKeyPair().getPrivate()));
        var ed25519 = KeyPairGenerator.getInstance("Ed25519");
        Files.writeString(directory.resolve("java.EdDSA.keypairgenerator-pkcs8"), pem(ed25519.generateKeyPair().getPrivate()));
        var jwk = new ECKeyGenerator(Curve.P_256).keyUse(KeyUse.SIGNATURE).keyID("nimbus-1").generate();
        Files.writeString(directory.resolve("java.ES256.nimbus-jwk"), jwk.toJSONString());
        var inSet = new RSAKeyGenerator(2048).keyUse(KeyUse.SIGNATURE).keyIDFromThumbprint(true).generate();
        Files.writeString(directory.resolve("java.RS256.nimbus-jwk-set"), new JWKSet(inSet).toString(false));
    }

    private static String pem(PrivateKey key) {
        String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(key.getEncoded());
        return "-----BEGIN PRIVATE KEY-----\n" + body + "\n-----END PRIVATE KEY-----\n";
    }
}
