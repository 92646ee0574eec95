"""`vla serve` as a process, and `vla deploy` on the virtual arm through it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vla import commands
from vla_policies.remote import RemotePolicy
from vla_robot_io.control_loop import ArmEnvironment
from vla_sim.embodiments import TABLETOP_PANDA

REACH = "instruction=reach the red block"


class Served:
    """A `vla serve` of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "vla", "serve", "port=0", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.search(r"ws://\S+", self.line)
        assert found, self.process.communicate()[1]
        self.url = found[0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("body") / "panda.json"
    file.write_text(json.dumps(TABLETOP_PANDA.to_json()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def random_server(body: Path) -> Iterator[Served]:
    server = Served("policy=random", f"embodiment={body}")
    yield server
    server.end()


def deploy(out: Path, *arguments: str) -> int:
    fixed = ["robot=virtual", "clock=virtual", "seconds=1", "seed=3", "film=false", f"out={out}"]
    return commands.main(["deploy", *fixed, *arguments])


def asked(out: Path) -> list[Any]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["asked"], line["applied"], line["command"]) for line in lines if line["kind"] == "step"]


def test_the_server_says_what_it_serves_and_where(random_server: Served) -> None:
    assert re.fullmatch(r"serving random for \w+ on ws://127\.0\.0\.1:\d+\n", random_server.line)


def test_deploying_through_a_server_does_what_deploying_here_does(random_server: Served, tmp_path: Path) -> None:
    assert deploy(tmp_path / "here", "policy=random", REACH) == 0
    assert deploy(tmp_path / "there", f"server={random_server.url}", REACH) == 0
    assert deploy(tmp_path / "named", f"policy={random_server.url}", REACH) == 0
    assert asked(tmp_path / "here") == asked(tmp_path / "there") == asked(tmp_path / "named")
    assert json.loads((tmp_path / "there" / "run.json").read_text())["server"] == random_server.url


def test_another_policy_than_the_named_one_is_refused(
    random_server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(tmp_path / "run", "policy=pretrained", f"server={random_server.url}", REACH) == 2
    assert f"server={random_server.url} serves 'random', not policy=pretrained" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_without_policy_and_server_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy(tmp_path / "run", REACH) == 2
    assert "'vla deploy' needs policy=<str>: who acts; or server=ws://HOST:PORT" in capsys.readouterr().err


def test_an_arm_is_held_when_its_server_is_killed(body: Path, tmp_path: Path) -> None:
    server = Served("policy=random", f"embodiment={body}")
    original, steps = ArmEnvironment.step, []

    def step(self: Any, action: Any) -> Any:
        steps.append(action)
        if len(steps) == 3:
            server.process.kill()
            server.process.wait()
        return original(self, action)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArmEnvironment, "step", step)
        assert deploy(tmp_path / "run", f"server={server.url}", REACH) == 3
    server.end()
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (told["ended"], told["final_mode"]) == ("error", "hold")
    assert re.match(r"ServerError: the connection to ws://\S+ is lost", told["error"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_ends_well(body: Path, number: signal.Signals) -> None:
    server = Served("policy=zero", f"embodiment={body}")
    client = RemotePolicy(server.url)
    client.reset([0])
    status, out, err = server.end(number)
    client.close()
    assert (status, out) == (0, "closed\n")
    assert err.startswith("Nothing here is safety-rated")
    assert "Traceback" not in err


def test_a_client_loads_no_torch(random_server: Served) -> None:
    code = (
        "import sys; from vla_policies.remote import RemotePolicy; "
        f"p = RemotePolicy('{random_server.url}'); p.reset([0]); p.close(); "
        "import vla_robot_io.deploy; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
