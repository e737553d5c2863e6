// Clients that continue to request tokens after their hourly quota is used up: each must get exactly its quota.
import { dedicatedClient } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { WRONG } from '../lib/error_types.js';
import { expectStatus, expectThat, sendBatch } from '../lib/http.js';
import { tokenFrom, tokenRequest } from '../lib/oauth.js';
import { checkRejection, limitStatus } from '../lib/rejections.js';
import { dueRequests } from '../lib/schedule.js';

const HOUR = 3600;

// The counts of each client and hour as this scenario's only VU knows them.
const windows = {};

// Tokens beyond the quota that several nodes may issue before they learn of each other's.
const tolerance = () => (config.nodes === 1 ? 0 : Math.ceil((2 * config.rates.quotas) / config.limited));

// The window that a response belongs to. The response says when its window ends, so a run may cross the full hour.
function windowOf(number, status, now) {
  const hour = status === undefined ? Math.ceil(now / HOUR) : Math.round((now + status.t) / HOUR);
  const key = `${number} ${hour}`;
  return windows[key] ?? (windows[key] = { granted: 0, rejected: 0, unknown: 0 });
}

// Checks one response and counts it in its window, which it returns.
function countResponse(response, client, number) {
  const now = Date.now() / 1000;
  if (!expectStatus(response, [200, 429])) {
    // The server may have counted the request.
    const window = windowOf(number, undefined, now);
    window.unknown += 1;
    return window;
  }
  const status = limitStatus(response, 'hour', config.quota);
  const window = windowOf(number, status, now);
  if (response.status === 200) {
    tokenFrom(response, client);
    window.granted += 1;
  } else {
    const wait = checkRejection(response, client.label, HOUR, /quota/);
    // Retry-After must be the end of the window.
    if (status !== undefined) expectThat(Math.abs(wait - status.t) <= 1, WRONG.retryAfter);
    window.rejected += 1;
  }
  return window;
}

export function exceedQuota(data) {
  const numbers = dueRequests('quotas').map((n) => n % config.limited);
  const clients = numbers.map((number) => dedicatedClient(data, 'quota', number));
  const responses = sendBatch(clients.map((client) => tokenRequest(client, [200, 429])));
  const touched = new Set(responses.map((response, index) => countResponse(response, clients[index], numbers[index])));
  for (const window of touched) {
    expectThat(window.granted <= config.quota + tolerance(), WRONG.overQuota);
    if (window.rejected > 0) expectThat(window.granted + window.unknown >= config.quota, WRONG.underQuota);
  }
}
