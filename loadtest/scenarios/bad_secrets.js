// A flood of wrong secrets, and legitimate traffic that it must not slow down.
import { clientInTurn, unregisteredClient, withWrongSecret } from '../lib/clients.js';
import { iteration } from '../lib/pool.js';
import { requestWithWrongSecret } from '../lib/rejections.js';

export { issueInTurn as legitimate } from './client_credentials.js';

// Four of five requests name a registered client, one an unregistered client.
export function flood(data) {
  const n = iteration();
  requestWithWrongSecret(n % 5 === 4 ? unregisteredClient(data, n) : withWrongSecret(data, clientInTurn(data, n), n));
}
