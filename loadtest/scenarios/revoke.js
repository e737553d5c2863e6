// A token's whole life: issued, active, revoked, and from then on inactive. Four requests an iteration.
import { sleep } from 'k6';
import { asker, clientInTurn } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { introspect, issue, revoke } from '../lib/oauth.js';
import { turn } from '../lib/pool.js';

export function revokeOne(data) {
  const made = issue(clientInTurn(data, turn()));
  if (made === undefined) return;
  introspect(asker(data), made.token, made.client, 'a valid token called inactive');
  if (!revoke(made.client, made.token)) return;
  // Other nodes learn of it a moment later; the node that answered knows it already.
  if (config.revokeDelay > 0) sleep(config.revokeDelay);
  introspect(asker(data), made.token, null, 'a revoked token called active');
}
