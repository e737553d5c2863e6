// A flood of wrong secrets, and beside it honest traffic that must not suffer.
import { clientInTurn, impostor, stranger } from '../lib/clients.js';
import { issue } from '../lib/oauth.js';
import { turn } from '../lib/pool.js';
import { failed } from '../lib/refusals.js';

// Four of five guess at the secret of a client that is there, one names a client that is not.
export function flood(data) {
  const n = turn();
  failed(n % 5 === 4 ? stranger(data, n) : impostor(data, n));
}

export function honest(data) {
  issue(clientInTurn(data, turn()));
}
