// Removes the clients of a run that could not remove them itself: those whose ids begin with `lt-RUN_ID-`. run.sh calls it.
// By hand: RUN_ID=... BASE_URL=... ADMIN_URL=... ADMIN_TOKEN_FILE=... k6 run cleanup.js
import { describeFailure, listIds, remove } from './lib/admin.js';
import { isGeneratedName, prefixOf } from './lib/clients.js';
import { config } from './lib/config.js';
import { fail } from './lib/failure.js';

export const options = { vus: 1, iterations: 1, setupTimeout: '15m' };

export function setup() {
  if (config.runId === undefined) fail('RUN_ID is missing: the id of the run whose clients are to be removed');
  if (!config.own) fail('ADMIN_URL and ADMIN_TOKEN are missing: clients are removed through the admin API');
  const prefix = prefixOf(config.runId);
  const found = listIds(prefix);
  if (found.ids === undefined) fail(`the clients cannot be listed: ${describeFailure(found.response)}`);
  const ids = found.ids.filter((id) => isGeneratedName(id.slice(prefix.length)));
  const failed = remove(ids);
  if (failed !== undefined) fail(`the clients cannot be removed: ${describeFailure(failed)}`);
  console.log(`loadtest-clients-removed ${ids.length}`);
}

export default function () {}

export function handleSummary() {
  return {};
}
