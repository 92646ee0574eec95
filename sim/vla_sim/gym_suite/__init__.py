"""Environments that others wrote, each through a mapping file that says what its numbers and pictures are.

    configs/vla_configs/gym/*.yaml, or a file of the user's ─► GymMapping ─► GymEnvironment ─► a suite of `vla eval`
                                                                  └─ maker: gymnasium | robosuite | libero | simpler

The environments' own packages are imported only when an episode begins.
"""
