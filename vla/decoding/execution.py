"""How the kernels of an action get to the device: one by one, fused by a compiler, or replayed from a graph.

An action reads and writes tensors that stay where they are, and returns nothing. That is all that a captured graph
needs, so the same action runs in every way, and what runs on a CPU in the tests is what a GPU replays.
"""

from __future__ import annotations

import enum
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vla.errors import ConfigError

Action = Callable[[], object]

CPU_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"cpp_wrapper": True}
"""A kernel's call through Python costs as much as its work, in a small model."""
MANY = 1000
"""Compiled actions in one process, each for one model and shape."""


class Execution(enum.Enum):
    """How a decoding loop runs."""

    AUTO = "auto"
    """Graphs on a GPU, else eager."""
    EAGER = "eager"
    """Operation by operation."""
    COMPILED = "compiled"
    """Fused by `torch.compile`: the first call takes up to minutes, the next process finds the kernels on disk."""
    GRAPH = "graph"
    """Captured as CUDA graphs and replayed: one launch in place of thousands."""
    COMPILED_GRAPH = "compiled_graph"
    """Fused, then captured."""

    @property
    def is_compiled(self) -> bool:
        return self in (Execution.COMPILED, Execution.COMPILED_GRAPH)

    @property
    def is_graph(self) -> bool:
        return self in (Execution.GRAPH, Execution.COMPILED_GRAPH)


def settle(execution: Execution, device: torch.device) -> Execution:
    """What is possible on this machine.

    Raises:
        ConfigError: if a graph is asked for without a GPU.
    """
    is_cuda = device.type == "cuda"
    if execution is Execution.AUTO:
        return Execution.GRAPH if is_cuda else Execution.EAGER
    if execution.is_graph and not is_cuda:
        raise ConfigError(f"execution '{execution.value}' needs a GPU, and the model is on '{device}': take 'compiled'")
    if execution.is_compiled and not has_compiler():
        warnings.warn(
            "torch.compile needs a C++ compiler (g++, clang++ or $CXX): decoding goes on without", stacklevel=3
        )
        return Execution.GRAPH if execution.is_graph else Execution.EAGER
    return execution


def has_compiler() -> bool:
    """Whether inductor can build its kernels' host side."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def prepare(action: Action, execution: Execution, device: torch.device, before: Action | None = None) -> Action:
    """The action, made to run in this way on this device. It is carried out once or more while this is done.

    Args:
        before: brings back what the action moves on, each time that it is carried out here.
    """
    before = before or _nothing
    if execution.is_compiled:
        options = CPU_OPTIONS if device.type == "cpu" else None
        action = torch.compile(action, fullgraph=True, dynamic=False, options=options)
        with torch._dynamo.config.patch(recompile_limit=MANY):
            before()
            action()
    return _captured(action, before) if execution.is_graph else action


def _captured(action: Action, before: Action) -> Action:
    """A graph of the action; it runs once beforehand, aside, so that libraries have set themselves up."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        before()
        action()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        action()
    return graph.replay


def _nothing() -> None:
    """What comes before an action that needs nothing."""


class StaticCall[Result]:
    """A function of tensors as an action: it finds its arguments in one place, and leaves its result in one place."""

    def __init__(self, function: Callable[..., Result], arguments: Sequence[Tensor], execution: Execution) -> None:
        """Prepare the function for arguments of these shapes, types and devices."""
        self._function, self._arguments = function, [argument.clone() for argument in arguments]
        self._run()
        self._action = prepare(self._run, execution, self._arguments[0].device)

    @torch.no_grad()
    def __call__(self, *arguments: Tensor) -> Result:
        """The result; the next call overwrites it."""
        for place, argument in zip(self._arguments, arguments, strict=True):
            place.copy_(argument)
        self._action()
        return self._result

    @torch.no_grad()
    def _run(self) -> None:
        self._result = self._function(*self._arguments)
