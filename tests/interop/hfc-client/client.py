"""Drives a real channel with an unmodified hfc: `python client.py SETTINGS.json` prints one line of JSON.

Runs in hfc's own environment (protobuf 3.20), never in ours; what must come out is decided by the test.
"""

import asyncio
import json
import sys

from hfc.fabric import Client


async def run(settings):
    client = Client(net_profile=settings["profile"])
    user = client.get_user("one", "User1")
    channel = client.new_channel(settings["channel"])
    where = {
        "requestor": user,
        "channel_name": settings["channel"],
        "peers": settings["peers"],
        "cc_name": settings["chaincode"],
    }
    calls = settings["calls"]

    def words(name):
        return {"fcn": calls[name]["name"], "args": calls[name]["arguments"]}

    results = {}
    results["invoke"] = await client.chaincode_invoke(**where, **words("submit"), wait_for_event=True)
    results["query"] = await client.chaincode_query(**where, **words("evaluate"))
    results["again"] = [
        await client.chaincode_invoke(**where, **words("submit"), wait_for_event=True) for _ in range(5)
    ]
    results["refused"] = await client.chaincode_invoke(**where, **words("refused"), wait_for_event=True)
    results["event_awaited"] = await client.chaincode_invoke(
        **where, **words("submit"), wait_for_event=True, cc_pattern=".*"
    )
    chain = await client.query_info(user, settings["channel"], settings["peers"][:1])
    results["height"] = chain.height
    block = await client.query_block(user, settings["channel"], settings["peers"][:1], "1")
    results["block"] = int(block["header"]["number"])
    results["events"] = await events(client, channel, user, settings, chain.height)
    return results


async def events(client, channel, user, settings, height):
    """Return the names and payloads of the contract's events in the newest blocks, through hfc's event hub."""
    found = []
    hub = channel.newChannelEventHub(client.get_peer(settings["peers"][0]), user)
    stream = hub.connect(filtered=False, start=height - 2, stop=height - 1)

    def seen(event, *_):
        found.append([event["event_name"], event["payload"].decode()])

    hub.registerChaincodeEvent(settings["chaincode"], ".*", onEvent=seen)
    await asyncio.wait_for(stream, timeout=20)
    hub.disconnect()
    return found


def main():
    with open(sys.argv[1]) as file:
        settings = json.load(file)
    results = asyncio.new_event_loop().run_until_complete(run(settings))
    print(json.dumps(results), flush=True)


main()
