"""An address that a client insists on, and what answers there in its place."""

import os
import ssl
import tempfile
import threading
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from socket import create_connection
from urllib.parse import urlsplit

import trustme


class Proxy(ThreadingTCPServer):
    """An HTTP proxy that leads from one address to one server, and from everywhere else to nothing."""

    daemon_threads = True

    def __init__(self, host, server):
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.host, self.target = host, urlsplit(server)
        self.asked = []
        authority = trustme.CA()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self.tls)
        self.authority = authority.cert_pem


class Tunnel(BaseRequestHandler):
    def handle(self):
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            part = self.request.recv(4096)
            if not part:
                return
            request += part
        asked = request.split(b" ")[1].decode()
        self.server.asked.append(asked)
        if asked != f"{self.server.host}:443":
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with self.server.tls.wrap_socket(self.request, server_side=True) as client:
            with create_connection((self.server.target.hostname, self.server.target.port)) as server:
                answers = threading.Thread(target=copy, args=(server, client), daemon=True)
                answers.start()
                copy(client, server)


def copy(source, target):
    """Hands on what comes until one side has enough."""
    try:
        while part := source.recv(65536):
            target.sendall(part)
    except OSError:
        pass


@contextmanager
def served_by(host, server):
    """Until the end, clients of this process that heed the usual settings for proxies reach `server` at `host`, and
    beside it this machine alone. Gives the list of the addresses that were asked for."""
    with Proxy(host, server) as proxy, tempfile.NamedTemporaryFile() as trusted:
        trusted.write(proxy.authority.bytes())
        trusted.flush()
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        settings = {
            "HTTPS_PROXY": address,
            "https_proxy": address,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "SSL_CERT_FILE": trusted.name,
            "REQUESTS_CA_BUNDLE": trusted.name,
        }
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield proxy.asked
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
            proxy.shutdown()
