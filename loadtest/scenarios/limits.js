// Clients that send ten times as many requests as their rate limit allows, and clients without a rate limit.
import { dedicatedClient } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { WRONG } from '../lib/error_types.js';
import { expectStatus, expectThat, sendBatch } from '../lib/http.js';
import { tokenFrom, tokenRequest } from '../lib/oauth.js';
import { checkRejection, limitStatus } from '../lib/rejections.js';
import { dueRequests } from '../lib/schedule.js';

export { issueInTurn as legitimate } from './client_credentials.js';

// The state of each client's bucket as this scenario's only VU knows it, by client number.
const buckets = {};

// Checks one response. Returns whether the request was admitted; undefined if that is unknown.
function wasAdmitted(response, client) {
  if (!expectStatus(response, [200, 429])) return undefined;
  const { burst, minute } = config.rateLimit;
  const status = limitStatus(response, 'token', burst);
  if (response.status === 200) {
    tokenFrom(response, client);
    return true;
  }
  checkRejection(response, client.label, Math.ceil(60 / minute), /rate limit/);
  if (status !== undefined) expectThat(status.r === 0, WRONG.rateLimitFields);
  return false;
}

// Compares the admitted requests of a client with what its bucket can have held. The requests were sent and answered between
// `began` and `ended` (Unix milliseconds); the time at which the server processed each is not known more precisely.
function checkBucket(number, outcomes, began, ended) {
  const { burst, minute } = config.rateLimit;
  const refilled = (from, to) => ((to - from) / 60000) * minute;
  const bucket = buckets[number] ?? (buckets[number] = { began, admitted: 0 });
  bucket.admitted += outcomes.filter((outcome) => outcome === true).length;
  // The bucket was full at the first request. Each node has its own.
  const most = config.nodes * (burst + refilled(bucket.began, ended)) + 1;
  expectThat(bucket.admitted <= most, WRONG.overRate);

  if (config.nodes > 1 || !outcomes.includes(false)) return;
  // The bucket is empty. If it cannot have overflowed since it was last empty, all that was refilled must have been admitted.
  const mayHaveOverflowed = bucket.empty === undefined || refilled(bucket.empty, ended) > burst - 1;
  // A request without a response may have been admitted.
  if (mayHaveOverflowed || outcomes.includes(undefined)) bucket.since = { ended, admitted: bucket.admitted };
  const admitted = bucket.admitted - bucket.since.admitted;
  expectThat(admitted >= refilled(bucket.since.ended, began) - burst, WRONG.underRate);
  bucket.empty = began;
}

export function exceedRate(data) {
  const numbers = dueRequests('limits').map((n) => n % config.limited);
  const clients = numbers.map((number) => dedicatedClient(data, 'limited', number));
  const began = Date.now();
  const responses = sendBatch(clients.map((client) => tokenRequest(client, [200, 429])));
  const ended = Date.now();
  const outcomes = responses.map((response, index) => wasAdmitted(response, clients[index]));
  for (const number of new Set(numbers)) {
    checkBucket(number, outcomes.filter((_, index) => numbers[index] === number), began, ended);
  }
}
