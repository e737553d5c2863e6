// What a platform does all day, by the weights of `MIX` in `lib/profiles.js`.
import { clientInTurn } from '../lib/clients.js';
import { discover, issue } from '../lib/oauth.js';
import { turn } from '../lib/pool.js';
import { MIX } from '../lib/profiles.js';
import { introspectOne } from './introspect.js';
import { introspectMany } from './introspect_batch.js';
import { revokeOne } from './revoke.js';

const PARTS = {
  token: (data) => issue(clientInTurn(data, turn())),
  introspect: introspectOne,
  introspect_batch: introspectMany,
  revoke: revokeOne,
  keys: () => discover(turn() % 2 === 0 ? 'paseto_keys' : 'jwks'),
  metadata: () => discover('metadata'),
};

// A hundred places, each part as often as it weighs.
const places = Object.entries(MIX).flatMap(([part, weight]) => Array(weight).fill(part));

export function mix(data) {
  // Steps of 37 through a hundred places meet each of them once, and the rare ones not in a row.
  PARTS[places[(turn() * 37) % places.length]](data);
}
