// Tokens to ask about: some valid, some revoked, some that never were tokens. Made in `setup`, shared by all VUs.
import exec from 'k6/execution';
import { asker, clientInTurn, random } from './clients.js';
import { config } from './config.js';
import { fail } from './failure.js';
import { introspect, issue, revoke } from './oauth.js';

const VALID = 'a valid token called inactive';
const REVOKED = 'a revoked token called active';
const GARBAGE = 'garbage called active';

// Of three tokens that are made, one is revoked, where there is an endpoint for that.
export function fill(data) {
  const pool = { valid: [], revoked: [] };
  for (let n = 0; n < config.pool; n += 1) {
    const made = issue(clientInTurn(data, n));
    if (made === undefined) fail('the server issues no token for a client of this run');
    const { token, expires } = made;
    if (n % 3 === 2 && config.endpoints.revoke !== undefined) {
      if (!revoke(made.client, token)) fail('the server does not revoke a token of this run');
      pool.revoked.push(token);
    } else {
      pool.valid.push({ token, expires, n });
    }
  }
  return pool;
}

// Valid tokens that this VU got because those of the pool had expired, by their place in it.
const renewed = {};

function valid(data, turn) {
  const at = turn % data.pool.valid.length;
  let held = renewed[at] ?? data.pool.valid[at];
  const soon = Date.now() / 1000 + config.timeout;
  if (held.expires < soon) {
    const fresh = issue(clientInTurn(data, held.n));
    if (fresh === undefined) return undefined;
    held = { token: fresh.token, expires: fresh.expires, n: held.n };
    renewed[at] = held;
  }
  return { token: held.token, expected: clientInTurn(data, held.n), what: VALID };
}

function garbage(data, turn) {
  const held = data.pool.valid[turn % data.pool.valid.length].token;
  const shapes = [
    () => random(40),
    // One character off: everything about it is right but the signature.
    () => held.slice(0, -9) + (held[held.length - 9] === 'A' ? 'B' : 'A') + held.slice(-8),
    () => held.slice(0, held.length / 2),
    () => `v4.public.${random(120)}`,
  ];
  return { token: shapes[turn % shapes.length](), expected: null, what: GARBAGE };
}

function revoked(data, turn) {
  return { token: data.pool.revoked[turn % data.pool.revoked.length], expected: null, what: REVOKED };
}

// What to ask about in turn: of ten, eight are valid, one is revoked (valid, where nothing can be revoked), one is garbage.
// Undefined where a token was needed and could not be had.
export function candidate(data, turn) {
  const round = Math.floor(turn / 10);
  if (turn % 10 === 8 && data.pool.revoked.length > 0) return revoked(data, round);
  if (turn % 10 === 9) return garbage(data, round);
  return valid(data, round * 8 + (turn % 10));
}

// Asks about a token that must be active, one that must not and one that never was: a server that does not tell them apart
// is not worth measuring.
export function rehearse(data) {
  for (const number of [0, 8, 9]) {
    const { token, expected, what } = candidate(data, number);
    if (!introspect(asker(data), token, expected, what)) fail(`introspection fails before there is any load: ${what}`);
  }
}

// The number of this iteration within its scenario.
export const turn = () => exec.scenario.iterationInTest;
