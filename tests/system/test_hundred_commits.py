"""A hundred participants commit in the same moment: a hundred valid transactions, none tried twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from bfl_fabric.fabric.blocks import parse_block
from bfl_fabric.testing.rehearsal import rehearsal

PARTICIPANTS = 100


async def committed(place: Path) -> tuple[int, Counter[int]]:
    async with rehearsal(place, PARTICIPANTS) as federation:
        silos = await federation.open_round()
        before = federation.embedded.height
        commits = await federation.commit_all(silos)
        blocks = [
            parse_block(federation.embedded.raw_block(n)) for n in range(before, federation.embedded.height)
        ]
        return len({commit.transaction_id for commit in commits}), Counter(
            code for b in blocks for code in b.flags
        )


def test_a_hundred_commitments_at_once_are_all_valid_at_the_first_try(tmp_path: Path) -> None:
    commits, codes = asyncio.run(committed(tmp_path))
    assert commits == PARTICIPANTS
    assert codes == {0: PARTICIPANTS}
