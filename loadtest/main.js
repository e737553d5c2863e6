// The load test, started by `run.sh`, or directly by `k6 run main.js` with BASE_URL.
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { FIXED_RATE, SCENARIOS } from './lib/catalogue.js';
import { clientInTurn, prefixOf, random, registerClients, removeClients } from './lib/clients.js';
import { config } from './lib/config.js';
import { fail } from './lib/failure.js';
import { excludeFromResults, reason } from './lib/http.js';
import { fetchDocument, issue } from './lib/oauth.js';
import { plan } from './lib/plan.js';
import { checkPool, fillPool } from './lib/pool.js';
import { scrape } from './lib/prometheus.js';
import * as authFailures from './scenarios/auth_failures.js';
import * as badSecrets from './scenarios/bad_secrets.js';
import { issueForFormat } from './scenarios/client_credentials.js';
import { fetchInTurn } from './scenarios/discovery.js';
import { requestAtOnce } from './scenarios/herd.js';
import { introspectOne } from './scenarios/introspect.js';
import { introspectMany } from './scenarios/introspect_batch.js';
import * as rateLimits from './scenarios/limits.js';
import { runMix } from './scenarios/mix.js';
import { exceedQuota } from './scenarios/quotas.js';
import { revokeOne } from './scenarios/revoke.js';
import { scrapeAndRecord } from './scenarios/watch.js';

export { handleSummary } from './lib/summary.js';

// k6 reads the options once, before there are VUs, and modifies them, which a SharedArray does not allow: hence the copy.
export const options = __VU === 0 ? JSON.parse(JSON.stringify(plan().options)) : {};

const scriptErrors = new Counter('script_errors');
const runSeconds = new Gauge('run_seconds');

// Counts exceptions: k6 continues after one and would exit with 0.
const guarded = (work) => (data) => {
  tagPhase();
  try {
    work(data);
  } catch (error) {
    scriptErrors.add(1);
    throw error;
  }
};

// Tags requests with the current phase of the ramp.
function tagPhase() {
  if (config.shape === undefined) return;
  const { tags } = exec.vu.metrics;
  delete tags.phase;
  if (FIXED_RATE.includes(exec.scenario.name)) return;
  let left = (Date.now() - exec.scenario.startTime) / 1000 / config.duration;
  for (const stage of config.shape) {
    tags.phase = stage.phase;
    left -= stage.share;
    if (left < 0) return;
  }
}

export const client_credentials = guarded((data) => issue(clientInTurn(data, 0)));
export const client_credentials_paseto = guarded(issueForFormat('paseto'));
export const client_credentials_jwt = guarded(issueForFormat('jwt'));
export const client_credentials_opaque = guarded(issueForFormat('opaque'));
export const introspect = guarded(introspectOne);
export const introspect_batch = guarded(introspectMany);
export const revoke = guarded(revokeOne);
export const discovery = guarded(fetchInTurn);
export const mix = guarded(runMix);
export const herd = guarded(requestAtOnce);
export const bad_secrets = guarded(badSecrets.flood);
export const bad_secrets_good = guarded(badSecrets.legitimate);
export const limits = guarded(rateLimits.exceedRate);
export const limits_good = guarded(rateLimits.legitimate);
export const quotas = guarded(exceedQuota);
export const auth_failures = guarded(authFailures.flood);
export const auth_failures_good = guarded(authFailures.legitimate);
export const watch = guarded(scrapeAndRecord);

export function setup() {
  excludeFromResults();
  const runId = config.runId ?? random(9).toLowerCase().replace(/_/g, '-');
  const data = { prefix: prefixOf(runId), seed: `ltseed_${random(32)}` };
  if (!config.external) {
    const metadata = fetchDocument('metadata');
    if (metadata === undefined) fail(`BASE_URL ${config.baseUrl} does not return authorization server metadata${reason()}`);
    data.issuer = metadata.issuer;
  }
  if (config.own) registerClients(data);
  try {
    prepare(data);
  } catch (error) {
    // k6 does not call `teardown` after a failed `setup`.
    if (config.own) reportRemoval(removeClients(data));
    throw error;
  }
  return data;
}

function prepare(data) {
  // Other nodes learn of new clients a moment later.
  if (config.own) sleep(config.settle);
  const withClients = config.names.filter((name) => !['nothing', 'metrics'].includes(SCENARIOS[name].needs));
  if (withClients.length > 0 && issue(clientInTurn(data, 0)) === undefined) {
    fail(
      config.own
        ? `BASE_URL ${config.baseUrl} issues no token for a client that was just registered at ADMIN_URL ${config.adminUrl}${reason()}`
        : `the server issues no token for CLIENT_ID; check CLIENT_SECRET${reason()}`,
    );
  }
  if (withClients.some((name) => SCENARIOS[name].pool)) {
    data.pool = fillPool(data);
    sleep(config.revokeDelay);
    checkPool(data);
  }
  const before = scrape();
  if (before === undefined && config.names.includes('watch')) {
    fail(`METRICS_URL ${config.metricsUrl} does not return the metrics of oauth2_server`);
  }
  data.before = before ?? null;
  data.began = Date.now();
}

// `problem`: why the clients could not be removed, if so.
function reportRemoval(problem) {
  // run.sh searches the log for this marker. Without it, run.sh removes the clients, and reports each that it cannot remove.
  if (problem === undefined) console.log('loadtest-clients-removed');
  else if (__ENV.LOADTEST_BRIEF) console.warn(problem);
  else fail(`the clients of this run could not be removed: ${problem}`);
}

export function teardown(data) {
  excludeFromResults();
  runSeconds.add((Date.now() - data.began) / 1000);
  reportRemoval(config.own ? removeClients(data) : undefined);
}
