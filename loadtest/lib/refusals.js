// Refusals that are right, and what they must say.
import { Counter } from 'k6/metrics';
import { config } from './config.js';
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

// Judges a 429 of the client that figures call `client`, if they have a name for it. Answers after how many seconds it says to ask again.
export function refusal(response, client, most, about) {
  refusals.add(1, client === undefined ? {} : { client });
  const written = response.headers['Retry-After'] ?? '';
  const wait = Number(written);
  demand(/^[1-9][0-9]*$/.test(written) && wait <= most, 'a refusal that does not say when to ask again');
  const body = json(response);
  const documented = body !== undefined && body.error === 'too_many_requests' && `${body.error_description}`.includes(about);
  demand(documented, 'a refusal other than the documented one');
  return wait;
}

// Asks with a secret that is wrong and must not be accepted. Of this server the answer to too many of them is to fail less
// often; of others that is not known.
export function failed(client) {
  const right = config.elsewhere ? [401] : [401, 429];
  const { url, body, params } = tokenRequest(client, right);
  const response = post(url, body, params);
  demand(response.status !== 200, 'a wrong secret accepted');
  if (arrived(response, right) && response.status === 429) refusal(response, client.called, 3600, 'authentication failed');
}

// Asks with the right secret, which nobody's failures may get refused.
export function insist(client) {
  const { url, body, params } = tokenRequest(client);
  const response = post(url, body, params);
  demand(![401, 429].includes(response.status), 'a right secret refused');
  tokenIn(response, client);
}
