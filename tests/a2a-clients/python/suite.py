"""Every operation of A2A 1.0 on both bindings, by the clients of PyPI's `a2a-sdk`.

usage: suite.py NODE STAGE [NAME...]

NODE is `node.sh`, which starts and kills the node of the directory STAGE. With NAMEs, only the
checks whose name contains one of them are made. Prints `ok|FAIL|skip CLIENT BINDING NAME (REASON)`
for each check and `N passed, M failed, K skipped` at the end.
"""

import asyncio
import contextlib
import subprocess
import sys
import traceback

import callers  # noqa: F401 (its checks)
import pushing  # noqa: F401
import raw
import reading  # noqa: F401
import restart
import sending  # noqa: F401
import streaming  # noqa: F401
from checks import CHECKS
from world import SECONDS, Receiver, Skip, World

BINDINGS = {"jsonrpc": "JSONRPC", "http-json": "HTTP+JSON"}
# Checks at a time: each starts an agent or two, and machines have few cores.
AT_ONCE = 6


class Report:
    def __init__(self):
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def line(self, word, client, binding, name, reason=""):
        self.counts[word] += 1
        reason = " ".join(str(reason).split())
        print(f"{word} {client} {binding} {name}" + (f" ({reason})" if reason else ""), flush=True)

    @contextlib.asynccontextmanager
    async def check(self, client, binding, name):
        """Makes one check: whatever it raises is told and no more."""
        try:
            async with asyncio.timeout(SECONDS):
                yield
            self.line("ok", client, binding, name)
        except Skip as skip:
            self.line("skip", client, binding, name, skip)
        except AssertionError as error:
            self.line("FAIL", client, binding, name, error)
        except TimeoutError:
            self.line("FAIL", client, binding, name, f"not done in {SECONDS} s")
        except Exception as error:
            traceback.print_exc()
            self.line("FAIL", client, binding, name, repr(error))


def node(script, verb, stage):
    done = subprocess.run([script, verb, stage], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


async def main(script, stage, only):
    report = Report()
    receiver = Receiver()
    base = node(script, "start", stage)
    try:
        worlds = {name: World(stage, base, binding, receiver) for name, binding in BINDINGS.items()}
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(client, binding, name, function):
            async with slots, report.check(client, binding, name):
                await function(worlds[binding])

        wanted = lambda name: not only or any(part in name for part in only)
        await asyncio.gather(*[
            one(client, binding, name, function)
            for client, checks in (("python", CHECKS), ("raw", raw.CHECKS))
            for name, function in checks
            for binding in BINDINGS
            if wanted(name)
        ])
        if wanted("Restart"):
            await restart.run(report, worlds, lambda verb: node(script, verb, stage))
    finally:
        node(script, "stop", stage)
    print("{ok} passed, {FAIL} failed, {skip} skipped".format(**report.counts))
    return 1 if report.counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:])))
