"""Towers that see pictures of any size, in whole tokens."""

from __future__ import annotations

from vla.embodiment import CameraSpec


def whole_tokens(camera: CameraSpec, longest_side: int, token: int) -> tuple[int, int]:
    """A camera's picture, each side rounded to whole tokens, as long as is wished for; its shape stays.

    Args:
        longest_side: in pixels; 0 leaves it as it is.
        token: pixels along one side of a token.
    """
    scale = longest_side / max(camera.height, camera.width) if longest_side else 1.0
    rows, columns = (max(1, round(pixels * scale / token)) for pixels in (camera.height, camera.width))
    return rows * token, columns * token
