// Requests as this harness makes them: tagged, with the answer that is expected, and failures counted by kind.
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { config } from './config.js';
import { kindOf } from './kinds.js';

const errors = new Counter('request_errors');
const wrong = new Counter('wrong_answers');

const timeout = `${config.timeout * 1000}ms`;
const expecting = {};

// `status` is one, or a list of them, as everywhere here.
function callback(status) {
  if (expecting[status] === undefined) expecting[status] = http.expectedStatuses(...[].concat(status));
  return expecting[status];
}

let measured = true;

// From here on, what this VU does is preparation and no part of the figures.
export function prepareOnly() {
  measured = false;
}

export const isMeasured = () => measured;

// The parameters of a request. `name` is what it is called in figures.
export function parameters(endpoint, name, status, headers) {
  return {
    headers,
    timeout,
    redirects: 0,
    responseCallback: callback(status),
    tags: measured ? { name, endpoint } : { name },
  };
}

// Whether the answer has the expected status; counts it by kind if not.
export function arrived(response, status) {
  if ([].concat(status).includes(response.status)) return true;
  errors.add(1, { kind: kindOf(response) });
  return false;
}

// Counts an answer that cannot be true; `what` says what it is then. Answers whether it is true.
export function demand(truth, what) {
  if (!truth) wrong.add(1, { what });
  return truth;
}

// The body as JSON; undefined, and counted, if it is none.
export function json(response) {
  try {
    return JSON.parse(response.body);
  } catch (error) {
    demand(false, 'an answer that is not JSON');
    return undefined;
  }
}

export function post(url, body, sent) {
  return http.post(url, body, sent);
}

export function get(url, sent) {
  return http.get(url, sent);
}

export function together(requests) {
  return http.batch(requests);
}
