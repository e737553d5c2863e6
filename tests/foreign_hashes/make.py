"""Prints vectors of bcrypt, passlib, Django, argon2-cffi and hashlib, a JSON object a line. See README.md."""

import base64
import hashlib
import json
import os

# passlib does not know the interface of bcrypt 5.
os.environ["PASSLIB_BUILTIN_BCRYPT"] = "enabled"

import argon2
import bcrypt
import django.conf
from django.contrib.auth import hashers
from passlib import hash as passlib

STRONG = "Xy7-q2LmZ0vB9nTfKc4WsJd8RgHe3UaPi5oQ_1rEtYw"
UNICODE = "pässwörd-€-with-more-than-ascii-characters"


def write(made_by, secret, text, scheme=None):
    line = {"made_by": made_by, "secret": secret, "hash": text}
    if scheme:
        line["scheme"] = scheme
    print(json.dumps(line, ensure_ascii=False, separators=(",", ":")))


def make(name, **settings):
    """A hasher of Django with settings of its own."""
    hasher = getattr(hashers, name)()
    for setting, value in settings.items():
        setattr(hasher, setting, value)
    return hasher


for prefix in [b"2a", b"2b"]:
    write("bcrypt (Python)", STRONG, bcrypt.hashpw(STRONG.encode(), bcrypt.gensalt(5, prefix)).decode())
write("bcrypt (Python)", UNICODE, bcrypt.hashpw(UNICODE.encode(), bcrypt.gensalt(4)).decode())
php = bcrypt.hashpw(STRONG.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
assert bcrypt.checkpw(STRONG.encode(), php.encode())
write("bcrypt (PHP's tag)", STRONG, php)

write("passlib pbkdf2_sha1", STRONG, passlib.pbkdf2_sha1.using(rounds=2500).hash(STRONG))
write("passlib pbkdf2_sha256", STRONG, passlib.pbkdf2_sha256.using(rounds=2500).hash(STRONG))
write("passlib pbkdf2_sha512", STRONG, passlib.pbkdf2_sha512.using(rounds=2500).hash(STRONG))
write("passlib pbkdf2_sha256", UNICODE, passlib.pbkdf2_sha256.using(rounds=1000, salt_size=5).hash(UNICODE))
write("passlib scrypt", STRONG, passlib.scrypt.using(rounds=10, salt_size=16).hash(STRONG))
write("passlib argon2", STRONG, passlib.argon2.using(rounds=2, memory_cost=1024, parallelism=2).hash(STRONG))
passlib.bcrypt.set_backend("builtin")
passlib.bcrypt_sha256.set_backend("builtin")
write("passlib bcrypt_sha256", STRONG, passlib.bcrypt_sha256.using(rounds=4).hash(STRONG))
write("passlib bcrypt_sha256", UNICODE, passlib.bcrypt_sha256.using(rounds=4).hash(UNICODE))
write("passlib bcrypt_sha256 before 1.7.3", STRONG, passlib.bcrypt_sha256.using(rounds=4, version=1).hash(STRONG))
write("passlib sha256_crypt", STRONG, passlib.sha256_crypt.using(rounds=1000).hash(STRONG))
write("passlib sha256_crypt", UNICODE, passlib.sha256_crypt.using(rounds=5000, salt_size=3).hash(UNICODE))
write("passlib sha512_crypt", STRONG, passlib.sha512_crypt.using(rounds=1234).hash(STRONG))
write("passlib ldap_pbkdf2_sha1", STRONG, passlib.ldap_pbkdf2_sha1.using(rounds=1000).hash(STRONG))
write("passlib ldap_pbkdf2_sha256", STRONG, passlib.ldap_pbkdf2_sha256.using(rounds=1000).hash(STRONG))
write("passlib ldap_pbkdf2_sha512", STRONG, passlib.ldap_pbkdf2_sha512.using(rounds=1000).hash(STRONG))
write("passlib ldap_bcrypt", STRONG, passlib.ldap_bcrypt.using(rounds=4).hash(STRONG))
write("passlib ldap_sha512_crypt", STRONG, passlib.ldap_sha512_crypt.using(rounds=1000).hash(STRONG))
write("passlib ldap_salted_sha256", STRONG, passlib.ldap_salted_sha256.hash(STRONG))
write("passlib ldap_salted_sha512", STRONG, passlib.ldap_salted_sha512.hash(STRONG))

for kind in [argon2.Type.ID, argon2.Type.I]:
    hasher = argon2.PasswordHasher(time_cost=2, memory_cost=2048, parallelism=1, type=kind)
    write("argon2-cffi", STRONG, hasher.hash(STRONG))

django.conf.settings.configure()
write("Django pbkdf2_sha256", STRONG, make("PBKDF2PasswordHasher").encode(STRONG, "saltOfDjango22chars000", 260000))
write("Django pbkdf2_sha1", STRONG, make("PBKDF2SHA1PasswordHasher").encode(STRONG, "saltOfDjango22chars000", 2600))
for name in ["BCryptSHA256PasswordHasher", "BCryptPasswordHasher"]:
    hasher = make(name, rounds=5)
    write("Django " + hasher.algorithm, STRONG, hasher.encode(STRONG, hasher.salt()))
hasher = make("Argon2PasswordHasher", memory_cost=2048)
write("Django argon2", STRONG, hasher.encode(STRONG, hasher.salt()))
hasher = make("ScryptPasswordHasher")
write("Django scrypt", STRONG, hasher.encode(STRONG, "saltOfDjango22chars000", n=2**10))

# As Duende IdentityServer's `Sha256()` and `Sha512()` do: the base64 of the digest of the UTF-8 text.
for name in ["sha256", "sha512"]:
    digest = hashlib.new(name, STRONG.encode()).digest()
    write("hashlib " + name, STRONG, digest.hex(), name + "-hex")
    write("hashlib " + name, STRONG, digest.hex().upper(), name + "-hex")
    write("hashlib " + name, STRONG, base64.b64encode(digest).decode(), name + "-base64")
write("as stored in clear", STRONG, STRONG, "plain")
