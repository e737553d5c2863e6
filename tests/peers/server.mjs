// The peer of the comparison's check: node-oidc-provider with client_credentials, introspection and revocation, on loopback.
// CLIENT_ID and CLIENT_SECRET name its only client, which proves who it is by AUTH; TOKENS is `opaque` or `jwt`, of which it
// keeps as many as REMEMBERS says. Beyond AT_ONCE requests it answers 503, as an overloaded server does. Prints its URL when
// it listens, and ends with its standard input.
import crypto from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The packages need not lie beside this file.
const { resolve } = createRequire(path.join(process.env.PACKAGES ?? import.meta.dirname, 'package.json'));
const { Provider } = await import(pathToFileURL(resolve('oidc-provider')));

const { CLIENT_ID, CLIENT_SECRET, AUTH = 'client_secret_basic', TOKENS = 'opaque', PORT = '0' } = process.env;
const { LIFETIME = '1800', REMEMBERS = '500000', AT_ONCE = 'Infinity' } = process.env;

// The package's own store forgets all but the last thousand entries, and with them tokens that a run still asks about.
const entries = new Map();

class Store {
  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, payload) {
    entries.set(`${this.kind}:${id}`, payload);
    if (entries.size > Number(REMEMBERS)) entries.delete(entries.keys().next().value);
  }

  async find(id) {
    return entries.get(`${this.kind}:${id}`);
  }

  async destroy(id) {
    entries.delete(`${this.kind}:${id}`);
  }
}

// Both may be asked about by the client that there is.
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

const answer = provider.callback();
let underWay = 0;
server.on('request', (request, response) => {
  underWay += 1;
  response.on('close', () => {
    underWay -= 1;
  });
  if (underWay > Number(AT_ONCE)) response.writeHead(503).end();
  else answer(request, response);
});
process.stdin.resume().on('end', () => process.exit());
console.log(url);
