// The request mix of a platform, by the weights of `MIX` in `lib/profiles.js`.
import { fetchDocument } from '../lib/oauth.js';
import { iteration } from '../lib/pool.js';
import { MIX } from '../lib/profiles.js';
import { issueInTurn } from './client_credentials.js';
import { introspectOne } from './introspect.js';
import { introspectMany } from './introspect_batch.js';
import { revokeOne } from './revoke.js';

const REQUESTS = {
  token: issueInTurn,
  introspect: introspectOne,
  introspect_batch: introspectMany,
  revoke: revokeOne,
  keys: () => fetchDocument(iteration() % 2 === 0 ? 'paseto_keys' : 'jwks'),
  metadata: () => fetchDocument('metadata'),
};

// A hundred slots, each request type in as many as its weight.
const slots = Object.entries(MIX).flatMap(([type, weight]) => Array(weight).fill(type));

export function runMix(data) {
  // 37 and 100 are coprime: a hundred iterations visit every slot once, and equal slots are not consecutive.
  REQUESTS[slots[(iteration() * 37) % slots.length]](data);
}
