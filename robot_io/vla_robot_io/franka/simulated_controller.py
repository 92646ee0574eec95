"""franky-sim's controller in a process of its own: `python -m vla_robot_io.franka.simulated_controller HOST`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from vla.libraries import require_library

DAMPING_S = 0.03
"""Of stiffness; an arm that moves at v is this times v behind its set-point. franky-sim's own is 0.1, of which light
joints ring and fast ones are farther behind than a tracking fault allows: a Franka's joints do neither."""


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends."""
    host, *start = arguments
    library = require_library("franky_sim", what="the simulated controller", extra="franka-emulated")
    module = importlib.import_module("franky_sim.mujoco_simulator")
    simulator = module.MujocoSimulator()
    damping = tuple(DAMPING_S * stiffness for stiffness in module.MUJOCO_DEFAULT_KP)
    simulator.add_robot([float(joint) for joint in start] or library.DEFAULT_INITIAL_JOINT_POS, kv=damping)
    simulator.init()
    server = library.SimulationServer(simulator, [host])
    server.init()
    print("done", flush=True)
    server.run_async(True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
