"""franky-sim's controller in a process of its own: `python -m vla_robot_io.franka.simulated_controller HOST`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from vla.libraries import require_library


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends."""
    host, *start = arguments
    library = require_library("franky_sim", what="the simulated controller", extra="franka-emulated")
    simulator = importlib.import_module("franky_sim.mujoco_simulator").MujocoSimulator()
    simulator.add_robot([float(joint) for joint in start] or library.DEFAULT_INITIAL_JOINT_POS)
    simulator.init()
    server = library.SimulationServer(simulator, [host])
    server.init()
    print("done", flush=True)
    server.run_async(True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
