"""The contracts of `vla.interfaces` as checks that anyone can run on an implementation, and fakes that keep them.

    from vla.testing import check_policy

    def test_my_policy_keeps_the_contract():
        check_policy(lambda: MyPolicy(...))

A check returns, or raises AssertionError with one sentence on what was promised and what came. No torch is loaded.
"""

from __future__ import annotations

from vla.testing.action_tokenizers import check_action_tokenizer as check_action_tokenizer
from vla.testing.applied import AppliedCheck as AppliedCheck
from vla.testing.applied import LoggedArm as LoggedArm
from vla.testing.applied import check_applied as check_applied
from vla.testing.applied import time_to_hold as time_to_hold
from vla.testing.arms import check_arm as check_arm
from vla.testing.cameras import check_camera as check_camera
from vla.testing.corpora import check_corpus as check_corpus
from vla.testing.environments import check_environment as check_environment
from vla.testing.fakes import SMALL_EMBODIMENT as SMALL_EMBODIMENT
from vla.testing.fakes import FakeEnvironment as FakeEnvironment
from vla.testing.fakes import FakePolicy as FakePolicy
from vla.testing.fakes import make_episode as make_episode
from vla.testing.fakes import make_observation as make_observation
from vla.testing.policies import check_policy as check_policy
