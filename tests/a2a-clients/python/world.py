"""What the checks stand on: one binding of one node, reached by the clients of PyPI's `a2a-sdk`."""

import asyncio
import contextlib
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict

# The longest any check may take: far more than it needs on a busy machine.
SECONDS = 120
# As long as a node waits for the end of what it cancels.
CANCEL_WAITS = 5
# Between two looks at a condition.
POLL = 0.02

TERMINAL = {"COMPLETED", "FAILED", "CANCELED", "REJECTED"}


class Skip(Exception):
    """A check this client cannot make, and why."""


def that(true, what, seen=None):
    """Fails the check unless `true`."""
    if not true:
        raise AssertionError(what + ("" if seen is None else f"; saw {shown(seen)}"))


def same(seen, wanted, what):
    """Fails the check unless both are equal."""
    if seen != wanted:
        raise AssertionError(f"{what}: {shown(seen)} instead of {shown(wanted)}")


def shown(value):
    """A value for people, on one line."""
    if hasattr(value, "DESCRIPTOR"):
        value = MessageToDict(value)
    return " ".join(repr(value).split())[:600]


def state(of):
    """COMPLETED for TASK_STATE_COMPLETED; of a task, a status or an update."""
    status = getattr(of, "status", of)
    return pb.TaskState.Name(status.state).removeprefix("TASK_STATE_")


def kind(event):
    """Which of the four an event of a stream is."""
    return event.WhichOneof("payload")


def text_of(parts):
    """The text of parts."""
    return "".join(part.text for part in parts)


def artifact(task, name):
    """One artifact of a task."""
    found = [one for one in task.artifacts if one.artifact_id == name]
    that(len(found) == 1, f"the task has one artifact {name}", task)
    return found[0]


def assembled(events, name="response"):
    """The text of an artifact as a reader of this stream puts it together."""
    text = ""
    for event in events:
        if kind(event) == "task":
            text = "".join(text_of(a.parts) for a in event.task.artifacts if a.artifact_id == name)
        elif kind(event) == "artifact_update" and event.artifact_update.artifact.artifact_id == name:
            piece = text_of(event.artifact_update.artifact.parts)
            text = text + piece if event.artifact_update.append else piece
    return text


def request(*parts, configuration=None, tenant=None, **message):
    """A SendMessageRequest; texts are text parts, other parts are given as their JSON."""
    parts = [{"text": part} if isinstance(part, str) else part for part in parts]
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": parts} | message
    document = {"message": message}
    if configuration is not None:
        document["configuration"] = configuration
    if tenant is not None:
        document["tenant"] = tenant
    return ParseDict(document, pb.SendMessageRequest())


async def until(what, look):
    """Waits until `look` finds something."""
    async with asyncio.timeout(SECONDS / 2):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(POLL)
    raise AssertionError(f"in vain: {what}")


@contextlib.asynccontextmanager
async def raises(kind, what):
    """The block has to fail with exactly this error of the SDK."""
    try:
        yield
    except kind as error:
        that(type(error) is kind, f"{what} is refused as {kind.__name__}", error)
        that(str(error), f"the refusal of {what} says why")
    except Exception as error:
        raise AssertionError(f"{what}: {error!r} instead of {kind.__name__}") from error
    else:
        raise AssertionError(f"{what} is not refused; it should be as {kind.__name__}")


class Gate:
    """A file an agent waits for."""

    def __init__(self, stage):
        self.path = Path(stage) / "gates" / uuid.uuid4().hex
        self.wait = f"script: wait_file {self.path}"

    def open(self):
        self.path.touch()


class Receiver:
    """What a webhook was sent, by path."""

    def __init__(self):
        self.seen = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                receiver.seen.setdefault(self.path, []).append((self.headers, json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hook(self):
        """A fresh path and the URL that leads to it."""
        path = f"/{uuid.uuid4().hex}"
        return path, f"http://127.0.0.1:{self.server.server_port}{path}"

    def states(self, path):
        """The states told to a path, in order; a whole task's counts too."""
        told = [body for _, body in self.seen.get(path, [])]
        names = [(body.get("statusUpdate") or body.get("task") or {}).get("status", {}) for body in told]
        return [name["state"].removeprefix("TASK_STATE_") for name in names if "state" in name]


class World:
    """One binding of one node."""

    def __init__(self, stage, base, binding, receiver):
        self.stage = stage
        self.base = base
        self.binding = binding
        self.receiver = receiver
        self.http = httpx.AsyncClient(timeout=SECONDS)
        # The SDK adds its own headers to the one above.
        self.bare = httpx.AsyncClient(timeout=SECONDS)
        self.clients = {}

    @property
    def rest(self):
        return self.binding == "HTTP+JSON"

    def url(self, agent="worker"):
        return f"{self.base}/a2a/agents/{agent}"

    def gate(self):
        return Gate(self.stage)

    async def client(self, agent="worker", streaming=False):
        """The SDK's client of an agent, made from the card that the SDK's resolver reads."""
        key = (agent, streaming)
        if key not in self.clients:
            card = await A2ACardResolver(self.http, self.url(agent)).get_agent_card()
            config = ClientConfig(
                streaming=streaming,
                httpx_client=self.http,
                supported_protocol_bindings=[self.binding],
            )
            self.clients[key] = ClientFactory(config).create(card)
        return self.clients[key]

    def as_caller(self, name):
        """The context of a call that carries this caller's token."""
        token = (Path(self.stage) / f"{name}.token").read_text().strip()
        return ClientCallContext(service_parameters={"Authorization": f"Bearer {token}"})

    async def send(self, *parts, agent="worker", context=None, **more):
        """Sends without a stream; the task that comes back."""
        client = await self.client(agent)
        events = [e async for e in client.send_message(request(*parts, **more), context=context)]
        same([kind(event) for event in events], ["task"], "the answer is a task")
        return events[0].task

    async def start(self, *parts, configuration=None, **more):
        """Sends and does not wait for the end."""
        configuration = {"returnImmediately": True} | (configuration or {})
        return await self.send(*parts, configuration=configuration, **more)

    async def stream(self, *parts, agent="worker", context=None, **more):
        """The events of SendStreamingMessage, as they come."""
        client = await self.client(agent, streaming=True)
        async for event in client.send_message(request(*parts, **more), context=context):
            yield event

    async def subscribe(self, task, agent="worker", context=None):
        """The events of SubscribeToTask, as they come."""
        client = await self.client(agent, streaming=True)
        async for event in client.subscribe(pb.SubscribeToTaskRequest(id=task), context=context):
            yield event

    async def get(self, task, agent="worker", context=None, **more):
        client = await self.client(agent)
        return await client.get_task(pb.GetTaskRequest(id=task, **more), context=context)

    async def list(self, agent="worker", context=None, **more):
        client = await self.client(agent)
        document = ParseDict(more, pb.ListTasksRequest())
        return await client.list_tasks(document, context=context)

    async def cancel(self, task, agent="worker", context=None):
        """Cancels. Only an answer that took as long as a node waits may come before the end, which is waited for then."""
        client = await self.client(agent)
        began = time.monotonic()
        told = await client.cancel_task(pb.CancelTaskRequest(id=task), context=context)
        if state(told) in TERMINAL or time.monotonic() - began < CANCEL_WAITS:
            return told
        return await self.until_state(task, "CANCELED", agent=agent)

    async def until_state(self, task, *states, agent="worker"):
        """The task, once it is in one of these states."""

        async def look():
            seen = await self.get(task, agent=agent)
            if state(seen) not in states and state(seen) in TERMINAL:
                raise AssertionError(f"the task is to become {states}; saw {shown(seen)}")
            return seen if state(seen) in states else None

        return await until(f"{task} is {states}", look)
