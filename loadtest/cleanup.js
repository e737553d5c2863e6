// Removes what a run left behind that could not clear up itself: the clients whose ids begin with `lt-RUN_ID-`.
// run.sh calls it; by hand: RUN_ID=... ADMIN_URL=... ADMIN_TOKEN_FILE=... k6 run cleanup.js
import { named, reason, remove } from './lib/admin.js';
import { isOurs, prefixOf } from './lib/clients.js';
import { config } from './lib/config.js';
import { fail } from './lib/failure.js';

export const options = { vus: 1, iterations: 1, setupTimeout: '15m' };

export function setup() {
  if (config.runId === undefined) fail('RUN_ID is missing: whose clients are to be removed?');
  if (!config.own) fail('ADMIN_URL and ADMIN_TOKEN are missing: only the admin API removes clients');
  const prefix = prefixOf(config.runId);
  const found = named(prefix);
  if (found.ids === undefined) fail(`the clients cannot be listed: ${reason(found.response)}`);
  const ids = found.ids.filter((id) => isOurs(id.slice(prefix.length)));
  const failed = remove(ids);
  if (failed !== undefined) fail(`the clients cannot be removed: ${reason(failed)}`);
  console.log(`loadtest-clients-removed ${ids.length}`);
}

export default function () {}

export function handleSummary() {
  return {};
}
