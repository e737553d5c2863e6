// An API asks about tokens, one at a time: eight of ten are valid, one is revoked, one is garbage.
import { asker } from '../lib/clients.js';
import { introspect } from '../lib/oauth.js';
import { candidate, turn } from '../lib/pool.js';

export function introspectOne(data) {
  const asked = candidate(data, turn());
  if (asked !== undefined) introspect(asker(data), asked.token, asked.expected, asked.what);
}
