"""Who may connect: everyone on this machine, or whoever shows the token over TLS.

A server that listens beyond this machine must have both. Browsers are turned away, since any page that a user of this
machine visits could otherwise speak to a server on it. The token is read from a file, compared in constant time, and
stands in no log, no error and no list of processes.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import ssl
import stat
from pathlib import Path

from vla.errors import ConfigError

MIN_TOKEN_CHARACTERS = 22
"""128 bits in base64."""
MAX_TOKEN_CHARACTERS = 4096
MAKE_TOKEN = "(umask 077; openssl rand -hex 32 > FILE)"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, to itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_guarded(host: str, *, has_token: bool, has_tls: bool) -> None:
    """Return if a server may listen there.

    Raises:
        ConfigError: if it is beyond this machine, and token or TLS is missing.
    """
    if not is_loopback(host) and not (has_token and has_tls):
        raise ConfigError(
            f"host={host} is reached from other machines, so that whoever reaches it could move an arm: "
            "give token_file=, tls_cert= and tls_key=, or stay on host=127.0.0.1 behind an SSH tunnel"
        )


def read_token(file: Path) -> str:
    """The token in a file that its owner alone may read.

    Raises:
        ConfigError: if it cannot be read, others may read it, or it is too short to be a secret.
    """
    try:
        with open(file, encoding="ascii") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            token = opened.read(MAX_TOKEN_CHARACTERS + 2).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token file {file} cannot be read: {type(error).__name__}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"others may read the token file {file}: chmod 600 {file}")
    if not MIN_TOKEN_CHARACTERS <= len(token) <= MAX_TOKEN_CHARACTERS or not token.isprintable() or " " in token:
        raise ConfigError(
            f"the token file {file} holds one line of at least {MIN_TOKEN_CHARACTERS} characters without a space; "
            f"make one with {MAKE_TOKEN}"
        )
    return token


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """What a server shows to prove who it is.

    Raises:
        ConfigError: if certificate and key cannot be read or are not a pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls_cert={cert} and tls_key={key} are no certificate and its key: {error}") from error
    return context


def shows_token(authorization: list[str], token: str) -> bool:
    """Whether the `Authorization` headers of a request are `Api-Key TOKEN`, as openpi writes it, or `Bearer TOKEN`."""
    if len(authorization) != 1:
        return False
    kind, _, shown = authorization[0].partition(" ")
    same = hmac.compare_digest(shown.strip().encode("utf-8", "surrogatepass"), token.encode())
    return same and kind.lower() in ("api-key", "bearer")
