// Token requests with the client_credentials grant.
import { client, clientInTurn } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { issue } from '../lib/oauth.js';
import { iteration } from '../lib/pool.js';

// For the clients of one format in rotation.
export const issueForFormat = (format) => (data) => issue(client(data, format, iteration() % config.clients));

// For all clients in rotation.
export const issueInTurn = (data) => issue(clientInTurn(data, iteration()));
