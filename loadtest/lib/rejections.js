// Expected 401 and 429 responses, and the checks of their headers and bodies.
import { Counter } from 'k6/metrics';
import { config } from './config.js';
import { WRONG } from './error_types.js';
import { expectStatus, expectThat, json, post } from './http.js';
import { tokenFrom, tokenRequest } from './oauth.js';

const rejections = new Counter('rejections');

// The parameters of a limit in a RateLimit field, such as { r: 0, t: 2 } in `"token";r=0;t=2`; undefined if the field has no
// limit of that name.
function limitIn(response, field, name) {
  // k6 canonicalizes header names as Go does.
  const members = (response.headers[field] ?? '').split(',').map((member) => member.trim().split(';'));
  const found = members.find(([first]) => first === `"${name}"`);
  return found && Object.fromEntries(found.slice(1).map((one) => one.split('=')).map(([key, value]) => [key, Number(value)]));
}

// The state of the limit `name`, whose quota parameter must be `quota`, from the RateLimit fields; undefined, and counted, if
// they are missing or wrong.
export function limitStatus(response, name, quota) {
  const policy = limitIn(response, 'Ratelimit-Policy', name);
  const state = limitIn(response, 'Ratelimit', name);
  const good = policy !== undefined && policy.q === quota && policy.w > 0 && state !== undefined && state.r >= 0 && state.t >= 0;
  return expectThat(good, WRONG.rateLimitFields) ? state : undefined;
}

// Checks a 429: Retry-After is at most `longest` seconds, and the description matches `description`. `label` is the client in
// metrics, if it has a label. Returns the value of Retry-After.
export function checkRejection(response, label, longest, description) {
  rejections.add(1, label === undefined ? {} : { client: label });
  const header = response.headers['Retry-After'] ?? '';
  const wait = Number(header);
  expectThat(/^[1-9][0-9]*$/.test(header) && wait <= longest, WRONG.retryAfter);
  const body = json(response);
  const documented = body !== undefined && body.error === 'too_many_requests' && description.test(`${body.error_description}`);
  expectThat(documented, WRONG.errorBody);
  return wait;
}

// Requests a token with a wrong secret. The response is 401, and 429 to a client that has failed too often. How a 429 of another server
// looks is not specified.
export function requestWithWrongSecret(client) {
  const expected = [401, 429];
  const { url, body, params } = tokenRequest(client, expected);
  const response = post(url, body, params);
  expectThat(response.status !== 200, WRONG.wrongSecretAccepted);
  if (!expectStatus(response, expected) || response.status !== 429) return;
  if (config.external) rejections.add(1, client.label === undefined ? {} : { client: client.label });
  else checkRejection(response, client.label, 3600, /authentication/);
}

// Requests a token with the correct secret, which must not be rejected because of the failures of other requests.
export function requestWithCorrectSecret(client) {
  const { url, body, params } = tokenRequest(client);
  const response = post(url, body, params);
  expectThat(![401, 429].includes(response.status), WRONG.correctSecretRejected);
  tokenFrom(response, client);
}
