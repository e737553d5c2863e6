// Prints JWTs signed with every algorithm by Node's crypto, a JSON object a line: the public JWK, without its alg, and the token:
//
//   node make.mjs > vectors.jsonl
import crypto from 'node:crypto';

const rsa = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const curve = (namedCurve) => crypto.generateKeyPairSync('ec', { namedCurve });
const pss = { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST };
const fixed = { dsaEncoding: 'ieee-p1363' };
const ed25519 = crypto.generateKeyPairSync('ed25519');
const algorithms = [
  ['RS256', rsa, 'sha256', {}], ['RS384', rsa, 'sha384', {}], ['RS512', rsa, 'sha512', {}],
  ['PS256', rsa, 'sha256', pss], ['PS384', rsa, 'sha384', pss], ['PS512', rsa, 'sha512', pss],
  ['ES256', curve('P-256'), 'sha256', fixed], ['ES384', curve('P-384'), 'sha384', fixed], ['ES512', curve('P-521'), 'sha512', fixed],
  ['EdDSA', ed25519, null, {}], ['Ed25519', ed25519, null, {}],
  // Not verified here.
  ['ES256K', curve('secp256k1'), 'sha256', fixed], ['EdDSA', crypto.generateKeyPairSync('ed448'), null, {}],
];
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
for (const [alg, { publicKey, privateKey }, hash, options] of algorithms) {
  const kid = `${alg}-${publicKey.export({ format: 'jwk' }).crv ?? 'RSA'}`;
  const signed = `${encode({ alg, kid })}.${encode({ sub: 'vector', alg })}`;
  const signature = crypto.sign(hash, Buffer.from(signed), { key: privateKey, ...options });
  console.log(JSON.stringify({ alg, jwk: { ...publicKey.export({ format: 'jwk' }), kid }, token: `${signed}.${signature.toString('base64url')}` }));
}
