"""Offscreen pictures of a MuJoCo model, on a GPU or in software."""

from __future__ import annotations

import atexit
import copy
import ctypes
import os
import platform
import weakref
from itertools import product

import mujoco
import numpy as np

from outtakes.errors import MachineError

_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
_FIRST_SIZE = 64
"""Pixels, before a picture was asked for."""
_HIDDEN_GROUP = 5
_VISUAL_GROUP = 1
_CORNER_SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def choose_backend() -> str:
    """OpenGL backend to render with: `MUJOCO_GL` where set, else EGL, else OSMesa.

    Raises:
        MachineError: when the machine has neither library.
    """
    if platform.system() != "Linux":
        return "native"
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    for backend in [wanted] if wanted in _LIBRARIES else list(_LIBRARIES):
        if _loads(_LIBRARIES[backend]):
            return backend
    raise MachineError(
        f"no OpenGL library to render with ({', '.join(_LIBRARIES.values())})",
        remedy="apt-get install libegl1 libgl1-mesa-dri libopengl0, or libosmesa6",
    )


def _make_context(height: int, width: int):
    # MuJoCo picks its context class at import, when a machine without OpenGL must still do; hence
    # the choice here, at the first picture.
    backend = choose_backend()
    try:
        if backend == "egl":
            from mujoco.egl import GLContext
        elif backend == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco.gl_context import GLContext
        # MuJoCo's contexts trip over their own disposal when they could not be made.
        GLContext._context = None  # pyright: ignore[reportAttributeAccessIssue]
        return GLContext(width, height)
    except (ImportError, AttributeError, RuntimeError, ctypes.ArgumentError) as error:
        raise MachineError(
            f"{backend} cannot render here: {error}",
            remedy="apt-get install libegl1 libgl1-mesa-dri libopengl0, or libosmesa6 with "
            "MUJOCO_GL=osmesa",
        ) from error


class Renderer:
    """Pictures of one model. Its OpenGL context, which takes much memory, is freed with it.

    Software rendering is bound by the number of mesh faces, so meshes outside the camera's view
    are left out, and there is no multi-sampling; the camera sees the same either way.

    Args:
        model: what to draw; copied, since drawing hides parts of it.
        sites: whether to draw sites, too: markers without a body, such as a goal.

    Raises:
        MachineError: when OpenGL does not work on this machine.
    """

    def __init__(self, model: mujoco.MjModel, *, sites: bool = False) -> None:
        self._model = copy.copy(model)
        self._model.vis.quality.offsamples = 0
        self._model.vis.global_.offheight = self._model.vis.global_.offwidth = _FIRST_SIZE
        self._data = mujoco.MjData(self._model)
        self._meshes = np.flatnonzero(
            (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (model.geom_group == _VISUAL_GROUP)
        )
        self._gl = _make_context(_FIRST_SIZE, _FIRST_SIZE)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._viewport = mujoco.MjrRect(0, 0, _FIRST_SIZE, _FIRST_SIZE)
        self._scene = mujoco.MjvScene(self._model, maxgeom=model.ngeom + model.nsite)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = _visual_parts_only()
        self._option.sitegroup[0] = sites
        self._free = weakref.finalize(self, _free, self._gl, self._context)
        # At the latest before MuJoCo, which was asked for a context first, ends OpenGL as a whole.
        atexit.register(self._free)

    def arrange(self, body_pos: np.ndarray, site_pos: np.ndarray) -> None:
        """Move what a task moves within its model.

        Args:
            body_pos: (nbody, 3) m, of each body from its parent.
            site_pos: (nsite, 3) m, of each site from its body.
        """
        self._model.body_pos[:], self._model.site_pos[:] = body_pos, site_pos

    def render(
        self,
        qpos: np.ndarray,
        camera: str,
        height: int,
        width: int,
        mocap_pos: np.ndarray | None = None,
        mocap_quat: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw one camera's view of a configuration.

        Args:
            qpos: (nq,) joint positions of the model.
            camera: name in the model.
            height: pixels.
            width: pixels.
            mocap_pos: (nmocap, 3) where bodies stand that no joint moves, m; as in the model when
                None.
            mocap_quat: (nmocap, 4) how they are turned.

        Returns:
            (height, width, 3) uint8, the top row first.
        """
        self._resize(height, width)
        data = self._data
        data.qpos[:] = qpos
        if mocap_pos is not None and mocap_quat is not None:
            data.mocap_pos[:], data.mocap_quat[:] = mocap_pos, mocap_quat
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_camlight(self._model, data)
        view = mujoco.MjvCamera()
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = self._model.camera(camera).id
        self._hide_meshes_out_of_view(view.fixedcamid)
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            view,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        return self._draw()

    def _resize(self, height: int, width: int) -> None:
        if (height, width) != (self._viewport.height, self._viewport.width):
            self._gl.make_current()
            mujoco.mjr_resizeOffscreen(width, height, self._context)
            self._viewport = mujoco.MjrRect(0, 0, width, height)

    def _draw(self) -> np.ndarray:
        self._gl.make_current()
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        image = np.empty((self._viewport.height, self._viewport.width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, self._viewport, self._context)
        return np.ascontiguousarray(image[::-1])

    def _hide_meshes_out_of_view(self, camera: int) -> None:
        """Hide what has its bounding box beyond one side of the view, or behind the camera."""
        data = self._data
        offset = self._mesh_corners() - data.cam_xpos[camera]
        right, up, backward = np.moveaxis(offset @ data.cam_xmat[camera].reshape(3, 3), -1, 0)
        reach_up = -backward * np.tan(np.radians(self._model.cam_fovy[camera]) / 2)
        reach_right = reach_up * self._viewport.width / self._viewport.height
        beyond = [backward > 0]
        for across, reach in ((right, reach_right), (up, reach_up)):
            beyond += [across > reach, -across > reach]
        hidden = np.any(np.all(beyond, axis=-1), axis=0)
        self._model.geom_group[self._meshes] = np.where(hidden, _HIDDEN_GROUP, _VISUAL_GROUP)

    def _mesh_corners(self) -> np.ndarray:
        """Corners of the meshes' bounding boxes in the world, (meshes, 8, 3) in m."""
        middle, half = np.split(self._model.geom_aabb[self._meshes], 2, axis=1)
        corners = middle[:, None] + half[:, None] * _CORNER_SIGNS
        axes = self._data.geom_xmat[self._meshes].reshape(-1, 3, 3)
        turned = corners @ axes.transpose(0, 2, 1)
        return self._data.geom_xpos[self._meshes, None] + turned

    def close(self) -> None:
        """Free the OpenGL context; no more pictures after this."""
        atexit.unregister(self._free)
        self._free()


def _free(gl, context: mujoco.MjrContext) -> None:
    gl.make_current()
    context.free()
    gl.free()


def _visual_parts_only() -> mujoco.MjvOption:
    """Draw the visual geometry, neither collision hulls nor markers."""
    option = mujoco.MjvOption()
    option.geomgroup[:] = 0
    option.geomgroup[_VISUAL_GROUP] = 1
    option.sitegroup[:] = 0
    return option
