"""A worker that uses the SDK for Python, in a process of its own, for tests to kill. What it does is its argument."""

import asyncio
import json
import sys

from tailrace import AsyncTailrace, Processor, Tailrace, run


class Counter(Processor):
    def initial_state(self):
        return 0

    def reduce(self, state, event):
        return state + 1


class Player(Counter):
    def __init__(self, me, rounds):
        self.me = me
        self.last = rounds

    def after_append(self, event, state, append):
        n = event.payload["n"]
        if n < self.last:
            append({"type": "round", "payload": {"n": n + 1, "by": self.me}})


class Items(Counter):
    def after_append(self, event, state, append):
        append({"type": "handled", "payload": {"item": event.payload, "count": state}})


def rounds(stream, wish):
    """Answers each round of another's with the next, and counts them."""
    where = f'event.payload.by == "{wish["other"]}"'
    player = Player(wish["me"], wish["rounds"])
    run(player, stream, slug=wish["me"], types="round", where=where, lease_seconds=wish["leaseSeconds"])


def subtree(stream, wish):
    """Counts the items of each stream below, and says of each that it was handled."""
    how = {"concurrency": wish["concurrency"], "lease_seconds": wish["leaseSeconds"]}
    run(Items(), stream, slug="count", types="item", children=True, **how)


def shown(event):
    print(json.dumps([event.offset, event.payload.get("n")]), flush=True)


def tail(stream, wish):
    """Writes the offset and the payload of each event."""
    for event in stream.tail():
        shown(event)


async def tail_async(url, path):
    async with AsyncTailrace(url) as tailrace:
        async for event in tailrace.stream(path).tail():
            shown(event)


if __name__ == "__main__":
    wish = json.loads(sys.argv[1])
    if wish["does"] == "tail" and wish.get("async"):
        asyncio.run(tail_async(wish["url"], wish["path"]))
    else:
        works = {"rounds": rounds, "subtree": subtree, "tail": tail}
        works[wish["does"]](Tailrace(wish["url"]).stream(wish["path"]), wish)
