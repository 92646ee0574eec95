"""How far pictures are from what they were before their compression."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from vla.interfaces import Episode


@dataclasses.dataclass
class CameraError:
    """Of one camera, over all pixels and channels; levels of 0 to 255."""

    largest: int = 0
    absolute: int = 0
    squared: int = 0
    count: int = 0

    @property
    def mean(self) -> float:
        return self.absolute / self.count

    @property
    def psnr_db(self) -> float:
        """Peak signal to noise; infinite if there is no error."""
        return math.inf if not self.squared else 10 * math.log10(255**2 * self.count / self.squared)


class PictureErrors:
    """Errors by camera, added up over episodes."""

    def __init__(self) -> None:
        self.cameras: dict[str, CameraError] = {}

    def add(self, expected: Episode, got: Episode) -> None:
        """Compare the pictures of two episodes of one embodiment."""
        for camera, images in expected.images.items():
            error = self.cameras.setdefault(camera, CameraError())
            for one, other in zip(images, got.images[camera], strict=True):
                difference = np.abs(one.astype(np.int64) - other)
                error.largest = max(error.largest, int(difference.max()))
                error.absolute += int(difference.sum())
                error.squared += int((difference**2).sum())
                error.count += difference.size

    @property
    def are_zero(self) -> bool:
        return all(error.largest == 0 for error in self.cameras.values())

    def lines(self) -> Iterator[str]:
        """A sentence a camera."""
        for camera, error in self.cameras.items():
            if error.largest == 0:
                yield f"pictures of '{camera}' are equal"
            else:
                yield (
                    f"pictures of '{camera}' differ by {error.mean:.2f} of 255 levels on average, "
                    f"at most {error.largest} ({error.psnr_db:.1f} dB)"
                )

    def to_json(self) -> dict[str, Any]:
        return {
            camera: {
                "mean": error.mean,
                "largest": error.largest,
                "psnr_db": None if not error.squared else error.psnr_db,
            }
            for camera, error in self.cameras.items()
        }
