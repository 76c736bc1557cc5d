"""A training step as one program: captured on a GPU, replayed with other samples.

An ordinary step launches a thousand small kernels, and a fast GPU waits for each. Here everything
from cutting the batch out of the resident frames to the optimiser is captured once as a CUDA graph.
What differs from step to step is laid into memory that the graph reads: which samples, which
fraction of the learning rates, and the seed of the noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from outtakes.policy.policy import Losses
from outtakes.training.learner import Learner

_WARM_UPS = 3
"""Steps before the capture, in which libraries choose their algorithms; they are undone."""


class GraphedStep:
    """What `Learner.advance` does, as one program.

    Args:
        learner: of which to take steps.
        capture: capture and replay, which needs a GPU; otherwise every call runs the same
            operations one by one.
    """

    def __init__(self, learner: Learner, *, capture: bool) -> None:
        self.learner = learner
        self._samples = learner.data.place(learner.draw(learner.step))
        self._fraction = torch.zeros((), device=learner.device)
        self._graph = torch.cuda.CUDAGraph() if capture else None
        self._found: tuple[Losses, Tensor] | None = None

    def __call__(self) -> tuple[Losses, Tensor]:
        """Take one step.

        Returns:
            The loss and its parts, (n,) each, and whether each policy's loss and gradient were
            finite, (n,) bool; overwritten by the next call.
        """
        learner = self.learner
        self._samples.lay(learner.draw(learner.step))
        self._fraction.fill_(learner.fraction)
        if self._graph is None:
            learner.seed_noise()
            self._found = self._run()
        else:
            if self._found is None:
                self._found = self._capture(self._graph)
            learner.seed_noise()
            self._graph.replay()
        learner.step += 1
        return self._found

    def _run(self) -> tuple[Losses, Tensor]:
        learner = self.learner
        batch = learner.data.cut(self._samples, learner.policy.chunk)
        losses, finite = learner.gradients(batch)
        learner.apply(batch, self._fraction)
        parts = {name: part.detach() for name, part in losses.parts.items()}
        return Losses(losses.total.detach(), parts), finite

    def _capture(self, graph: torch.cuda.CUDAGraph) -> tuple[Losses, Tensor]:
        """Warm up beside the main stream, undo that, and capture."""
        before = [tensor.detach().clone() for tensor in self.learner.state()]
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                self._run()
        torch.cuda.current_stream().wait_stream(beside)
        for generator in self.learner.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            found = self._run()
        with torch.no_grad():
            for tensor, value in zip(self.learner.state(), before, strict=True):
                tensor.copy_(value)
        return found
