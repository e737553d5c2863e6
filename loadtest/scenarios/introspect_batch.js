// A gateway introspects many tokens in one request; each result is checked at its index.
import { introspectionClient } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { introspectBatch } from '../lib/oauth.js';
import { iteration, poolToken } from '../lib/pool.js';

export function introspectMany(data) {
  const first = iteration() * config.batchSize;
  const items = [];
  for (let n = 0; n < config.batchSize; n += 1) {
    const item = poolToken(data, first + n);
    if (item !== undefined) items.push(item);
  }
  if (items.length > 0) introspectBatch(introspectionClient(data), items);
}
