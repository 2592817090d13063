"""The fuzz targets over their own seeds: what a fuzzer starts from must hold, and must be worth starting from."""

from __future__ import annotations

import pytest
from fuzz.run import NAMES
from fuzz.targets import LARGEST, TARGETS, Target


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_seed_keeps_the_promises(target: Target) -> None:
    """A seed that fails would end every fuzz run at once."""
    seeds = {seed for seed in target.seeds() if len(seed) <= LARGEST + 2}
    assert len(seeds) >= 40
    for seed in seeds:
        target.run(seed)


def test_every_target_can_be_asked_for_by_name() -> None:
    """The command line knows the targets without importing them: imports must happen under instrumentation."""
    assert tuple(TARGETS) == NAMES
