"""The tasks of Meta-World that can be collected, evaluated and studied: what is done in each."""

from __future__ import annotations

from collections.abc import Mapping

from outtakes.errors import UnknownName

PREFIX = "metaworld-"
"""Before Meta-World's own name of a task, in the names of environments."""

INSTRUCTIONS: Mapping[str, str] = {
    "assembly-v3": "put the ring of the wrench over the peg",
    "basketball-v3": "drop the ball into the basket",
    "bin-picking-v3": "move the puck from one bin to the other",
    "box-close-v3": "put the lid on the box",
    "button-press-topdown-v3": "press the button from above",
    "button-press-topdown-wall-v3": "press the button behind the wall from above",
    "button-press-v3": "press the button from the front",
    "button-press-wall-v3": "press the button behind the wall from the front",
    "coffee-button-v3": "press the button of the coffee machine",
    "coffee-pull-v3": "pull the mug away from the coffee machine",
    "coffee-push-v3": "push the mug under the coffee machine",
    "dial-turn-v3": "turn the dial",
    "disassemble-v3": "take the wrench off the peg",
    "door-close-v3": "close the door",
    "door-lock-v3": "lock the door",
    "door-open-v3": "open the door",
    "door-unlock-v3": "unlock the door",
    "drawer-close-v3": "close the drawer",
    "drawer-open-v3": "open the drawer",
    "faucet-close-v3": "turn the faucet off",
    "faucet-open-v3": "turn the faucet on",
    "hammer-v3": "hammer the nail into the box",
    "hand-insert-v3": "put the hand into the hole",
    "handle-press-side-v3": "press the handle down from the side",
    "handle-press-v3": "press the handle down",
    "handle-pull-side-v3": "pull the handle up from the side",
    "handle-pull-v3": "pull the handle up",
    "lever-pull-v3": "pull the lever up",
    "peg-insert-side-v3": "insert the peg into the hole from the side",
    "peg-unplug-side-v3": "unplug the peg",
    "pick-out-of-hole-v3": "pick the puck out of the hole",
    "pick-place-v3": "pick up the puck and hold it at the goal",
    "pick-place-wall-v3": "carry the puck over the wall to the goal",
    "plate-slide-back-side-v3": "slide the plate out of the cabinet sideways",
    "plate-slide-back-v3": "slide the plate out of the cabinet",
    "plate-slide-side-v3": "slide the plate into the cabinet sideways",
    "plate-slide-v3": "slide the plate into the cabinet",
    "push-back-v3": "push the puck back to the goal",
    "push-v3": "push the puck to the goal",
    "push-wall-v3": "push the puck round the wall to the goal",
    "reach-v3": "move the hand to the goal",
    "reach-wall-v3": "move the hand round the wall to the goal",
    "shelf-place-v3": "put the block on the shelf",
    "soccer-v3": "kick the ball into the goal",
    "stick-pull-v3": "pull the thermos with the stick",
    "stick-push-v3": "push the thermos with the stick",
    "sweep-into-v3": "sweep the puck into the hole",
    "sweep-v3": "sweep the puck off the table",
    "window-close-v3": "close the window",
    "window-open-v3": "open the window",
}
"""Meta-World's own name of a task -> the instruction in words."""

METAWORLD_ENVIRONMENTS = tuple(PREFIX + name for name in INSTRUCTIONS)
"""Names of Meta-World's tasks as environments."""


def instruction_of(name: str) -> str:
    """What to do in an environment of this name.

    Raises:
        UnknownName: when there is none.
    """
    if name not in METAWORLD_ENVIRONMENTS:
        raise UnknownName("environment", name, METAWORLD_ENVIRONMENTS)
    return INSTRUCTIONS[name.removeprefix(PREFIX)]
