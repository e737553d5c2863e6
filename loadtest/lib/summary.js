// Collects configuration and results of a run as data; `markdown.js` and `junit.js` render them.
import { ENDPOINTS } from './catalogue.js';
import { config } from './config.js';
import { text } from './env.js';
import { WRONG, errorTypes } from './error_types.js';
import { junit } from './junit.js';
import { markdown } from './markdown.js';
import { plan } from './plan.js';
import { metricsDelta, scrape, sum } from './prometheus.js';

export const SCHEMA = 'oauth2-server-loadtest/1';

const round = (value, digits = 3) => (Number.isFinite(value) ? Number(value.toFixed(digits)) : null);

// A value of a k6 metric; 0 if there was no sample.
function value(data, metric, name) {
  const found = data.metrics[metric];
  return found === undefined ? 0 : (found.values[name] ?? 0);
}

// Percentiles of a k6 trend in milliseconds; null if there was no sample.
function percentiles(data, metric) {
  if (value(data, metric, 'count') === 0) return null;
  const of = (name) => round(value(data, metric, name));
  return { p50: of('med'), p95: of('p(95)'), p99: of('p(99)'), max: of('max') };
}

// Counts by name, without zeros.
function nonZero(list, count) {
  return Object.fromEntries(list.map((name) => [name, count(name)]).filter(([, number]) => number > 0));
}

// `elapsed`: seconds that the load lasted.
function scenarioResult(data, run, elapsed) {
  const of = `scenario:${run.name}`;
  // Less than the planned duration if the run ended early.
  const lasted = Math.max(0, Math.min(run.duration, elapsed - run.start));
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
    // http_req_failed is a k6 rate: its "passes" are the failed requests.
    failed: value(data, `http_req_failed{${of}}`, 'passes'),
    errors: nonZero(errorTypes(), (type) => value(data, `request_errors{${of},type:${type}}`, 'count')),
    wrong_answers: nonZero(Object.values(WRONG), (what) => value(data, `wrong_answers{${of},what:${what}}`, 'count')),
    dropped_iterations: value(data, `dropped_iterations{${of}}`, 'count'),
    milliseconds: percentiles(data, `http_req_duration{${of}}`),
    phases: phases.map((phase) => ({
      name: phase,
      requests: value(data, `http_reqs{${of},phase:${phase}}`, 'count'),
      failed: value(data, `http_req_failed{${of},phase:${phase}}`, 'passes'),
      milliseconds: percentiles(data, `http_req_duration{${of},phase:${phase}}`),
    })),
  };
}

// The measured value that a threshold expression, such as `p(95)<100`, refers to.
function measured(data, threshold) {
  return round(value(data, threshold.metric, /^[a-z]+(\([\d.]+\))?/.exec(threshold.expression)[0]), 6);
}

function thresholdResult(data, threshold, scenarios) {
  const metric = data.metrics[threshold.metric];
  const verdict = metric && metric.thresholds && metric.thresholds[threshold.expression];
  const reached = scenarios.find((one) => one.name === threshold.scenario).started;
  return {
    scenario: threshold.scenario,
    metric: threshold.metric,
    expected: threshold.expression,
    measured: measured(data, threshold),
    // A threshold without a verdict by k6 counts as crossed.
    verdict: !reached && threshold.abort ? 'not reached' : verdict && verdict.ok ? 'held' : 'crossed',
  };
}

// The highest step that ran to its end with all thresholds held, and the thresholds crossed at the next step.
function breakpoint(scenarios, thresholds) {
  const steps = plan().runs.filter((run) => run.step);
  if (steps.length === 0) return undefined;
  const crossed = (run) => thresholds.filter((one) => one.scenario === run.name && one.verdict === 'crossed');
  const isComplete = (run) => scenarios.find((one) => one.name === run.name).seconds >= run.duration - 0.1;
  let held = null;
  for (const run of steps) {
    const broken = crossed(run).map((one) => `${one.metric.replace(/\{.*/, '')} ${one.expected}`);
    if (broken.length > 0) return { highest_rate_held: held, broke_at: run.rate, broken, seconds: run.duration };
    if (!isComplete(run)) break;
    held = run.rate;
  }
  return { highest_rate_held: held, broke_at: null, broken: [], seconds: steps[0].duration };
}

// The server's own metrics; `metrics` is "read", or why they are missing.
function serverResult(data, delta) {
  if (delta.reason !== undefined) return { metrics: delta.reason };
  const { counters, before, after } = delta;
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

function verdict(started, elapsed, scenarios, thresholds) {
  if (!started) return 'could not run';
  if (scenarios.every((one) => one.requests === 0)) return 'nothing was measured';
  if (thresholds.some((one) => one.verdict === 'crossed')) return 'thresholds crossed';
  if (elapsed < plan().length - 1) return 'ended early';
  return 'thresholds held';
}

export function handleSummary(data) {
  const setupData = data.setup_data;
  const started = setupData !== undefined && setupData !== null;
  // Reported by `teardown`: k6's own duration includes setup and teardown.
  const elapsed = started ? value(data, 'run_seconds', 'value') : 0;
  const after = started ? scrape() : undefined;
  const scenarios = plan().runs.map((run) => scenarioResult(data, run, elapsed));
  const thresholds = plan().thresholds.map((threshold) => thresholdResult(data, threshold, scenarios));
  const summary = {
    schema: SCHEMA,
    verdict: verdict(started, elapsed, scenarios, thresholds),
    // Filled in by run.sh: known only after k6 has ended.
    exit_code: null,
    ended: new Date().toISOString(),
    seconds: round(elapsed, 1),
    profile: config.profile,
    server: {
      product: config.product,
      issuer: started ? setupData.issuer : null,
      version: (after ?? {}).version ?? null,
      commit: text('COMMIT') ?? (after ?? {}).commit ?? null,
      machine: text('MACHINE') ?? null,
      ...serverResult(data, metricsDelta(started ? setupData.before : undefined, after)),
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
    configuration: { ...config.shown, ...serverTuning() },
    scenarios,
    left_out: config.leftOut,
    breakpoint: breakpoint(scenarios, thresholds),
    endpoints: ENDPOINTS.map((name) => ({
      name,
      requests: value(data, `http_req_duration{endpoint:${name}}`, 'count'),
      milliseconds: percentiles(data, `http_req_duration{endpoint:${name}}`),
    })).filter((one) => one.requests > 0),
    watched: watched(data),
    thresholds,
  };
  const report = markdown(summary);
  const directory = text('RESULTS_DIR');
  // run.sh prints the brief report itself, after it has filled in what k6 does not know.
  const brief = text('LOADTEST_BRIEF');
  const files = brief === undefined ? { stdout: `\n${report}\n` } : { [brief]: `\n${markdown(summary, true)}\n` };
  if (directory !== undefined) {
    files[`${directory}/summary.json`] = `${JSON.stringify(summary, null, 2)}\n`;
    files[`${directory}/summary.md`] = report;
    files[`${directory}/junit.xml`] = junit(summary);
  }
  return files;
}

// Settings that affect the performance of a server started by run.sh.
function serverTuning() {
  const names = ['OAUTH2_SERVER_WORKERS', 'OAUTH2_DATABASE_MAX_CONNECTIONS', 'OAUTH2_TOKENS_LEDGER'];
  if (text('LOADTEST_STARTED') === undefined) return {};
  return Object.fromEntries(names.map((name) => [name, text(name)]).filter(([, setting]) => setting !== undefined));
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
