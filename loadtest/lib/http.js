// HTTP requests with tags, expected statuses, and counters of errors and wrong answers.
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { config } from './config.js';
import { WRONG, errorTypeOf, reasonOf } from './error_types.js';

const errors = new Counter('request_errors');
const wrong = new Counter('wrong_answers');

const timeout = `${config.timeout * 1000}ms`;
const callbacks = {};

// `status` is one status or a list of them, here and in the functions below.
function callback(status) {
  if (callbacks[status] === undefined) callbacks[status] = http.expectedStatuses(...[].concat(status));
  return callbacks[status];
}

let measured = true;

// Excludes all further requests of this VU from the results: they belong to setup or teardown.
export function excludeFromResults() {
  measured = false;
}

export const isMeasured = () => measured;

// The parameters of a request. `name` is its name in k6 metrics.
export function requestParams(endpoint, name, status, headers) {
  return {
    headers,
    timeout,
    redirects: 0,
    responseCallback: callback(status),
    tags: measured ? { name, endpoint } : { name },
  };
}

let lastReason = '';

// Why the last request of this VU failed, to be appended to an error: a clause with its separator, or nothing.
export const reason = () => lastReason;

// Whether the response has the expected status; otherwise counts an error by type.
export function expectStatus(response, status) {
  if ([].concat(status).includes(response.status)) return true;
  errors.add(1, { type: errorTypeOf(response) });
  lastReason = reasonOf(response);
  return false;
}

// Counts a wrong answer of type `what` (one of WRONG) unless `holds`. Returns `holds`.
export function expectThat(holds, what) {
  if (!holds) wrong.add(1, { what });
  return holds;
}

// The body as JSON; undefined, and counted as a wrong answer, if it is not JSON.
export function json(response) {
  try {
    return JSON.parse(response.body);
  } catch (error) {
    expectThat(false, WRONG.json);
    return undefined;
  }
}

export function post(url, body, params) {
  return http.post(url, body, params);
}

export function get(url, params) {
  return http.get(url, params);
}

export function sendBatch(requests) {
  return http.batch(requests);
}
