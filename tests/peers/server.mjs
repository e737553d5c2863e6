// The peer in the tests of loadtest/peers: node-oidc-provider with client_credentials, introspection and revocation, on
// loopback. Prints its URL when it listens, and runs until its standard input closes. Environment variables:
//   CLIENT_ID, CLIENT_SECRET  its only client
//   AUTH                      client authentication method (client_secret_basic)
//   TOKENS                    opaque or jwt (opaque)
//   LIFETIME                  token lifetime in seconds (1800)
//   MAX_ENTRIES               size of the store; the oldest entries are dropped (500000)
//   MAX_CONCURRENT            concurrent requests; more get 503, as from an overloaded server (unlimited)
//   PACKAGES                  directory of the npm packages (the directory of this file)
//   PORT                      port, 0 for a free one (0)
import crypto from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { resolve } = createRequire(path.join(process.env.PACKAGES ?? import.meta.dirname, 'package.json'));
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')));

const { CLIENT_ID, CLIENT_SECRET, AUTH = 'client_secret_basic', TOKENS = 'opaque', PORT = '0' } = process.env;
const { LIFETIME = '1800', MAX_ENTRIES = '500000', MAX_CONCURRENT = 'Infinity' } = process.env;

// The package's default store keeps only the last thousand entries: too few for the tokens that a run introspects.
const entries = new Map();

class Store {
  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, payload) {
    entries.set(`${this.kind}:${id}`, payload);
    if (entries.size > Number(MAX_ENTRIES)) entries.delete(entries.keys().next().value);
  }

  async find(id) {
    return entries.get(`${this.kind}:${id}`);
  }

  async destroy(id) {
    entries.delete(`${this.kind}:${id}`);
  }
}

// The only client may introspect and revoke all tokens.
const allowedPolicy = () => true;
const key = crypto.generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
const resource = {
  scope: 'read write',
  accessTokenFormat: TOKENS,
  accessTokenTTL: Number(LIFETIME),
  jwt: { sign: { alg: 'EdDSA' } },
};

const server = http.createServer();
await new Promise((listening) => server.listen(Number(PORT), '127.0.0.1', listening));
const url = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(url, {
  adapter: Store,
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      token_endpoint_auth_method: AUTH,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope: 'read write',
      id_token_signed_response_alg: 'EdDSA',
    },
  ],
  cookies: { keys: [crypto.randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://api.invalid',
      getResourceServerInfo: () => resource,
    },
    revocation: { enabled: true, allowedPolicy },
  },
  jwks: { keys: [{ ...key, alg: 'EdDSA', use: 'sig', kid: 'one' }] },
  scopes: ['read', 'write'],
  ttl: { ClientCredentials: Number(LIFETIME) },
});

const handle = provider.callback();
let concurrent = 0;
server.on('request', (request, response) => {
  concurrent += 1;
  response.on('close', () => {
    concurrent -= 1;
  });
  if (concurrent > Number(MAX_CONCURRENT)) response.writeHead(503).end();
  else handle(request, response);
});
process.stdin.resume().on('end', () => process.exit());
console.log(url);
