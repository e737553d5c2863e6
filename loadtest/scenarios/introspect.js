// A resource server introspects tokens one at a time: of ten, eight are valid, one is revoked, one is invalid.
import { introspectionClient } from '../lib/clients.js';
import { introspect } from '../lib/oauth.js';
import { iteration, poolToken } from '../lib/pool.js';

export function introspectOne(data) {
  const item = poolToken(data, iteration());
  if (item !== undefined) introspect(introspectionClient(data), item.token, item.expected, item.what);
}
