// Requests that one VU sends together as they fall due, a few times a second. What many VUs saw of a client nobody could add up
// before the end; this one keeps the client's books, with the times at which it asked.
import exec from 'k6/execution';
import { config } from './config.js';

// Seconds between two beats.
export const BEAT = 0.25;

// How many were sent, by scenario: k6 may give the VU of one to another later.
const sent = {};

// The numbers of the requests of `name` that are due now. A beat that was late or left out is made up for, by a second of
// requests at the most.
export function due(name) {
  const rate = config.rates[name];
  const elapsed = (Date.now() - exec.scenario.startTime) / 1000;
  const first = sent[name] ?? 0;
  const until = Math.floor(Math.min(elapsed + BEAT, config.duration) * rate);
  const count = Math.max(0, Math.min(until - first, Math.ceil(rate)));
  sent[name] = first + count;
  return Array.from({ length: count }, (_, at) => first + at);
}

// Requests that such a scenario makes in its time if k6 keeps up: without the first and the last beat.
export const least = (name) => Math.floor(config.rates[name] * Math.max(0, config.duration - 2 * BEAT) * (1 - config.limits.dropped));
