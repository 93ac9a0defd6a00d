"""The data room: the pickled files of CIFAR, read without trusting them.

A pickle is a program. Here it may use three names, and even these are stand-ins: what it calls an array, its type and
how to begin one become plain objects that only hold what they are given. No function of any library is ever called on
behalf of the file, and anything else that it names is refused.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from figment.data.headers import one_line

_NAMES = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy")
    for name in ("_reconstruct", "ndarray", "dtype")
}


class _Held:
    """Stands for an array or its type: holds arguments and state, does nothing with them."""

    def __init__(self, *arguments: Any):
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) in _NAMES:
            return _Held
        if (module_name, global_name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return self._latin1
        raise pickle.UnpicklingError(f"names {module_name}.{global_name}")

    def _latin1(self, text: Any, encoding: Any = "latin1") -> bytes:
        # A method, because attributes of a method cannot be set, whatever a file tries.
        if not isinstance(text, str):
            raise pickle.UnpicklingError("encodes what is no text")
        return text.encode("latin1")


def load(content: bytes) -> Any:
    """What a pickle holds: dicts, lists, tuples, texts, bytes, numbers and uint8 arrays. Texts of Python 2 are bytes.

    Raises ValueError, with a reason, for anything else.
    """
    try:
        return _plain(_Unpickler(io.BytesIO(content), encoding="bytes").load())
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise ValueError(f"is no plain pickle of arrays ({one_line(error)})") from None
    except (ImportError, UnicodeError, OverflowError, RecursionError) as error:
        raise ValueError(f"is no plain pickle of arrays ({type(error).__name__})") from None


def _plain(value: Any) -> Any:
    """The value with its stand-ins replaced by what they stand for."""
    if isinstance(value, dict):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, _Held):
        return _array(value)
    return value


def _key(key: Any) -> Any:
    """Files written by Python 3 have keys of text."""
    return key.encode() if isinstance(key, str) else key


def _array(held: _Held) -> np.ndarray:
    """The state of an array is (version, shape, type, whether columns come first, bytes)."""
    if not isinstance(held.state, tuple) or len(held.state) != 5:
        raise ValueError("is no plain pickle of arrays (an array without content)")
    _, shape, kind, is_fortran, content = held.state
    if not isinstance(kind, _Held) or kind.arguments[:1] not in ((b"u1",), ("u1",)) or not isinstance(content, bytes):
        raise ValueError("holds an array that is not of bytes (uint8)")
    pixels = np.frombuffer(content, np.uint8)
    if not isinstance(shape, tuple) or any(type(side) is not int or side < 0 for side in shape):
        raise ValueError("holds an array without a shape")
    if np.prod(shape, dtype=object) != len(pixels):
        raise ValueError("holds an array that is shorter than it says")
    return pixels.reshape(shape, order="F" if is_fortran else "C")
