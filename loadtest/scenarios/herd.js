// A thundering herd: the tokens of many clients expire together, and all clients request a new one at the same instant.
import { clientInTurn } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { sendBatch } from '../lib/http.js';
import { tokenFrom, tokenRequest } from '../lib/oauth.js';

export function requestAtOnce(data) {
  const clients = [];
  for (let n = 0; n < config.herd; n += 1) clients.push(clientInTurn(data, n));
  const responses = sendBatch(clients.map((client) => tokenRequest(client)));
  responses.forEach((response, index) => tokenFrom(response, clients[index]));
}
