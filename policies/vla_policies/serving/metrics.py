"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

import vla
from vla_policies.serving.messages import Greeting

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server."""

    def __init__(self, greeting: Greeting) -> None:
        own = CollectorRegistry()
        self._registry = own
        self.requests = Counter("vla_requests", "answered, by outcome", ["outcome"], registry=own)
        self.connections = Gauge("vla_connections", "clients that are connected", registry=own)
        self.sessions = Gauge("vla_sessions", "episodes that go on", registry=own)
        self.turned_away = Counter("vla_turned_away", "connections refused, by reason", ["reason"], registry=own)
        self.request_s = Histogram("vla_request_seconds", "from arrival to answer", buckets=_SECONDS, registry=own)
        self.inference_s = Histogram("vla_inference_seconds", "of one batch", buckets=_SECONDS, registry=own)
        self.batch_size = Histogram("vla_batch_size", "observations predicted at once", buckets=_COUNTS, registry=own)
        Info("vla_server", "what is served", registry=own).info(
            {
                "policy": greeting.policy,
                "checkpoint": greeting.checkpoint or "",
                "fingerprint": greeting.embodiment.fingerprint,
                "version": vla.__version__,
            }
        )

    def text(self) -> bytes:
        """In the exposition format."""
        return generate_latest(self._registry)
