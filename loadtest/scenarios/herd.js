// A thundering herd: the tokens of many clients expire together, and all of them ask in the same instant. Again and again.
import { clientInTurn } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { together } from '../lib/http.js';
import { tokenIn, tokenRequest } from '../lib/oauth.js';

export function herd(data) {
  const clients = [];
  for (let n = 0; n < config.herd; n += 1) clients.push(clientInTurn(data, n));
  const responses = together(clients.map((client) => tokenRequest(client)));
  responses.forEach((response, index) => tokenIn(response, clients[index]));
}
