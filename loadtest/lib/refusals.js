// Refusals that are right, and what they must say.
import { Counter } from 'k6/metrics';
import { arrived, demand, json, post } from './http.js';
import { tokenIn, tokenRequest } from './oauth.js';

const refusals = new Counter('refusals');

// The parameters of a limit in a RateLimit field, such as { r: 0, t: 2 } in `"token";r=0;t=2`; undefined if it has none of
// that name.
function limitIn(response, field, name) {
  // k6 spells names of headers as Go does.
  const members = (response.headers[field] ?? '').split(',').map((member) => member.trim().split(';'));
  const found = members.find(([first]) => first === `"${name}"`);
  return found && Object.fromEntries(found.slice(1).map((one) => one.split('=')).map(([key, value]) => [key, Number(value)]));
}

// Where the answer says that its client stands with the limit `name`, which is one of `depth`.
export function standing(response, name, depth) {
  const policy = limitIn(response, 'Ratelimit-Policy', name);
  const state = limitIn(response, 'Ratelimit', name);
  const good = policy !== undefined && policy.q === depth && policy.w > 0 && state !== undefined && state.r >= 0 && state.t >= 0;
  return demand(good, 'an answer without the RateLimit fields of its limit') ? state : undefined;
}

// Judges a 429 of the client that is called `client`. Answers after how many seconds it says to ask again.
export function refusal(response, client, most, about) {
  refusals.add(1, { client });
  const written = response.headers['Retry-After'] ?? '';
  const wait = Number(written);
  demand(/^[1-9][0-9]*$/.test(written) && wait <= most, 'a refusal that does not say when to ask again');
  const body = json(response);
  const documented = body !== undefined && body.error === 'too_many_requests' && `${body.error_description}`.includes(about);
  demand(documented, 'a refusal other than the documented one');
  return wait;
}

// Asks with a secret that is wrong and must not be accepted. After too many of them the answer may be to fail less often.
export function failed(client) {
  const { url, body, params } = tokenRequest(client, [401, 429]);
  const response = post(url, body, params);
  demand(response.status !== 200, 'a wrong secret accepted');
  if (arrived(response, [401, 429]) && response.status === 429) refusal(response, client.called, 3600, 'authentication failed');
}

// Asks with the right secret, which nobody's failures may get refused.
export function insist(client) {
  const { url, body, params } = tokenRequest(client);
  const response = post(url, body, params);
  demand(![401, 429].includes(response.status), 'a right secret refused');
  tokenIn(response, client);
}
