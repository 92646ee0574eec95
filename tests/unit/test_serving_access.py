"""Who may connect, and where a server may listen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.access import TOKEN
from vla import commands
from vla.errors import ConfigError, ServerError
from vla.testing import SMALL_EMBODIMENT, FakePolicy, make_observation
from vla_policies.remote import RemotePolicy, connect_policy
from vla_policies.serving import extra
from vla_policies.serving.access import is_loopback, read_token, require_guarded, shows_token, tls_context
from vla_policies.serving.background import served


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.4", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_told_from_everywhere_else(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


@pytest.mark.parametrize(("has_token", "has_tls"), [(False, False), (True, False), (False, True)])
def test_a_server_beyond_this_machine_needs_token_and_tls(has_token: bool, has_tls: bool) -> None:
    with pytest.raises(ConfigError, match=r"host=0\.0\.0\.0 is reached from other machines, .* SSH tunnel"):
        require_guarded("0.0.0.0", has_token=has_token, has_tls=has_tls)
    require_guarded("127.0.0.1", has_token=has_token, has_tls=has_tls)
    require_guarded("0.0.0.0", has_token=True, has_tls=True)


def test_a_token_is_read_from_a_file_of_its_owner(token_file: Path) -> None:
    assert read_token(token_file) == TOKEN


def test_a_token_that_others_may_read_is_refused(token_file: Path) -> None:
    token_file.chmod(0o640)
    with pytest.raises(ConfigError, match=f"others may read the token file {token_file}: chmod 600 {token_file}"):
        read_token(token_file)


@pytest.mark.parametrize("content", ["", "short", "two words " * 4, "line\n" * 9, "x" * 5000])
def test_what_is_no_token_is_refused_and_not_shown(token_file: Path, content: str) -> None:
    token_file.write_text(content, encoding="ascii")
    with pytest.raises(ConfigError, match="one line of at least 22 characters") as caught:
        read_token(token_file)
    assert not content.strip() or content.strip() not in str(caught.value)


def test_an_absent_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"the token file {tmp_path}/gone cannot be read: FileNotFoundError"):
        read_token(tmp_path / "gone")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([f"Api-Key {TOKEN}"], True),
        ([f"Bearer {TOKEN}"], True),
        ([TOKEN], False),
        ([], False),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], False),
        (["Bearer \udcff"], False),
    ],
)
def test_a_token_is_shown_as_a_key_or_a_bearers(headers: list[str], expected: bool) -> None:
    assert shows_token(headers, TOKEN) == expected


def test_certificate_and_key_belong_together(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_text("no key", encoding="ascii")
    with pytest.raises(ConfigError, match="are no certificate and its key"):
        tls_context(certificate[0], tmp_path / "other.pem")


def test_over_tls_a_client_believes_known_authorities_alone(
    certificate: tuple[Path, Path], token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(FakePolicy(), token=TOKEN, tls=tls_context(*certificate)) as url:
        monkeypatch.setenv("VLA_TOKEN_FILE", str(token_file))
        with pytest.raises(ServerError, match="CERTIFICATE_VERIFY_FAILED"):
            RemotePolicy(url, connect_s=1.0)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        policy = connect_policy(url)
        policy.reset([0])
        assert len(policy.predict([make_observation(SMALL_EMBODIMENT, 0)])) == 1
        policy.close()


@pytest.fixture
def serve(tmp_path: Path, token_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a refused `vla serve` says."""
    body = tmp_path / "small.json"
    body.write_text(json.dumps(SMALL_EMBODIMENT.to_json()), encoding="utf-8")

    def run(*arguments: str) -> str:
        known = {"BODY": str(body), "TOKEN": str(token_file), "FOLDER": str(tmp_path)}
        words = [argument.format(**known) for argument in arguments]
        assert commands.main(["serve", *words]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "'vla serve' needs policy=<str>"),
        (["policy=zero"], "policy=zero knows no robot: give embodiment=FILE"),
        (["policy=nothing"], "unknown policy 'nothing'"),
        (["policy=zero", "embodiment={FOLDER}/gone"], "is no embodiment: FileNotFoundError"),
        (["policy=zero", "embodiment={TOKEN}"], "is no embodiment: "),
        (["policy=ws://127.0.0.1:1"], "is served already"),
        (["policy=zero", "embodiment={BODY}", "host=0.0.0.0"], "host=0.0.0.0 is reached from other machines"),
        (["policy=zero", "embodiment={BODY}", "host=0.0.0.0", "token_file={TOKEN}"], "is reached from other machines"),
        (["policy=zero", "embodiment={BODY}", "tls_cert={TOKEN}"], "tls_cert= and tls_key= come together"),
        (["policy=zero", "embodiment={BODY}", "tls_cert={TOKEN}", "tls_key={TOKEN}"], "are no certificate and its key"),
        (["policy=zero", "embodiment={BODY}", "token_file={BODY}"], "others may read the token file"),
        (["policy=zero", "embodiment={BODY}", "port=70000"], "port is from 0 to 65535, got 70000"),
        (["policy=zero", "embodiment={BODY}", "batch=0"], "batch is at least 1, got 0"),
    ],
)
def test_a_server_that_should_not_start_says_why(serve: Callable[..., str], arguments: list[str], message: str) -> None:
    assert message in serve(*arguments)


def test_a_port_that_is_taken_is_said(serve: Callable[..., str]) -> None:
    with served(FakePolicy()) as url:
        port = url.rpartition(":")[2]
        assert f"cannot listen on host=127.0.0.1 port={port}" in serve(
            "policy=zero", "embodiment={BODY}", f"port={port}"
        )


def test_without_the_extra_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "PACKAGES", ("msgpack", "a_package_that_is_not_there"))
    with pytest.raises(
        ConfigError, match=r"needs a_package_that_is_not_there, .*: uv pip install 'vla-stack\[serve\]'"
    ):
        extra.require_installed()
