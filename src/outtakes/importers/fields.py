"""From arrays of an HDF5 file to the features of a recording."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from outtakes.data.lerobot.features import SMALLEST_IMAGE
from outtakes.data.lerobot.layout import CAMERA_PREFIX
from outtakes.data.lerobot.rows import LARGEST
from outtakes.data.lerobot.video import decode_image
from outtakes.errors import DatasetError, UnknownName
from outtakes.importers.hdf5 import Node, Stored

_LEAVE_OUT = "leave the camera out with --cameras, or the demonstration with --skip-bad"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_EXPORT = "export it again, or leave it out with --skip-bad"


@dataclass(frozen=True)
class Fields:
    """Which arrays of a demonstration become which features."""

    vectors: Mapping[str, Sequence[str]]
    """Feature -> paths of the arrays, (T,) or (T, d), joined into it."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Camera -> path of its array: (T, height, width, 1, 3 or 4) uint8, or a JPEG or PNG file a
    row; one channel is gray, the fourth is transparency, which is left out."""

    @property
    def origins(self) -> dict[str, list[str]]:
        """Feature -> paths of the arrays that it is made of."""
        images = {f"{CAMERA_PREFIX}{camera}": [path] for camera, path in self.images.items()}
        return {**{name: list(paths) for name, paths in self.vectors.items()}, **images}

    def dimension_names(self, demo: Node) -> dict[str, list[str]]:
        """Feature -> a name for each of its dimensions: the array's, numbered."""
        return {
            feature: [
                f"{path.rpartition('/')[2]}_{i}"
                for path in paths
                for i in range(_width(demo.array(path)))
            ]
            for feature, paths in self.vectors.items()
        }

    def shapes(self, demo: Node) -> dict[str, tuple[int, ...]]:
        """Feature -> shape of one frame, without reading the frames.

        Raises:
            DatasetError: when an array is missing, or of another type or length than it must be.
        """
        arrays = [demo.array(p) for paths in self.vectors.values() for p in paths]
        films = {camera: demo.array(path) for camera, path in self.images.items()}
        _check_lengths(demo, [*arrays, *films.values()])
        vectors = {
            feature: (sum(_width(demo.array(p)) for p in paths),)
            for feature, paths in self.vectors.items()
        }
        images = {f"{CAMERA_PREFIX}{c}": _image_shape(film) for c, film in films.items()}
        return {**vectors, **images}

    def read(self, demo: Node) -> dict[str, np.ndarray]:
        """Feature -> (T, ...) array: float32 vectors, uint8 images.

        Raises:
            DatasetError: when something is damaged or not finite.
        """
        vectors = {
            feature: np.concatenate([_numbers(demo.array(path)) for path in paths], axis=1)
            for feature, paths in self.vectors.items()
        }
        films = {f"{CAMERA_PREFIX}{c}": _film(demo.array(p)) for c, p in self.images.items()}
        return {**vectors, **films}


def first_sound[T](demos: Sequence[str], choose: Callable[[str], T]) -> T:
    """What is chosen for the first demonstration that allows a choice.

    Raises:
        DatasetError: when none does.
    """
    first: DatasetError | None = None
    for demo in demos:
        try:
            return choose(demo)
        except DatasetError as error:
            first = first or error
    raise first or DatasetError("no demonstrations", remedy="check the path")


def chosen(
    kind: str, given: Sequence[str] | None, known: Collection[str], *, default: Iterable[str]
) -> list[str]:
    """The names given, or the default.

    Raises:
        UnknownName: when one is not known.
    """
    for name in given or ():
        if name not in known:
            raise UnknownName(kind, name, known)
    return list(default if given is None else given)


def _width(array: Stored) -> int:
    if array.dtype.kind not in "fiub" or array.shape is None or len(array.shape) not in (1, 2):
        raise DatasetError(
            f"{array.dtype} of shape {array.shape} where a vector a frame belongs",
            where=array.where,
            remedy="choose others with --state, or leave the demonstration out with --skip-bad",
        )
    return array.shape[1] if len(array.shape) == 2 else 1


def _numbers(array: Stored) -> np.ndarray:
    """The array as numbers, (T, d) float32."""
    with np.errstate(over="ignore"):
        values = array.read().astype(np.float32)
    sound = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not sound.all():
        raise DatasetError(
            f"NaN or infinity at frame {int(np.argmin(sound))}", where=array.where, remedy=_EXPORT
        )
    large = (np.abs(values) > LARGEST).reshape(len(values), -1).any(axis=1)
    if large.any():
        raise DatasetError(
            f"{np.abs(values).max():g} at frame {int(np.argmax(large))}, no robot's number",
            where=array.where,
            remedy=_EXPORT,
        )
    return values.reshape(len(values), -1)


def _check_lengths(demo: Node, arrays: Sequence[Stored]) -> None:
    lengths = {array.where.rpartition("/")[2]: len(array) for array in arrays}
    if len(set(lengths.values())) != 1:
        raise DatasetError(f"arrays have lengths {lengths}", where=demo.where, remedy=_EXPORT)
    # LeRobot keeps no statistics of a single frame.
    if len(arrays[0]) < 2:
        raise DatasetError(
            f"{len(arrays[0])} frames, two are the least", where=demo.where, remedy=_EXPORT
        )


def _is_encoded(film: Stored) -> bool:
    """Whether each row is an image file: padded bytes, or a list of its own length."""
    rows = film.dtype == np.uint8 and len(film.shape or ()) == 2
    return rows or (film.dtype.kind == "O" and len(film.shape or ()) == 1)


def is_film(array: Stored) -> bool:
    """Whether an array holds the pictures of a camera, as numbers."""
    shape = array.shape or ()
    return (
        array.dtype == np.uint8
        and len(shape) == 4
        and shape[3] in _CHANNELS
        and min(shape[1:3]) >= SMALLEST_IMAGE
    )


_CHANNELS = (1, 3, 4)
"""Of gray, of colour, and of colour with transparency."""


def _image_shape(film: Stored) -> tuple[int, ...]:
    """Shape of one frame; the first one is decoded where frames are image files."""
    if _is_encoded(film):
        shape = _decode(film.read(slice(0, 1))[0], film.where, 0).shape
    elif film.dtype == np.uint8 and film.shape is not None and len(film.shape) == 4:
        shape = film.shape[1:]
    else:
        raise DatasetError(
            f"{film.dtype} of shape {film.shape} where images belong",
            where=film.where,
            remedy=f"store uint8 (frames, height, width, 3), or {_LEAVE_OUT}",
        )
    if shape[2] not in _CHANNELS or min(shape[:2]) < SMALLEST_IMAGE:
        raise DatasetError(
            f"images of shape {shape}",
            where=film.where,
            remedy=f"store gray or RGB of at least {SMALLEST_IMAGE} pixels a side, height and "
            f"width first, or {_LEAVE_OUT}",
        )
    return (*shape[:2], 3)


def _film(film: Stored) -> np.ndarray:
    """(T, height, width, 3) uint8."""
    frames = film.read()
    if not _is_encoded(film):
        return frames.repeat(3, axis=3) if frames.shape[3] == 1 else frames[..., :3]
    first = _decode(frames[0], film.where, 0)
    images = np.empty((len(frames), *first.shape), np.uint8)
    for t, content in enumerate(frames):
        image = _decode(content, film.where, t)
        if image.shape != first.shape:
            raise DatasetError(
                f"frame {t} has shape {image.shape}, the first has {first.shape}",
                where=film.where,
                remedy=_EXPORT,
            )
        images[t] = image
    return images


def _decode(content: object, where: str, frame: int) -> np.ndarray:
    place = f"{where}, frame {frame}"
    if not isinstance(content, np.ndarray) or content.dtype != np.uint8:
        raise DatasetError("neither images nor image files", where=place, remedy=_EXPORT)
    # Padding behind an image file does not trouble the decoder, but in the place of its end it
    # passes for the rest of the picture.
    image = content.tobytes().rstrip(b"\0")
    if image.startswith(_JPEG_START) and not image.endswith(_JPEG_END):
        raise DatasetError("a JPEG file without its end", where=place, remedy=_EXPORT)
    try:
        return decode_image(image, place)
    except DatasetError as error:
        raise DatasetError(error.what, where=place, remedy=_EXPORT) from error
