"""Writes private keys, as programs in Python and openssl make them, to files named LANGUAGE.ALG.NAME.

usage: generate_keys.py DIRECTORY
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from joserfc.jwk import RSAKey

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


PASSPHRASE = "correct horse"
"""As in ../fixture.py."""


def pem(key: PrivateKey, form: PrivateFormat, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def openssl(*arguments: str, stdin: str = "") -> str:
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, text=True, check=True).stdout


def with_certificate(directory: Path) -> str:
    """A self-signed certificate and its key in one file, as many servers take them."""
    file = directory.parent / "certificate-key.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=api.example", "-days", "1"]
    certificate = openssl(*request, "-keyout", str(file))
    return file.read_text() + certificate


def with_bag_attributes(key: str) -> str:
    """The key after a round through PKCS #12, which writes attributes before it."""
    export = subprocess.run(
        ["openssl", "pkcs12", "-export", "-nocerts", "-name", "signing", "-passout", "pass:"],
        input=key.encode(),
        capture_output=True,
        check=True,
    ).stdout
    command = ["openssl", "pkcs12", "-nocerts", "-nodes", "-passin", "pass:"]
    return subprocess.run(command, input=export, capture_output=True, check=True).stdout.decode()


def rsa_jwk_of_n_e_d() -> str:
    """The three parameters that RFC 7518 requires of a private RSA key."""
    jwk = RSAKey.generate_key(2048).as_dict(private=True)
    return json.dumps({name: jwk[name] for name in ["kty", "n", "e", "d"]})


def main() -> None:
    directory = Path(sys.argv[1])
    p256 = ec.generate_private_key(ec.SECP256R1())
    encrypted = BestAvailableEncryption(PASSPHRASE.encode())
    aes256 = ["-aes256", "-passout", f"pass:{PASSPHRASE}"]
    keys = {
        "python.ES256.cryptography-pkcs8": pem(p256, PrivateFormat.PKCS8),
        "python.EdDSA.cryptography-pkcs8": pem(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8),
        "python.RS256.cryptography-pkcs1": pem(rsa.generate_private_key(65537, 2048), PrivateFormat.TraditionalOpenSSL),
        "python.RS256.joserfc-jwk": json.dumps(RSAKey.generate_key(2048, {"use": "sig"}).as_dict(private=True)),
        "python.RS256.jwk-of-n-e-d": rsa_jwk_of_n_e_d(),
        "python.ES256.cryptography-pkcs8-encrypted": pem(
            ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8, encrypted
        ),
        "openssl.RS256.genrsa-encrypted": openssl("genrsa", *aes256, "2048"),
        "openssl.RS256.genrsa-traditional-encrypted": openssl("genrsa", "-traditional", *aes256, "2048"),
        "openssl.ES256.ecparam-genkey": openssl("ecparam", "-name", "prime256v1", "-genkey"),
        "openssl.ES256.ecparam-genkey-noout": openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"),
        "openssl.EdDSA.genpkey-ed25519": openssl("genpkey", "-algorithm", "ed25519"),
        "openssl.RS256.genrsa": openssl("genrsa", "2048"),
        "openssl.RS256.key-with-certificate": with_certificate(directory),
        "openssl.ES256.bag-attributes": with_bag_attributes(openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")),
    }
    for name, text in keys.items():
        (directory / name).write_text(text)


main()
