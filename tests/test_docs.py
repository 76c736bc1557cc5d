"""What the documentation says exists, exists; what it says is written, is written."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from outtakes.cli.experiments import Demo
from outtakes.cli.finished import Finished
from outtakes.console import Console
from outtakes.data.demo import Outcome, Provenance
from outtakes.data.frames import save_cache
from outtakes.data.lerobot.subset_videos import VideoFiles
from outtakes.evaluation import statistics
from outtakes.evaluation.comparison import compare
from outtakes.evaluation.exhibits import FilmedRollout, RetrievalPlane, save_films
from outtakes.evaluation.prediction import HeldOutErrors
from outtakes.evaluation.recommendation import recommend
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.evaluation.sequential import evidence
from outtakes.experiments.arm import act_arm
from outtakes.experiments.held_out import BASELINE, ActionErrors
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.recipes import SMOKE
from outtakes.experiments.runs import evaluation_settings
from outtakes.experiments.setting_up import write_setup
from outtakes.export import _content
from outtakes.files import write_json
from outtakes.importers.manifest import FILE as MANIFEST
from outtakes.importers.manifest import Imported, Manifest, Skipped
from outtakes.importers.reader import Facts
from outtakes.review.choices import Change
from outtakes.review.sidecars import Sidecars
from outtakes.selection.select import Choice, Selection, select
from tests.demos import make_demos, train_small, two_tasks
from tests.evaluation.test_recommendation import EVIDENCE
from tests.ranking.rankings import SUCCESSES, make_scores

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
FORMATS = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")

LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"`(outtakes(?:\.\w+)+)(?: = ([^`]+))?`")
FIELD = re.compile(r"^\|((?: `[^`|]+`,?)+) \|", re.MULTILINE)


# --- links and paths ------------------------------------------------------------------------------


def pages() -> list:
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES]


def without_code(text: str) -> str:
    """The text without fenced blocks, where brackets are not links."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """GitHub's anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for _, address in LINK.findall(without_code(text)):
        if re.match(r"\w+:", address):
            continue
        name, _, anchor = address.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), address
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), address


@pytest.mark.parametrize("page", pages())
def test_python_files_that_are_named_exist(page):
    text = re.sub(r"\w+://\S+", "", page.read_text(encoding="utf-8"))
    for name in re.findall(r"[\w.-]*/[\w./-]*\.py\b", text):
        homes = (page.parent, ROOT, ROOT / "src", ROOT / "src" / "outtakes")
        assert any((home / name).is_file() for home in homes), name


# --- method.md ------------------------------------------------------------------------------------


def resolve(name: str) -> object:
    """What a dotted name stands for: a module, or something in one."""
    first, *rest = name.split(".")
    found: object = importlib.import_module(first)
    for part in rest:
        if is_dataclass(found) and part in {field.name for field in fields(found)}:
            found = getattr(found, part, None)
        elif hasattr(found, part) or not isinstance(found, ModuleType):
            found = getattr(found, part)
        else:
            found = importlib.import_module(f"{found.__name__}.{part}")
    return found


def test_code_that_the_method_refers_to_exists():
    references = {name for name, _ in REFERENCE.findall(METHOD)}
    assert len(references) > 40
    for name in references:
        resolve(name)


def test_defaults_that_the_method_quotes_are_the_defaults():
    quoted = [(name, value) for name, value in REFERENCE.findall(METHOD) if value]
    assert len(quoted) > 10
    for name, value in quoted:
        assert repr(resolve(name)) == value, name


def test_code_is_linked_to_the_file_it_is_in():
    for text, address in LINK.findall(METHOD):
        if reference := REFERENCE.fullmatch(text):
            inside = address.removeprefix("../src/").removesuffix(".py").replace("/", ".")
            assert f"{reference[1]}.".startswith(f"{inside}."), text


def test_tests_that_the_method_refers_to_exist():
    proofs = [(name, address) for name, address in LINK.findall(METHOD) if "../tests/" in address]
    named = [(name.strip("`"), address) for name, address in proofs if name.startswith("`")]
    assert len(named) > 40
    for name, address in named:
        source = (ROOT / "docs" / address).read_text(encoding="utf-8")
        assert re.search(rf"^ *(?:def|class) {name}\b", source, re.MULTILINE), name


def test_the_coverage_table_is_the_measured_one():
    measured = re.findall(r"^    (\d.*)$", statistics.__doc__ or "", re.MULTILINE)
    assert len(measured) == 6
    for line in measured:
        row = " | ".join(re.split(r"\s{2,}", line.strip()))
        assert f"| {row} |" in METHOD, row


@pytest.mark.parametrize(
    "name",
    [
        "outtakes.nowhere",
        "outtakes.policy.act.nothing",
        "outtakes.policy.act.act.ActConfig.nothing",
    ],
)
def test_what_does_not_exist_is_noticed(name):
    with pytest.raises((ImportError, AttributeError)):
        resolve(name)


# --- formats.md -----------------------------------------------------------------------------------


def documented(heading: str, column: str = "Field") -> set[str]:
    """The fields of the table under a heading whose first column has this name."""
    section = FORMATS.split(f"\n{heading}\n", 1)[1]
    section = re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0]
    table = section.split(f"| {column} |", 1)[1].split("\n\n", 1)[0]
    return {name for row in FIELD.findall(table) for name in re.findall(r"`([^`]+)`", row)}


def written(value: object, known: set[str], at: str = "") -> Iterator[str]:
    """Fields of a JSON value in the notation of the tables, as deep as the tables go."""
    if isinstance(value, list) and any(name.startswith(f"{at}[]") for name in known):
        for entry in value:
            yield from written(entry, known, f"{at}[]")
    if not isinstance(value, Mapping):
        return
    varying = next((n for n in known if n.startswith(f"{at}.<")), None) if at else None
    if varying:
        for entry in value.values():
            yield from written(entry, known, f"{at}.{varying[len(at) + 1 :].split('.')[0]}")
    elif not at or any(name.startswith(f"{at}.") for name in known):
        for key, entry in value.items():
            name = f"{at}.{key}" if at else key
            yield name
            yield from written(entry, known, name)


def write_scores(path: Path) -> None:
    make_scores().save(path)


def write_selection(path: Path) -> None:
    select(make_scores(), SUCCESSES, count=2).save(path)


def write_comparison(path: Path) -> None:
    rng = np.random.default_rng(0)
    outcomes = {arm: {seed: rng.random(8) < 0.5 for seed in range(3)} for arm in ("act", "pb")}
    compare(outcomes, baseline="act", treatment="pb").save(path)


def write_action_errors(path: Path) -> None:
    rng = np.random.default_rng(0)
    ActionErrors.of({arm: rng.random((2, 4)) for arm in (BASELINE, "selected")}).save(path)


def write_held_out(path: Path) -> None:
    HeldOutErrors((3, 5), {"mean": np.array([0.1, 0.2])}).save(path)


def write_recommendation(path: Path) -> None:
    recommend(EVIDENCE).save(path)


def write_evaluation(path: Path) -> None:
    lab, arm = Lab(SMOKE, path.parent), act_arm(SMOKE, "act", "ACT", [0])
    (job,) = jobs_of(lab, [arm], [0], make_demos(), SMOKE.evaluation)
    write_json(path, "evaluation", 2, evaluation_settings(job, SMOKE.evaluation))


def write_review(path: Path) -> None:
    sidecars = Sidecars(path.parent, path.parent, np.arange(3))
    sidecars.change(Change(0, "dropped", False, True))


def write_until_clear(path: Path) -> None:
    facts = {"baseline": "act", "treatment": "pb", "margin": 0.1, "clear": False}
    evidence(np.array([1.0, 0.0])).save(path, facts)


def write_films(path: Path) -> None:
    save_films(path, [FilmedRollout(0, "act", 0, True, "media/rollouts/act-0.mp4")])


def write_retrieval(path: Path) -> None:
    RetrievalPlane("pb", 0, "first state", [(3, 0.0, 1.0)], [(0, 0.0, 1.0, 3, True)]).save(path)


def write_durations(path: Path) -> None:
    with Lab(SMOKE, path.parent).timed("train"):
        pass


def write_experiment_setup(path: Path) -> None:
    write_durations(path.parent / "durations.json")
    write_setup(
        Lab(SMOKE, path.parent),
        make_demos(),
        title="a test",
        dataset=Path("dataset"),
        labels={},
    )


def write_finished(path: Path) -> None:
    Finished(Demo(), path.parent).tell(Console(as_json=True), "done", {"report": "report.html"})


def write_manifest(path: Path) -> None:
    facts = Facts("robomimic", 20, "panda", "lift", {}, {"action": ["actions"]})
    imported = [Imported("demo_0", Outcome.SUCCESS, "rewards", 12)]
    manifest = Manifest(Path("demo.hdf5"), facts, imported, [Skipped("demo_1", "damaged")])
    manifest.save(path.parent)
    (path.parent / MANIFEST).rename(path)


def write_export(path: Path) -> None:
    demos = replace(make_demos(), provenance=Provenance(skipped={99: "damaged"}))
    selection = Selection("a test", demos.content_hash, "low", [Choice(0, True, "success")])
    outcomes = dict(zip(demos.episode_indices.tolist(), demos.successes.tolist(), strict=True))
    write_json(path, "export", 1, _content(demos, selection, outcomes, VideoFiles(cut=1)))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("import.json", write_manifest),
        ("export.json", write_export),
        ("scores.json", write_scores),
        ("selection.json", write_selection),
        ("comparison.json", write_comparison),
        ("until_clear.json", write_until_clear),
        ("action_error.json", write_action_errors),
        ("held-out.json", write_held_out),
        ("recommendation.json", write_recommendation),
        ("evaluation.json", write_evaluation),
        ("films.json", write_films),
        ("review.json", write_review),
        ("retrieval.json", write_retrieval),
        ("durations.json", write_durations),
        ("setup.json", write_experiment_setup),
        ("finished.json", write_finished),
    ],
)
def test_result_files_have_the_documented_fields(tmp_path, name, write: Callable[[Path], None]):
    write(tmp_path / name)
    content = json.loads((tmp_path / name).read_text(encoding="utf-8"))
    fields_told = documented(f"## `{name}`")
    assert set(written(content, fields_told)) == fields_told
    section = FORMATS.split(f"\n## `{name}`\n", 1)[1]
    assert f"| `kind` | string | `{content['kind']}` |" in section
    assert f"| `version` | int | {content['version']} |" in section


def test_rollouts_have_the_documented_columns(tmp_path):
    path = tmp_path / "rollouts.parquet"
    RolloutLog(
        [
            Rollout(
                arm="act",
                seed=0,
                initial_state=0,
                success=True,
                steps=12,
                retrieved_episode=-1,
            )
        ]
    ).save(path)
    schema = pq.read_schema(path)
    assert set(schema.names) == documented("## `rollouts.parquet`", "Column")
    for field in schema:
        assert f"| `{field.name}` | {field.type} |" in FORMATS


def test_checkpoints_have_the_documented_header_and_owners(tmp_path):
    train_small(tmp_path, two_tasks(), steps=1, ema=0.9)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="np") as file:
        header = json.loads(file.metadata()["outtakes"])
        owners = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118
    assert set(header) == documented("## `checkpoint.safetensors`")
    told = documented("## `checkpoint.safetensors`", "Name")
    # Frozen eyes alone keep anything of theirs.
    assert owners | {"eyes"} == {n.split(".")[0] for n in told if not n.startswith(".")}


def test_frame_caches_have_the_documented_fields_and_files(tmp_path):
    save_cache(tmp_path / "cache", make_demos(camera=True))
    facts = json.loads((tmp_path / "cache" / "demos.json").read_text(encoding="utf-8"))
    assert set(facts) == documented("## Frame cache")
    with safe_open(tmp_path / "cache" / "demos.safetensors", framework="np") as file:
        arrays = set(file.keys())
    row = re.search(r"^\| `demos.safetensors` \| (.+) \|$", FORMATS, re.MULTILINE)
    assert row is not None
    assert set(re.findall(r"`(\w+)`", row[1])) == arrays
