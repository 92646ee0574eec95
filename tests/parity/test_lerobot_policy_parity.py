"""The same observations, the same actions: our policy behind LeRobot's interface, and LeRobot's behind ours."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from vla.errors import CheckpointError, ConfigError, ObservationError
from vla.interfaces import EpisodeSpec, Observation, Policy
from vla.testing import SMALL_EMBODIMENT, FakeEnvironment, check_policy, make_observation
from vla.testing.fakes import INSTRUCTION
from vla_policies.checkpoint import Checkpoint, save_checkpoint
from vla_policies.interchange.feature_mapping import FeatureMapping, same_names
from vla_policies.interchange.pictures import to_planes
from vla_policies.loading import load_policy
from vla_policies.rollout import rollout
from vla_policies.token_policy import TokenPolicy

pytest.importorskip("lerobot")
pytest.importorskip("lerobot_policy_vla")
# LeRobot's imports and its own use of NumPy warn.
pytestmark = pytest.mark.filterwarnings("ignore")


def part(name: str) -> Any:
    """A module of LeRobot's or of the plug-in: type checkers have neither."""
    return importlib.import_module(name)


MAPPING = same_names(SMALL_EMBODIMENT)


@pytest.fixture(scope="module")
def folder(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our checkpoint as LeRobot has it."""
    write_folder = part("lerobot_policy_vla.__main__").write_folder

    place = tmp_path_factory.mktemp("lerobot")
    save_checkpoint(place / "ours", small_checkpoint)
    write_folder(str(place / "ours"), place / "theirs", "same")
    return place / "theirs"


# --------------------------------------------------------------------------- ours, behind LeRobot's interface


def batch_of(observations: list[Observation], mapping: FeatureMapping = MAPPING) -> dict[str, Any]:
    """Observations as LeRobot hands them to a preprocessor."""
    assert mapping.state is not None
    batch: dict[str, Any] = {"task": [observation.instruction for observation in observations]}
    for name, picture in mapping.cameras.items():
        planes = [torch.from_numpy(to_planes(observation.images[name])) for observation in observations]
        batch[picture.feature] = torch.stack(planes)
    states = np.stack([observation.proprioception for observation in observations])
    batch[mapping.state.feature] = torch.from_numpy(mapping.state.to_theirs(states, SMALL_EMBODIMENT.proprioception))
    return batch


def lerobots_loading(folder: Path) -> tuple[Any, Any, Any]:
    """Policy and pipelines, by the calls of `lerobot-eval`."""
    PreTrainedConfig = part("lerobot.configs.policies").PreTrainedConfig
    get_policy_class = part("lerobot.policies.factory").get_policy_class
    make_pre_post_processors = part("lerobot.policies.factory").make_pre_post_processors

    config = PreTrainedConfig.from_pretrained(folder)
    config.pretrained_path = folder
    policy = get_policy_class(config.type).from_pretrained(config=config, pretrained_name_or_path=folder)
    overrides = {"device_processor": {"device": "cpu"}, "rename_observations_processor": {"rename_map": {}}}
    return policy, *make_pre_post_processors(config, str(folder), preprocessor_overrides=overrides)


def test_the_chunks_are_those_of_the_checkpoint(folder: Path, small_checkpoint: Checkpoint) -> None:
    observations = [make_observation(SMALL_EMBODIMENT, seed=seed) for seed in range(11)]
    ours = [chunk.actions for chunk in TokenPolicy(small_checkpoint).predict(observations)]
    policy, before, after = lerobots_loading(folder)
    theirs = after(policy.predict_action_chunk(before(batch_of(observations))))
    assert (theirs.numpy() == np.stack(ours)).all()


class GymnasiumWorld(gymnasium.Env):
    """The made-up world as LeRobot wants one: pictures, readings and words."""

    metadata = {"render_fps": 10}  # noqa: RUF012
    task_description = INSTRUCTION
    task = "far"
    _max_episode_steps = 20

    def __init__(self) -> None:
        self._world = FakeEnvironment()
        body = SMALL_EMBODIMENT
        self.observation_space = gymnasium.spaces.Dict(
            {
                "pixels": gymnasium.spaces.Dict(
                    {c.name: gymnasium.spaces.Box(0, 255, (c.height, c.width, 3), np.uint8) for c in body.cameras}
                ),
                "agent_pos": gymnasium.spaces.Box(-10, 10, (body.state_dim,), np.float32),
            }
        )
        self.action_space = gymnasium.spaces.Box(-10, 10, (body.action_dim,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._shown(self._world.reset(EpisodeSpec("far", seed or 0))), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        transition = self._world.step(action.astype(np.float32))
        shown = self._shown(transition.observation)
        return shown, 0.0, transition.terminated, transition.truncated, {"is_success": transition.success}

    @staticmethod
    def _shown(observation: Observation) -> dict[str, Any]:
        return {"pixels": dict(observation.images), "agent_pos": observation.proprioception}


def test_lerobots_rollout_takes_the_very_actions_of_ours(folder: Path, small_checkpoint: Checkpoint) -> None:
    PolicyProcessorPipeline = part("lerobot.processor").PolicyProcessorPipeline
    lerobots_rollout = part("lerobot.scripts.lerobot_eval").rollout

    seeds = [3, 4, 5]
    specs = [EpisodeSpec("far", seed, instruction=INSTRUCTION) for seed in seeds]
    worlds = [FakeEnvironment() for _ in seeds]
    ours = sorted(rollout(TokenPolicy(small_checkpoint), worlds, specs), key=lambda result: result.index)
    environment = gymnasium.vector.SyncVectorEnv([GymnasiumWorld] * len(seeds))
    policy, before, after = lerobots_loading(folder)
    nothing = PolicyProcessorPipeline(steps=[], to_transition=dict, to_output=dict)
    theirs = lerobots_rollout(environment, policy, nothing, nothing, before, after, seeds=seeds)
    for row, result in enumerate(ours):
        assert (theirs["action"][row, : result.steps].numpy() == result.actions).all()
        assert bool(theirs["success"][row, : result.steps].any()) == result.success


def test_saved_again_it_is_the_same_policy(folder: Path, tmp_path: Path) -> None:
    policy, _, _ = lerobots_loading(folder)
    policy.save_pretrained(tmp_path)
    again = type(policy).from_pretrained(tmp_path)
    batch = batch_of([make_observation(SMALL_EMBODIMENT, seed=1)])
    assert torch.equal(again.predict_action_chunk(batch), policy.predict_action_chunk(batch))


def test_a_policy_from_scratch_is_refused() -> None:
    VlaConfig = part("lerobot_policy_vla.configuration_vla").VlaConfig
    VlaPolicy = part("lerobot_policy_vla.modeling_vla").VlaPolicy

    with pytest.raises(CheckpointError, match=r"is trained by `vla train`, not by LeRobot: give --policy\.path"):
        VlaPolicy(VlaConfig(device="cpu"))


def test_a_folder_that_holds_something_is_left_alone(folder: Path) -> None:
    main = part("lerobot_policy_vla.__main__").main
    write_folder = part("lerobot_policy_vla.__main__").write_folder

    with pytest.raises(ConfigError, match="is not an empty folder"):
        write_folder("pretrained", folder, "same")
    assert main([str(folder)]) == 2


def test_a_batch_that_lacks_a_camera_says_which(folder: Path) -> None:
    policy, _, _ = lerobots_loading(folder)
    batch = batch_of([make_observation(SMALL_EMBODIMENT, seed=1)])
    del batch["observation.images.wrist"]
    with pytest.raises(ObservationError, match=r"lacks 'observation\.images\.wrist'"):
        policy.select_action(batch)


# --------------------------------------------------------------------------- LeRobot's, behind ours

SIZES: dict[str, dict[str, Any]] = {
    "act": {
        "chunk_size": 4,
        "n_action_steps": 2,
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 32,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "latent_dim": 4,
    },
    "diffusion": {
        "horizon": 8,
        "n_action_steps": 2,
        "down_dims": (16, 32),
        "n_groups": 4,
        "diffusion_step_embed_dim": 8,
        "spatial_softmax_num_keypoints": 4,
        "num_train_timesteps": 3,
        "resize_shape": (64, 96),
    },
}


@functools.cache
def untrained(kind: str, place: Path) -> Path:
    """A tiny policy of LeRobot's, as its own functions save it."""
    FeatureType = part("lerobot.configs.types").FeatureType
    PolicyFeature = part("lerobot.configs.types").PolicyFeature
    get_policy_class = part("lerobot.policies.factory").get_policy_class
    make_policy_config = part("lerobot.policies.factory").make_policy_config
    make_pre_post_processors = part("lerobot.policies.factory").make_pre_post_processors

    body = SMALL_EMBODIMENT
    inputs = {
        f"observation.images.{c.name}": PolicyFeature(FeatureType.VISUAL, (3, c.height, c.width)) for c in body.cameras
    }
    if kind == "diffusion":  # its pictures are of one size
        inputs = dict(list(inputs.items())[:1])
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (body.state_dim,))
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (body.action_dim,))}
    torch.manual_seed(0)
    config = make_policy_config(
        kind,
        input_features=inputs,
        output_features=outputs,
        device="cpu",
        push_to_hub=False,
        pretrained_backbone_weights=None,
        **SIZES[kind],
    )
    statistics = {
        name: {k: torch.full(_width(f.shape), v) for k, v in {"mean": 0.1, "std": 0.2, "min": -1.0, "max": 1.0}.items()}
        for name, f in (inputs | outputs).items()
    }
    get_policy_class(kind)(config).save_pretrained(place / kind)
    for pipeline in make_pre_post_processors(config, dataset_stats=statistics):
        pipeline.save_pretrained(place / kind)
    if kind == "diffusion":
        from vla_policies.interchange.feature_mapping import MAPPING_FILE, write_mapping

        one_camera = FeatureMapping({"scene": MAPPING.cameras["scene"]}, MAPPING.state, MAPPING.action)
        write_mapping(place / kind / MAPPING_FILE, one_camera)
    return place / kind


def _width(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (3, 1, 1) if len(shape) == 3 else shape


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("untrained")


@pytest.fixture(scope="module", params=sorted(SIZES))
def theirs(request: pytest.FixtureRequest, place: Path) -> Path:
    return untrained(request.param, place)


def maker(folder: Path) -> Callable[[], Policy]:
    from vla_policies.interchange.lerobot_folder import load_lerobot_folder
    from vla_policies.interchange.lerobot_policy import LeRobotPolicy

    loaded, mapping = load_lerobot_folder(folder, SMALL_EMBODIMENT)
    return lambda: LeRobotPolicy(loaded, mapping, SMALL_EMBODIMENT)


def test_a_policy_of_lerobots_keeps_the_contract(theirs: Path) -> None:
    check_policy(maker(theirs))


def test_its_actions_are_those_of_lerobots_own_loop(theirs: Path) -> None:
    observations = [make_observation(SMALL_EMBODIMENT, seed=seed) for seed in range(5)]
    ours = load_policy(f"lerobot:{theirs}", SMALL_EMBODIMENT)
    ours.reset([9])
    came = [ours.predict([observation])[0].actions[0] for observation in observations]
    policy, before, after = lerobots_loading(theirs)
    policy.reset()
    torch.manual_seed(9)
    for observation, action in zip(observations, came, strict=True):
        expected = after(policy.select_action(before(batch_of([observation]))))
        assert (expected[0].detach().numpy() == action).all()


def test_another_seed_draws_other_actions(place: Path) -> None:
    policy = maker(untrained("diffusion", place))()
    policy.reset([1, 2])
    observation = make_observation(SMALL_EMBODIMENT, seed=0)
    one, other = policy.predict([observation, observation])
    assert (one.actions != other.actions).any()


def test_weights_that_lerobot_did_not_load_are_noticed(place: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = untrained("act", place)
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    save_file(dict(list(weights.items())[1:]), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="LeRobot cannot load"):
        load_policy(f"lerobot:{tmp_path}", SMALL_EMBODIMENT)


def test_a_type_that_lerobot_does_not_know_is_told(place: Path, tmp_path: Path) -> None:
    source = untrained("act", place)
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "type": "wonder"}))
    with pytest.raises(CheckpointError, match=r"LeRobot cannot load .*'wonder'.* is not registered"):
        load_policy(f"lerobot:{tmp_path}", SMALL_EMBODIMENT)
