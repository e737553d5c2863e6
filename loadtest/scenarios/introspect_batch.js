// A gateway asks about many tokens in one request; every answer is checked at its place.
import { asker } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { introspectBatch } from '../lib/oauth.js';
import { candidate, turn } from '../lib/pool.js';

export function introspectMany(data) {
  const first = turn() * config.batchSize;
  const asked = [];
  for (let n = 0; n < config.batchSize; n += 1) {
    const one = candidate(data, first + n);
    if (one !== undefined) asked.push(one);
  }
  if (asked.length > 0) introspectBatch(asker(data), asked);
}
