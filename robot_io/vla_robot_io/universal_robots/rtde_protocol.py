"""The Real-Time Data Exchange protocol as a controller speaks it: headers, recipes, fields.

    uint16 size | uint8 type | payload            big-endian; the size counts the header
    outputs     the client names fields, the controller answers with their types and sends them at a frequency
    inputs      the client names registers, the controller answers with their types and takes them whenever they come

Source: Universal Robots, "Real-Time Data Exchange (RTDE) Guide".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

HEADER = struct.Struct(">HB")
REQUEST_PROTOCOL_VERSION = ord("V")
GET_CONTROLLER_VERSION = ord("v")
TEXT_MESSAGE = ord("M")
DATA = ord("U")
SETUP_OUTPUTS = ord("O")
SETUP_INPUTS = ord("I")
START = ord("S")
PAUSE = ord("P")

_CODES = {
    "DOUBLE": "d",
    "VECTOR3D": "3d",
    "VECTOR6D": "6d",
    "VECTOR6INT32": "6i",
    "INT32": "i",
    "UINT32": "I",
    "UINT64": "Q",
    "UINT8": "B",
    "BOOL": "?",
}
_TYPES = {
    "timestamp": "DOUBLE",
    "robot_mode": "INT32",
    "joint_mode": "VECTOR6INT32",
    "safety_mode": "INT32",
    "safety_status": "INT32",
    "safety_status_bits": "UINT32",
    "robot_status_bits": "UINT32",
    "runtime_state": "UINT32",
    "speed_scaling": "DOUBLE",
    "target_speed_fraction": "DOUBLE",
    "speed_slider_mask": "UINT32",
    "speed_slider_fraction": "DOUBLE",
    "actual_digital_input_bits": "UINT64",
    "actual_digital_output_bits": "UINT64",
    "actual_execution_time": "DOUBLE",
    "actual_momentum": "DOUBLE",
    "actual_main_voltage": "DOUBLE",
    "actual_robot_voltage": "DOUBLE",
    "actual_robot_current": "DOUBLE",
    "actual_tool_accelerometer": "VECTOR3D",
    "payload": "DOUBLE",
    "payload_cog": "VECTOR3D",
    "standard_digital_output_mask": "UINT8",
    "standard_digital_output": "UINT8",
    "configurable_digital_output_mask": "UINT8",
    "configurable_digital_output": "UINT8",
    "tool_digital_output_mask": "UINT8",
    "tool_digital_output": "UINT8",
    "standard_analog_output_mask": "UINT8",
    "standard_analog_output_type": "UINT8",
}
_PREFIXES = {
    "input_int_register_": "INT32",
    "output_int_register_": "INT32",
    "input_double_register_": "DOUBLE",
    "output_double_register_": "DOUBLE",
    "input_bit_register": "BOOL",
    "output_bit_register": "BOOL",
    "standard_analog_": "DOUBLE",
}


def type_of(name: str) -> str:
    """The type of a field, by its name; what is not listed is a number for each joint."""
    for prefix, kind in _PREFIXES.items():
        if name not in _TYPES and name.startswith(prefix):
            return kind
    return _TYPES.get(name, "VECTOR6D")


def message(kind: int, payload: bytes = b"") -> bytes:
    """One message, its header before it."""
    return HEADER.pack(HEADER.size + len(payload), kind) + payload


def take_messages(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Every whole message at the front of a buffer, which loses them: (type, payload)."""
    found = []
    while len(buffer) >= HEADER.size:
        size, kind = HEADER.unpack_from(buffer)
        if size < HEADER.size:
            raise ValueError(f"an RTDE message says it is {size} bytes long, shorter than its header")
        if len(buffer) < size:
            break
        found.append((kind, bytes(buffer[HEADER.size : size])))
        del buffer[:size]
    return found


def names_in(payload: bytes) -> list[str]:
    """The names of fields, between commas; ur-rtde ends with one."""
    return [name for name in payload.decode().split(",") if name]


class Recipe:
    """Which fields are in a data message, in their order."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.types = tuple(type_of(name) for name in names)
        self._layout = [struct.Struct(">" + _CODES[kind]) for kind in self.types]

    def pack(self, values: Mapping[str, object]) -> bytes:
        """The payload; a field that has no value is zero."""
        return b"".join(
            layout.pack(*_numbers(values.get(name), len(layout.unpack(bytes(layout.size)))))
            for name, layout in zip(self.names, self._layout, strict=True)
        )

    def unpack(self, payload: bytes) -> dict[str, float]:
        """The values of fields that are one number each.

        Raises:
            ValueError: if the payload has another length.
        """
        size = sum(layout.size for layout in self._layout)
        if len(payload) != size:
            raise ValueError(f"a recipe of {size} bytes came with {len(payload)}")
        values, offset = {}, 0
        for name, layout in zip(self.names, self._layout, strict=True):
            values[name] = layout.unpack_from(payload, offset)[0]
            offset += layout.size
        return values


def _numbers(value: object, count: int) -> Sequence[object]:
    if value is None:
        return [0] * count
    if isinstance(value, Sequence):
        return value
    return [value]
