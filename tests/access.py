"""What opens a server or a console to other machines: a token in a file, and a certificate."""

from __future__ import annotations

import subprocess
from pathlib import Path

TOKEN = "0123456789abcdef0123456789abcdef"


def write_token(file: Path) -> Path:
    """The token, for its owner alone."""
    file.write_text(TOKEN + "\n", encoding="ascii")
    file.chmod(0o600)
    return file


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine, and its key; needs openssl."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return cert, key
