"""Card discovery, SendMessage and conversations of several turns."""

import asyncio
import base64
import uuid

from a2a.client import A2ACardResolver
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    ExtensionSupportRequiredError,
    InvalidParamsError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.client import ClientCallContext
from google.protobuf.json_format import MessageToDict

from checks import check
from world import artifact, raises, same, state, text_of, that

BIG = 2**53 - 1
STRICT = "https://example.com/extensions/strict"


@check("Card/resolver")
async def card_resolver(world):
    card = await A2ACardResolver(world.http, world.url()).get_agent_card()
    same(card.name, "Worker", "the name")
    bindings = {one.protocol_binding: one for one in card.supported_interfaces}
    that({"JSONRPC", "HTTP+JSON"} <= set(bindings), "both bindings are listed", list(bindings))
    same({one.protocol_version for one in bindings.values()}, {"1.0"}, "their version")
    capabilities = card.capabilities
    that(capabilities.streaming, "it says that it streams")
    that(capabilities.push_notifications, "it says that it pushes")
    same([skill.id for skill in card.skills], ["script"], "its skills")


@check("SendMessage/blocking")
async def blocking(world):
    task = await world.send("hello", messageId=(sent := str(uuid.uuid4())))
    same(state(task), "COMPLETED", "the state")
    that(task.id and task.context_id, "it has both ids", task)
    that(task.status.timestamp.seconds > 0, "the status has its time", task)
    answer = text_of(artifact(task, "response").parts)
    that(answer.startswith("echo: ") and answer.endswith("hello"), "the answer", answer)
    first, last = task.history[0], task.history[-1]
    same((first.message_id, first.role, text_of(first.parts)), (sent, pb.ROLE_USER, "hello"), "the question")
    same((last.role, text_of(last.parts)), (pb.ROLE_AGENT, answer), "the answer in the history")
    for message in task.history:
        same((message.task_id, message.context_id), (task.id, task.context_id), "whose message it is")


@check("SendMessage/return-immediately")
async def return_immediately(world):
    gate = world.gate()
    task = await world.start(f"{gate.wait}\nscript: text done")
    that(state(task) in ("SUBMITTED", "WORKING"), "it comes back before the end", task)
    gate.open()
    done = await world.until_state(task.id, "COMPLETED")
    same(text_of(artifact(done, "response").parts), "done", "the answer")


@check("SendMessage/parts")
async def parts(world):
    sent = [
        {"text": "look at these", "metadata": {"lang": "en"}},
        {"data": {"rows": [1, 2.5, None, True, "x"], "empty": {}}, "mediaType": "application/json"},
        {"raw": base64.b64encode(b"plain text file\n").decode(), "filename": "a.txt", "mediaType": "text/plain"},
        {"url": "https://example.com/c.png", "filename": "c.png", "mediaType": "image/png"},
        {"text": "script: text seen"},
    ]
    task = await world.send(*sent)
    same(state(task), "COMPLETED", "the state")
    kept = [MessageToDict(part) for part in (await world.get(task.id)).history[0].parts]
    same(kept, sent, "the parts as they are kept")


@check("SendMessage/metadata")
async def metadata(world):
    sent = {"s": "ä€𝄞\u0000", "n": -7, "f": 0.1, "b": False, "z": None, "deep": {"list": [[], {}, [1]]}}
    task = await world.send("hi", metadata=sent)
    kept = (await world.get(task.id)).history[0]
    same(MessageToDict(kept.metadata), sent, "the metadata as it is kept")


@check("SendMessage/big-integers")
async def big_integers(world):
    sent = {"largest": BIG, "least": -BIG, "as_text": str(2**64)}
    task = await world.send({"data": sent}, "script: text seen", metadata=sent)
    kept = task.history[0]
    same(MessageToDict(kept.metadata), sent, "in metadata")
    same(MessageToDict(kept.parts[0])["data"], sent, "in data")


@check("SendMessage/duplicate")
async def duplicate(world):
    key, context = str(uuid.uuid4()), f"dup-{uuid.uuid4()}"
    tasks = [await world.send("once", messageId=key, contextId=context) for _ in range(2)]
    same(tasks[1].id, tasks[0].id, "the task of the repeat")
    try:
        await world.send("something else", messageId=key, contextId=context)
    except InvalidParamsError:
        pass
    else:
        raise AssertionError("another message under the same messageId is not refused")
    same((await world.list(contextId=context)).total_size, 1, "tasks in the context")


@check("SendMessage/concurrent-duplicates")
async def concurrent_duplicates(world):
    key, context = str(uuid.uuid4()), f"dup-{uuid.uuid4()}"
    sends = [world.start("once", messageId=key, contextId=context) for _ in range(8)]
    tasks = await asyncio.gather(*sends)
    same(len({task.id for task in tasks}), 1, "tasks of eight sends of one message")


@check("SendMessage/context-kept")
async def context_kept(world):
    context = f"my.context:{uuid.uuid4()}"
    task = await world.send("hi", contextId=context)
    same(task.context_id, context, "the context")
    same({message.context_id for message in task.history}, {context}, "the context of its messages")


@check("SendMessage/follow-up")
async def follow_up(world):
    first = await world.send("one", agent="keeper")
    second = await world.send(
        "two", agent="keeper", contextId=first.context_id, referenceTaskIds=[first.id]
    )
    that(second.id != first.id, "a message to a context is a task of its own")
    same(second.context_id, first.context_id, "the context")
    that(text_of(artifact(second, "response").parts).endswith("two"), "the second answer", second)
    same(list(second.history[0].reference_task_ids), [first.id], "the reference")
    listed = await world.list(agent="keeper", contextId=first.context_id)
    same([task.id for task in listed.tasks], [second.id, first.id], "the tasks of the context")


@check("SendMessage/same-session")
async def same_session(world):
    first = await world.send("remember 4711", agent="keeper")
    second = await world.send("script: recall", agent="keeper", contextId=first.context_id)
    said = text_of(artifact(second, "response").parts)
    that("remember 4711" in said, "the session of the context goes on", said)


@check("SendMessage/history-length")
async def send_history_length(world):
    none = await world.send("hi", configuration={"historyLength": 0})
    same(len(none.history), 0, "messages of historyLength 0")
    one = await world.send("hi", configuration={"historyLength": 1})
    same([message.role for message in one.history], [pb.ROLE_AGENT], "messages of historyLength 1")


@check("SendMessage/unknown-task")
async def unknown_task(world):
    async with raises(TaskNotFoundError, "a message to a task that does not exist"):
        await world.send("hi", taskId="task-01ARZ3NDEKTSV4RRFFQ69G5FAV")
    async with raises(TaskNotFoundError, "a message to a task of an impossible id"):
        await world.send("hi", taskId="no such task")


@check("SendMessage/context-mismatch")
async def context_mismatch(world):
    task = await world.start("tck-multi-turn")
    await world.until_state(task.id, "INPUT_REQUIRED")
    async with raises(InvalidParamsError, "a message to a task in another context"):
        await world.send("done", taskId=task.id, contextId="another-context")
    await world.cancel(task.id)


@check("SendMessage/terminal-task")
async def terminal_task(world):
    task = await world.send("hi")
    async with raises(UnsupportedOperationError, "a message to a task that has ended"):
        await world.send("more", taskId=task.id)


@check("SendMessage/busy-task")
async def busy_task(world):
    gate = world.gate()
    task = await world.start(f"{gate.wait}\nscript: text done")
    async with raises(UnsupportedOperationError, "a message to a task at work"):
        await world.send("more", taskId=task.id)
    gate.open()
    await world.until_state(task.id, "COMPLETED")


@check("SendMessage/failure")
async def failure(world):
    task = await world.send("tck-task-failure")
    same(state(task), "FAILED", "the state")
    that("tck-task-failure" in text_of(task.status.message.parts), "the status says why", task)


@check("SendMessage/data-artifact")
async def data_artifact(world):
    task = await world.send("tck-artifact-data")
    [part] = artifact(task, "data.json").parts
    same(MessageToDict(part)["data"], {"kind": "tck-artifact-data", "values": [1, 2, 3]}, "the data")


@check("SendMessage/raw-artifact")
async def raw_artifact(world):
    task = await world.send("script: sh printf '\\377\\000\\001' > \"$TASK_ARTIFACTS_DIR/blob.bin\"")
    [part] = artifact(task, "blob.bin").parts
    same(part.raw, b"\xff\x00\x01", "the bytes")


@check("SendMessage/content-type")
async def content_type(world):
    part = {"text": "hi", "mediaType": "application/x-unsupported-tck-type"}
    async with raises(ContentTypeNotSupportedError, "a part of a type nobody takes"):
        await world.send(part)


@check("SendMessage/bytes")
async def no_text(world):
    part = {"raw": base64.b64encode(bytes(range(256))).decode(), "mediaType": "application/octet-stream"}
    async with raises(ContentTypeNotSupportedError, "bytes that are no text, which no agent could be told"):
        await world.send(part)


@check("SendMessage/required-extension")
async def required_extension(world):
    async with raises(ExtensionSupportRequiredError, "a call without the required extension"):
        await world.send("hi", agent="strict")
    offered = ClientCallContext(service_parameters={"A2A-Extensions": STRICT})
    task = await world.send("hi", agent="strict", context=offered)
    same(state(task), "COMPLETED", "the state of a call that offers it")


@check("Turns/input-required")
async def input_required(world):
    task = await world.send("tck-multi-turn")
    same(state(task), "INPUT_REQUIRED", "a blocking send ends at the question")
    that("done" in text_of(task.status.message.parts), "the status asks", task)
    again = await world.send("not yet", taskId=task.id, contextId=task.context_id)
    same((again.id, state(again)), (task.id, "INPUT_REQUIRED"), "after an answer that does not do")
    ended = await world.send("done", taskId=task.id)
    same((ended.id, state(ended)), (task.id, "COMPLETED"), "after the one that does")
    said = [text_of(message.parts) for message in ended.history if message.role == pb.ROLE_USER]
    same(said, ["tck-multi-turn", "not yet", "done"], "what the user said")


@check("Turns/repeated-answer")
async def repeated_answer(world):
    task = await world.send("tck-multi-turn")
    key = str(uuid.uuid4())
    ended = await world.send("done", taskId=task.id, messageId=key)
    again = await world.send("done", taskId=task.id, messageId=key)
    same((again.id, state(again)), (ended.id, "COMPLETED"), "the same answer sent once more")


@check("Turns/auth-required")
async def auth_required(world):
    task = await world.send("tck-auth-required")
    same(state(task), "AUTH_REQUIRED", "a blocking send ends when a login is needed")
    that("login" in text_of(task.status.message.parts), "the status says what is needed", task)
    ended = await world.send("scripted-login", taskId=task.id)
    same((ended.id, state(ended)), (task.id, "COMPLETED"), "after the login")
    other = await world.send("tck-auth-required")
    same(state(await world.cancel(other.id)), "CANCELED", "one that waits for a login can be cancelled")
