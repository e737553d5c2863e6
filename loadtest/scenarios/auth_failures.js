// A flood of wrong secrets in the name of a few clients, far beyond what is answered with 401. Neither they, who ask with the
// right secret meanwhile, nor others must suffer.
import { clientInTurn, guess, marked } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { turn } from '../lib/pool.js';
import { failed, insist } from '../lib/refusals.js';

export function flood(data) {
  const n = turn();
  failed(guess(data, marked(data, 'victim', n % config.limited), n));
}

// The victims' own requests and those of clients that nobody has attacked, by turns.
export function honest(data) {
  const n = turn();
  const half = Math.floor(n / 2);
  insist(n % 2 === 0 ? marked(data, 'victim', half % config.limited) : clientInTurn(data, half));
}
