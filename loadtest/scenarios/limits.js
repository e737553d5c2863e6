// Clients that ask ten times as often as they may, and beside them clients that may as often as they like.
import { clientInTurn, marked } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { arrived, demand, together } from '../lib/http.js';
import { issue, tokenIn, tokenRequest } from '../lib/oauth.js';
import { due } from '../lib/pace.js';
import { turn } from '../lib/pool.js';
import { refusal, standing } from '../lib/refusals.js';

// By the number of the client: what this scenario's only VU knows of its bucket.
const books = {};

// Judges one answer. Answers whether the client got what it asked for; undefined if that is not known.
function judge(response, client) {
  if (!arrived(response, [200, 429])) return undefined;
  const { burst, minute } = config.rateLimit;
  const state = standing(response, 'token', burst);
  if (response.status === 200) {
    tokenIn(response, client);
    return true;
  }
  refusal(response, client.called, Math.ceil(60 / minute), 'more often than it may');
  if (state !== undefined) demand(state.r === 0, 'an answer without the RateLimit fields of its limit');
  return false;
}

// Compares what a bucket has let through with what can have been in it. The requests were sent and answered between the
// milliseconds `began` and `ended`; when the server looked at each is not known better.
function settle(number, outcomes, began, ended) {
  const { burst, minute } = config.rateLimit;
  const flowed = (from, to) => ((to - from) / 60000) * minute;
  const book = books[number] ?? (books[number] = { began, admitted: 0 });
  book.admitted += outcomes.filter((outcome) => outcome === true).length;
  // The bucket was full when it was asked first. Each node has one.
  const most = config.nodes * (burst + flowed(book.began, ended)) + 1;
  demand(book.admitted <= most, 'more let through than the rate');

  if (config.nodes > 1 || !outcomes.includes(false)) return;
  // Empty just now. If it cannot have run over since it was empty before, all that flowed in must have been let through.
  const ranOver = book.empty === undefined || flowed(book.empty, ended) > burst - 1;
  // A request without an answer may have taken its share.
  if (ranOver || outcomes.includes(undefined)) book.since = { ended, admitted: book.admitted };
  const passed = book.admitted - book.since.admitted;
  demand(passed >= flowed(book.since.ended, began) - burst, 'less let through than the rate');
  book.empty = began;
}

export function ask(data) {
  const numbers = due('limits').map((n) => n % config.limited);
  const clients = numbers.map((number) => marked(data, 'limited', number));
  const began = Date.now();
  const responses = together(clients.map((client) => tokenRequest(client, [200, 429])));
  const ended = Date.now();
  const outcomes = responses.map((response, index) => judge(response, clients[index]));
  for (const number of new Set(numbers)) {
    settle(number, outcomes.filter((_, index) => numbers[index] === number), began, ended);
  }
}

export function honest(data) {
  issue(clientInTurn(data, turn()));
}
