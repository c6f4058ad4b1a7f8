"""Certificates of our own for tests of TLS."""

import ssl
import subprocess
import tempfile
from pathlib import Path

# EC: made in no time
_REQUEST = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


def self_signed(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server context, client context) for a server of that name."""
    with tempfile.TemporaryDirectory() as folder:
        key, cert = Path(folder, "key.pem"), Path(folder, "cert.pem")
        subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        command = ["openssl", *_REQUEST, *subject, "-keyout", str(key), "-out", str(cert)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(cert, key)
        return server, ssl.create_default_context(cafile=cert)
