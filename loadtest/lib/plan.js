// Turns the settings into k6's options: scenarios and thresholds.
import { SharedArray } from 'k6/data';
import { ENDPOINTS, FLOODS, LEGITIMATE, SCENARIOS, SINGLE_VU } from './catalogue.js';
import { config } from './config.js';
import { WRONG, errorTypes } from './error_types.js';
import { fail } from './failure.js';
import { MIX } from './profiles.js';
import { TICK, leastRequests } from './schedule.js';

const { thresholds } = config;

// VUs for a rate: enough for a latency of 0.2 s from the start, and of 1.5 s at most. Creating a VU costs k6 some milliseconds,
// so VUs that slow responses require in the middle of a run slow k6 down.
const preAllocated = (rate) => Math.min(config.vus, Math.ceil(rate * 0.2) + 4);
const maximum = (rate) => Math.min(config.vus, Math.ceil(rate * 1.5) + 20);

function constantRate(rate) {
  // k6 accepts only whole numbers.
  const [count, unit] = Number.isInteger(rate) ? [rate, 1] : [Math.max(1, Math.round(rate * 60)), 60];
  return { executor: 'constant-arrival-rate', rate: count, timeUnit: `${unit}s`, duration: `${config.duration}s` };
}

function ramp(rate) {
  const target = (stage) => Math.max(1, Math.round(rate * stage.to));
  const stages = config.shape.map((stage) => ({ target: target(stage), duration: `${stage.share * config.duration}s` }));
  return { executor: 'ramping-arrival-rate', startRate: Math.max(1, Math.round(rate)), timeUnit: '1s', stages };
}

// The number of iterations that a ramp starts.
function rampIterations(rate) {
  let [sum, before] = [0, 1];
  for (const stage of config.shape) {
    sum += ((before + stage.to) / 2) * stage.share * config.duration * rate;
    before = stage.to;
  }
  return sum;
}

// Additional VUs, because a VU does nothing else while it waits for REVOKE_DELAY.
function sleepingVUs(exec, rate) {
  const share = { revoke: 1, mix: MIX.revoke / 100 }[exec] ?? 0;
  return Math.ceil(share * rate * config.revokeDelay);
}

// A k6 scenario with an arrival rate: what it runs, when, how fast, and the number of iterations.
function rateRun(name, exec, start, rate) {
  const shaped = config.shape !== undefined && !LEGITIMATE.includes(exec);
  const peak = shaped ? rate * Math.max(...config.shape.map((stage) => stage.to)) : rate;
  return {
    name,
    exec,
    start,
    rate,
    duration: config.duration,
    iterations: Math.floor(shaped ? rampIterations(rate) : rate * config.duration),
    shaped,
    k6: {
      ...(shaped ? ramp(rate) : constantRate(rate)),
      preAllocatedVUs: preAllocated(peak) + sleepingVUs(exec, peak),
      maxVUs: maximum(peak) + sleepingVUs(exec, peak),
    },
  };
}

// A k6 scenario with one iteration per period.
function periodicRun(name, start, period, duration, vus) {
  return {
    name,
    exec: name,
    start,
    rate: 1 / period,
    duration,
    iterations: Math.floor(duration / period),
    shaped: false,
    k6: {
      executor: 'constant-arrival-rate',
      rate: 1,
      timeUnit: `${period * 1000}ms`,
      duration: `${duration}s`,
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  };
}

function steppedRuns(exec) {
  const runs = [];
  let rate = config.rates[exec];
  for (let step = 0; step < config.steps.count; step += 1) {
    const whole = Math.max(1, Math.round(rate));
    const run = rateRun(`${exec}_at_${whole}`, exec, step * config.duration, whole);
    // No VUs are created during a step: a mean latency of an eighth of a second means that the limit is reached.
    run.k6.preAllocatedVUs = Math.min(config.vus, Math.ceil(whole * 0.12) + 4) + sleepingVUs(exec, whole);
    run.k6.maxVUs = run.k6.preAllocatedVUs;
    runs.push({ ...run, step: true });
    rate *= config.steps.factor;
  }
  return runs;
}

function allRuns() {
  const loads = config.names.filter((name) => name !== 'watch');
  if (config.steps !== undefined) return steppedRuns(loads[0]);
  const runs = [];
  let start = 0;
  for (const name of loads) {
    if (name === 'herd') {
      runs.push(periodicRun(name, start, config.herdPeriod, config.duration, 3));
    } else if (SINGLE_VU.includes(name)) {
      runs.push(periodicRun(name, start, TICK, config.duration, 1));
    } else {
      runs.push(rateRun(name, name, start, config.rates[name]));
    }
    const { legitimate } = SCENARIOS[name];
    if (legitimate !== undefined) runs.push(rateRun(legitimate, legitimate, start, Math.max(1, Math.round(config.rates[name] / 4))));
    // A second in between, so that late responses of one scenario are not attributed to the next.
    if (config.order === 'sequential') start += config.duration + 1;
  }
  if (config.names.includes('watch')) {
    const end = Math.max(...runs.map((run) => run.start + run.duration));
    // A single VU, which remembers the previous scrape.
    runs.push(periodicRun('watch', 0, config.watchPeriod, end, 1));
  }
  return runs;
}

// Estimated seconds of `setup`. A threshold may end the run only after half of a step, but k6 counts from before `setup`. If the
// estimate is too long, a failing step lasts longer; if it is too short, a step is judged by its first responses.
const SETUP = config.settle + 1 + 0.004 * config.clients * config.formats.length;

export const warmUp = (length) => config.warmUp ?? Math.min(length / 10, 300);

// A growth threshold requires at least two scrapes after the warm-up.
function checkWatchDuration(watch) {
  if (thresholds.growth === undefined || warmUp(watch.duration) + 2 * config.watchPeriod <= watch.duration) return;
  fail('DURATION is too short to measure growth: after WARM_UP it must leave time for two scrapes, WATCH_PERIOD apart');
}

// Whether the flood exceeds AUTH_FAILURES of every victim on every node, even if its start meets full buckets.
function exceedsAuthFailures(flood) {
  const sent = (flood.iterations * (1 - thresholds.dropped)) / config.limited;
  return config.failures > 0 && sent > config.nodes * config.failures * (1 + flood.duration / 60) * 1.05;
}

// The thresholds of a run in k6's syntax, each with its scenario. `abort`: when k6 may end the run because of it.
function allThresholds(runs) {
  const found = [];
  const add = (scenario, metric, expression, abort) => found.push({ scenario, metric, expression, abort });
  for (const run of runs) {
    const of = `{scenario:${run.name}}`;
    const abort = run.step ? `${Math.round((SETUP + run.start + run.duration / 2) * 1000)}ms` : undefined;
    add(run.name, `script_errors${of}`, 'count<1');
    if (run.name === 'watch') {
      checkWatchDuration(run);
      add(run.name, `scrapes${of}`, 'rate>0.9');
      add(run.name, `http_reqs${of}`, 'count>0');
      add(run.name, 'server_restarts', 'count<1');
      if (thresholds.growth !== undefined) add(run.name, 'server_rss_growth', `max<=${thresholds.growth}`);
      if (thresholds.fds !== undefined) add(run.name, 'server_fds_growth', `max<=${thresholds.fds}`);
      if (thresholds.sheds !== undefined) {
        add(run.name, 'server_sheds', `count<=${thresholds.sheds}`);
        add(run.name, 'server_default_partition_rows', 'max<1');
      }
      continue;
    }
    const singleVU = SINGLE_VU.includes(run.name);
    // A later step may not be reached.
    const mayBeSkipped = run.step && run.start > 0;
    if (singleVU) add(run.name, `http_reqs${of}`, `count>=${Math.max(1, leastRequests(run.name))}`);
    else if (!mayBeSkipped) add(run.name, `http_reqs${of}`, 'count>0');
    // Every dedicated client must run into its limit: otherwise the limit was not tested.
    if (singleVU || (run.name === 'auth_failures' && exceedsAuthFailures(run))) {
      for (let n = 0; n < config.limited; n += 1) {
        add(run.name, `rejections{scenario:${run.name},client:${SCENARIOS[run.name].dedicated}-${n}}`, 'count>0');
      }
    }
    add(run.name, `wrong_answers${of}`, 'count<1');
    add(run.name, `http_req_failed${of}`, `rate<=${thresholds.errors}`, abort);
    // A single VU catches up skipped ticks.
    if (!singleVU) add(run.name, `dropped_iterations${of}`, `count<=${Math.floor(run.iterations * thresholds.dropped)}`, abort);
    // Responses to wrong secrets may be slow: only the legitimate traffic has latency thresholds.
    if (!FLOODS.includes(run.name)) {
      add(run.name, `http_req_duration${of}`, `p(95)<${thresholds.p95}`, abort);
      add(run.name, `http_req_duration${of}`, `p(99)<${thresholds.p99}`, abort);
    }
    if (run.shaped) {
      for (const phase of new Set(config.shape.map((stage) => stage.phase))) {
        const at = `{scenario:${run.name},phase:${phase}}`;
        const bound = config.phases[phase] ?? {};
        if (bound.errors !== undefined) add(run.name, `http_req_failed${at}`, `rate<=${bound.errors}`);
        if (bound.p95 !== undefined) add(run.name, `http_req_duration${at}`, `p(95)<${bound.p95}`);
        if (bound.p99 !== undefined) add(run.name, `http_req_duration${at}`, `p(99)<${bound.p99}`);
      }
    }
  }
  return found;
}

// k6 reports a submetric only if it has a threshold, which may be empty.
function k6Thresholds(runs, expected) {
  const all = {};
  for (const run of runs) {
    const of = `scenario:${run.name}`;
    for (const metric of ['iterations', 'http_reqs', 'http_req_failed', 'http_req_duration', 'dropped_iterations']) {
      all[`${metric}{${of}}`] = [];
    }
    for (const type of errorTypes()) all[`request_errors{${of},type:${type}}`] = [];
    for (const what of Object.values(WRONG)) all[`wrong_answers{${of},what:${what}}`] = [];
    if (run.shaped) {
      for (const phase of new Set(config.shape.map((stage) => stage.phase))) {
        for (const metric of ['http_reqs', 'http_req_failed', 'http_req_duration']) all[`${metric}{${of},phase:${phase}}`] = [];
      }
    }
  }
  for (const endpoint of ENDPOINTS) all[`http_req_duration{endpoint:${endpoint}}`] = [];
  for (const { metric, expression, abort } of expected) {
    if (all[metric] === undefined) all[metric] = [];
    all[metric].push(abort === undefined ? expression : { threshold: expression, abortOnFail: true, delayAbortEval: abort });
  }
  return all;
}

function k6Scenarios(runs) {
  const all = {};
  for (const run of runs) {
    all[run.name] = {
      ...run.k6,
      exec: run.exec,
      startTime: `${run.start}s`,
      gracefulStop: `${config.timeout + config.revokeDelay}s`,
    };
  }
  return all;
}

function make() {
  const runs = allRuns();
  const expected = allThresholds(runs);
  // Concurrent requests of one VU.
  const batch = Math.max(config.herd, 32, ...SINGLE_VU.map((name) => Math.ceil((config.rates[name] ?? 0) * TICK)));
  return {
    runs,
    thresholds: expected,
    // Seconds of the whole run, without registering and removing clients.
    length: Math.max(...runs.map((run) => run.start + run.duration)),
    options: {
      scenarios: k6Scenarios(runs),
      thresholds: k6Thresholds(runs, expected),
      setupTimeout: '15m',
      teardownTimeout: '15m',
      batch,
      batchPerHost: batch,
      summaryTrendStats: ['min', 'avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
      // Without `url`: paths of the admin API contain client ids, and each would become a time series.
      systemTags: ['status', 'method', 'name', 'group', 'check', 'error', 'error_code', 'scenario', 'expected_response'],
      userAgent: 'oauth2-loadtest',
    },
  };
}

// Made once and shared: thousands of VUs would hold a copy each otherwise.
const shared = new SharedArray('plan', () => [make()]);

export const plan = () => shared[0];
