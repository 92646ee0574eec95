"""Checkpoints that are written while training goes on.

    step 1000 ─► copied ─┬─► step 1001 ─► step 1002 ─► ...
                         └─► written, compared, named: by a thread, one checkpoint after the other

What is on disk is as before: a process that is killed leaves the checkpoint before or the one after.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from vla_policies.checkpoint import Checkpoint, save_checkpoint


class CheckpointWriter:
    """Writes one checkpoint at a time."""

    def __init__(self) -> None:
        """With nothing to write."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(self, directory: Path, checkpoint: Checkpoint) -> None:
        """Begin to write, once what was given before is written; nobody may change the checkpoint's tensors.

        Raises:
            OSError: if what was given before could not be written.
        """
        self.wait()
        self._pending = self._thread.submit(save_checkpoint, directory, checkpoint)

    def wait(self) -> None:
        """Return when everything is written.

        Raises:
            OSError: if it could not be.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Return when nothing is being written any more; whether it could be is for `wait` to say."""
        self._thread.shutdown(wait=True)
