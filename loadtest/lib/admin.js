// The admin API: registers the clients of a run and removes them.
import http from 'k6/http';
import { sleep } from 'k6';
import { config } from './config.js';
import { reasonOf } from './error_types.js';
import { requestParams } from './http.js';

// Concurrent requests. Each is a transaction; the server commits waiting transactions together.
const CONCURRENCY = 20;
const ATTEMPTS = 5;

// Request names in k6 metrics.
const NAMES = {
  POST: 'POST /admin/v1/clients',
  DELETE: 'DELETE /admin/v1/clients/{client_id}',
  GET: 'GET /admin/v1/clients',
};
const STATUS = { POST: 201, DELETE: 204, GET: 200 };

function request(method, path, body) {
  const headers = { Authorization: `Bearer ${config.adminToken}`, 'Content-Type': 'application/json' };
  const params = { ...requestParams('admin', NAMES[method], STATUS[method], headers), timeout: '10s' };
  return { method, url: `${config.adminUrl}/admin/v1/clients${path}`, body, params };
}

// The error message for a response that ends the run.
export function describeFailure(response) {
  if (response.status === 0) return `the admin API at ADMIN_URL ${config.adminUrl} does not respond${reasonOf(response)}`;
  if (response.status === 401) return 'the admin API returned 401: ADMIN_TOKEN is not its admin token';
  if (response.status === 403) return 'the admin API returned 403: ADMIN_TOKEN lacks the scope oauth2.admin';
  if (response.status === 404) return `the admin API was not found at ADMIN_URL ${config.adminUrl}: it returned 404`;
  return `the admin API returned ${response.status}`;
}

// Whether a failed response proves that no request of the run was executed: wrong token, wrong URL, or no connection.
export const nothingExecuted = (response) => [401, 403, 404].includes(response.status) || [1101, 1210, 1212].includes(response.error_code);

const isTransient = (response) => response.status === 0 || response.status === 429 || response.status >= 500;

// Sends requests in batches and retries transient failures. Returns the response that ended the attempts, or undefined on
// success.
function sendAll(requests, succeeded) {
  for (let first = 0; first < requests.length; first += CONCURRENCY) {
    let pending = requests.slice(first, first + CONCURRENCY);
    for (let attempt = 1; pending.length > 0; attempt += 1) {
      const responses = http.batch(pending);
      const failed = pending.map((_, index) => index).filter((index) => !succeeded(responses[index], attempt));
      if (failed.length > 0) {
        const response = responses[failed[0]];
        if (attempt === ATTEMPTS || !isTransient(response)) return response;
        sleep(attempt / 2);
      }
      pending = failed.map((index) => pending[index]);
    }
  }
  return undefined;
}

// Registers clients. Returns the response that ended the attempts, or undefined on success.
export function register(bodies) {
  const requests = bodies.map((body) => request('POST', '', JSON.stringify(body)));
  // A 409 on a retry: the client was registered although the response to the first attempt was lost.
  return sendAll(requests, (response, attempt) => response.status === 201 || (response.status === 409 && attempt > 1));
}

// Removes clients, whether or not they exist. Returns the response that ended the attempts, or undefined on success.
export function remove(ids) {
  const requests = ids.map((id) => request('DELETE', `/${id}`, null));
  return sendAll(requests, (response) => response.status === 204 || response.status === 404);
}

// Lists the ids of all clients that begin with `prefix`: `{ ids }`, or `{ response }` with the failed response.
export function listIds(prefix) {
  const ids = [];
  let cursor = '';
  while (cursor !== null) {
    const { url, params } = request('GET', `?limit=1000&prefix=${encodeURIComponent(prefix)}${cursor}`);
    const response = http.get(url, params);
    if (response.status !== 200) return { response };
    const page = JSON.parse(response.body);
    ids.push(...page.items.map((client) => client.client_id));
    cursor = page.next_cursor === null ? null : `&cursor=${encodeURIComponent(page.next_cursor)}`;
  }
  return { ids };
}
