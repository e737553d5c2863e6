// The token pool: valid, revoked and invalid tokens to introspect. It is filled in `setup` and shared by all VUs.
import exec from 'k6/execution';
import { clientInTurn, introspectionClient, random } from './clients.js';
import { config } from './config.js';
import { WRONG } from './error_types.js';
import { fail } from './failure.js';
import { introspect, issue, revoke } from './oauth.js';

// Issues the tokens. Every third one is revoked, if there is a revocation endpoint.
export function fillPool(data) {
  const pool = { valid: [], revoked: [] };
  for (let n = 0; n < config.pool; n += 1) {
    const issued = issue(clientInTurn(data, n));
    if (issued === undefined) fail('the server issues no token for a client of this run');
    const { token, expires } = issued;
    if (n % 3 === 2 && config.endpoints.revoke !== undefined) {
      if (!revoke(issued.client, token)) fail('the server does not revoke a token of this run');
      pool.revoked.push(token);
    } else {
      pool.valid.push({ token, expires, n });
    }
  }
  return pool;
}

// Tokens that this VU issued in place of expired ones, by their index in the pool.
const renewed = {};

function valid(data, turn) {
  const index = turn % data.pool.valid.length;
  let held = renewed[index] ?? data.pool.valid[index];
  const soon = Date.now() / 1000 + config.timeout;
  if (held.expires < soon) {
    const issued = issue(clientInTurn(data, held.n));
    if (issued === undefined) return undefined;
    held = { token: issued.token, expires: issued.expires, n: held.n };
    renewed[index] = held;
  }
  return { token: held.token, expected: clientInTurn(data, held.n), what: WRONG.validInactive };
}

function invalid(data, turn) {
  const held = data.pool.valid[turn % data.pool.valid.length].token;
  const variants = [
    () => random(40),
    // One character changed: everything but the signature is correct.
    () => held.slice(0, -9) + (held[held.length - 9] === 'A' ? 'B' : 'A') + held.slice(-8),
    () => held.slice(0, held.length / 2),
    () => `v4.public.${random(120)}`,
  ];
  return { token: variants[turn % variants.length](), expected: null, what: WRONG.invalidActive };
}

function revoked(data, turn) {
  return { token: data.pool.revoked[turn % data.pool.revoked.length], expected: null, what: WRONG.revokedActive };
}

// The token to introspect in turn `turn`. Of ten, eight are valid, one is revoked (valid, if the server cannot revoke) and one
// is invalid. Undefined if an expired token could not be replaced.
export function poolToken(data, turn) {
  const round = Math.floor(turn / 10);
  if (turn % 10 === 8 && data.pool.revoked.length > 0) return revoked(data, round);
  if (turn % 10 === 9) return invalid(data, round);
  return valid(data, round * 8 + (turn % 10));
}

// Introspects a valid, a revoked and an invalid token before the run. A server that cannot tell them apart is not measured.
export function checkPool(data) {
  for (const turn of [0, 8, 9]) {
    const { token, expected, what } = poolToken(data, turn);
    if (!introspect(introspectionClient(data), token, expected, what)) fail(`introspection fails before the load begins: ${what}`);
  }
}

// The number of this iteration within its scenario.
export const iteration = () => exec.scenario.iterationInTest;
