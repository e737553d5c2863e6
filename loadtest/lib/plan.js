// From the settings to what k6 is to run: its scenarios, and the thresholds.
import { SharedArray } from 'k6/data';
import { ENDPOINTS, FLOODS, GOOD, PACED, SCENARIOS } from './catalogue.js';
import { config } from './config.js';
import { fail } from './failure.js';
import { kinds, wrongs } from './kinds.js';
import { BEAT, least } from './pace.js';
import { MIX } from './profiles.js';

const { limits } = config;

// VUs that a rate needs when an answer takes a fifth of a second, and at the most when it takes one and a half. Each takes
// k6 some milliseconds to make: those that a slow answer calls for in the middle of a run make it slower.
const planned = (rate) => Math.min(config.vus, Math.ceil(rate * 0.2) + 4);
const most = (rate) => Math.min(config.vus, Math.ceil(rate * 1.5) + 20);

function constant(rate) {
  // k6 wants whole numbers.
  const [count, unit] = Number.isInteger(rate) ? [rate, 1] : [Math.max(1, Math.round(rate * 60)), 60];
  return { executor: 'constant-arrival-rate', rate: count, timeUnit: `${unit}s`, duration: `${config.duration}s` };
}

function every(period) {
  return { executor: 'constant-arrival-rate', rate: 1, timeUnit: `${period * 1000}ms`, duration: `${config.duration}s` };
}

function ramp(rate) {
  const goal = (stage) => Math.max(1, Math.round(rate * stage.to));
  const stages = config.shape.map((stage) => ({ target: goal(stage), duration: `${stage.share * config.duration}s` }));
  return { executor: 'ramping-arrival-rate', startRate: Math.max(1, Math.round(rate)), timeUnit: '1s', stages };
}

// Iterations that a ramp starts.
function area(rate) {
  let [sum, before] = [0, 1];
  for (const stage of config.shape) {
    sum += ((before + stage.to) / 2) * stage.share * config.duration * rate;
    before = stage.to;
  }
  return sum;
}

// VUs that wait for a revocation to reach other nodes, and do nothing else.
function waiting(exec, rate) {
  const share = { revoke: 1, mix: MIX.revoke / 100 }[exec] ?? 0;
  return Math.ceil(share * rate * config.revokeDelay);
}

// One scenario of k6: what it runs, when, how fast, and how many iterations that makes.
function run(name, exec, start, rate) {
  const shaped = config.shape !== undefined && !GOOD.includes(exec);
  const peak = shaped ? rate * Math.max(...config.shape.map((stage) => stage.to)) : rate;
  return {
    name,
    exec,
    start,
    rate,
    duration: config.duration,
    iterations: Math.floor(shaped ? area(rate) : rate * config.duration),
    shaped,
    k6: {
      ...(shaped ? ramp(rate) : constant(rate)),
      preAllocatedVUs: planned(peak) + waiting(exec, peak),
      maxVUs: most(peak) + waiting(exec, peak),
    },
  };
}

function pulse(name, start, period, duration, vus) {
  return {
    name,
    exec: name,
    start,
    rate: 1 / period,
    duration,
    iterations: Math.floor(duration / period),
    shaped: false,
    k6: { ...every(period), duration: `${duration}s`, preAllocatedVUs: vus, maxVUs: vus },
  };
}

function staircase(exec) {
  const runs = [];
  let rate = config.rates[exec];
  for (let step = 0; step < config.steps.count; step += 1) {
    const whole = Math.max(1, Math.round(rate));
    const one = run(`${exec}_at_${whole}`, exec, step * config.duration, whole);
    // None more in the middle: when answers take an eighth of a second on average, the end has come.
    one.k6.preAllocatedVUs = Math.min(config.vus, Math.ceil(whole * 0.12) + 4) + waiting(exec, whole);
    one.k6.maxVUs = one.k6.preAllocatedVUs;
    runs.push({ ...one, step: true });
    rate *= config.steps.factor;
  }
  return runs;
}

function allRuns() {
  const loads = config.names.filter((name) => name !== 'watch');
  if (config.steps !== undefined) return staircase(loads[0]);
  const found = [];
  let start = 0;
  for (const name of loads) {
    if (name === 'herd') {
      found.push(pulse(name, start, config.herdPeriod, config.duration, 3));
    } else if (PACED.includes(name)) {
      found.push(pulse(name, start, BEAT, config.duration, 1));
    } else {
      found.push(run(name, name, start, config.rates[name]));
    }
    const { beside } = SCENARIOS[name];
    if (beside !== undefined) found.push(run(beside, beside, start, Math.max(1, Math.round(config.rates[name] / 4))));
    // A second, so that one scenario's last answers are not in the next one's figures.
    if (config.order === 'one by one') start += config.duration + 1;
  }
  if (config.names.includes('watch')) {
    const end = Math.max(...found.map((one) => one.start + one.duration));
    // One VU, so that it remembers what it saw before.
    found.push(pulse('watch', 0, config.watchPeriod, end, 1));
  }
  return found;
}

// Half of a step must have been seen before it may end the run. k6 counts from before `setup`, whose length is a guess:
// too long a guess lets a broken step last longer, too short a one judges it by its first answers.
const SETUP = config.settle + 1 + 0.004 * config.clients * config.formats.length;

export const warmUp = (length) => config.warmUp ?? Math.min(length / 10, 300);

// Of growth that was never measured nothing must be promised.
function comparable(watch) {
  if (limits.growth === undefined || warmUp(watch.duration) + 2 * config.watchPeriod <= watch.duration) return;
  fail('DURATION is too short to watch anything grow: after WARM_UP it must leave time for two looks, WATCH_PERIOD apart');
}

// Whether the flood passes what each victim may fail, on every node, even if all of its start falls into full buckets.
function overflows(flood) {
  const sent = (flood.iterations * (1 - limits.dropped)) / config.limited;
  return config.failures > 0 && sent > config.nodes * config.failures * (1 + flood.duration / 60) * 1.05;
}

// What a run promises, in k6's words, each with the scenario that it speaks of.
function allPromises(runs) {
  const found = [];
  const add = (scenario, metric, expression, abort) => found.push({ scenario, metric, expression, abort });
  for (const one of runs) {
    const of = `{scenario:${one.name}}`;
    const abort = one.step ? `${Math.round((SETUP + one.start + one.duration / 2) * 1000)}ms` : undefined;
    const anything = one.step && one.start > 0 ? undefined : 'count>0';
    add(one.name, `script_errors${of}`, 'count<1');
    if (one.name === 'watch') {
      comparable(one);
      add(one.name, `scrapes${of}`, 'rate>0.9');
      add(one.name, `http_reqs${of}`, 'count>0');
      add(one.name, 'server_restarts', 'count<1');
      if (limits.growth !== undefined) add(one.name, 'server_rss_growth', `max<=${limits.growth}`);
      if (limits.fds !== undefined) add(one.name, 'server_fds_growth', `max<=${limits.fds}`);
      if (limits.sheds !== undefined) {
        add(one.name, 'server_sheds', `count<=${limits.sheds}`);
        add(one.name, 'server_default_partition_rows', 'max<1');
      }
      continue;
    }
    const paced = PACED.includes(one.name);
    if (paced) add(one.name, `http_reqs${of}`, `count>=${Math.max(1, least(one.name))}`);
    else if (anything !== undefined) add(one.name, `http_reqs${of}`, anything);
    // A limit that none of its clients ran into would be as good as none.
    if (paced || (one.name === 'auth_failures' && overflows(one))) {
      for (let n = 0; n < config.limited; n += 1) {
        add(one.name, `refusals{scenario:${one.name},client:${SCENARIOS[one.name].marked}-${n}}`, 'count>0');
      }
    }
    add(one.name, `wrong_answers${of}`, 'count<1');
    add(one.name, `http_req_failed${of}`, `rate<=${limits.errors}`, abort);
    // A beat that was left out is made up for by the next.
    if (!paced) add(one.name, `dropped_iterations${of}`, `count<=${Math.floor(one.iterations * limits.dropped)}`, abort);
    // How fast a wrong secret is refused matters to nobody: what must stay fast is the traffic beside it.
    if (!FLOODS.includes(one.name)) {
      add(one.name, `http_req_duration${of}`, `p(95)<${limits.p95}`, abort);
      add(one.name, `http_req_duration${of}`, `p(99)<${limits.p99}`, abort);
    }
    if (one.shaped) {
      for (const phase of new Set(config.shape.map((stage) => stage.phase))) {
        const at = `{scenario:${one.name},phase:${phase}}`;
        const bound = config.phases[phase] ?? {};
        if (bound.errors !== undefined) add(one.name, `http_req_failed${at}`, `rate<=${bound.errors}`);
        if (bound.p95 !== undefined) add(one.name, `http_req_duration${at}`, `p(95)<${bound.p95}`);
        if (bound.p99 !== undefined) add(one.name, `http_req_duration${at}`, `p(99)<${bound.p99}`);
      }
    }
  }
  return found;
}

// k6 tells the summary only of parts of metrics that have a threshold, if an empty one.
function thresholds(runs, promises) {
  const all = {};
  for (const one of runs) {
    const of = `scenario:${one.name}`;
    for (const metric of ['iterations', 'http_reqs', 'http_req_failed', 'http_req_duration', 'dropped_iterations']) {
      all[`${metric}{${of}}`] = [];
    }
    for (const kind of kinds()) all[`request_errors{${of},kind:${kind}}`] = [];
    for (const what of wrongs()) all[`wrong_answers{${of},what:${what}}`] = [];
    if (one.shaped) {
      for (const phase of new Set(config.shape.map((stage) => stage.phase))) {
        for (const metric of ['http_reqs', 'http_req_failed', 'http_req_duration']) all[`${metric}{${of},phase:${phase}}`] = [];
      }
    }
  }
  for (const endpoint of ENDPOINTS) all[`http_req_duration{endpoint:${endpoint}}`] = [];
  for (const promise of promises) {
    const { metric, expression, abort } = promise;
    if (all[metric] === undefined) all[metric] = [];
    all[metric].push(abort === undefined ? expression : { threshold: expression, abortOnFail: true, delayAbortEval: abort });
  }
  return all;
}

function scenarios(runs) {
  const all = {};
  for (const one of runs) {
    all[one.name] = {
      ...one.k6,
      exec: one.exec,
      startTime: `${one.start}s`,
      gracefulStop: `${config.timeout + config.revokeDelay}s`,
    };
  }
  return all;
}

function make() {
  const runs = allRuns();
  const promises = allPromises(runs);
  // Requests of one VU that may be under way together.
  const atOnce = Math.max(config.herd, 32, ...PACED.map((name) => Math.ceil((config.rates[name] ?? 0) * BEAT)));
  return {
    runs,
    promises,
    // How long it all takes, without registering and removing clients.
    length: Math.max(...runs.map((one) => one.start + one.duration)),
    options: {
      scenarios: scenarios(runs),
      thresholds: thresholds(runs, promises),
      setupTimeout: '15m',
      teardownTimeout: '15m',
      batch: atOnce,
      batchPerHost: atOnce,
      summaryTrendStats: ['min', 'avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
      // Without `url`: the paths of the admin API hold client ids, which would be a series each.
      systemTags: ['status', 'method', 'name', 'group', 'check', 'error', 'error_code', 'scenario', 'expected_response'],
      userAgent: 'oauth2-loadtest',
    },
  };
}

// Made once. What a VU does not ask for it does not hold, and there may be thousands of them.
const shared = new SharedArray('plan', () => [make()]);

export const plan = () => shared[0];
