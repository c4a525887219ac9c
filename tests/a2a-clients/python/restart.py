"""What becomes of everything when the engine is killed with SIGKILL and started again."""

import asyncio
import uuid

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import UnsupportedOperationError
from google.protobuf.json_format import MessageToDict

from pushing import all_of, create, told
from streaming import UNKNOWN, Reader, collect, ends_with  # noqa: F401
from world import artifact, assembled, kind, raises, same, state, text_of, that, until


class Before:
    """One binding's state of affairs at the moment of the kill."""

    async def prepare(self, world):
        self.world = world
        self.gate = world.gate()
        wait = f"script: text begun,\n{self.gate.wait}\nscript: text ended"
        self.key, self.context = str(uuid.uuid4()), f"restart-{uuid.uuid4()}"
        self.done = await world.send("tck-artifact-data", messageId=self.key, contextId=self.context)
        self.later = await world.send("hi", contextId=self.context)
        self.page = await world.list(contextId=self.context, pageSize=1)
        self.asks = await world.send("tck-multi-turn", agent="resumer")
        same(state(self.asks), "INPUT_REQUIRED", "the state of the one that asks")
        self.hook, url = world.receiver.hook()
        config = {"taskPushNotificationConfig": {"url": url, "token": "t"}}
        self.retried = await world.start(wait, agent="retrier", configuration=config)
        self.resumed = await world.start(wait, agent="resumer")
        self.failed = await world.start(wait)
        self.failed_hook, url = world.receiver.hook()
        self.config = await create(world, self.failed.id, url=url)
        ahead = await world.start(wait, agent="line")
        self.queued = await world.start("hi", agent="line")
        for task, agent in ((self.retried, "retrier"), (self.resumed, "resumer"), (self.failed, "worker")):
            await self.until_begun(task, agent)
        await world.get(ahead.id, agent="line")
        self.reader = Reader(world, self.retried.id, agent="retrier")
        self.stream = Reader(world, self.failed.id)
        for reader in (self.reader, self.stream):
            await reader.ready.wait()
        self.kept = await world.get(self.done.id)

    async def until_begun(self, task, agent):
        """Waits until the agent has said something: before that, its run has nothing to lose."""

        async def look():
            seen = await self.world.get(task.id, agent=agent)
            return any(text_of(one.parts) == "begun," for one in seen.artifacts)

        await until(f"{task.id} has begun", look)

    async def streams_end(self):
        for reader in (self.reader, self.stream):
            ended = await asyncio.gather(reader.reading, return_exceptions=True)
            that(reader.events, "the reader had begun")
            last = reader.events[-1]
            that(
                kind(last) == "task" or kind(last) == "artifact_update" or state(last.status_update) == "WORKING",
                "a stream that breaks tells no end that was none",
                (last, ended),
            )

    async def done_unchanged(self):
        same(MessageToDict(await self.world.get(self.done.id)), MessageToDict(self.kept), "the task that had ended")

    async def duplicate(self):
        again = await self.world.send("tck-artifact-data", messageId=self.key, contextId=self.context)
        same(again.id, self.done.id, "the task of the repeat")

    async def page_token(self):
        page = await self.world.list(contextId=self.context, pageSize=1, pageToken=self.page.next_page_token)
        same([task.id for task in page.tasks], [self.done.id], "the second page")

    async def push_config_kept(self):
        client = await self.world.client()
        wanted = pb.GetTaskPushNotificationConfigRequest(task_id=self.failed.id, id=self.config.id)
        kept = await client.get_task_push_notification_config(wanted)
        same(MessageToDict(kept), MessageToDict(self.config), "the config")
        same([one.id for one in await all_of(self.world, self.failed.id)], [self.config.id], "what is listed")

    async def failed_with_cause(self):
        task = await self.world.until_state(self.failed.id, "FAILED")
        said = text_of(task.status.message.parts)
        that("engine" in said, "it says why", said)
        same(MessageToDict(task.status.message.metadata)["failure_code"], "interrupted", "the code")
        same(text_of(artifact(task, "response").parts), "begun,", "what it had said")
        async with raises(UnsupportedOperationError, "a subscription to it"):
            await collect(self.world.subscribe(self.failed.id))
        await told(self.world, self.failed_hook, "FAILED")

    async def subscribe_again(self):
        reader = Reader(self.world, self.retried.id, agent="retrier")
        await reader.ready.wait()
        same(kind(reader.events[0]), "task", "the first event")
        that(state(reader.events[0].task) in ("SUBMITTED", "WORKING"), "its state", reader.events[0])
        self.gate.open()
        events = await reader.all()
        same(ends_with(events, "COMPLETED").id, self.retried.id, "the task")
        done = await self.world.get(self.retried.id, agent="retrier")
        same(assembled(events), text_of(artifact(done, "response").parts), "the text put together")
        that(assembled(events).endswith("begun,ended"), "the text of the second attempt", assembled(events))

    async def pushed_after(self):
        await told(self.world, self.hook, "COMPLETED")
        same(self.world.receiver.states(self.hook).count("COMPLETED"), 1, "how often the end is told")
        tokens = {headers["x-a2a-notification-token"] for headers, _ in self.world.receiver.seen[self.hook]}
        same(tokens, {"t"}, "its token")

    async def session_resumed(self):
        task = await self.world.until_state(self.resumed.id, "COMPLETED", agent="resumer")
        said = text_of(artifact(task, "response").parts)
        that("was cut off" in said, "its session is told what happened", said)

    async def queued_runs(self):
        task = await self.world.until_state(self.queued.id, "COMPLETED", agent="line")
        that(text_of(artifact(task, "response").parts).endswith("hi"), "the answer", task)

    async def question_answered(self):
        stream = self.world.subscribe(self.asks.id, agent="resumer")
        first = await anext(stream)
        same((kind(first), state(first.task)), ("task", "INPUT_REQUIRED"), "the first event of a subscription")
        await stream.aclose()
        ended = await self.world.send("done", agent="resumer", taskId=self.asks.id)
        same((ended.id, state(ended)), (self.asks.id, "COMPLETED"), "after the answer")


AFTER = [
    ("Restart/streams-break", Before.streams_end),
    ("Restart/ended-task", Before.done_unchanged),
    ("Restart/duplicate", Before.duplicate),
    ("Restart/page-token", Before.page_token),
    ("Restart/push-config", Before.push_config_kept),
    ("Restart/failed-with-cause", Before.failed_with_cause),
    ("Restart/subscribe-again", Before.subscribe_again),
    ("Restart/pushed-after", Before.pushed_after),
    ("Restart/session-resumed", Before.session_resumed),
    ("Restart/queued-runs", Before.queued_runs),
    ("Restart/question-answered", Before.question_answered),
]


async def run(report, worlds, node):
    """Prepares both bindings, kills the node's engine, starts it again and looks."""
    befores = {binding: Before() for binding in worlds}
    for binding, world in worlds.items():
        async with report.check("python", binding, "Restart/prepare"):
            await befores[binding].prepare(world)
    await asyncio.to_thread(node, "kill")
    base = await asyncio.to_thread(node, "start")
    for world in worlds.values():
        same(base, world.base, "the address of the node started again")

    async def look(binding, name, function):
        async with report.check("python", binding, name):
            await function(befores[binding])

    for name, function in AFTER:
        await asyncio.gather(*[look(binding, name, function) for binding in worlds])
