"""A scene from the XML that robosuite stores with a demonstration.

The XML names meshes and textures by their paths on the machine that recorded it. They are looked
up by their tails among the assets of the robosuite installed here, and nowhere else: the XML comes
from a stranger, and no other file may be opened for it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import mujoco

from outtakes.errors import DatasetError, MachineError

_ASSETS = ("robosuite", "models", "assets")
_MAY_NAME_FILES = ("mesh", "texture", "hfield", "skin")
_RUNS_CODE = ("extension", "plugin")
_FOLDERS = ("assetdir", "meshdir", "texturedir")
_REMEDY = (
    "import without --render, or with the robosuite that recorded it; --skip-bad leaves the "
    "demonstration out"
)


def load_model(xml: str, where: str) -> mujoco.MjModel:
    """Compile a stored scene.

    Args:
        xml: MuJoCo's XML.
        where: the demonstration it belongs to, for messages.

    Raises:
        DatasetError: when it is damaged, or names a file that is none of robosuite's assets.
        MachineError: when robosuite is not installed.
    """
    root = _parse(xml, where)
    assets = find_assets()
    for element in root.iter():
        if element.tag in _RUNS_CODE:
            raise _unusable(f"the scene wants a MuJoCo {element.tag}", where)
        for folder in _FOLDERS if element.tag == "compiler" else ():
            element.attrib.pop(folder, None)
        for name, value in element.attrib.items():
            if name.startswith("file"):
                element.set(name, str(_asset(element.tag, value, assets, where)))
    try:
        return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))
    except (ValueError, mujoco.FatalError) as error:
        reason = " ".join(str(error).split())
        raise _unusable(f"MuJoCo cannot build the scene ({reason})", where) from error


def find_assets() -> Path:
    """The folder of robosuite's assets; robosuite itself is not imported.

    Raises:
        MachineError: when robosuite is not installed.
    """
    package = find_spec("robosuite")
    if package is None or package.origin is None:
        raise MachineError(
            "stored simulator states need robosuite's assets", remedy="pip install 'outtakes[sim]'"
        )
    return Path(package.origin).parent.joinpath(*_ASSETS[1:]).resolve()


def _parse(xml: str, where: str) -> ElementTree.Element:
    # Entities can blow a small file up until it fills the memory; MuJoCo never writes any.
    if "<!DOCTYPE" in xml:
        raise _unusable("the scene declares a DOCTYPE", where)
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise _unusable(f"the scene is no XML ({error})", where) from error


def _asset(tag: str, file: str, assets: Path, where: str) -> Path:
    parts = PurePosixPath(file.replace("\\", "/")).parts
    starts = [i for i in range(len(parts)) if parts[i : i + len(_ASSETS)] == _ASSETS]
    if tag not in _MAY_NAME_FILES or not starts:
        raise _unusable(f"the scene's {tag} is kept in {file}, outside robosuite's assets", where)
    found = assets.joinpath(*parts[starts[-1] + len(_ASSETS) :]).resolve()
    if not found.is_relative_to(assets):
        raise _unusable(f"the scene's {tag} leads out of robosuite's assets: {file}", where)
    if not found.is_file():
        raise _unusable(f"the robosuite installed here lacks {file}", where)
    return found


def _unusable(what: str, where: str) -> DatasetError:
    return DatasetError(what, where=where, remedy=_REMEDY)
