// Clients that go on asking when their quota of the hour is used up: they get as many tokens as it has, and not one more.
import { marked } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { arrived, demand, together } from '../lib/http.js';
import { tokenIn, tokenRequest } from '../lib/oauth.js';
import { due } from '../lib/pace.js';
import { refusal, standing } from '../lib/refusals.js';

const HOUR = 3600;

// By client and hour: what this scenario's only VU knows to be granted.
const books = {};

// Tokens beyond the quota that several nodes may issue before they learn of each other's.
const late = () => (config.nodes === 1 ? 0 : Math.ceil((2 * config.rates.quotas) / config.limited));

// The book that an answer belongs into. It says itself when its window ends, so a run may go on over the full hour.
function bookOf(number, state, now) {
  const hour = state === undefined ? Math.ceil(now / HOUR) : Math.round((now + state.t) / HOUR);
  const key = `${number} ${hour}`;
  return books[key] ?? (books[key] = { granted: 0, refused: 0, unknown: 0 });
}

// Enters one answer; answers the book.
function enter(response, client, number) {
  const now = Date.now() / 1000;
  if (!arrived(response, [200, 429])) {
    // It may have been counted all the same.
    const book = bookOf(number, undefined, now);
    book.unknown += 1;
    return book;
  }
  const state = standing(response, 'hour', config.quota);
  const book = bookOf(number, state, now);
  if (response.status === 200) {
    tokenIn(response, client);
    book.granted += 1;
  } else {
    const wait = refusal(response, client.called, HOUR, 'quota');
    // It is worth asking again when the window turns, no sooner.
    if (state !== undefined) demand(Math.abs(wait - state.t) <= 1, 'a refusal that does not say when to ask again');
    book.refused += 1;
  }
  return book;
}

export function overdraw(data) {
  const numbers = due('quotas').map((n) => n % config.limited);
  const clients = numbers.map((number) => marked(data, 'quota', number));
  const responses = together(clients.map((client) => tokenRequest(client, [200, 429])));
  const touched = new Set(responses.map((response, index) => enter(response, clients[index], numbers[index])));
  for (const book of touched) {
    demand(book.granted <= config.quota + late(), 'more tokens than the quota');
    if (book.refused > 0) demand(book.granted + book.unknown >= config.quota, 'fewer tokens than the quota');
  }
}
