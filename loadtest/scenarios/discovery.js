// Resource servers fetch the public keys and the metadata.
import { fetchDocument } from '../lib/oauth.js';
import { iteration } from '../lib/pool.js';

const DOCUMENTS = ['paseto_keys', 'jwks', 'metadata'];

export function fetchInTurn() {
  fetchDocument(DOCUMENTS[iteration() % DOCUMENTS.length]);
}
