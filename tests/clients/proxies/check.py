"""Runs nginx, Apache and Envoy, with the configuration of docs/frameworks, in front of an API. Standard library only.

usage: check.py FIXTURE DIRECTORY
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Checks, free_port, running

HERE = Path(__file__).parent

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
{user}
events {{}}
http {{
    access_log off;
    js_path {directory};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/oauth2.conf;
}}
"""

# Apache's module requires https of the authorization server, which a proxy of ours terminates as one of theirs would.
TLS = """\
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {directory}/certificate.pem;
    ssl_certificate_key {directory}/key.pem;
    location / {{
        proxy_pass {issuer};
    }}
}}
"""

APACHE = """\
ServerRoot {directory}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
{user}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
{module}
DefaultRuntimeDir {directory}
Include {directory}/oauth2.conf
"""

MOD_AUTH_OPENIDC = """\
LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
OIDCCABundlePath {certificate}"""

MOD_OAUTH2 = "LoadModule oauth2_module /usr/lib/apache2/modules/mod_oauth2.so"


class Proxies(Checks):
    def configuration(self, file: Path, target: Path, port: int, https: str = "") -> None:
        """Copies the configuration of a page, with this run's addresses and credentials."""
        api = self.fixture["clients"]["api"]
        credentials = base64.b64encode(f"{api['client_id']}:{api['client_secret']}".encode()).decode()
        text = file.read_text()
        for documented, actual in {
            "http://127.0.0.1:8080": self.fixture["issuer"],
            "iss:https://auth.example": f"iss:{self.fixture['issuer']}",
            "jwks_uri https://auth.example": f"jwks_uri {self.fixture['issuer']}",
            "https://auth.example": https,
            "127.0.0.1:8000": f"127.0.0.1:{port}",
            "127.0.0.1:9000": f"127.0.0.1:{self.backend}",
            "YXBpOnNlY3JldA==": credentials,
            "OIDCOAuthClientSecret secret": f"OIDCOAuthClientSecret {api['client_secret']}",
        }.items():
            text = text.replace(documented, actual)
        target.write_text(text)

    @contextmanager
    def running_nginx(self, directory: Path, port: int) -> Iterator[None]:
        """nginx with the file oauth2.conf of a directory."""
        user = "user root;" if os.getuid() == 0 else ""
        (directory / "nginx.conf").write_text(NGINX.format(directory=directory, user=user))
        command = ["/usr/sbin/nginx", "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(directory / "nginx.conf")]
        with running(command, port, directory):
            yield

    def nginx(self) -> None:
        directory, port = self.directory / "nginx", free_port()
        directory.mkdir()
        shutil.copy(HERE / "nginx/oauth2.js", directory)
        self.configuration(HERE / "nginx/oauth2.conf", directory / "oauth2.conf", port)
        with self.running_nginx(directory, port):
            self.protects("nginx with njs", port, ["opaque", "es256", "eddsa"], "client_id")

    def envoy(self) -> None:
        port, filters = free_port(), (HERE / "envoy/filters.yaml").read_text()
        with self.running_envoy(self.directory / "envoy", port, filters, Path(os.environ["CLIENTS_OUT"]) / "proxies"):
            self.protects("Envoy", port, ["es256", "es256-jwt", "rs256", "eddsa"], "client_id")

    @contextmanager
    def https(self) -> Iterator[tuple[str, Path]]:
        """The server behind TLS: its URL and the certificate."""
        directory, port = self.directory / "tls", free_port()
        directory.mkdir()
        certificate = directory / "certificate.pem"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=auth.example"]
        request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(directory / "key.pem"), "-out", str(certificate)]
        subprocess.run(request, check=True, capture_output=True)
        (directory / "oauth2.conf").write_text(TLS.format(directory=directory, port=port, issuer=self.fixture["issuer"]))
        with self.running_nginx(directory, port):
            yield f"https://127.0.0.1:{port}", certificate

    def apache(self, https: tuple[str, Path], page: str, clients: list[str]) -> None:
        module, name, named = MOD_AUTH_OPENIDC.format(certificate=https[1]), f"Apache with mod_auth_openidc ({page})", "claim"
        if page == "oauth2":
            module, name, named = MOD_OAUTH2, "Apache with mod_oauth2", "oauth2"
        directory, port = self.directory / page, free_port()
        directory.mkdir()
        self.configuration(HERE / f"apache/{page}.conf", directory / "oauth2.conf", port, https[0])
        user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
        text = APACHE.format(directory=directory, port=port, user=user, module=module)
        (directory / "apache.conf").write_text(text)
        command = ["/usr/sbin/apache2", "-f", str(directory / "apache.conf"), "-DFOREGROUND"]
        with running(command, port, directory):
            self.protects(name, port, clients, named)


def main() -> int:
    checks = Proxies("proxies")
    check = checks.report.check
    check("nginx with njs", "runs with the configuration of the page", checks.nginx)
    check("Envoy", "runs with the configuration of the page", checks.envoy)
    with checks.https() as https:
        for page, clients in {"jwt": ["es256", "es256-jwt", "rs256"], "introspection": ["opaque", "eddsa"], "oauth2": ["es256", "es256-jwt", "rs256"]}.items():
            what = f"runs with the configuration of the page ({page})"
            check("Apache with mod_auth_openidc", what, lambda: checks.apache(https, page, clients))
    return 1 if checks.report.failed else 0


sys.exit(main())
