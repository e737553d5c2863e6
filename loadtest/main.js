// The load test. `run.sh` starts it; `k6 run main.js` with BASE_URL does too.
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { SCENARIOS, STEADY } from './lib/catalogue.js';
import { clientInTurn, create, prefixOf, random, removeAll } from './lib/clients.js';
import { config } from './lib/config.js';
import { fail } from './lib/failure.js';
import { prepareOnly } from './lib/http.js';
import { discover, issue } from './lib/oauth.js';
import { plan } from './lib/plan.js';
import { fill, rehearse } from './lib/pool.js';
import { scrape } from './lib/prometheus.js';
import { flood as guessAtFew, honest as insistBeside } from './scenarios/auth_failures.js';
import { flood, honest } from './scenarios/bad_secrets.js';
import { clientCredentials } from './scenarios/client_credentials.js';
import { discovery as readDocuments } from './scenarios/discovery.js';
import { herd as stampede } from './scenarios/herd.js';
import { introspectOne } from './scenarios/introspect.js';
import { introspectMany } from './scenarios/introspect_batch.js';
import { ask, honest as askBeside } from './scenarios/limits.js';
import { mix as mixed } from './scenarios/mix.js';
import { overdraw } from './scenarios/quotas.js';
import { revokeOne } from './scenarios/revoke.js';
import { watch as look } from './scenarios/watch.js';

export { handleSummary } from './lib/summary.js';

// k6 asks for them once, before there are VUs, and changes them, which it cannot with what is shared: hence a copy.
export const options = __VU === 0 ? JSON.parse(JSON.stringify(plan().options)) : {};

const broken = new Counter('script_errors');
const lasted = new Gauge('run_seconds');

// k6 goes on after an exception and would end with 0.
const guarded = (work) => (data) => {
  setPhase();
  try {
    work(data);
  } catch (error) {
    broken.add(1);
    throw error;
  }
};

// Requests carry the phase of the ramp that they were made in.
function setPhase() {
  if (config.shape === undefined) return;
  const { tags } = exec.vu.metrics;
  delete tags.phase;
  if (STEADY.includes(exec.scenario.name)) return;
  let left = (Date.now() - exec.scenario.startTime) / 1000 / config.duration;
  for (const stage of config.shape) {
    tags.phase = stage.phase;
    left -= stage.share;
    if (left < 0) return;
  }
}

export const client_credentials = guarded((data) => issue(clientInTurn(data, 0)));
export const client_credentials_paseto = guarded(clientCredentials('paseto'));
export const client_credentials_jwt = guarded(clientCredentials('jwt'));
export const client_credentials_opaque = guarded(clientCredentials('opaque'));
export const introspect = guarded(introspectOne);
export const introspect_batch = guarded(introspectMany);
export const revoke = guarded(revokeOne);
export const discovery = guarded(readDocuments);
export const mix = guarded(mixed);
export const herd = guarded(stampede);
export const bad_secrets = guarded(flood);
export const bad_secrets_good = guarded(honest);
export const limits = guarded(ask);
export const limits_good = guarded(askBeside);
export const quotas = guarded(overdraw);
export const auth_failures = guarded(guessAtFew);
export const auth_failures_good = guarded(insistBeside);
export const watch = guarded(look);

export function setup() {
  prepareOnly();
  const runId = config.runId ?? random(9).toLowerCase().replace(/_/g, '-');
  const data = { prefix: prefixOf(runId), seed: `ltseed_${random(32)}` };
  if (!config.elsewhere) {
    const found = discover('metadata');
    if (found === undefined) fail(`BASE_URL ${config.baseUrl} does not answer with the metadata of an authorization server`);
    data.issuer = found.issuer;
  }
  if (config.own) create(data);
  try {
    prepare(data);
  } catch (error) {
    // k6 does not call `teardown` after a `setup` that failed.
    if (config.own) report(removeAll(data));
    throw error;
  }
  return data;
}

function prepare(data) {
  // Other nodes learn of new clients a moment later.
  if (config.own) sleep(config.settle);
  const needy = config.names.filter((name) => !['nothing', 'metrics'].includes(SCENARIOS[name].needs));
  if (needy.length > 0 && issue(clientInTurn(data, 0)) === undefined) {
    fail(
      config.own
        ? `BASE_URL ${config.baseUrl} issues no token for a client that ADMIN_URL ${config.adminUrl} has just registered`
        : 'the server issues no token for CLIENT_ID: is CLIENT_SECRET its secret?',
    );
  }
  if (needy.some((name) => SCENARIOS[name].pool)) {
    data.pool = fill(data);
    sleep(config.revokeDelay);
    rehearse(data);
  }
  const before = scrape();
  if (before === undefined && config.names.includes('watch')) {
    fail(`METRICS_URL ${config.metricsUrl} does not answer with the metrics of this server`);
  }
  data.before = before ?? null;
  data.began = Date.now();
}

function report(problem) {
  // run.sh looks for these words: without them it clears up itself, and says what it could not.
  if (problem === undefined) console.log('loadtest-clients-removed');
  else if (__ENV.LOADTEST_BRIEF) console.warn(problem);
  else fail(`the clients of this run could not be removed: ${problem}`);
}

export function teardown(data) {
  prepareOnly();
  lasted.add((Date.now() - data.began) / 1000);
  report(config.own ? removeAll(data) : undefined);
}
