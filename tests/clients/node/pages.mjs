// The functions of docs/frameworks/node.md.

import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';

export function verifierWithJose(issuer) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`)); // once: it caches the keys
  return (token) => jwtVerify(token, keys, {
    issuer,
    audience: 'https://api.example',
    algorithms: ['ES256'],
    typ: 'at+jwt',
  });
}

export async function tokenWithOpenidClient(issuer, clientId, clientSecret) {
  const config = await client.discovery(new URL(issuer), clientId, clientSecret, client.ClientSecretBasic(clientSecret), {
    execute: [client.allowInsecureRequests], // only for http on loopback
  });
  const answer = await client.clientCredentialsGrant(config, { scope: 'read' });
  return answer.access_token;
}
