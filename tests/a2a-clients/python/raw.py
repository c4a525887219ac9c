"""What no SDK sends: broken requests, headers, the exact shape of answers. Plain HTTP."""

import json
import uuid

from world import same, that

CHECKS = []
UNKNOWN = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV"
V1 = {"A2A-Version": "1.0"}
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
# JSON-RPC code, HTTP status, google.rpc status; of the specification, as of 1.0.1.
ERRORS = {
    "TASK_NOT_FOUND": (-32001, 404, "NOT_FOUND"),
    "TASK_NOT_CANCELABLE": (-32002, 400, "FAILED_PRECONDITION"),
    "UNSUPPORTED_OPERATION": (-32004, 400, "FAILED_PRECONDITION"),
    "CONTENT_TYPE_NOT_SUPPORTED": (-32005, 400, "INVALID_ARGUMENT"),
    "EXTENSION_SUPPORT_REQUIRED": (-32008, 400, "FAILED_PRECONDITION"),
    "VERSION_NOT_SUPPORTED": (-32009, 400, "FAILED_PRECONDITION"),
    "INVALID_PARAMS": (-32602, 400, "INVALID_ARGUMENT"),
}


def check(name):
    """Registers a check; it is called with a `World`, once for each binding."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def message(*parts, **more):
    parts = [{"text": part} if isinstance(part, str) else part for part in parts]
    return {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": parts} | more


def as_rest(method, params):
    """Verb, path and whether the rest of the parameters is the body."""
    params = dict(params)
    match method:
        case "SendMessage":
            return "POST", "/message:send", params, True
        case "SendStreamingMessage":
            return "POST", "/message:stream", params, True
        case "GetTask":
            return "GET", f"/tasks/{params.pop('id')}", params, False
        case "ListTasks":
            return "GET", "/tasks", params, False
        case "CancelTask":
            return "POST", f"/tasks/{params.pop('id')}:cancel", params, True
        case "SubscribeToTask":
            return "GET", f"/tasks/{params.pop('id')}:subscribe", params, False
        case "CreateTaskPushNotificationConfig":
            return "POST", f"/tasks/{params['taskId']}/pushNotificationConfigs", params, True
        case "DeleteTaskPushNotificationConfig":
            path = f"/tasks/{params.pop('taskId')}/pushNotificationConfigs/{params.pop('id')}"
            return "DELETE", path, params, False
        case "GetExtendedAgentCard":
            return "GET", "/extendedAgentCard", params, False
    raise ValueError(method)


async def ask(world, method, params, agent="worker", headers=V1, query=None):
    """One call as bytes; the HTTP answer."""
    if not world.rest:
        body = {"jsonrpc": "2.0", "id": "q1", "method": method, "params": params}
        return await world.bare.post(world.url(agent), json=body, headers=headers, params=query)
    verb, path, rest, in_body = as_rest(method, params)
    how = {"json": rest} if in_body else {"params": rest | (query or {})}
    if in_body and query:
        how["params"] = query
    return await world.bare.request(verb, world.url(agent) + path, headers=headers, **how)


async def result(world, method, params, **more):
    """The result of a call that has to succeed."""
    answer = await ask(world, method, params, **more)
    same(answer.status_code, 200, f"the status of {method}")
    document = answer.json()
    if world.rest:
        same(answer.headers["content-type"], "application/a2a+json", "the type of the answer")
        return document
    same(answer.headers["content-type"], "application/json", "the type of the answer")
    same((document["jsonrpc"], document["id"]), ("2.0", "q1"), "whose answer it is")
    that("result" in document, "the call succeeds", document)
    return document["result"]


async def refused(world, reason, answer, names=None):
    """The answer has to be this error in the shape of its binding; `names` has to occur in it."""
    code, status, word = ERRORS[reason]
    document = answer.json()
    error = document.get("error")
    that(error, f"it is refused as {reason}", document)
    if world.rest:
        same(answer.status_code, status, "the status")
        same(answer.headers["content-type"], "application/a2a+json", "the type of the answer")
        same((error["code"], error["status"]), (status, word), "code and status in the body")
        details = error["details"]
    else:
        same(answer.status_code, 200, "the status")
        same((document["jsonrpc"], error["code"]), ("2.0", code), "the code")
        that("result" not in document, "an error has no result", document)
        details = error["data"]
    that(isinstance(details, list), "the details are an array", details)
    [info] = [one for one in details if one["@type"] == ERROR_INFO]
    same((info["reason"], info["domain"]), (reason, "a2a-protocol.org"), "the ErrorInfo")
    that(error["message"], "it says why", error)
    if names:
        that(names in json.dumps(error), f"it names {names}", error)
    return details


@check("Card/etag")
async def etag(world):
    url = world.url() + "/.well-known/agent-card.json"
    first = await world.bare.get(url)
    same(first.status_code, 200, "the status")
    that("max-age" in first.headers["cache-control"], "it may be kept", dict(first.headers))
    again = await world.bare.get(url, headers={"If-None-Match": first.headers["etag"]})
    same((again.status_code, again.content), (304, b""), "the answer to one who has it")
    other = await world.bare.get(url, headers={"If-None-Match": '"other"'})
    same((other.status_code, other.content), (200, first.content), "the answer to one who has another")


@check("Card/unknown-agent")
async def unknown_agent(world):
    url = world.url("nobody") + "/.well-known/agent-card.json"
    same((await world.bare.get(url)).status_code, 404, "the status")
    same((await ask(world, "GetTask", {"id": UNKNOWN}, agent="nobody")).status_code, 404, "the status of a call")


@check("Version/supported")
async def version_supported(world):
    for version in ("1.0", "1.0.7"):
        await result(world, "ListTasks", {}, headers={"A2A-Version": version})
    await result(world, "ListTasks", {}, headers={}, query={"A2A-Version": "1.0"})


@check("Version/refused")
async def version_refused(world):
    for version in (None, "", "0.3", "1.9", "2.0", "99.0", "one"):
        headers = {} if version is None else {"A2A-Version": version}
        answer = await ask(world, "ListTasks", {}, headers=headers)
        await refused(world, "VERSION_NOT_SUPPORTED", answer, names="A2A-Version")


@check("Extensions/echo")
async def extensions(world):
    strict, loose = (f"https://example.com/extensions/{name}" for name in ("strict", "loose"))
    wanted = f"{strict}, {loose},https://example.com/extensions/unknown"
    answer = await ask(world, "ListTasks", {}, agent="strict", headers=V1 | {"A2A-Extensions": wanted})
    active = {one.strip() for one in answer.headers.get("a2a-extensions", "").split(",")}
    same(active, {strict, loose}, "the extensions told to be active")
    refusal = await ask(world, "SendMessage", {"message": message("hi")}, agent="strict")
    await refused(world, "EXTENSION_SUPPORT_REQUIRED", refusal, names=strict)


@check("Errors/table")
async def errors_table(world):
    done = await result(world, "SendMessage", {"message": message("hi")})
    task = done["task"]["id"]
    unsupported = message({"text": "x", "mediaType": "application/x-unsupported-tck-type"})
    for reason, method, params in [
        ("TASK_NOT_FOUND", "GetTask", {"id": UNKNOWN}),
        ("TASK_NOT_FOUND", "SubscribeToTask", {"id": UNKNOWN}),
        ("TASK_NOT_FOUND", "DeleteTaskPushNotificationConfig", {"taskId": UNKNOWN, "id": "x"}),
        ("TASK_NOT_CANCELABLE", "CancelTask", {"id": task}),
        ("UNSUPPORTED_OPERATION", "SubscribeToTask", {"id": task}),
        ("UNSUPPORTED_OPERATION", "SendMessage", {"message": message("hi", taskId=task)}),
        ("CONTENT_TYPE_NOT_SUPPORTED", "SendMessage", {"message": unsupported}),
        ("INVALID_PARAMS", "ListTasks", {"pageSize": 101}),
    ]:
        await refused(world, reason, await ask(world, method, params))


@check("Validation/message")
async def validation(world):
    whole = message("hi")
    without = lambda key: {name: value for name, value in whole.items() if name != key}
    for what, params, field in [
        ("nothing", {}, "message"),
        ("no messageId", {"message": without("messageId")}, "messageId"),
        ("an empty messageId", {"message": whole | {"messageId": ""}}, "messageId"),
        ("no role", {"message": without("role")}, "role"),
        ("an unknown role", {"message": whole | {"role": "ROLE_KING"}}, "role"),
        ("no parts", {"message": without("parts")}, "parts"),
        ("empty parts", {"message": whole | {"parts": []}}, "parts"),
        ("a part without content", {"message": whole | {"parts": [{"filename": "x"}]}}, "parts"),
        ("a part with two contents", {"message": whole | {"parts": [{"text": "x", "url": "y"}]}}, "parts"),
        ("raw that is no base64", {"message": whole | {"parts": [{"raw": "!!"}]}}, "raw"),
        ("parts of a wrong type", {"message": whole | {"parts": "hi"}}, "parts"),
        ("metadata of a wrong type", {"message": whole | {"metadata": []}}, "metadata"),
        ("a negative historyLength", {"message": whole, "configuration": {"historyLength": -1}}, "historyLength"),
    ]:
        for method in ("SendMessage", "SendStreamingMessage"):
            try:
                details = await refused(world, "INVALID_PARAMS", await ask(world, method, params), names=field)
            except AssertionError as error:
                raise AssertionError(f"{method} with {what}: {error}") from error
            violations = [one["fieldViolations"] for one in details if one["@type"] == BAD_REQUEST]
            that(violations and violations[0], f"{what} has its field violation", details)


@check("Validation/other")
async def validation_other(world):
    for what, method, params in [
        ("an unknown state", "ListTasks", {"status": "TASK_STATE_SLEEPING"}),
        ("a time that is none", "ListTasks", {"statusTimestampAfter": "yesterday"}),
        ("a page size that is none", "ListTasks", {"pageSize": "many"}),
        ("a negative historyLength", "GetTask", {"id": UNKNOWN, "historyLength": -1}),
        ("a config without url", "CreateTaskPushNotificationConfig", {"taskId": UNKNOWN}),
    ]:
        try:
            await refused(world, "INVALID_PARAMS", await ask(world, method, params))
        except AssertionError as error:
            raise AssertionError(f"{method} with {what}: {error}") from error


@check("Validation/unknown-fields")
async def unknown_fields(world):
    sent = message("hi", somethingNew={"a": 1})
    done = await result(world, "SendMessage", {"message": sent, "alsoNew": True})
    same(done["task"]["status"]["state"], "TASK_STATE_COMPLETED", "the state")


@check("Errors/parse")
async def parse(world):
    url = world.url() + ("/message:send" if world.rest else "")
    answer = await world.bare.post(url, content=b'{"jsonrpc": ', headers=V1 | {"Content-Type": "application/json"})
    error = answer.json()["error"]
    if world.rest:
        same((answer.status_code, error["code"], error["status"]), (400, 400, "INVALID_ARGUMENT"), "the error")
    else:
        same((answer.status_code, error["code"], answer.json()["id"]), (200, -32700, None), "the error")


@check("Errors/method")
async def unknown_method(world):
    if world.rest:
        answer = await world.bare.get(world.url() + "/nonsense", headers=V1)
        same((answer.status_code, answer.json()["error"]["code"]), (404, 404), "an unknown path")
        answer = await world.bare.get(world.url() + "/message:send", headers=V1)
        same(answer.status_code, 405, "a known path with another verb")
        return
    for method in ("message/send", "Nonsense", ""):
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {}}
        answer = (await world.bare.post(world.url(), json=body, headers=V1)).json()
        same((answer["id"], answer["error"]["code"]), (7, -32601), f"the method {method!r}")


@check("Errors/envelope")
async def envelope(world):
    if world.rest:
        answer = await world.bare.post(world.url() + "/message:send", json=[1], headers=V1)
        await refused(world, "INVALID_PARAMS", answer)
        return
    call = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
    for what, body, code in [
        ("a batch", [call, call], -32600),
        ("an empty batch", [], -32600),
        ("no jsonrpc", {name: call[name] for name in ("id", "method", "params")}, -32600),
        ("jsonrpc 1.0", call | {"jsonrpc": "1.0"}, -32600),
        ("no method", {name: call[name] for name in ("jsonrpc", "id", "params")}, -32600),
        ("a method that is no text", call | {"method": 5}, -32600),
        ("an id that is none", call | {"id": {}}, -32600),
        ("parameters in an array", call | {"params": [1]}, -32602),
        ("a number", 5, -32600),
    ]:
        answer = await world.bare.post(world.url(), json=body, headers=V1)
        document = answer.json()
        same((answer.status_code, document["jsonrpc"], document["error"]["code"]), (200, "2.0", code), what)
    without = {name: call[name] for name in ("jsonrpc", "id", "method")}
    answer = (await world.bare.post(world.url(), json=without, headers=V1)).json()
    that("result" in answer, "parameters that are all optional may be left out", answer)


@check("Answers/numbers")
async def numbers(world):
    exact = '{"big":9007199254740993,"huge":123456789012345678901234567890,"tenth":1.10,"int":42,"exp":1E+2}'
    body = json.dumps({"message": message("script: text seen", metadata={}, contextId=(context := f"n-{uuid.uuid4()}"))})
    body = body.replace('"metadata": {}', f'"metadata": {exact}')
    if not world.rest:
        body = f'{{"jsonrpc":"2.0","id":"q1","method":"SendMessage","params":{body}}}'
    url = world.url() + ("/message:send" if world.rest else "")
    answer = await world.bare.post(url, content=body, headers=V1 | {"Content-Type": "application/json"})
    that(exact in answer.text, "every digit comes back", answer.text)
    listed = await ask(world, "ListTasks", {"contextId": context, "historyLength": 9})
    that(exact in listed.text, "in a list, too", listed.text)


@check("Answers/task")
async def answer_task(world):
    done = (await result(world, "SendMessage", {"message": message("hi")}))["task"]
    stamp = done["status"]["timestamp"]
    that(stamp.endswith("Z") and len(stamp) == len("2026-01-01T00:00:00.000Z"), "milliseconds and Z", stamp)
    that("kind" not in done, "there is no kind", done)
    for one in done["artifacts"]:
        that(one["artifactId"] and one["parts"], "an artifact has its id and parts", one)


@check("Answers/empty-list")
async def empty_list(world):
    page = await result(world, "ListTasks", {"contextId": f"nobody-{uuid.uuid4()}"})
    same(page, {"tasks": [], "nextPageToken": "", "pageSize": page["pageSize"], "totalSize": 0}, "an empty page")


@check("Answers/stream")
async def answer_stream(world):
    """Each event is one line of data: a whole response, or the bare event."""
    answer = await ask(world, "SendStreamingMessage", {"message": message("tck-stream-chunked")})
    that(answer.headers["content-type"].startswith("text/event-stream"), "its type", dict(answer.headers))
    data = [line[len("data:"):] for line in answer.text.splitlines() if line.startswith("data:")]
    events = [json.loads(line) for line in data]
    if not world.rest:
        same({(event["jsonrpc"], event["id"]) for event in events}, {("2.0", "q1")}, "whose events they are")
        events = [event["result"] for event in events]
    that(all(len(event) == 1 for event in events), "each is one of the four", events)
    same(next(iter(events[0])), "task", "the first")
    same(events[-1]["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED", "the last")
    that("final" not in events[-1]["statusUpdate"], "there is no final", events[-1])


@check("Answers/stream-refused")
async def answer_stream_refused(world):
    """An error before the first event is an ordinary answer."""
    answer = await ask(world, "SendStreamingMessage", {"message": message("hi", taskId=UNKNOWN)})
    await refused(world, "TASK_NOT_FOUND", answer)


@check("Answers/subscribe-verbs")
async def subscribe_verbs(world):
    if not world.rest:
        return
    gate = world.gate()
    started = {"message": message(gate.wait + "\nscript: text done"), "configuration": {"returnImmediately": True}}
    task = (await result(world, "SendMessage", started))["task"]["id"]
    for verb in ("GET", "POST"):
        async with world.bare.stream(verb, f"{world.url()}/tasks/{task}:subscribe", headers=V1) as answer:
            same(answer.status_code, 200, f"the status of {verb}")
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    that("task" in json.loads(line[5:]), f"the first event of {verb}", line)
                    break
    gate.open()
    await world.until_state(task, "COMPLETED")


@check("Answers/delete-body")
async def delete_body(world):
    """Empty is an empty object, which the clients of every language can read."""
    task = (await result(world, "SendMessage", {"message": message("tck-multi-turn")}))["task"]["id"]
    _, url = world.receiver.hook()
    config = await result(world, "CreateTaskPushNotificationConfig", {"taskId": task, "url": url})
    gone = await result(world, "DeleteTaskPushNotificationConfig", {"taskId": task, "id": config["id"]})
    that(gone in ({}, None), "the result of a deletion", gone)
    await world.cancel(task)


@check("Bodies/types")
async def body_types(world):
    for kind in ("application/json", "application/a2a+json", "application/json; charset=utf-8"):
        params = {"message": message("hi")}
        body = params if world.rest else {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
        url = world.url() + ("/message:send" if world.rest else "")
        answer = await world.bare.post(url, content=json.dumps(body), headers=V1 | {"Content-Type": kind})
        same(answer.status_code, 200, f"the status of a body of {kind}")
        that("error" not in answer.json(), "it is taken", answer.json())


@check("Bodies/too-large")
async def too_large(world):
    answer = await ask(world, "SendMessage", {"message": message("x" * ((1 << 20) + 1))})
    that("error" in answer.json(), "a message of more than a mebibyte is refused", answer.text[:200])
    answer = await ask(world, "SendMessage", {"message": message("y" * 1_000_000 + "\nscript: text seen")})
    that("error" not in answer.json(), "one of a million characters is not", answer.text[:200])


@check("Callers/wrong-token")
async def wrong_token(world):
    answer = await ask(world, "ListTasks", {}, headers=V1 | {"Authorization": "Bearer nobody-has-this-token"})
    same(answer.status_code, 401, "the status")
    that("www-authenticate" in answer.headers, "it says how", dict(answer.headers))


@check("Callers/foreign-origin")
async def foreign_origin(world):
    answer = await ask(world, "ListTasks", {}, headers=V1 | {"Origin": "https://evil.example"})
    same(answer.status_code, 403, "the status")


@check("ExtendedCard/without-token")
async def extended_card(world):
    answer = await ask(world, "GetExtendedAgentCard", {})
    same(answer.status_code, 401, "the status")
