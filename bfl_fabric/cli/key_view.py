"""How keys and their ceremonies are shown, and how one follows a ceremony; for `bfl key` and for the demonstration."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table

from bfl_chaincode.api.records import CeremonyStatus, CeremonyView, KeyEpoch
from bfl_fabric.cli.output import short
from bfl_fabric.errors import BflError

if TYPE_CHECKING:
    from bfl_fabric.sdk.task import AsyncTask


async def follow_ceremonies(
    task: AsyncTask, timeout_seconds: float, after_epoch: int = 0
) -> AsyncIterator[CeremonyView]:
    """Yield each new state of the ceremonies after this epoch, until one of them has made a key.

    Raises BflError when there is none after `timeout_seconds`; it says how far the newest ceremony came.
    """
    deadline, shown = time.monotonic() + timeout_seconds, dict[int, CeremonyView]()
    while True:
        for view in await task.ceremonies():
            number = view.ceremony.epoch
            if number > after_epoch and shown.get(number) != view:
                shown[number] = view
                yield view
                if view.ceremony.status is CeremonyStatus.CLOSED:
                    return
        if time.monotonic() > deadline:
            newest = ceremony_line(shown[max(shown)]) if shown else "no ceremony was opened"
            raise BflError(
                f"{task.task_id} has no new key after {timeout_seconds:.0f} s: {newest}; see the logs of the key "
                "holders' nodes"
            )
        await task.pause(0.2)


def ceremony_line(view: CeremonyView) -> str:
    """Return one line for one state of a ceremony."""
    ceremony = view.ceremony
    reason = f"  ({ceremony.reason})" if ceremony.reason else ""
    return f"key ceremony {ceremony.epoch}  {ceremony.status.value:<6}  {ceremony_steps(view)}{reason}"


def ceremony_steps(view: CeremonyView) -> str:
    """Return how many members have taken each step of a ceremony."""
    done = {"committed": view.commitments, "revealed": view.reveals, "confirmed": view.confirmations}
    steps = [f"{len(rows)}/{len(view.ceremony.members)} {name}" for name, rows in done.items()]
    if view.complaints:
        steps.append(f"{len(view.complaints)} complained")
    return ", ".join(steps)


def ceremony_table(view: CeremonyView) -> Table:
    """Return what each member put on the ledger in a ceremony."""
    ceremony = view.ceremony
    table = Table(
        title=f"Joint key {ceremony.epoch}: any {ceremony.threshold} of {len(ceremony.members)} open, fewer do not",
        caption="no secret key exists anywhere; digests of what is public",
        title_justify="left",
        caption_justify="left",
        header_style="bold",
    )
    for heading in ("member", "share", "dealing", "joint key"):
        table.add_column(heading)
    shares = {item.msp_id: item.share_digest for item in view.commitments}
    dealings = {item.msp_id: item.dealing_digest for item in view.reveals}
    keys = {item.msp_id: item.joint_key_digest for item in view.confirmations}
    for name in ceremony.members:
        table.add_row(name, *(short(one.get(name, "")) for one in (shares, dealings, keys)))
    return table


def epoch_state(epoch: KeyEpoch, now_ms: int) -> str:
    """Return whether rounds are opened under a key."""
    if epoch.retired_at:
        return f"retired: {epoch.reason}"
    return "expired" if epoch.expires_at and now_ms >= epoch.expires_at else "in use"


def moment(at_ms: int) -> str:
    """Return a moment for people, UTC, "" for none."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if at_ms else ""
