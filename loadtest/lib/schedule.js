// Schedules the requests of a single VU, which sends all due requests together a few times per second. With many VUs no one
// could add up per-client totals before the end of the run; a single VU can, with the time of each request.
import exec from 'k6/execution';
import { config } from './config.js';

// Seconds between two ticks.
export const TICK = 0.25;

// Requests sent so far, by scenario: k6 may reuse the VU for another scenario later.
const sent = {};

// The sequence numbers of the requests of scenario `name` that are due now. Requests of a late or skipped tick are caught up,
// one second's worth at most.
export function dueRequests(name) {
  const rate = config.rates[name];
  const elapsed = (Date.now() - exec.scenario.startTime) / 1000;
  const first = sent[name] ?? 0;
  const until = Math.floor(Math.min(elapsed + TICK, config.duration) * rate);
  const count = Math.max(0, Math.min(until - first, Math.ceil(rate)));
  sent[name] = first + count;
  return Array.from({ length: count }, (_, index) => first + index);
}

// The least number of requests that the scenario sends if k6 keeps up: without the first and the last tick.
export const leastRequests = (name) =>
  Math.floor(config.rates[name] * Math.max(0, config.duration - 2 * TICK) * (1 - config.thresholds.dropped));
