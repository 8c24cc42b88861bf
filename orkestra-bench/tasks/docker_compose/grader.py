import functools
import json
import random
import re
import shlex
import string
from urllib.parse import urlsplit

import yaml

from grading import main, program, test

COMPOSE = "docker-compose.yml"
BYTES_MAX, NODES_MAX = 32_000, 20_000
PASSWORD = "".join(random.choices(string.ascii_letters, k=20))


def expanded(node, sizes):
    """How many nodes a tree has when its aliases are written out. Its keys must differ, as Docker Compose demands."""
    if id(node) in sizes:
        assert sizes[id(node)], "an alias contains itself"
        return sizes[id(node)]
    sizes[id(node)] = 0
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(expanded(item, sizes) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        assert len(keys) == len(set(keys)), f"a key appears twice: {sorted(keys)}"
        size += sum(expanded(key, sizes) + expanded(value, sizes) for key, value in node.value)
    sizes[id(node)] = size
    return size


@functools.cache
def outcome(text):
    """The content of a YAML file, which may try to exhaust whoever reads it, and what is wrong with it."""
    try:
        assert len(text.encode()) <= BYTES_MAX, f"it is larger than {BYTES_MAX} bytes"
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        # Before any value is made: merge keys copy what an alias holds.
        size = expanded(root, {}) if root else 0
        assert size <= NODES_MAX, f"it has {size} nodes when its aliases are written out"
        return yaml.safe_load(text), None
    except (AssertionError, yaml.YAMLError, RecursionError, ValueError) as error:
        return None, f"{COMPOSE}: {str(error)[:500]}"


def parsed(text):
    tree, problem = outcome(text)
    assert not problem, problem
    return tree


def closing(text, at):
    """Where the brace ends that opens before `at`."""
    depth = 1
    for found in re.compile(r"\$\{|\}").finditer(text, at):
        depth += 1 if found[0] == "${" else -1
        if not depth:
            return found.start()
    raise AssertionError(f"a variable is not closed: {text[:200]!r}")


def interpolated(text, variables):
    """What Docker Compose makes of a string: $NAME, ${NAME}, ${NAME:-default}, ${NAME:?error}, ${NAME:+other}, and $$ for a dollar sign."""
    result, at = [], 0
    while at < len(text):
        plain = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").match(text, at + 1)
        if text[at] != "$" or text.startswith("$$", at):
            result.append(text[at])
            at += 1 + (text[at] == "$")
        elif plain:
            result.append(variables.get(plain[0], ""))
            at = plain.end()
        else:
            assert text.startswith("${", at), f"not a variable, and no $$: {text[:200]!r}"
            end = closing(text, at + 2)
            found = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])(.*))?", text[at + 2 : end], re.DOTALL)
            assert found, f"not a variable: {text[:200]!r}"
            value, how, other = variables.get(found[1]), found[2] or "", found[3] or ""
            there = bool(value) if how.startswith(":") else value is not None
            if how.endswith("+"):
                value = interpolated(other, variables) if there else ""
            elif not there and how.endswith("-"):
                value = interpolated(other, variables)
            result.append(value or "")
            at = end + 1
    return "".join(result)


def resolved(tree, variables):
    if isinstance(tree, dict):
        return {str(key): resolved(value, variables) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolved(value, variables) for value in tree]
    return interpolated(tree, variables) if isinstance(tree, str) else tree


def example():
    """The variables of .env.example."""
    variables = {}
    for line in program.read(".env.example").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            variables[name.strip()] = value.strip().strip("'\"")
    return variables


def mapping(value, what):
    assert isinstance(value, dict), f"{what} is not a mapping: {str(value)[:200]}"
    return value


def compose(variables=None):
    """The file with its variables replaced: those of .env.example, with a password that the grader chose."""
    variables = {**example(), "POSTGRES_PASSWORD": PASSWORD} if variables is None else variables
    return mapping(resolved(parsed(program.read(COMPOSE)), variables), COMPOSE)


def service(name, variables=None):
    services = mapping(compose(variables).get("services"), "services")
    return mapping(services.get(name), f"the service {name}")


def environment(name, variables=None):
    value = service(name, variables).get("environment")
    if isinstance(value, list):
        value = {key: text if equals else None for key, equals, text in (str(entry).partition("=") for entry in value)}
    # An entry without a value is taken over from the environment of Compose.
    outside = {**example(), "POSTGRES_PASSWORD": PASSWORD} if variables is None else variables
    return {key: outside.get(key, "") if text is None else str(text) for key, text in mapping(value, f"the environment of {name}").items()}


def networks(name):
    return sorted(service(name).get("networks") or [])


def named_volumes(definition):
    """The named volumes of a service, by the path at which they are mounted."""
    found = {}
    for entry in definition.get("volumes") or []:
        if isinstance(entry, dict):
            if entry.get("type") == "volume" and entry.get("source"):
                found[str(entry.get("target")).rstrip("/")] = entry["source"]
        else:
            parts = str(entry).split(":")
            if len(parts) > 1 and not parts[0].startswith((".", "/", "~")):
                found[parts[1].rstrip("/")] = parts[0]
    return found


def check_of(name):
    """The program of a health check and its whole command line."""
    check = mapping(service(name).get("healthcheck"), f"the health check of {name}")
    command = check.get("test")
    assert command and not check.get("disable"), f"the health check of {name} tests nothing"
    if isinstance(command, str):
        return None, command
    assert isinstance(command, list) and len(command) > 1, f"the health check of {name}: {command}"
    assert command[0] in ("CMD", "CMD-SHELL"), f"the health check of {name} has to begin with CMD or CMD-SHELL: {command}"
    words = [str(word) for word in command[1:]]
    if command[0] == "CMD-SHELL":
        return None, words[0]
    first = words[0].rsplit("/", 1)[-1]
    return (None, words[-1]) if first in ("sh", "bash", "ash") else (first, shlex.join(words))


class Stage:
    def __init__(self, base, parent):
        self.base, self.parent, self.steps = base, parent, []

    def chain(self):
        """The instructions with those of the stages that this one is built on."""
        return (self.parent.chain() if self.parent else []) + self.steps


def logical_lines(text):
    """The instructions of a Dockerfile, each in one line."""
    lines, end, pending = [], None, ""
    for line in text.splitlines():
        if end is not None:
            end = None if line.strip() == end else end
            lines[-1] += " " + line
        elif line.strip() and not line.strip().startswith("#"):
            pending += line.strip()
            if pending.endswith("\\"):
                pending = pending[:-1] + " "
                continue
            lines.append(pending)
            here = re.search(r"<<-?[\"']?(\w+)", pending) if re.match(r"(?i)(run|copy|add)\s", pending) else None
            end, pending = here[1] if here else None, ""
    return lines + ([pending] if pending else [])


def dockerfile():
    """The stages of web/Dockerfile."""
    text = program.read("web/Dockerfile")
    assert len(text) <= BYTES_MAX, "web/Dockerfile is too large"
    stages, names, arguments = [], {}, {}
    for line in logical_lines(text):
        word, _, rest = line.partition(" ")
        word, rest = word.upper(), rest.strip()
        if word == "ARG" and not stages:
            arguments[rest.partition("=")[0]] = rest.partition("=")[2].strip("'\"")
        elif word == "FROM":
            parts = [part for part in interpolated(rest, arguments).split() if not part.startswith("--")]
            assert parts, f"FROM without an image: {line}"
            stages.append(Stage(parts[0], names.get(parts[0].lower())))
            if len(parts) == 3 and parts[1].upper() == "AS":
                names[parts[2].lower()] = stages[-1]
        else:
            assert stages, f"web/Dockerfile does not begin with FROM: {line[:200]}"
            stages[-1].steps.append((word, rest))
    assert stages, "web/Dockerfile has no FROM"
    return stages


def copied(step):
    """What a COPY or ADD takes from the build context; nothing for other instructions."""
    word, rest = step
    if word not in ("COPY", "ADD") or re.search(r"--from=|<<", rest):
        return []
    rest = re.sub(r"^(--\S+\s+)+", "", rest)
    parts = json.loads(rest) if rest.startswith("[") else rest.split()
    return [re.sub(r"^\./", "", str(part)) or "." for part in parts[:-1]]


def version_of(image, repository):
    """The tag of an image, which has to be of this repository when one is given."""
    name, _, tag = image.partition("@")[0].rpartition(":")
    assert name and "/" not in tag, f"{image} has no version"
    assert re.match(r"v?\d", tag), f"{image}: the tag is not a version"
    name = name.removeprefix("docker.io/").removeprefix("library/")
    assert repository in (None, name), f"{image} is not {repository}"
    return tag


@test
def the_compose_file_is_valid():
    tree = compose()
    services = mapping(tree.get("services"), "services")
    strange = [key for key in tree if not key.startswith("x-") and key not in ("version", "name", "services", "networks", "volumes", "configs", "secrets")]
    assert not strange, f"unknown at the top level: {strange}"
    assert {"web", "db", "cache"} <= set(services), f"services: {sorted(services)}"
    for name, definition in services.items():
        definition = mapping(definition, f"the service {name}")
        assert definition.get("image") or definition.get("build"), f"{name} has neither an image nor a build"
        for network in definition.get("networks") or []:
            assert network == "default" or network in (tree.get("networks") or {}), f"{name} uses the network {network}, which is not declared"
        for volume in named_volumes(definition).values():
            assert volume in (tree.get("volumes") or {}), f"{name} uses the volume {volume}, which is not declared"
        for other in definition.get("depends_on") or []:
            assert other in services, f"{name} depends on {other}, which does not exist"
    for name in ("web", "db", "cache"):
        assert services[name].get("restart") == "unless-stopped", f"{name}: restart is {services[name].get('restart')!r}"
        check_of(name)


@test
def services_have_images_with_versions():
    for name, repository, version in (("db", "postgres", "16"), ("cache", "redis", "7")):
        tag = version_of(str(service(name).get("image")), repository)
        assert re.match(rf"{version}(\D|$)", tag), f"{name} has version {tag}"
    build = service("web").get("build")
    build = build if isinstance(build, dict) else {"context": build}
    used = [str(build.get("context")), str(build.get("dockerfile", "Dockerfile"))]
    assert [path.removeprefix("./").rstrip("/") for path in used] == ["web", "Dockerfile"], f"web is not built from ./web: {used}"
    assert not {"command", "entrypoint"} & set(service("web")), "web has a command or an entrypoint besides that of its Dockerfile"


@test
def only_the_web_service_is_published():
    for name in ("db", "cache"):
        assert not service(name).get("ports") and not service(name).get("network_mode"), f"{name} publishes ports or leaves its networks"
    ports = service("web").get("ports") or []
    published = [f"{entry.get('published')}:{entry.get('target')}" if isinstance(entry, dict) else str(entry) for entry in ports]
    assert [text.removesuffix("/tcp").split(":")[-2:] for text in published] == [["8000", "8000"]], f"web publishes {published}"


@test
def networks_hide_database_and_cache():
    declared = mapping(compose().get("networks"), "networks")
    assert (declared.get("backend") or {}).get("internal") is True, f"backend is not internal: {declared}"
    assert not (declared.get("frontend") or {}).get("internal"), f"frontend is internal, so nobody reaches web: {declared}"
    assert networks("web") == ["backend", "frontend"], f"web is in {networks('web')}"
    assert networks("db") == networks("cache") == ["backend"], f"db is in {networks('db')}, cache in {networks('cache')}"


@test
def web_waits_until_the_others_are_healthy():
    waits = mapping(service("web").get("depends_on"), "depends_on of web, which needs conditions,")
    for name in ("db", "cache"):
        assert mapping(waits.get(name), f"depends_on {name}").get("condition") == "service_healthy", f"web waits for {name}: {waits[name]}"


@test
def health_checks_ask_the_services():
    for name, wanted, pattern in (("db", "pg_isready", r"\bpg_isready\b"), ("cache", "redis-cli", r"\bredis-cli\b.*\b(ping|PING)\b")):
        first, line = check_of(name)
        assert first in (None, wanted) and re.search(pattern, line), f"the health check of {name}: {line}"
    first, line = check_of("web")
    assert re.match(r"python[\d.]*$" if first else r"(.*[\s;&|(/])?python[\d.]*\s", first or line), f"the health check of web does not run python: {line}"
    text = line
    # A check may be a script of the solution: what it says counts.
    for path in (path[4:] for path in program.files() if re.fullmatch(r"web/.*\.py", path)):
        if path in line or f"-m {path[:-3]}" in line:
            text += program.read(f"web/{path}")
            line = re.sub(rf"[^\s'\"]*{re.escape(path)}", path, line)
    assert "/health" in text and "8000" in text, f"the health check of web does not request /health at port 8000: {text}"
    # Here nobody listens on port 8000. In the image python has this name.
    line = f"cd web && ln -sf $(command -v python3) /tmp/python; PATH=/tmp:$PATH; {line.replace('/usr/local/bin/python', 'python')}"
    ended = program.run(line, timeout_s=6)
    assert ended.exit_code != 0, f"the health check of web succeeds while nothing answers: {ended}"


@test
def the_password_comes_from_outside():
    assert "POSTGRES_PASSWORD" in example(), ".env.example does not have POSTGRES_PASSWORD"
    assert environment("db").get("POSTGRES_PASSWORD") == PASSWORD, "db does not get the value of POSTGRES_PASSWORD as its password"
    without = {name: value for name, value in example().items() if name != "POSTGRES_PASSWORD"}
    left = environment("db", without).get("POSTGRES_PASSWORD")
    assert left == "", f"{COMPOSE} has a password of its own: {left!r}"
    left = urlsplit(environment("web", without).get("DATABASE_URL", "")).password
    assert not left, f"{COMPOSE} has a password of its own in DATABASE_URL: {left!r}"


@test
def web_knows_database_and_cache():
    wanted = {"POSTGRES_USER": "app", "POSTGRES_DB": "app", "POSTGRES_PASSWORD": PASSWORD}
    found = {name: environment("db").get(name) for name in wanted}
    assert found == wanted, f"the environment of db: {found}"
    given = environment("web")
    assert given.get("DATABASE_URL") == f"postgresql://app:{PASSWORD}@db:5432/app", f"DATABASE_URL with the password {PASSWORD}: {given.get('DATABASE_URL')}"
    assert given.get("REDIS_URL") == "redis://cache:6379/0", f"REDIS_URL: {given.get('REDIS_URL')}"


@test
def data_outlives_the_container():
    assert "/var/lib/postgresql/data" in named_volumes(service("db")), f"no named volume at /var/lib/postgresql/data: {service('db').get('volumes')}"


@test
def the_image_is_built_in_a_good_order():
    stages, files = dockerfile(), program.files()
    for stage in stages:
        if stage.parent is None:
            version_of(stage.base, None)
        for step in stage.steps:
            for source in copied(step):
                there = source == "." or re.search(r"[*?\[$]", source) or any(f"{path}/".startswith(f"web/{source.rstrip('/')}/") for path in files)
                assert there, f"web/Dockerfile copies {source}, which does not exist in web/"
    installs = [(stage, at) for stage in stages for at, (word, rest) in enumerate(stage.chain()) if word == "RUN" and re.search(r"\bpip3?\b.*\brequirements", rest)]
    assert installs, "web/Dockerfile does not install requirements.txt with pip"
    stage, at = installs[0]
    before = [source for step in stage.chain()[:at] for source in copied(step)]
    assert any("requirements" in source for source in before) or "--mount=type=bind" in stage.chain()[at][1], f"requirements.txt is not copied by itself before it is installed: {before}"
    early = [source for source in before if "requirements" not in source]
    assert not early, f"the source is copied before the packages are installed: {early}"
    for line in program.read("web/requirements.txt").splitlines():
        line = line.split("#")[0].split(";")[0].strip()
        assert not line or re.fullmatch(r"[\w.-]+(\[[\w,\s.-]+\])?\s*==\s*\d[\w.+!-]*", line), f"no exact version: {line}"
    assert {"fastapi", "uvicorn"} <= set(re.findall(r"(?m)^\s*([\w.-]+)", program.read("web/requirements.txt").lower())), "it lacks fastapi or uvicorn"


@test
def the_program_runs_without_root_and_is_reachable():
    steps = dockerfile()[-1].chain()
    last = dict(steps)
    user = last.get("USER", "root").split(":")[0].strip("'\"")
    assert user not in ("root", "0", ""), f"the program runs as {user}"
    made = [rest for word, rest in steps if word == "RUN" and re.search(r"useradd|adduser", rest)]
    known = user.isdigit() or user.startswith("$") or user in ("nobody", "www-data", "daemon")
    assert known or any(re.search(rf"(?<![\w-]){re.escape(user)}(?![\w-])", rest) for rest in made), f"the user {user} is not created"
    assert any("8000" in re.split(r"[\s/]+", rest) for word, rest in steps if word == "EXPOSE"), "port 8000 is not declared with EXPOSE"
    command = []
    for word in ("ENTRYPOINT", "CMD"):
        if word in last:
            assert last[word].startswith("["), f"{word} does not have the exec form: {last[word]}"
            command += [str(part) for part in json.loads(last[word])]
    line = " ".join(command).replace("=", " ")
    assert re.search(r"\buvicorn\b", line) and "main:app" in command, f"it does not run uvicorn with main:app: {command}"
    assert re.search(r"--host 0\.0\.0\.0( |$)", line) and re.search(r"--port 8000( |$)", line), f"it does not listen on port 8000 of all addresses of its container: {command}"
    sources = [source for step in steps for source in copied(step)]
    assert any(source in (".", "*", "main.py", "*.py") for source in sources) or "--from=" in str(steps), f"main.py is not copied: {sources}"


@test
def the_application_answers():
    port, hosts = random.randint(20000, 29999), ["".join(random.choices(string.ascii_lowercase, k=8)) for _ in range(2)]
    ports = [random.randint(1000, 9999) for _ in range(2)]
    urls = f"DATABASE_URL=postgresql://app:{PASSWORD}@{hosts[0]}:{ports[0]}/app REDIS_URL=redis://{hosts[1]}:{ports[1]}/0"
    with program.start(f"cd web && {urls} python3 -m uvicorn main:app --port {port}", port, timeout_s=8):
        reply = program.http(port, "GET", "/health", timeout_s=4)
        assert reply.status == 200 and reply.json() == {"status": "ok"}, reply
        reply = program.http(port, "GET", "/services", timeout_s=4)
    assert reply.status == 200 and reply.json() == {"database": f"{hosts[0]}:{ports[0]}", "cache": f"{hosts[1]}:{ports[1]}"}, reply


main()
