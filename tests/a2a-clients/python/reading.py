"""GetTask and ListTasks."""

import asyncio
import uuid

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from google.protobuf.json_format import MessageToDict

from checks import check
from world import artifact, raises, same, state, text_of, that

# More than two pages of fifty.
MANY = 120


@check("Get/history")
async def get_history(world):
    task = await world.send("hi")
    everything = await world.get(task.id)
    same([m.role for m in everything.history], [pb.ROLE_USER, pb.ROLE_AGENT], "all of it")
    same(len((await world.get(task.id, history_length=0)).history), 0, "messages of historyLength 0")
    one = (await world.get(task.id, history_length=1)).history
    same([m.message_id for m in one], [everything.history[-1].message_id], "the latest one")
    more = (await world.get(task.id, history_length=99)).history
    same(len(more), 2, "messages of historyLength 99")


@check("Get/same-everywhere")
async def get_same(world):
    task = await world.send("tck-artifact-data")
    kept = await world.get(task.id)
    same(MessageToDict(kept), MessageToDict(task), "the task as it is kept and as it was returned")


@check("Get/unknown")
async def get_unknown(world):
    for task in ("task-01ARZ3NDEKTSV4RRFFQ69G5FAV", "no-such-task"):
        async with raises(TaskNotFoundError, f"the task {task}"):
            await world.get(task)


@check("Get/of-another-agent")
async def get_of_another_agent(world):
    task = await world.send("hi")
    async with raises(TaskNotFoundError, "a task under the address of another agent"):
        await world.get(task.id, agent="keeper")


@check("Get/negative-history")
async def get_negative_history(world):
    task = await world.send("hi")
    async with raises(InvalidParamsError, "historyLength -1"):
        await world.get(task.id, history_length=-1)


async def many(world, context):
    """Tasks that wait behind one that never ends; their ids, oldest first."""
    first = await world.start("script: hang", agent="pages", contextId=context)
    ids = [first.id]
    for n in range(MANY - 1):
        ids.append((await world.start(f"number {n}", agent="pages", contextId=context)).id)
    return ids


@check("List/paging")
async def list_paging(world):
    context = f"pages-{uuid.uuid4()}"
    ids = await many(world, context)
    # At work, not waiting: the same check on the other binding may hold the one slot, and what starts moves.
    await world.until_state(ids[0], "WORKING", agent="pages")
    seen, token, sizes, times = [], "", [], []
    while True:
        page = await world.list("pages", contextId=context, pageSize=50, pageToken=token)
        same(page.total_size, MANY, "totalSize")
        same(page.page_size, 50, "pageSize")
        sizes.append(len(page.tasks))
        seen += [task.id for task in page.tasks]
        times += [task.status.timestamp.ToMilliseconds() for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    same(sizes, [50, 50, 20], "the sizes of the pages")
    same(len(set(seen)), MANY, "different tasks on them")
    same(set(seen), set(ids), "the tasks on them")
    same(times, sorted(times, reverse=True), "the order by time, newest first")
    everything = await world.list("pages", contextId=context, pageSize=100)
    same([task.id for task in everything.tasks], seen[:100], "a page of a hundred")
    same(len((await world.list("pages", contextId=context)).tasks), 50, "tasks on a page of no given size")
    await list_while_it_changes(world, context, ids)
    # Those that wait first: once the first one's slot is free, one of them would start and complete.
    await asyncio.gather(*[world.cancel(task, agent="pages") for task in ids[1:] if task != ids[60]])
    await world.cancel(ids[0], agent="pages")


async def list_while_it_changes(world, context, ids):
    """What is new or moves while somebody pages costs no other task its place."""
    first = await world.list("pages", contextId=context, pageSize=50)
    moved = ids[60]
    await world.cancel(moved, agent="pages")
    second = await world.list("pages", contextId=context, pageSize=100, pageToken=first.next_page_token)
    read = {task.id for page in (first, second) for task in page.tasks}
    same(sorted(set(ids) - read - {moved}), [], "tasks lost between two pages")
    newest = await world.list("pages", contextId=context, pageSize=1)
    same([task.id for task in newest.tasks], [moved], "the one that changed last")


@check("List/filters")
async def list_filters(world):
    context = f"filters-{uuid.uuid4()}"
    done = await world.send("tck-artifact-data", contextId=context)
    failed = await world.send("tck-task-failure", contextId=context)
    elsewhere = await world.send("hi")

    async def ids(**more):
        page = await world.list(contextId=context, **more)
        same(page.total_size, len(page.tasks), "totalSize")
        return [task.id for task in page.tasks]

    same(await ids(), [failed.id, done.id], "by context")
    same(await ids(status="TASK_STATE_FAILED"), [failed.id], "by context and state")
    same(await ids(status="TASK_STATE_WORKING"), [], "by a state no task has")
    at = done.status.timestamp.ToJsonString(), failed.status.timestamp.ToJsonString()
    same(await ids(statusTimestampAfter=at[0]), [failed.id, done.id], "from the time of the first, itself included")
    same(await ids(statusTimestampAfter=at[1]), [failed.id], "from the time of the second")
    same(await ids(statusTimestampAfter="2999-01-01T00:00:00Z"), [], "from far ahead")
    everything = {task.id for task in (await world.list(pageSize=100)).tasks}
    that(elsewhere.id in everything, "without a context all are listed")


@check("List/content")
async def list_content(world):
    context = f"content-{uuid.uuid4()}"
    task = await world.send("tck-artifact-data", contextId=context)
    [plain] = (await world.list(contextId=context)).tasks
    same(len(plain.artifacts), 0, "artifacts that nobody asked for")
    [whole] = (await world.list(contextId=context, includeArtifacts=True)).tasks
    same(
        sorted(one.artifact_id for one in whole.artifacts),
        sorted(one.artifact_id for one in task.artifacts),
        "artifacts",
    )
    same(MessageToDict(artifact(whole, "data.json").parts[0])["data"]["values"], [1, 2, 3], "their content")
    [none] = (await world.list(contextId=context, historyLength=0)).tasks
    same(len(none.history), 0, "messages of historyLength 0")
    [one] = (await world.list(contextId=context, historyLength=1)).tasks
    same([text_of(m.parts) for m in one.history], ["Wrote data.json."], "messages of historyLength 1")
    same(state(one), "COMPLETED", "the state")


@check("List/empty")
async def list_empty(world):
    page = await world.list(contextId=f"nobody-{uuid.uuid4()}")
    same((len(page.tasks), page.total_size, page.next_page_token), (0, 0, ""), "an empty page")


@check("List/bad-page-size")
async def list_bad_page_size(world):
    for size in (0, 101, -1):
        async with raises(InvalidParamsError, f"pageSize {size}"):
            await world.list(pageSize=size)


@check("List/bad-page-token")
async def list_bad_page_token(world):
    async with raises(InvalidParamsError, "a page token nobody gave"):
        await world.list(pageToken="nonsense")


@check("List/negative-history")
async def list_negative_history(world):
    async with raises(InvalidParamsError, "historyLength -1"):
        await world.list(historyLength=-1)
