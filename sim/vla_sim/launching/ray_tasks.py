"""A function over many arguments on Ray, results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vla_sim.launching.cluster import RayConfig, ray_cluster, ray_result, worker_options
from vla_sim.workers import use_one_thread

ATTEMPTS = 3
"""So often is a call tried whose machine is lost."""


def ray_map[A, R](
    function: Callable[[A], R], arguments: Sequence[A], workers: int | None, config: RayConfig
) -> Iterator[R]:
    """The results of a function that may be called again after its machine was lost, in the order in which they come.

    Args:
        function: importable by name, or a partial of what is.
        workers: at most so many at once; what the cluster has room for if None.

    Raises:
        ConfigError: if Ray is not there.
        VlaError: as the function raised it.
        RuntimeError: if the function failed otherwise, or its machine was lost in every attempt.
    """
    with ray_cluster(config, workers) as ray:
        call = ray.remote(_call).options(**worker_options(config), max_retries=ATTEMPTS - 1)
        waiting = list(reversed(arguments))
        running: list[Any] = []
        most = workers or len(waiting)
        while waiting or running:
            while waiting and len(running) < most:
                running.append(call.remote(function, waiting.pop()))
            ready, running = ray.wait(running, num_returns=1)
            yield ray_result(ray, ready[0])


def _call[A, R](function: Callable[[A], R], argument: A) -> R:
    use_one_thread()
    return function(argument)
