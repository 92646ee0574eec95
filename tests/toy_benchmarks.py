"""As much of robosuite, LIBERO and SimplerEnv as our adapters call, made for tests: a point that moves, and a cube."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

STEP_M, CONTROL_S = 0.05, 0.05
CAMERAS = """<mujoco><worldbody><light pos="0 0 3"/>
<camera name="agentview" pos="0 0 2"/><camera name="robot0_eye_in_hand" pos="0 0 1"/>
<geom type="box" size=".1 .1 .1" rgba="1 0 0 1"/></worldbody></mujoco>"""


class Sim:
    """A clock and cameras."""

    def __init__(self) -> None:
        model = mujoco.MjModel.from_xml_string(CAMERAS)
        self.model = types.SimpleNamespace(_model=model)
        self.data = types.SimpleNamespace(_data=mujoco.MjData(model), body_xpos=np.zeros((2, 3)))


class Lift:
    """robosuite's Lift, without physics: the cube comes along while it is held."""

    polarity = 1.0
    """-1: a gripper that opens when it should close."""

    def __init__(self, **options: Any) -> None:
        assert options["control_freq"] == 20
        self.rng = np.random.default_rng()
        # As robosuite's samplers do.
        self._sampler = self.rng
        self.action_spec = -np.ones(7), np.ones(7)
        self.cube_body_id, self.table_offset = 1, np.array([0.0, 0.0, 0.8])
        self.sim = Sim()

    def reset(self) -> dict[str, np.ndarray]:
        self.tip, self.finger = np.array([0.0, 0.0, 1.0]) + self.rng.uniform(-0.01, 0.01, 3), 0.02
        self.cube = np.array([*self._sampler.uniform(-0.05, 0.05, 2), 0.82])
        self.sim.data._data.time = 0.0
        return self._seen()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, dict[str, Any]]:
        held = self.finger < 0.015 and np.linalg.norm(self.cube - self.tip) < 0.03
        moved = STEP_M * np.asarray(action[:3], np.float64)
        self.tip = self.tip + moved
        self.cube = self.cube + (moved if held else 0.0)
        self.finger = float(np.clip(self.finger - 0.01 * self.polarity * action[6], 0.0, 0.04))
        self.sim.data._data.time += CONTROL_S
        return self._seen(), 0.0, False, {}

    def close(self) -> None:
        """Nothing is held."""

    def _check_success(self) -> bool:
        return bool(self.cube[2] > 0.84)

    def _seen(self) -> dict[str, np.ndarray]:
        self.sim.data.body_xpos[1] = self.cube
        return {
            "robot0_joint_pos": np.zeros(7),
            "robot0_gripper_qpos": np.array([self.finger, -self.finger]),
            "robot0_eef_pos": self.tip.copy(),
        }


def plant_robosuite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import robosuite` give this one."""
    module = types.ModuleType("robosuite")
    module.make = lambda name, **options: {"Lift": Lift}[name](**options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "robosuite", module)


# --------------------------------------------------------------------------- LIBERO

LIBERO_STATES = 5
_LIBERO_CODE = """
from tests.toy_benchmarks import LiberoEnvironment as OffScreenRenderEnv
"""


class LiberoEnvironment:
    """LIBERO's OffScreenRenderEnv: its first state is what it was set to."""

    made: list[LiberoEnvironment] = []  # noqa: RUF012

    def __init__(self, bddl_file_name: str, camera_heights: int, camera_widths: int) -> None:
        self.file = Path(bddl_file_name)
        assert Path(bddl_file_name.partition("_view_")[0].removesuffix(".bddl") + ".bddl").is_file()
        self.size = (camera_heights, camera_widths)
        self.sim = Sim()
        self.actions: list[list[float]] = []
        self.made.append(self)

    def seed(self, seed: int) -> None:
        assert seed == 0

    def reset(self) -> dict[str, Any]:
        self.actions.clear()
        return {}

    def set_init_state(self, state: np.ndarray) -> dict[str, Any]:
        self.state, self.finger = state, 0.02
        return self._seen()

    def step(self, action: list[float]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        self.actions.append(action)
        self.finger = float(np.clip(self.finger - 0.01 * action[6], 0.0, 0.04))
        self.sim.data._data.time += CONTROL_S
        return self._seen(), 0.0, self.check_success(), {}

    def check_success(self) -> bool:
        return len(self.actions) >= 20

    def close(self) -> None:
        """Nothing is held."""

    def _seen(self) -> dict[str, Any]:
        picture = np.zeros((*self.size, 3), np.uint8)
        picture[0] = 255  # the bottom row
        if "_noise_" in self.file.stem:
            picture[1, 0] = np.random.randint(1, 255, 3)  # noqa: NPY002 - as LIBERO-Plus does
        return {
            "agentview_image": picture,
            "robot0_eye_in_hand_image": picture,
            "robot0_joint_pos": np.array([self.state[0], *[0.0] * 6]),
            "robot0_gripper_qpos": np.array([self.finger, -self.finger]),
        }


def plant_libero(folder: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> Path:
    """Install a LIBERO below a folder, with these tasks by suite; the folder of its package."""
    package = folder / "site" / "libero" / "libero"
    (package / "envs").mkdir(parents=True)
    for file in (package.parent / "__init__.py", package / "__init__.py"):
        file.write_text("")
    (package / "envs" / "__init__.py").write_text(_LIBERO_CODE)
    for suite, tasks in names.items():
        for kind in ("bddl_files", "init_files"):
            (package / kind / suite).mkdir(parents=True)
        for task in tasks:
            bddl = package / "bddl_files" / suite / f"{task}.bddl"
            bddl.write_text(f"(define (problem P)\n  (:language Written in {task}\n   twice)\n)")
            states = 0.1 * np.arange(LIBERO_STATES)[:, None] + np.zeros((1, 7))
            (package / "init_files" / suite / f"{task}.pruned_init").write_bytes(saved(states))
    for name in ("articulated_objects", "stable_scanned_objects", "turbosquid_objects", "stable_hope_objects"):
        (package / "assets" / name).mkdir(parents=True)
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(f"assets: {package / 'assets'}\n")
    monkeypatch.setenv("LIBERO_CONFIG_PATH", str(folder / "config"))
    monkeypatch.syspath_prepend(str(folder / "site"))
    for name in ("libero", "libero.libero", "libero.libero.envs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return package


def saved(value: object) -> bytes:
    """What `torch.save` makes of a value without tensors."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(value, protocol=2))
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


# --------------------------------------------------------------------------- SimplerEnv


class SimplerEnvironment:
    """One of SimplerEnv's, which ends with success."""

    def __init__(self) -> None:
        from gymnasium import spaces

        self.action_space, self.observation_space = spaces.Box(-1.0, 1.0, (7,), np.float32), spaces.Dict({})
        self.unwrapped = self

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        self.layout, self.steps, self.finger = options["obj_init_options"]["episode_id"], 0, 0.02
        return self._seen(), {}

    def get_language_instruction(self) -> str:
        return f"do number {self.layout}"

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.finger = float(np.clip(self.finger + 0.01 * action[6], 0.0, 0.04))
        return self._seen(), 0.0, self.steps == 30, False, {}

    def close(self) -> None:
        """Nothing is held."""

    def _seen(self) -> dict[str, Any]:
        picture = np.zeros((480, 640, 3), np.uint8)
        return {
            "agent": {"qpos": np.array([*[0.0] * 6, self.finger, self.finger])},
            "image": {"3rd_view_camera": {"rgb": picture}},
        }


def plant_simpler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import simpler_env` give this one."""
    import importlib.machinery

    for name in ("simpler_env", "mani_skill2_real2sim"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.make = lambda task: SimplerEnvironment()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
