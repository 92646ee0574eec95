# MuJoCo's names come from compiled modules that no type checker can read.
from typing import Any

def __getattr__(name: str) -> Any: ...
