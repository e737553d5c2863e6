// The admin API: registers the clients of a run and removes them.
import http from 'k6/http';
import { sleep } from 'k6';
import { config } from './config.js';
import { parameters } from './http.js';

// Requests under way at once. Each is a transaction; the server commits those that wait together.
const AT_ONCE = 20;
const TRIES = 5;

const KNOWN_AS = {
  POST: 'POST /admin/v1/clients',
  DELETE: 'DELETE /admin/v1/clients/{client_id}',
  GET: 'GET /admin/v1/clients',
};
const STATUS = { POST: 201, DELETE: 204, GET: 200 };

function request(method, path, body) {
  const headers = { Authorization: `Bearer ${config.adminToken}`, 'Content-Type': 'application/json' };
  const params = { ...parameters('admin', KNOWN_AS[method], STATUS[method], headers), timeout: '10s' };
  return { method, url: `${config.adminUrl}/admin/v1/clients${path}`, body, params };
}

// Why an answer ends the run, as a sentence.
export function reason(response) {
  if (response.status === 0) return `the admin API at ADMIN_URL ${config.adminUrl} does not answer`;
  if (response.status === 401) return 'the admin API answers 401: ADMIN_TOKEN is not its admin token';
  if (response.status === 403) return 'the admin API answers 403: ADMIN_TOKEN lacks the scope oauth2.admin';
  if (response.status === 404) return `there is no admin API at ADMIN_URL ${config.adminUrl}: it answers 404`;
  return `the admin API answers ${response.status}`;
}

// Whether an answer says that nothing of the kind is done at all: a wrong token, a wrong place, nobody there.
export const refused = (response) => [401, 403, 404].includes(response.status) || [1101, 1210, 1212].includes(response.error_code);

const passing = (response) => response.status === 0 || response.status === 429 || response.status >= 500;

// Sends requests a few at a time, and again those that failed in passing. Answers the response that it gave up at, or
// undefined when all are done.
function all(requests, good) {
  for (let at = 0; at < requests.length; at += AT_ONCE) {
    let left = requests.slice(at, at + AT_ONCE);
    for (let attempt = 1; left.length > 0; attempt += 1) {
      const responses = http.batch(left);
      const bad = left.map((_, index) => index).filter((index) => !good(responses[index], attempt));
      if (bad.length > 0) {
        const worst = responses[bad[0]];
        if (attempt === TRIES || !passing(worst)) return worst;
        sleep(attempt / 2);
      }
      left = bad.map((index) => left[index]);
    }
  }
  return undefined;
}

// Registers clients. Answers the response that it gave up at, or undefined.
export function register(bodies) {
  const requests = bodies.map((body) => request('POST', '', JSON.stringify(body)));
  // One that was registered although its answer was lost is there now.
  return all(requests, (response, attempt) => response.status === 201 || (response.status === 409 && attempt > 1));
}

// Removes clients; it does not matter whether they are there. Answers the response that it gave up at, or undefined.
export function remove(ids) {
  const requests = ids.map((id) => request('DELETE', `/${id}`, null));
  return all(requests, (response) => response.status === 204 || response.status === 404);
}

// The ids of all clients that begin with `prefix`, or the response that says why they cannot be had.
export function named(prefix) {
  const ids = [];
  let cursor = '';
  while (cursor !== null) {
    const asked = request('GET', `?limit=1000&prefix=${encodeURIComponent(prefix)}${cursor}`);
    const response = http.get(asked.url, asked.params);
    if (response.status !== 200) return { response };
    const page = JSON.parse(response.body);
    ids.push(...page.items.map((client) => client.client_id));
    cursor = page.next_cursor === null ? null : `&cursor=${encodeURIComponent(page.next_cursor)}`;
  }
  return { ids };
}
