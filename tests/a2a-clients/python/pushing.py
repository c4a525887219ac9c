"""Push notification configs and what they deliver."""

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from google.protobuf.json_format import MessageToDict, ParseDict

from checks import check
from world import kind, raises, same, that, until

UNKNOWN = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV"


async def create(world, task, **config):
    client = await world.client()
    document = ParseDict({"taskId": task} | config, pb.TaskPushNotificationConfig())
    return await client.create_task_push_notification_config(document)


async def read(world, task, config):
    client = await world.client()
    wanted = pb.GetTaskPushNotificationConfigRequest(task_id=task, id=config)
    return await client.get_task_push_notification_config(wanted)


async def all_of(world, task):
    client = await world.client()
    page = await client.list_task_push_notification_configs(
        pb.ListTaskPushNotificationConfigsRequest(task_id=task)
    )
    return page.configs


async def delete(world, task, config):
    client = await world.client()
    wanted = pb.DeleteTaskPushNotificationConfigRequest(task_id=task, id=config)
    await client.delete_task_push_notification_config(wanted)


async def told(world, path, state):
    async def look():
        return state in world.receiver.states(path)

    await until(f"the webhook is told {state}", look)


@check("Push/create-get-list-delete")
async def push_configs(world):
    gate = world.gate()
    task = await world.start(gate.wait + "\nscript: text done")
    _, url = world.receiver.hook()
    first = await create(world, task.id, url=url, token="secret", authentication={"scheme": "Bearer", "credentials": "c"})
    that(first.id, "a config gets an id", first)
    same((first.task_id, first.url, first.token), (task.id, url, "secret"), "what was created")
    second = await create(world, task.id, url=url, id="my-own-id")
    same(second.id, "my-own-id", "an id of the caller's own")
    same(MessageToDict(await read(world, task.id, first.id)), MessageToDict(first), "what is read")
    same({one.id for one in await all_of(world, task.id)}, {first.id, "my-own-id"}, "what is listed")
    for _ in range(2):
        await delete(world, task.id, "my-own-id")
    same([one.id for one in await all_of(world, task.id)], [first.id], "what is left")
    async with raises(TaskNotFoundError, "a config that is deleted"):
        await read(world, task.id, "my-own-id")
    gate.open()
    await world.until_state(task.id, "COMPLETED")


@check("Push/unknown-task")
async def push_unknown_task(world):
    _, url = world.receiver.hook()
    async with raises(TaskNotFoundError, "a config for a task that does not exist"):
        await create(world, UNKNOWN, url=url)
    async with raises(TaskNotFoundError, "the configs of a task that does not exist"):
        await all_of(world, UNKNOWN)
    async with raises(TaskNotFoundError, "a config of a task that does not exist"):
        await read(world, UNKNOWN, "x")


@check("Push/refused-target")
async def push_refused_target(world):
    task = await world.send("tck-multi-turn")
    for url in ("http://169.254.169.254/latest", "ftp://example.com/x", "nonsense"):
        async with raises(InvalidParamsError, f"a config for {url}"):
            await create(world, task.id, url=url)
    await world.cancel(task.id)


@check("Push/delivery")
async def push_delivery(world):
    gate = world.gate()
    task = await world.start(gate.wait + "\nscript: text pushed")
    await world.until_state(task.id, "WORKING")
    path, url = world.receiver.hook()
    await create(world, task.id, url=url, token="secret", authentication={"scheme": "Bearer", "credentials": "creds"})
    gate.open()
    await told(world, path, "COMPLETED")
    seen = world.receiver.seen[path]
    for headers, body in seen:
        same(headers["content-type"], "application/a2a+json", "its type")
        same(headers["authorization"], "Bearer creds", "its credentials")
        same(headers["x-a2a-notification-token"], "secret", "its token")
        same(headers["a2a-notification-token"], "secret", "its token under the other name")
        event = ParseDict(body, pb.StreamResponse())
        update = getattr(event, kind(event))
        same(getattr(update, "task_id", None) or update.id, task.id, "the task it is about")
    same(world.receiver.states(path)[-1], "COMPLETED", "the last state told")
    same(world.receiver.states(path).count("COMPLETED"), 1, "how often the end is told")


@check("Push/with-message")
async def push_with_message(world):
    path, url = world.receiver.hook()
    task = await world.send("hi", configuration={"taskPushNotificationConfig": {"url": url, "token": "t"}})
    await told(world, path, "COMPLETED")
    same({headers["x-a2a-notification-token"] for headers, _ in world.receiver.seen[path]}, {"t"}, "its token")
    that(len(await all_of(world, task.id)) == 1, "the config is listed")


@check("Push/input-required")
async def push_input_required(world):
    path, url = world.receiver.hook()
    task = await world.send("tck-multi-turn", configuration={"taskPushNotificationConfig": {"url": url}})
    await told(world, path, "INPUT_REQUIRED")
    await world.send("done", taskId=task.id)
    await told(world, path, "COMPLETED")


@check("Push/deleted")
async def push_deleted(world):
    gate = world.gate()
    task = await world.start(gate.wait + "\nscript: text done")
    stays, stays_url = world.receiver.hook()
    goes, goes_url = world.receiver.hook()
    await create(world, task.id, url=stays_url)
    gone = await create(world, task.id, url=goes_url)
    await delete(world, task.id, gone.id)
    gate.open()
    await told(world, stays, "COMPLETED")
    that("COMPLETED" not in world.receiver.states(goes), "a deleted config is told nothing more")
