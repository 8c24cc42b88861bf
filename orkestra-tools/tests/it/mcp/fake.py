"""An MCP server for tests, with tools that misbehave. Speaks lines on stdin and stdout."""
import json, os, sys, time

described = "Repeats a text."
count = 0


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tools():
    def tool(name, description, **properties):
        schema = {"type": "object", "properties": properties, "required": sorted(properties)}
        return {"name": name, "description": description, "inputSchema": schema}

    text, number = {"type": "string"}, {"type": "integer"}
    listed = [
        tool("echo", described, text=text),
        tool("fail", "Fails."),
        tool("refuse", "Answers with an error of the protocol."),
        tool("long", "Answers with many bytes.", bytes=number),
        tool("picture", "Answers with a picture and a resource."),
        tool("structured", "Answers with structured content alone."),
        tool("environment", "Answers with its environment."),
        tool("exit", "Ends the server.", code=number),
        tool("hang", "Never answers, nor anything after it."),
        tool("slow", "Never answers, but goes on."),
        tool("cancelled", "Answers with the requests that were cancelled."),
        tool("change", "Changes the description of echo.", to=text),
        tool("ask", "Asks the client for a sample, its roots and an answer."),
        tool("where", "Answers with the working directory and the number of calls."),
    ]
    if os.environ.get("READ_ONLY"):
        listed[0]["annotations"] = {"readOnlyHint": True}
    return listed


def answer(text):
    return {"content": [{"type": "text", "text": text}]}


cancelled = []


def call(name, arguments):
    global described, count
    count += 1
    if name == "echo":
        return answer(arguments["text"])
    if name == "fail":
        return {**answer("it cannot be done"), "isError": True}
    if name == "long":
        return answer("".join(f"line {i:08}\n" for i in range(arguments["bytes"] // 14)) + "the end")
    if name == "picture":
        blob = {"uri": "file:///b", "mimeType": "application/x-b", "blob": "AAEC"}
        return {"content": [
            {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"},
            {"type": "image", "data": "not base64!", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "of a"}},
            {"type": "resource", "resource": blob},
            {"type": "resource_link", "uri": "file:///c", "name": "c"},
        ]}
    if name == "structured":
        return {"content": [], "structuredContent": {"answer": 42}}
    if name == "environment":
        return answer(json.dumps(dict(os.environ)))
    if name == "exit":
        sys.stderr.write("first line\nsomething broke\n")
        sys.stderr.flush()
        os._exit(arguments["code"])
    if name == "hang":
        time.sleep(3600)
    if name == "cancelled":
        return answer(json.dumps(cancelled))
    if name == "change":
        described = arguments["to"]
        for _ in range(1000):
            send({"method": "notifications/tools/list_changed"})
        return answer("changed")
    if name == "ask":
        answers = []
        for number, method in enumerate(["sampling/createMessage", "roots/list", "elicitation/create", "ping"]):
            send({"id": f"server-{number}", "method": method, "params": {}})
            answers.append(json.loads(sys.stdin.readline()))
        return answer(json.dumps(answers))
    if name == "where":
        return answer(f"{os.getcwd()} {count}")
    raise ValueError(name)


mode = sys.argv[1] if len(sys.argv) > 1 else ""
if mode == "usage":
    print("usage: fake FILE\n  nothing else")
    sys.exit(2)
if mode == "once":
    if os.path.exists("started"):
        sys.exit("it was started before")
    open("started", "w").close()

for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        if mode == "silent":
            time.sleep(3600)
        version = message["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "fake", "version": "1"}}
        send({"id": id, "result": result})
    elif method == "tools/list":
        send({"id": id, "result": {"tools": tools()}})
    elif method == "ping":
        send({"id": id, "result": {}})
    elif method == "notifications/cancelled":
        cancelled.append(message["params"].get("reason", ""))
    elif method == "tools/call":
        name = message["params"]["name"]
        if name == "slow":
            continue
        if name == "refuse":
            send({"id": id, "error": {"code": -32602, "message": "no \u001b[31mred\u001b[0m arguments"}})
            continue
        send({"id": id, "result": call(name, message["params"].get("arguments", {}))})
