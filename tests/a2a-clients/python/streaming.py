"""SendStreamingMessage, SubscribeToTask, CancelTask."""

import asyncio

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError

from checks import check
from world import artifact, assembled, kind, raises, same, state, text_of, that

UNKNOWN = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV"


async def collect(events):
    return [event async for event in events]


def ends_with(events, wanted):
    """The stream begins with the task and ends with this state, told once."""
    that(events, "there are events")
    same(kind(events[0]), "task", "the first event")
    that(all(kind(event) != "task" for event in events[1:]), "the task comes once", events)
    same(kind(events[-1]), "status_update", "the last event")
    same(state(events[-1].status_update), wanted, "the last state")
    task = events[0].task
    for event in events[1:]:
        update = getattr(event, kind(event))
        same((update.task_id, update.context_id), (task.id, task.context_id), "whose event it is")
    return task


@check("Stream/order")
async def order(world):
    events = await collect(world.stream("script: text one \nscript: sleep 300\nscript: text two"))
    task = ends_with(events, "COMPLETED")
    states = [state(event.status_update) for event in events if kind(event) == "status_update"]
    same(states[-2:], ["WORKING", "COMPLETED"], "the states told")
    that(any(kind(event) == "artifact_update" for event in events), "the answer comes as it is made")
    done = await world.get(task.id)
    same(assembled(events), text_of(artifact(done, "response").parts), "the text put together")
    told = {e.artifact_update.artifact.artifact_id for e in events if kind(e) == "artifact_update"}
    same(told, {one.artifact_id for one in done.artifacts}, "the artifacts told")


@check("Stream/chunked")
async def chunked(world):
    events = await collect(world.stream("tck-stream-chunked"))
    task = ends_with(events, "COMPLETED")
    done = await world.get(task.id)
    same(len(assembled(events)), 5 * 16, "bytes of five chunks")
    same(assembled(events), text_of(artifact(done, "response").parts), "the text put together")


async def burst(world, count):
    wanted = "".join(f"{n}\n" for n in range(1, count + 1))
    events = await collect(world.stream(f"script: burst {count}"))
    task = ends_with(events, "COMPLETED")
    that(assembled(events) == wanted, "every chunk arrives once and in order", len(assembled(events)))
    done = await world.get(task.id)
    that(text_of(artifact(done, "response").parts) == wanted, "every chunk is kept")


@check("Stream/burst-400")
async def burst_400(world):
    await burst(world, 400)


@check("Stream/burst-10000")
async def burst_10000(world):
    await burst(world, 10_000)


@check("Stream/input-required")
async def stream_input_required(world):
    events = await collect(world.stream("tck-multi-turn"))
    task = ends_with(events, "INPUT_REQUIRED")
    events = await collect(world.stream("done", taskId=task.id))
    same(ends_with(events, "COMPLETED").id, task.id, "the task that goes on")


@check("Stream/failure")
async def stream_failure(world):
    events = await collect(world.stream("script: text begun\nscript: exit 3"))
    ends_with(events, "FAILED")
    that(text_of(events[-1].status_update.status.message.parts), "the end says why", events[-1])


@check("Stream/refused")
async def stream_refused(world):
    async with raises(TaskNotFoundError, "a stream for a task that does not exist"):
        await collect(world.stream("hi", taskId=UNKNOWN))


@check("Stream/duplicate")
async def stream_duplicate(world):
    first = await world.send("hi", messageId=(key := f"m-{id(object())}-{world.binding}"))
    events = await collect(world.stream("hi", messageId=key))
    same((kind(events[0]), events[0].task.id), ("task", first.id), "the first event of a repeat")
    same(state(events[0].task), "COMPLETED", "its state")


@check("Stream/two-readers")
async def two_readers(world):
    gate = world.gate()
    task = await world.start(f"{gate.wait}\nscript: tool looking\nscript: burst 50\nscript: sleep 150\nscript: burst 50")
    await world.until_state(task.id, "WORKING")
    readers = [Reader(world, task.id) for _ in range(2)]
    for reader in readers:
        await reader.ready.wait()
    gate.open()
    one, two = [await reader.all() for reader in readers]
    ends_with(one, "COMPLETED")
    that(len(one) > 2, "there is more than the end", one)
    same([e.SerializeToString(deterministic=True) for e in two], [e.SerializeToString(deterministic=True) for e in one], "what the second reader saw")


class Reader:
    """Reads a subscription on its own."""

    def __init__(self, world, task, agent="worker", keep=None):
        self.ready = asyncio.Event()
        self.events = []
        self.keep = keep
        self.reading = asyncio.create_task(self.read(world.subscribe(task, agent=agent)))

    async def read(self, events):
        try:
            async for event in events:
                self.events.append(event)
                self.ready.set()
                if self.keep is not None and len(self.events) >= self.keep:
                    await events.aclose()
                    return
        finally:
            self.ready.set()

    async def all(self):
        await self.reading
        return self.events


@check("Stream/reader-leaves")
async def reader_leaves(world):
    gate = world.gate()
    stream = world.stream(f"{gate.wait}\nscript: burst 400")
    first = await anext(stream)
    stays = Reader(world, first.task.id)
    leaves = Reader(world, first.task.id, keep=1)
    await stays.ready.wait()
    await stream.aclose()
    same(len(await leaves.all()), 1, "events of the reader that leaves")
    gate.open()
    events = await stays.all()
    ends_with(events, "COMPLETED")
    same(assembled(events).count("\n"), 400, "chunks for the one that stays")


@check("Subscribe/running")
async def subscribe_running(world):
    gate = world.gate()
    task = await world.start(f"script: text before,\n{gate.wait}\nscript: text after")
    await world.until_state(task.id, "WORKING")
    reader = Reader(world, task.id)
    await reader.ready.wait()
    same(kind(reader.events[0]), "task", "the first event")
    gate.open()
    events = await reader.all()
    same(ends_with(events, "COMPLETED").id, task.id, "the task")
    same(assembled(events), "before,after", "the text put together")


@check("Subscribe/queued")
async def subscribe_queued(world):
    gate = world.gate()
    ahead = await world.start(gate.wait + "\nscript: text done", agent="line")
    task = await world.start("hi", agent="line")
    reader = Reader(world, task.id, agent="line")
    await reader.ready.wait()
    same(state(reader.events[0].task), "SUBMITTED", "the state of the first event")
    gate.open()
    ends_with(await reader.all(), "COMPLETED")
    await world.until_state(ahead.id, "COMPLETED", agent="line")


@check("Subscribe/input-required")
async def subscribe_input_required(world):
    task = await world.send("tck-multi-turn")
    stream = world.subscribe(task.id)
    first = await anext(stream)
    same((kind(first), state(first.task)), ("task", "INPUT_REQUIRED"), "the first event")
    rest = asyncio.create_task(collect(stream))
    done = await world.send("done", taskId=task.id)
    same(state(done), "COMPLETED", "the end")
    seen = [state(event.status_update) for event in await rest if kind(event) == "status_update"]
    that(not seen or seen[-1] == "COMPLETED", "a subscription that stays sees the end", seen)


@check("Subscribe/terminal")
async def subscribe_terminal(world):
    task = await world.send("hi")
    async with raises(UnsupportedOperationError, "a subscription to a task that has ended"):
        await collect(world.subscribe(task.id))


@check("Subscribe/unknown")
async def subscribe_unknown(world):
    async with raises(TaskNotFoundError, "a subscription to a task that does not exist"):
        await collect(world.subscribe(UNKNOWN))


@check("Cancel/running")
async def cancel_running(world):
    stream = world.stream("tck-long-running")
    task = (await anext(stream)).task
    await world.until_state(task.id, "WORKING")
    rest = asyncio.create_task(collect(stream))
    canceled = await world.cancel(task.id)
    same((canceled.id, state(canceled)), (task.id, "CANCELED"), "the task that comes back")
    events = await rest
    same(state(events[-1].status_update), "CANCELED", "the last event of its stream")
    same(state(await world.get(task.id)), "CANCELED", "the task as it is kept")


@check("Cancel/again")
async def cancel_again(world):
    gate = world.gate()
    task = await world.start(gate.wait)
    await world.cancel(task.id)
    async with raises(TaskNotCancelableError, "a second cancel"):
        await world.cancel(task.id)


@check("Cancel/queued")
async def cancel_queued(world):
    gate = world.gate()
    ahead = await world.start(gate.wait + "\nscript: text done", agent="line")
    task = await world.start("hi", agent="line")
    same(state(await world.cancel(task.id, agent="line")), "CANCELED", "the state")
    gate.open()
    await world.until_state(ahead.id, "COMPLETED", agent="line")
    same(state(await world.get(task.id, agent="line")), "CANCELED", "the state, later")


@check("Cancel/input-required")
async def cancel_input_required(world):
    task = await world.send("tck-multi-turn")
    same(state(await world.cancel(task.id)), "CANCELED", "the state")


@check("Cancel/terminal")
async def cancel_terminal(world):
    task = await world.send("hi")
    async with raises(TaskNotCancelableError, "the cancel of a task that has ended"):
        await world.cancel(task.id)
    same(state(await world.get(task.id)), "COMPLETED", "the state, later")


@check("Cancel/unknown")
async def cancel_unknown(world):
    async with raises(TaskNotFoundError, "the cancel of a task that does not exist"):
        await world.cancel(UNKNOWN)
