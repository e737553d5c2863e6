// What a run was and what came of it, as data; `markdown.js` and `junit.js` put it into form.
import { ENDPOINTS } from './catalogue.js';
import { config } from './config.js';
import { text } from './env.js';
import { junit } from './junit.js';
import { kinds, wrongs } from './kinds.js';
import { markdown } from './markdown.js';
import { plan } from './plan.js';
import { difference, scrape, sum } from './prometheus.js';

export const SCHEMA = 'oauth2-server-loadtest/1';

const round = (value, digits = 3) => (Number.isFinite(value) ? Number(value.toFixed(digits)) : null);

// A figure of k6, 0 where there was no sample.
function value(data, metric, name) {
  const found = data.metrics[metric];
  return found === undefined ? 0 : (found.values[name] ?? 0);
}

function times(data, metric) {
  if (value(data, metric, 'count') === 0) return null;
  const of = (name) => round(value(data, metric, name));
  return { p50: of('med'), p95: of('p(95)'), p99: of('p(99)'), max: of('max') };
}

// How many of each in a closed list there were, leaving out what there was none of.
function counted(list, count) {
  return Object.fromEntries(list.map((name) => [name, count(name)]).filter(([, number]) => number > 0));
}

function scenario(data, run, ran) {
  const of = `scenario:${run.name}`;
  // Of a run that ended early, the part that there was.
  const lasted = Math.max(0, Math.min(run.duration, ran - run.start));
  const iterations = value(data, `iterations{${of}}`, 'count');
  const requests = value(data, `http_reqs{${of}}`, 'count');
  const phases = run.shaped ? [...new Set(config.shape.map((stage) => stage.phase))] : [];
  return {
    name: run.name,
    started: lasted > 0,
    seconds: round(lasted, 1),
    iterations_per_second_asked: round(run.iterations / run.duration),
    iterations_per_second_achieved: lasted > 0 ? round(iterations / lasted) : 0,
    requests_per_second: lasted > 0 ? round(requests / lasted) : 0,
    iterations,
    requests,
    // The rate's "passes" are the requests that failed.
    failed: value(data, `http_req_failed{${of}}`, 'passes'),
    errors: counted(kinds(), (kind) => value(data, `request_errors{${of},kind:${kind}}`, 'count')),
    wrong_answers: counted(wrongs(), (what) => value(data, `wrong_answers{${of},what:${what}}`, 'count')),
    dropped_iterations: value(data, `dropped_iterations{${of}}`, 'count'),
    milliseconds: times(data, `http_req_duration{${of}}`),
    phases: phases.map((phase) => ({
      name: phase,
      requests: value(data, `http_reqs{${of},phase:${phase}}`, 'count'),
      failed: value(data, `http_req_failed{${of},phase:${phase}}`, 'passes'),
      milliseconds: times(data, `http_req_duration{${of},phase:${phase}}`),
    })),
  };
}

// The left side of a threshold is the figure that it speaks of.
function measured(data, promise) {
  return round(value(data, promise.metric, /^[a-z]+(\([\d.]+\))?/.exec(promise.expression)[0]), 6);
}

function threshold(data, promise, scenarios) {
  const metric = data.metrics[promise.metric];
  const verdict = metric && metric.thresholds && metric.thresholds[promise.expression];
  const reached = scenarios.find((one) => one.name === promise.scenario).started;
  return {
    scenario: promise.scenario,
    metric: promise.metric,
    expected: promise.expression,
    measured: measured(data, promise),
    // What k6 has no verdict for has not held.
    verdict: !reached && promise.abort ? 'not reached' : verdict && verdict.ok ? 'held' : 'crossed',
  };
}

// The highest step of a staircase at which everything held, to its end, and what did not hold at the next.
function breakpoint(scenarios, thresholds) {
  const steps = plan().runs.filter((run) => run.step);
  if (steps.length === 0) return undefined;
  const crossed = (run) => thresholds.filter((one) => one.scenario === run.name && one.verdict === 'crossed');
  const whole = (run) => scenarios.find((one) => one.name === run.name).seconds >= run.duration - 0.1;
  let held = null;
  for (const run of steps) {
    const broken = crossed(run).map((one) => `${one.metric.replace(/\{.*/, '')} ${one.expected}`);
    if (broken.length > 0) return { highest_rate_held: held, broke_at: run.rate, broken, seconds: run.duration };
    if (!whole(run)) break;
    held = run.rate;
  }
  return { highest_rate_held: held, broke_at: null, broken: [], seconds: steps[0].duration };
}

function server(data, change) {
  if (change.why !== undefined) return { metrics: change.why };
  const { counters, before, after } = change;
  const commits = sum(counters.token_commit_batch_size_count);
  const recorded = sum(counters.token_commit_batch_size_sum);
  return {
    metrics: 'read',
    tokens_issued: sum(counters.oauth_token_issued_total),
    tokens_issued_by_format: counters.oauth_token_issued_total,
    tokens_received_by_k6: value(data, 'tokens_received', 'count'),
    tokens_revoked: sum(counters.oauth_token_revoked_total),
    tokens_introspected: counters.oauth_introspections_total,
    commits,
    tokens_per_commit: commits > 0 ? round(recorded / commits, 2) : null,
    milliseconds_per_commit: commits > 0 ? round((sum(counters.token_commit_duration_seconds_sum) / commits) * 1000) : null,
    sheds: counters.shed_total,
    rejects: counters.reject_total,
    authentication_failures: sum(counters.auth_failures_total),
    actor_restarts: counters.actor_restarts_total,
    resident_bytes: { before: before.process_resident_memory_bytes, after: after.process_resident_memory_bytes },
    open_fds: { before: before.process_open_fds, after: after.process_open_fds },
    partitions: after.token_partitions,
    default_partition_rows: after.token_default_partition_rows,
  };
}

function outcome(started, data, ran, scenarios, thresholds) {
  if (!started) return 'could not run';
  if (scenarios.every((one) => one.requests === 0)) return 'nothing was measured';
  if (thresholds.some((one) => one.verdict === 'crossed')) return 'thresholds crossed';
  if (ran < plan().length - 1) return 'ended early';
  return 'thresholds held';
}

export function handleSummary(data) {
  const given = data.setup_data;
  const started = given !== undefined && given !== null;
  // `teardown` says how long the load lasted: k6's own figure has the setup and teardown in it.
  const ran = started ? value(data, 'run_seconds', 'value') : 0;
  const after = started ? scrape() : undefined;
  const scenarios = plan().runs.map((run) => scenario(data, run, ran));
  const thresholds = plan().promises.map((promise) => threshold(data, promise, scenarios));
  const summary = {
    schema: SCHEMA,
    verdict: outcome(started, data, ran, scenarios, thresholds),
    // Known only after k6 has ended: run.sh writes it.
    exit_code: null,
    ended: new Date().toISOString(),
    seconds: round(ran, 1),
    profile: config.profile,
    server: {
      product: config.product,
      issuer: started ? given.issuer : null,
      version: (after ?? {}).version ?? null,
      commit: text('COMMIT') ?? (after ?? {}).commit ?? null,
      machine: text('MACHINE') ?? null,
      ...server(data, difference(started ? given.before : undefined, after)),
    },
    generator: {
      k6: text('LOADTEST_K6') ?? null,
      machine: text('LOADTEST_MACHINE') ?? null,
      same_machine: text('LOADTEST_STARTED') !== undefined,
      cpu_seconds: null,
      cpu_share_of_machine: null,
      server_cpu_seconds: null,
      database_cpu_seconds: null,
    },
    configuration: { ...config.shown, ...tuning() },
    scenarios,
    left_out: config.leftOut,
    breakpoint: breakpoint(scenarios, thresholds),
    endpoints: ENDPOINTS.map((name) => ({
      name,
      requests: value(data, `http_req_duration{endpoint:${name}}`, 'count'),
      milliseconds: times(data, `http_req_duration{endpoint:${name}}`),
    })).filter((one) => one.requests > 0),
    watched: watched(data),
    thresholds,
  };
  const report = markdown(summary);
  const place = text('RESULTS_DIR');
  // run.sh shows the short form itself, when it has filled in what k6 does not know.
  const brief = text('LOADTEST_BRIEF');
  const files = brief === undefined ? { stdout: `\n${report}\n` } : { [brief]: `\n${markdown(summary, true)}\n` };
  if (place !== undefined) {
    files[`${place}/summary.json`] = `${JSON.stringify(summary, null, 2)}\n`;
    files[`${place}/summary.md`] = report;
    files[`${place}/junit.xml`] = junit(summary);
  }
  return files;
}

// Settings of a server that run.sh started and that make a difference.
function tuning() {
  const names = ['OAUTH2_SERVER_WORKERS', 'OAUTH2_DATABASE_MAX_CONNECTIONS', 'OAUTH2_TOKENS_LEDGER'];
  if (text('LOADTEST_STARTED') === undefined) return {};
  return Object.fromEntries(names.map((name) => [name, text(name)]).filter(([, given]) => given !== undefined));
}

function watched(data) {
  if (!config.names.includes('watch')) return undefined;
  const names = ['server_rss_bytes', 'server_rss_growth', 'server_open_fds', 'server_fds_growth', 'server_partitions'];
  const seen = names.filter((name) => value(data, name, 'count') > 0);
  const trend = (name) => ({ min: round(value(data, name, 'min')), max: round(value(data, name, 'max')) });
  return {
    scrapes: value(data, 'scrapes', 'passes') + value(data, 'scrapes', 'fails'),
    sheds: value(data, 'server_sheds', 'count'),
    restarts: value(data, 'server_restarts', 'count'),
    ...Object.fromEntries(seen.map((name) => [name.replace('server_', ''), trend(name)])),
  };
}
