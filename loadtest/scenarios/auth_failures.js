// A flood of wrong secrets for a few clients, far beyond AUTH_FAILURES. It must not affect these clients, which send requests
// with their correct secrets at the same time, nor any others.
import { clientInTurn, dedicatedClient, withWrongSecret } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { iteration } from '../lib/pool.js';
import { requestWithCorrectSecret, requestWithWrongSecret } from '../lib/rejections.js';

export function flood(data) {
  const n = iteration();
  requestWithWrongSecret(withWrongSecret(data, dedicatedClient(data, 'victim', n % config.limited), n));
}

// Correct requests of the attacked clients and of others, alternating.
export function legitimate(data) {
  const n = iteration();
  const half = Math.floor(n / 2);
  requestWithCorrectSecret(n % 2 === 0 ? dedicatedClient(data, 'victim', half % config.limited) : clientInTurn(data, half));
}
