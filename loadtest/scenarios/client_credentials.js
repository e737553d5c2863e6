// Issuing: a client asks for a token with its secret.
import { client } from '../lib/clients.js';
import { config } from '../lib/config.js';
import { issue } from '../lib/oauth.js';
import { turn } from '../lib/pool.js';

// For clients of this format; all of them in turn.
export const clientCredentials = (format) => (data) => {
  issue(client(data, format, turn() % config.clients));
};
