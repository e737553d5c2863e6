// The life of a token in four requests: it is issued, active, revoked, and inactive from then on.
import { sleep } from 'k6';
import { clientInTurn, introspectionClient } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { WRONG } from '../lib/error_types.js';
import { introspect, issue, revoke } from '../lib/oauth.js';
import { iteration } from '../lib/pool.js';

export function revokeOne(data) {
  const issued = issue(clientInTurn(data, iteration()));
  if (issued === undefined) return;
  introspect(introspectionClient(data), issued.token, issued.client, WRONG.validInactive);
  if (!revoke(issued.client, issued.token)) return;
  // The node that revoked the token knows at once; other nodes learn of it a moment later.
  if (config.revokeDelay > 0) sleep(config.revokeDelay);
  introspect(introspectionClient(data), issued.token, null, WRONG.revokedActive);
}
