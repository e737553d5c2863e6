"""Certificates that are renewed too late, and badly."""

import subprocess
import time

from table import fault


def issue(node, days):
    """Writes a self-signed certificate, valid for this number of days, and its key to the files that the server reads."""
    for name in ("tls.crt.new", "tls.key.new"):
        (node.directory / name).unlink(missing_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days), "-subj", "/CN=localhost",
         "-keyout", node.directory / "tls.key.new", "-out", node.directory / "tls.crt.new"], check=True, capture_output=True
    )  # fmt: skip
    for name in ("tls.key", "tls.crt"):
        (node.directory / f"{name}.new").rename(node.directory / name)


def before(node):
    node.directory.mkdir(parents=True, exist_ok=True)
    issue(node, 90)


@fault(
    "A certificate is renewed for a day only, then by files that do not match",
    {"OAuth2CertificateExpiring", "OAuth2CertificateExpiresNow", "OAuth2CertificateNotRenewed"},
)
def certificate_not_renewed(scene):
    files = {"OAUTH2_SERVER_TLS_CERTIFICATE_FILE": "tls.crt", "OAUTH2_SERVER_TLS_KEY_FILE": "tls.key"}
    scene.serve(files, load=False, before=before)
    yield
    issue(scene.node, 1)
    # Served before the next change.
    expiry = "tls_certificate_expiry_timestamp_seconds"
    while min(scene.node.metric(expiry).values()) > time.time() + 2 * 86400:
        time.sleep(0.2)
    (scene.node.directory / "tls.key").write_text("no key\n")
    yield
    issue(scene.node, 90)
