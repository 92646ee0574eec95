"""Pictures in a process in which others draw too."""

from __future__ import annotations

import mujoco
import numpy as np

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment


def test_another_renderer_of_the_process_disturbs_no_picture() -> None:
    environment = TabletopEnvironment()
    before = environment.reset(EpisodeSpec("reach", 1)).images
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model) as other:
        other.update_scene(data)
        other.render()
        during = environment.reset(EpisodeSpec("reach", 1)).images
    after = environment.reset(EpisodeSpec("reach", 1)).images
    for name, picture in before.items():
        assert np.array_equal(picture, during[name])
        assert np.array_equal(picture, after[name])
