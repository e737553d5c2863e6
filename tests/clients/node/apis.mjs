// The APIs of docs/frameworks/node.md. Each answers `GET /claims` with the claims of the token.

import fastifyJwt from '@fastify/jwt';
import express from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';
import fastify from 'fastify';
import buildGetJwks from 'get-jwks';
import { jwk } from 'hono/jwk';
import { Hono } from 'hono';
import { passportJwtSecret } from 'jwks-rsa';
import passport from 'passport';
import { ExtractJwt, Strategy } from 'passport-jwt';

export function apiWithExpress(issuer) {
  const api = express();
  api.use(auth({ issuerBaseURL: issuer, audience: 'https://api.example', tokenSigningAlg: 'ES256' }));
  api.get('/claims', requiredScopes('read'), (request, response) => response.json(request.auth.payload));
  return api;
}

export function apiWithPassport(issuer) {
  const options = {
    jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
    secretOrKeyProvider: passportJwtSecret({ jwksUri: `${issuer}/.well-known/jwks.json`, cache: true }),
    issuer,
    audience: 'https://api.example',
    algorithms: ['ES256'],
  };
  passport.use(new Strategy(options, (claims, done) => done(null, claims)));
  const api = express();
  api.get('/claims', passport.authenticate('jwt', { session: false }), (request, response) => response.json(request.user));
  return api;
}

export function apiWithFastify(issuer) {
  const jwks = buildGetJwks({ issuersWhitelist: [issuer], providerDiscovery: true });
  const api = fastify();
  api.register(fastifyJwt, {
    decode: { complete: true },
    secret: (request, { header, payload }) => jwks.getPublicKey({ domain: payload.iss, kid: header.kid, alg: header.alg }),
    verify: { algorithms: ['ES256'], allowedIss: issuer, allowedAud: 'https://api.example' },
  });
  api.get('/claims', { onRequest: (request) => request.jwtVerify() }, (request) => request.user);
  return api;
}

export function apiWithHono(issuer) {
  const api = new Hono();
  api.use(jwk({
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    alg: ['ES256'],
    verification: { iss: issuer, aud: 'https://api.example', typ: ['at+jwt', 'JWT'] },
  }));
  api.get('/claims', (context) => context.json(context.get('jwtPayload')));
  return api;
}
