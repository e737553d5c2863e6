// The functions of docs/frameworks/node.md.

import express from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';
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

export function apiWithExpress(issuer) {
  const api = express();
  api.use(auth({ issuerBaseURL: issuer, audience: 'https://api.example', tokenSigningAlg: 'ES256' }));
  api.get('/claims', requiredScopes('read'), (request, response) => response.json(request.auth.payload));
  return api;
}

export async function tokenWithOpenidClient(issuer, clientId, clientSecret) {
  const config = await client.discovery(new URL(issuer), clientId, clientSecret, client.ClientSecretBasic(clientSecret), {
    execute: [client.allowInsecureRequests], // only for http on loopback
  });
  const answer = await client.clientCredentialsGrant(config, { scope: 'read' });
  return answer.access_token;
}
