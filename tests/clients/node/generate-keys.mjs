// Writes private keys, as programs for Node make them, to files named node.ALG.NAME.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as jose from 'jose';

const write = (name, text) => writeFileSync(join(process.argv[2], name), text, { mode: 0o600 });

const ec = await jose.generateKeyPair('ES256', { extractable: true });
write('node.ES256.jose-jwk', JSON.stringify({ ...(await jose.exportJWK(ec.privateKey)), alg: 'ES256', use: 'sig', kid: 'node-1' }));
const ed = await jose.generateKeyPair('EdDSA', { extractable: true });
write('node.EdDSA.jose-jwk', JSON.stringify(await jose.exportJWK(ed.privateKey)));
const rsa = await jose.generateKeyPair('RS256', { extractable: true });
write('node.RS256.jose-pkcs8', await jose.exportPKCS8(rsa.privateKey));
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
write('node.ES256.crypto-sec1', privateKey.export({ type: 'sec1', format: 'pem' }));
