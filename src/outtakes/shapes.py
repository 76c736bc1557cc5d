"""Array annotations with shapes, such as `Float[Tensor, "B L D"]`.

They come from jaxtyping where it is installed: the tests check every call against them. Training
and ranking must run where torch, numpy and safetensors are all there is, so without jaxtyping the
annotations say the same to a reader and check nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Bool", "Float", "Int", "UInt8"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Int, UInt8
    except ImportError:

        class Unchecked:
            """`Unchecked[Tensor, "B L D"]` is `Tensor`."""

            def __class_getitem__(cls, array_and_shape: tuple[type, str]) -> type:
                return array_and_shape[0]

        Bool = Float = Int = UInt8 = Unchecked
