// node-oidc-provider with client_credentials, JWTs and introspection, as in docs/migrating.md. Environment variables:
//   ISSUER    its issuer identifier, the URL of the proxy
//   PORT      its port on loopback
//   CLIENTS   file with its clients: the `clients` of its configuration
//   JWKS      file with its private keys; written if it does not exist
//   PACKAGES  directory of the npm packages
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { ISSUER, PORT, CLIENTS, JWKS, PACKAGES } = process.env;
const { resolve } = createRequire(path.join(PACKAGES, 'package.json'));
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')));

if (!fs.existsSync(JWKS)) {
  const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'provider-2025' };
  fs.writeFileSync(JWKS, JSON.stringify({ keys: [key] }), { mode: 0o600 });
}

const provider = new Provider(ISSUER, {
  clients: JSON.parse(fs.readFileSync(CLIENTS)).clients,
  cookies: { keys: [crypto.randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://api.example',
      getResourceServerInfo: () => ({
        scope: 'read write',
        audience: 'https://api.example',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  jwks: JSON.parse(fs.readFileSync(JWKS)),
  scopes: ['read', 'write'],
  ttl: { ClientCredentials: 600 },
});
provider.proxy = true;
http.createServer(provider.callback()).listen(Number(PORT), '127.0.0.1');
