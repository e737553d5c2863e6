// Runs verifier and client libraries for Node against a server.
//
// usage: node check.mjs FIXTURE

import { OAuth2Client } from '@badgateway/oauth2-client';
import * as jose from 'jose';
import * as jose5 from 'jose5';
import jwt from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';
import * as openid from 'openid-client';
import { Issuer } from 'openid-client5';
import { ClientCredentials } from 'simple-oauth2';

import { apiWithExpress, apiWithFastify, apiWithHono, apiWithPassport } from './apis.mjs';
import { tokenWithOpenidClient, verifierWithJose } from './pages.mjs';
import { check, exit, Fixture, rejected, require, verifies } from './report.mjs';

const fixture = new Fixture(process.argv[2]);
const { issuer, audience } = fixture;
const everyAlgorithm = ['es256-jwt', 'es256', 'eddsa', 'ed25519', 'rs256', 'ps256'];

// Verification.

await verifies(fixture, 'jose 6', ['es256'], verifierWithJose(issuer));
await check('jose 6', 'rejects a token for another audience', async () => {
  await rejected('it', async () => verifierWithJose(issuer)(await fixture.token('other-audience')));
});
for (const [library, { createRemoteJWKSet, jwtVerify }] of [['jose 6', jose], ['jose 5', jose5]]) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
  await verifies(fixture, library, everyAlgorithm, (token) => jwtVerify(token, keys, { issuer, audience }));
}

const imported = jose.createRemoteJWKSet(new URL(`${fixture.import_issuer}/.well-known/jwks.json`));
for (const key of fixture.imported.filter(({ language }) => language === 'node')) {
  await check('jose 6', `verifies a token by the imported key ${key.name}`, () => jose.jwtVerify(key.token, imported, { audience }));
}

const rsaKeys = jwksRsa({ jwksUri: `${issuer}/.well-known/jwks.json` });
const keyOf = (header, done) => rsaKeys.getSigningKey(header.kid, (error, key) => done(error, key?.getPublicKey()));
const verifyWithJsonwebtoken = (token) => new Promise((resolve, reject) => {
  const options = { issuer, audience, algorithms: ['ES256', 'RS256', 'PS256'] };
  jwt.verify(token, keyOf, options, (error, claims) => (error ? reject(error) : resolve(claims)));
});
await verifies(fixture, 'jsonwebtoken 9 with jwks-rsa 4', ['es256-jwt', 'es256', 'rs256', 'ps256'], verifyWithJsonwebtoken);
await verifies(fixture, 'jsonwebtoken 9', ['hs256'], async (token) => {
  jwt.verify(token, fixture.shared_secret, { issuer, audience, algorithms: ['HS256'] });
});

/** Checks an API. `claims` requests its claims with headers. */
async function protects(library, claims) {
  await verifies(fixture, library, ['es256-jwt', 'es256'], async (token) => {
    const response = await claims({ authorization: `Bearer ${token}` });
    require(response.status === 200, `it answers ${response.status} ${response.headers.get('www-authenticate')}`);
    require((await response.json()).aud === audience, 'the claims lack the audience');
  });
  await check(library, 'rejects no token and a token for another audience', async () => {
    for (const headers of [{}, { authorization: `Bearer ${await fixture.token('other-audience')}` }]) {
      require((await claims(headers)).status === 401, 'it is accepted');
    }
  });
}

for (const [library, api] of [
  ['express 5 with express-oauth2-jwt-bearer 1', apiWithExpress(issuer)],
  ['passport-jwt 4 with jwks-rsa 4', apiWithPassport(issuer)],
]) {
  const listener = api.listen(0, '127.0.0.1');
  await new Promise((ready) => listener.once('listening', ready));
  await protects(library, (headers) => fetch(`http://127.0.0.1:${listener.address().port}/claims`, { headers }));
  listener.close();
}
const fastify = apiWithFastify(issuer);
const url = await fastify.listen({ port: 0, host: '127.0.0.1' });
await protects('fastify 5 with @fastify/jwt 10 and get-jwks 11', (headers) => fetch(`${url}/claims`, { headers }));
await fastify.close();
await protects('hono 4', (headers) => apiWithHono(issuer).request('/claims', { headers }));

// Clients.

const { client_id: id, client_secret: secret } = fixture.clients.es256;
await check('openid-client 6', 'gets a token by discovery as the page does', async () => {
  await verifierWithJose(issuer)(await tokenWithOpenidClient(issuer, id, secret));
});
for (const algorithm of ['oidc', 'oauth2']) {
  for (const [method, authentication] of [
    ['client_secret_basic', openid.ClientSecretBasic(secret)],
    ['client_secret_post', openid.ClientSecretPost(secret)],
  ]) {
    await check('openid-client 6', `gets, introspects and revokes a token by ${algorithm} discovery with ${method}`, async () => {
      const options = { algorithm, execute: [openid.allowInsecureRequests] };
      const config = await openid.discovery(new URL(issuer), id, secret, authentication, options);
      const { access_token: token } = await openid.clientCredentialsGrant(config);
      require((await openid.tokenIntrospection(config, token)).active === true, 'the token is not active');
      await openid.tokenRevocation(config, token);
      require((await openid.tokenIntrospection(config, token)).active === false, 'the token is active after its revocation');
    });
  }
}

for (const method of ['client_secret_basic', 'client_secret_post']) {
  await check('openid-client 5', `gets, introspects and revokes a token by discovery with ${method}`, async () => {
    const { Client } = await Issuer.discover(issuer);
    const client = new Client({
      client_id: id,
      client_secret: secret,
      token_endpoint_auth_method: method,
      introspection_endpoint_auth_method: method,
      revocation_endpoint_auth_method: method,
    });
    const { access_token: token } = await client.grant({ grant_type: 'client_credentials' });
    require((await client.introspect(token)).active === true, 'the token is not active');
    await client.revoke(token);
    require((await client.introspect(token)).active === false, 'the token is active after its revocation');
  });
}

for (const authorizationMethod of ['header', 'body']) {
  await check('simple-oauth2 5', `gets and revokes a token with the secret in the ${authorizationMethod}`, async () => {
    const client = new ClientCredentials({
      client: { id, secret },
      auth: { tokenHost: issuer, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' },
      // Its default fails on the empty response of a revocation (RFC 7009).
      http: { json: true },
      options: { authorizationMethod },
    });
    const token = await client.getToken({ scope: 'read' });
    await verifierWithJose(issuer)(token.token.access_token);
    await token.revoke('access_token');
  });
}

await check('@badgateway/oauth2-client 3', 'gets, introspects and revokes a token by discovery', async () => {
  const client = new OAuth2Client({ server: `${issuer}/`, clientId: id, clientSecret: secret });
  const token = await client.clientCredentials();
  require((await client.introspect(token)).active === true, 'the token is not active');
  await client.revoke(token, 'access_token');
  require((await client.introspect(token)).active === false, 'the token is active after its revocation');
});

exit();
