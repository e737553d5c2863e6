// Verifiers fetch the public keys and the metadata.
import { discover } from '../lib/oauth.js';
import { turn } from '../lib/pool.js';

const DOCUMENTS = ['paseto_keys', 'jwks', 'metadata'];

export function discovery() {
  discover(DOCUMENTS[turn() % DOCUMENTS.length]);
}
