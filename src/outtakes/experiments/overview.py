"""What was chosen for a dataset, by itself or by the user: shown before any work goes into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from outtakes.data.demo import DemoSet, Outcome
from outtakes.experiments.recipes import Recipe

_NAMES_SHOWN = 8
_UNRANKED = "; without a success of their own they cannot be ranked"


@dataclass(frozen=True)
class Overview:
    """A dataset as it was read, and the recipe fitted to it."""

    demos: DemoSet
    recipe: Recipe
    unused: Sequence[str] = ()
    """Columns of the dataset, cameras among them, that are not read."""

    def facts(self) -> dict[str, Any]:
        """Everything, for programs; sizes of images are (height, width) in pixels."""
        demos, recipe = self.demos, self.recipe
        return {
            "cameras": {
                camera: {
                    "stored": list(demos.provenance.stored_sizes[camera]),
                    "used": list(frames.shape[1:3]),
                    "seen_by_policy": camera in recipe.policy.views,
                }
                for camera, frames in demos.images.items()
            },
            "eyes": recipe.policy.looks(),
            "state_size": demos.state.shape[1],
            "state_names": list(demos.provenance.state_names),
            "environment_state_size": demos.environment_state.shape[1],
            "action_size": demos.action.shape[1],
            "scaling": "mean and standard deviation of the training episodes",
            "fps": demos.fps,
            "chunk": recipe.policy.chunk,
            "chunk_seconds": recipe.policy.chunk / demos.fps,
            "replan": recipe.controller.replan,
            "tasks": len(set(demos.tasks)),
            "by_task": counts(demos),
            "episodes": len(demos),
            "successes": len(demos.episodes(Outcome.SUCCESS)),
            "failures": len(demos.episodes(Outcome.FAILURE)),
            "outcomes_from": dict(demos.provenance.outcome_sources),
            "not_used": list(self.unused),
            "skipped": {str(e): why for e, why in demos.provenance.skipped.items()},
        }

    def table(self) -> str:
        """The same in a few aligned lines, for people."""
        return "\n".join(f"  {name:<9} {value}" for name, value in self._rows())

    def left_out(self) -> str:
        """A line to end a summary with when episodes were left out, else nothing."""
        episodes = ", ".join(map(str, self.demos.provenance.skipped))
        return f"\nLeft out as corrupt: {episodes}" if episodes else ""

    def _rows(self) -> Iterator[tuple[str, str]]:
        facts = self.facts()
        for camera, sizes in facts["cameras"].items():
            seen = "" if sizes["seen_by_policy"] else ", for the report alone"
            yield "Camera", f"{camera}: {_size(sizes['stored'])} → {_size(sizes['used'])}{seen}"
        if facts["eyes"]:
            yield "Eyes", facts["eyes"]
        yield "State", _named(facts["state_size"], facts["state_names"])
        unseen = (
            ", not observed" if self.recipe.policy.eyes and facts["environment_state_size"] else ""
        )
        yield "Objects", _named(facts["environment_state_size"], []) + unseen
        yield "Actions", _named(facts["action_size"], [])
        yield "Scaling", facts["scaling"]
        yield "Rate", f"{facts['fps']:g} frames a second"
        yield "Chunk", f"{facts['chunk']} steps, {facts['chunk_seconds']:.2g} s"
        yield (
            "Episodes",
            f"{facts['episodes']}: {facts['successes']} successes, {facts['failures']} failures, "
            f"{facts['tasks']} task{'s' * (facts['tasks'] != 1)}",
        )
        if len(facts["by_task"]) > 1:
            for task, count in facts["by_task"].items():
                told = f"{count['successes']} successes, {count['failures']} failures"
                yield "Task", f"{task}: {told}{'' if count['ranked'] else _UNRANKED}"
        if self.unused:
            yield "Not used", ", ".join(self.unused)
        sources = facts["outcomes_from"].items()
        yield "Outcomes", ", ".join(f"{source} ({count})" for source, count in sources)
        for episode, why in facts["skipped"].items():
            yield "Skipped", f"episode {episode}: {why}"


def counts(demos: DemoSet) -> dict[str, dict[str, Any]]:
    """Task -> how many successes and failures it has, and whether the failures can be ranked."""
    found = {}
    for task, own in demos.by_task().items():
        successes, failures = (len(own.episodes(outcome)) for outcome in Outcome)
        ranked = successes > 0 or failures == 0
        found[task] = {"successes": successes, "failures": failures, "ranked": ranked}
    return found


def _size(size: list[int]) -> str:
    return f"{size[0]} × {size[1]}"


def _named(count: int, names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    return f"{count}: {shown}" if names else str(count) if count else "none"
