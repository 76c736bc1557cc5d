"""The doctor looks at this very machine, and judges machines with known faults."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from outtakes import doctor
from outtakes.doctor import Level, MachineReport, RendererProbe, inspect_machine, probe_renderer


@pytest.fixture(scope="module")
def report() -> MachineReport:
    return inspect_machine()


def finding(report: MachineReport, subject: str) -> doctor.Finding:
    (only,) = [finding for finding in report.findings if finding.subject == subject]
    return only


def test_versions_are_those_installed(report):
    assert report.versions["python"] == platform.python_version()
    assert report.versions["mujoco"] == metadata.version("mujoco")
    assert report.versions["outtakes"] == metadata.version("outtakes")


def test_the_processor_is_described(report):
    assert report.processor.model
    assert report.processor.cores == os.cpu_count()
    assert report.processor.memory > 2**28


def test_a_picture_was_drawn_and_opengl_says_by_whom(report):
    assert report.renderer.error == ""
    assert report.renderer.name
    assert report.renderer.version[0].isdigit()
    assert report.healthy


def test_nothing_is_missing_where_everything_is_installed(report):
    assert report.missing == ()
    assert finding(report, "packages").level is Level.OK


def test_a_missing_package_comes_with_the_extra_that_brings_it(report):
    found = finding(replace(report, missing=("robosuite",)), "packages")
    assert found.level is Level.WARN
    assert found.remedy == "pip install 'outtakes[sim]'"


def test_every_extra_named_in_a_remedy_exists():
    offered = metadata.metadata("outtakes").get_all("Provides-Extra") or []
    assert set(doctor.EXTRAS.values()) <= set(offered)


@pytest.mark.parametrize("name", ["llvmpipe (LLVM 15.0.6, 256 bits)", "softpipe", "SWRast"])
def test_software_rendering_is_warned_about(report, name):
    found = finding(replace(report, renderer=RendererProbe(name, "4.5")), "renderer")
    assert found.level is Level.WARN
    assert name in found.text
    assert found.remedy


def test_a_gpu_that_draws_is_well(report):
    found = finding(replace(report, renderer=RendererProbe("NVIDIA H200", "4.6")), "renderer")
    assert (found.level, found.remedy) == (Level.OK, "")


def test_opengl_that_cannot_draw_is_reported_and_does_not_stop_the_doctor(report, monkeypatch):
    # A display driver that does not exist: EGL loads, and finds nothing to draw on.
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/dev/null")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    probe = probe_renderer()
    assert "egl cannot render here" in probe.error
    broken = replace(report, renderer=probe)
    assert finding(broken, "renderer").level is Level.FAIL
    assert not broken.healthy


def test_versions_and_recipes_are_told(report):
    assert f"outtakes {metadata.version('outtakes')}" in finding(report, "versions").text
    assert "quick" in finding(report, "recipes").text
    assert "weeks" in finding(replace(report, gpus=()), "recipes").text


def test_lerobots_decoder_is_the_one_that_lerobot_takes(report):
    from lerobot.utils.import_utils import get_safe_default_video_backend

    assert report.decoder.name == get_safe_default_video_backend()
    assert finding(report, "videos").level is (Level.WARN if report.decoder.trouble else Level.OK)


def test_a_gpu_is_named_with_its_memory(report):
    found = finding(replace(report, gpus=(doctor.Gpu("NVIDIA H200", 139 * 2**30),)), "devices")
    assert (found.level, found.text) == (Level.OK, "NVIDIA H200 (139 GiB)")


def test_space_is_measured_where_a_folder_will_be(tmp_path):
    folder = tmp_path / "not" / "yet" / "there"
    assert inspect_machine([folder]).free_space[folder] > 0


def test_a_disk_that_is_nearly_full_is_warned_about(report):
    found = finding(replace(report, free_space={Path("/data"): 2**30}), "disk")
    assert found.level is Level.WARN
    assert "1.0 GiB free at /data" in found.text
