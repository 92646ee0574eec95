"""What a shipped checkpoint says of its training."""

from __future__ import annotations

from vla_policies.release import without_places


def test_a_shipped_configuration_names_what_was_used_and_not_where_it_lay() -> None:
    told = {"out": "/home/me/runs/first", "data": ["/home/me/data/put", "go"], "web": [], "steps": 7}
    assert without_places(told) == {"out": "first", "data": ["put", "go"], "web": [], "steps": 7}
    assert without_places({"out": "runs/first"}) == {"out": "first", "data": [], "web": []}
