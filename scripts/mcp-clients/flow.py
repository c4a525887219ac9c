"""The whole flow of a coding client, by the MCP client of PyPI's `mcp`, which nobody here wrote.

usage: flow.py (http|http-initialize) URL SHOP
       flow.py stdio SHOP COMMAND [ARGUMENT...]
       flow.py sees TASK COMMAND [ARGUMENT...]

`http` and `stdio` let the client choose the protocol (it asks `server/discover` first), and
`http-initialize` makes it shake hands the older way. `sees` only looks TASK up. SHOP is a project
whose tests fail. The client itself checks every structured result against the output schema
the tool declares and raises where it does not fit.

Prints one line per failure and `N passed, M failed`; `task ID` before it names the task that ran.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters

TOOLS = [
    "get_agents",
    "get_agent",
    "send_message",
    "get_task",
    "list_tasks",
    "cancel_task",
    "view_text_artifact",
    "view_data_artifact",
]
# The longest any one call may take: far more than it needs on a busy machine.
SECONDS = 120


class Flow:
    """One client and the count of what it saw."""

    def __init__(self, client):
        self.client = client
        self.passed = 0
        self.failed = 0

    def check(self, what, true, seen=None):
        if true:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}" + ("" if seen is None else f"\n  saw: {seen}"))

    async def call(self, tool, **arguments):
        """A call that has to succeed; its structured content."""
        result = await self.client.call_tool(tool, arguments)
        text = "".join(part.text for part in result.content if part.type == "text")
        self.check(f"{tool} succeeds", not result.is_error, text)
        self.check(f"{tool} has text beside the data", bool(text))
        if result.is_error:
            raise SystemExit(f"{tool} {json.dumps(arguments)} failed: {text}")
        return result.structured_content

    async def refused(self, code, tool, **arguments):
        """A call that has to be refused with `code`, in the result and not in the protocol."""
        result = await self.client.call_tool(tool, arguments)
        text = "".join(part.text for part in result.content if part.type == "text")
        self.check(f"{tool} is refused as {code}", result.is_error and text.startswith(f"{code}: "), text)

    async def describes_itself(self):
        self.check("the server says its name", self.client.server_info.name == "mesh-agents", self.client.server_info)
        tools = (await self.client.list_tools()).tools
        self.check("it offers the tools of the contract", [tool.name for tool in tools] == TOOLS, tools)
        for tool in tools:
            self.check(f"{tool.name} declares what it returns", bool(tool.output_schema))
            self.check(f"{tool.name} says what it does", len(tool.description or "") > 20)
        agents = (await self.call("get_agents"))["agents"]
        self.check("both agents are ready", {a["agent_id"]: a["state"] for a in agents} == {"sleeper": "ready", "test-runner": "ready"}, agents)
        agent = await self.call("get_agent", agent_id="test-runner")
        self.check("the card has the served address", "/a2a/agents/test-runner" in agent["agent_card"]["supportedInterfaces"][0]["url"], agent)

    async def works(self, shop):
        message = {"agent_id": "test-runner", "message": shop, "message_id": f"flow-{os.getpid()}"}
        sent = await self.call("send_message", **message)
        task = sent["task_id"]
        again = await self.call("send_message", **message)
        self.check("a repeated message_id is the same task", again["task_id"] == task, again)
        done = await self.call("get_task", task_id=task, wait_seconds=60)
        self.check("the task completes", done["state"] == "completed", done)
        self.check("in A2A's words too", done["task"]["status"]["state"] == "TASK_STATE_COMPLETED", done)
        listed = (await self.call("list_tasks", agent_id="test-runner"))["tasks"]
        mine = next((entry for entry in listed if entry["task_id"] == task), None)
        self.check("it is listed", mine is not None, listed)
        ids = {artifact["artifact_id"] for artifact in (mine or {}).get("artifacts", [])}
        self.check("with its artifacts", {"summary.md", "findings.json"} <= ids, mine)
        summary = await self.call("view_text_artifact", task_id=task, artifact_id="summary.md")
        self.check("the summary has the tests' words", "expected 0" in summary["text"], summary)
        findings = await self.call("view_data_artifact", task_id=task, artifact_id="findings.json")
        places = [(f["file"], f["line"]) for f in findings["data"]["findings"]]
        self.check("the findings name file and line", places == [("total.sh", 7), ("total.sh", 11)], findings)
        return task

    async def cancels(self):
        sent = await self.call("send_message", agent_id="sleeper", message="sleep")
        task, state = sent["task_id"], sent["state"]
        while state == "submitted":
            await asyncio.sleep(0.02)
            state = (await self.call("get_task", task_id=task))["state"]
        self.check("the sleeper works", state == "working", state)
        ended = await self.call("cancel_task", task_id=task)
        self.check("a cancelled task is cancelled", ended["state"] == "canceled", ended)
        await self.refused("task_terminal", "send_message", agent_id="sleeper", message="on", task_id=task)

    async def refuses(self, task):
        await self.refused("agent_not_found", "send_message", agent_id="test-runer", message="x")
        await self.refused("task_not_found", "get_task", task_id="task-01ARZ3NDEKTSV4RRFFQ69G5FAV")
        await self.refused("artifact_not_found", "view_text_artifact", task_id=task, artifact_id="other.md")
        await self.refused("invalid_argument", "view_text_artifact", task_id=task, artifact_id="../../mesh-agents.sqlite")
        await self.refused("invalid_argument", "get_agents", nonsense=1)

    async def whole(self, shop):
        await self.describes_itself()
        task = await self.works(shop)
        await self.cancels()
        await self.refuses(task)
        print(f"task {task}")


async def main(kind, *rest):
    mode = "legacy" if kind == "http-initialize" else "auto"
    if kind.startswith("http"):
        server, subject = rest
    else:
        subject, command, *arguments = rest
        server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(server, mode=mode, read_timeout_seconds=SECONDS) as client:
        flow = Flow(client)
        if kind == "sees":
            seen = await flow.call("get_task", task_id=subject)
            flow.check("another way in sees the same task", seen["state"] == "completed", seen)
        else:
            await flow.whole(subject)
        print(f"{flow.passed} passed, {flow.failed} failed (mcp of PyPI, {kind}, MCP {client.protocol_version})")
        return flow.failed


sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
