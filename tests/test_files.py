import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from outtakes.errors import ArtifactError, MachineError
from outtakes.files import read_json, write_atomically, write_json
from tests.disk import full_after

WRITE_AND_HANG = """
import sys, time
from pathlib import Path
from outtakes.files import write_atomically

def write(temporary):
    temporary.write_text("half of the ne")
    print("writing", flush=True)
    time.sleep(60)

write_atomically(Path(sys.argv[1]), write)
"""


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_text("old")
    return path


def test_the_new_content_replaces_the_old(old_file):
    write_atomically(old_file, lambda temporary: temporary.write_text("new"))
    assert old_file.read_text() == "new"
    assert os.listdir(old_file.parent) == ["result.json"]
    assert old_file.stat().st_mode & 0o777 == 0o644


def test_folders_are_made(tmp_path):
    path = tmp_path / "runs" / "act" / "result.json"
    write_atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_alone(old_file, failure):
    def write(temporary: Path) -> None:
        temporary.write_text("half of the ne")
        raise failure

    with pytest.raises(failure):
        write_atomically(old_file, write)
    assert old_file.read_text() == "old"
    assert os.listdir(old_file.parent) == ["result.json"]


def test_a_kill_in_the_middle_leaves_the_old_file(old_file):
    command = [sys.executable, "-c", WRITE_AND_HANG, str(old_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
    assert old_file.read_text() == "old"


def test_a_full_disk_is_the_users_to_mend_and_keeps_the_old_file(old_file):
    with full_after(4), pytest.raises(MachineError, match=r"no space left.*free some"):
        write_json(old_file, "scores", 1, {"value": 1})
    assert old_file.read_text() == "old"
    assert os.listdir(old_file.parent) == ["result.json"]


def test_a_place_that_cannot_be_written_is_named(old_file):
    with pytest.raises(MachineError, match="cannot write") as error:
        write_json(old_file / "below-a-file.json", "scores", 1, {})
    assert error.value.where == old_file / "below-a-file.json"


def test_json_comes_back_as_it_was(tmp_path):
    write_json(tmp_path / "a.json", "scores", 3, {"value": 0.1, "name": "Würfel"})
    read = read_json(tmp_path / "a.json", "scores", 3)
    assert read == {"kind": "scores", "version": 3, "value": 0.1, "name": "Würfel"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot read"),
        (b'{"kind": "scores", "ver', "cannot read"),
        (b"\xff\xfe\x00", "cannot read"),
        (b'{"kind": "scores", "version": ' + b"9" * 5000 + b"}", "cannot read"),
        (b"[1, 2]", "found None"),
        (json.dumps({"kind": "selection", "version": 1}).encode(), "expected a scores file"),
        (json.dumps({"kind": "scores", "version": 2}).encode(), "expected a scores file"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "scores.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=reason) as error:
        read_json(path, "scores", 1)
    assert error.value.where == path
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no scores file"):
        read_json(tmp_path / "scores.json", "scores", 1)
    with pytest.raises(ArtifactError, match="cannot read"):
        read_json(tmp_path, "scores", 1)
