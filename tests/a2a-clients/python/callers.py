"""Callers with tokens, and the card only they may read."""

from a2a.client.errors import A2AClientError
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.json_format import ParseDict

from checks import check
from world import raises, same, state, that


@check("ExtendedCard/with-token")
async def extended_card(world):
    client = await world.client("worker", streaming=True)
    card = await client.get_extended_agent_card(
        pb.GetExtendedAgentCardRequest(), context=world.as_caller("alice")
    )
    same(card.name, "Worker", "the name")
    same([skill.id for skill in card.skills], ["script"], "its skills")
    that(len(card.supported_interfaces) >= 2, "its interfaces", card)


@check("Callers/isolation")
async def isolation(world):
    alice, bob = world.as_caller("alice"), world.as_caller("bob")
    gate = world.gate()
    task = await world.start(gate.wait + "\nscript: text done", context=alice)
    client = await world.client()
    config = ParseDict({"taskId": task.id, "url": world.receiver.hook()[1]}, pb.TaskPushNotificationConfig())
    attempts = {
        "to read it": world.get(task.id, context=bob),
        "to cancel it": world.cancel(task.id, context=bob),
        "to answer it": world.send("done", taskId=task.id, context=bob),
        "to be told of it": client.create_task_push_notification_config(config, context=bob),
        "to list its configs": client.list_task_push_notification_configs(
            pb.ListTaskPushNotificationConfigsRequest(task_id=task.id), context=bob
        ),
        "to follow it": anext(world.subscribe(task.id, context=bob)),
    }
    for what, attempt in attempts.items():
        async with raises(TaskNotFoundError, f"another caller's wish {what}"):
            await attempt
    listed = await world.list(contextId=task.context_id, context=bob)
    same((len(listed.tasks), listed.total_size), (0, 0), "what another caller lists")
    same(state(await world.get(task.id, context=alice)) in ("SUBMITTED", "WORKING"), True, "it goes on")
    same((await world.get(task.id)).id, task.id, "the owner of the node sees it")
    gate.open()
    await world.until_state(task.id, "COMPLETED")


@check("Callers/same-key")
async def same_key(world):
    tasks = [
        await world.send("hi", messageId=f"one-key-{world.binding}", context=world.as_caller(name))
        for name in ("alice", "bob")
    ]
    that(tasks[0].id != tasks[1].id, "the same messageId of two callers makes two tasks")


@check("Callers/wrong-token")
async def wrong_token(world):
    context = world.as_caller("alice")
    context.service_parameters["Authorization"] += "x"
    async with raises(A2AClientError, "a token nobody has"):
        await world.get("task-01ARZ3NDEKTSV4RRFFQ69G5FAV", context=context)
