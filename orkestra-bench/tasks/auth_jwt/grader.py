import base64
import hashlib
import hmac
import json
import random
import secrets
import string
import time

from grading import NotStarted, main, program, test

LETTERS = string.ascii_lowercase
SECRET = secrets.token_hex(24)
DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
START_S, REQUEST_S = 8, 8
given_up = []
shared = []


def word(prefix="", size=10):
    return prefix + "".join(random.choices(LETTERS, k=size))


class Api:
    """A running solution with settings of its own."""

    def __init__(self, users_file, secret=SECRET, seconds=None):
        # A failed start and a request without an answer cost time: the first one decides.
        if given_up:
            raise NotStarted(given_up[0])
        settings = {"USERS_FILE": users_file, "JWT_SECRET": secret, "TOKEN_SECONDS": seconds}
        variables = " ".join(f"{name}={value}" for name, value in settings.items() if value is not None)
        self.users_file, self.seconds = users_file, seconds
        self.port = random.randint(20000, 29999)
        command = f"env -u JWT_SECRET -u TOKEN_SECONDS {variables} python3 -m uvicorn main:app --port {self.port}"
        try:
            self.server = program.start(command, self.port, timeout_s=START_S)
        except NotStarted as error:
            given_up.append(str(error))
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

    def ask(self, method, path, body=None, headers=None):
        if given_up:
            raise TimeoutError(given_up[0])
        try:
            return program.http(self.port, method, path, body, headers, timeout_s=REQUEST_S)
        except TimeoutError as error:
            given_up.append(f"{method} {path}: {error}")
            raise

    def post(self, path, username, password):
        return self.ask("POST", path, {"username": username, "password": password})

    def register(self, username=None, password=None):
        username, password = username or word("u"), password or word("p", 14)
        reply = self.post("/register", username, password)
        assert reply.status == 201, reply
        return username, password

    def token(self, username, password):
        reply = self.post("/login", username, password)
        assert reply.status == 200, reply
        token = reply.json().get("access_token")
        assert isinstance(token, str) and token.count(".") == 2, reply
        return token

    def me(self, authorization):
        headers = {} if authorization is None else {"Authorization": authorization}
        return self.ask("GET", "/me", headers=headers)

    def accepts(self, token, username):
        reply = self.me(f"Bearer {token}")
        assert reply.status == 200 and reply.json().get("username") == username, reply

    def refuses(self, authorization, what):
        reply = self.me(authorization)
        assert reply.status == 401, f"{what}: {reply}"
        assert reply.headers.get("WWW-Authenticate", "").split(" ")[0].lower() == "bearer", f"{what}: no WWW-Authenticate: Bearer"


def api():
    """The solution that most tests share."""
    if not shared:
        shared.append(Api(word("users_") + ".json", seconds=random.randint(500, 5000)))
    return shared[0]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(segment):
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def signature(head_and_claims, secret, digest="sha256"):
    return b64(hmac.new(secret.encode(), head_and_claims.encode(), digest).digest())


def made(claims, secret=SECRET, algorithm="HS256"):
    """A token of the grader's own."""
    head = {"alg": algorithm, "typ": "JWT"}
    text = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{signature(text, secret, DIGESTS[algorithm]) if algorithm in DIGESTS else ''}"


def claims_of(username, valid_s=600):
    now = int(time.time())
    return {"sub": username, "iat": now - 1000, "exp": now + valid_s}


@test
def registers_a_user():
    username, password = word("Ada_"), word("secret", 12)
    reply = api().post("/register", username, password)
    assert reply.status == 201 and reply.json().get("username") == username, reply
    assert password not in reply.text and "hash" not in reply.text.lower(), reply


@test
def refuses_bad_registrations():
    good = word("p", 14)
    for username, password in [
        ("ab", good), (word(size=33), good), ("with space", good), ("semi;colon", good), (word() + "é", good),
        (word(), "seven77"), (word(), "x" * 201),
    ]:
        reply = api().post("/register", username, password)
        assert reply.status == 422, f"{username!r}, password of {len(password)} characters: {reply}"
    for body in ({"username": word()}, {"password": good}, [], {"username": 5, "password": good}):
        reply = api().ask("POST", "/register", body)
        assert reply.status == 422, f"{body}: {reply}"
    username, password = api().register()
    reply = api().post("/register", username, word("q", 14))
    assert reply.status == 409, reply
    api().token(username, password)


@test
def login_gives_a_signed_token():
    username, password = word("u"), word("p", 14)
    api().register(username, password)
    before = time.time()
    reply = api().post("/login", username, password)
    after = time.time()
    assert reply.status == 200 and str(reply.json().get("token_type")).lower() == "bearer", reply
    head, claims, signed = reply.json()["access_token"].split(".")
    assert decoded(head).get("alg") == "HS256", decoded(head)
    assert hmac.compare_digest(signature(f"{head}.{claims}", SECRET), signed), "the signature does not fit JWT_SECRET"
    claims = decoded(claims)
    assert claims.get("sub") == username, claims
    assert before - 2 <= claims["iat"] <= after + 2, claims
    assert before + api().seconds - 2 <= claims["exp"] <= after + api().seconds + 2, f"{claims}: not {api().seconds} s from {before}"
    assert password not in json.dumps(claims), claims


@test
def refuses_wrong_passwords():
    username, password = api().register()
    wrong = [api().post("/login", username, guess) for guess in (password + "x", password.upper())]
    unknown = api().post("/login", word("nobody"), password)
    for reply in [*wrong, unknown]:
        assert reply.status == 401, reply
        assert reply.json() == unknown.json(), f"a wrong password and an unknown username differ: {reply} and {unknown}"


@test
def every_character_of_a_password_counts():
    long = word(size=199)
    username, _ = api().register(password=long + "a")
    api().token(username, long + "a")
    for guess in (long + "b", long[:72]):
        reply = api().post("/login", username, guess)
        assert reply.status == 401, f"another password, of {len(guess)} characters, with the same beginning: {reply}"
    username, _ = api().register(password="пароль" * 8 + "é")
    assert api().post("/login", username, "пароль" * 8 + "è").status == 401, "the end of a password that is not ASCII does not count"


@test
def the_protected_route_knows_the_user():
    people = [api().register() for _ in range(2)]
    for person in people:
        username, token = person[0], api().token(*person)
        api().accepts(token, username)
        api().accepts(made(claims_of(username)), username)
        api().accepts(made({"sub": username, "exp": int(time.time()) + 60}), username)
        reply = api().me(f"Bearer {token}")
        assert "hash" not in reply.text.lower(), reply


@test
def the_protected_route_needs_a_token():
    username, password = api().register()
    token = api().token(username, password)
    basic = base64.b64encode(f"{username}:{password}".encode()).decode()
    for authorization in (None, "Bearer", "Bearer ", "Bearer abc", "Bearer a.b.c", f"Bearer {token}.{token}", f"Basic {basic}", f"Basic {token}", token):
        api().refuses(authorization, f"Authorization: {authorization}")


@test
def refuses_forged_tokens():
    person = api().register()
    username, victim = person[0], api().register()[0]
    token = api().token(*person)
    head, claims, signed = token.split(".")
    stolen = b64(json.dumps({**decoded(claims), "sub": victim}).encode())
    api().refuses(f"Bearer {head}.{stolen}.{signed}", "a token with another user's name and the old signature")
    api().refuses(f"Bearer {head}.{claims}.", "a token without its signature")
    half = len(signed) // 2
    turned = signed[:half] + ("A" if signed[half] != "A" else "B") + signed[half + 1 :]
    api().refuses(f"Bearer {head}.{claims}.{turned}", "a token with a changed signature")
    for algorithm in ("none", "None", "NONE", "nOnE"):
        unsigned = made(claims_of(username), algorithm=algorithm)
        api().refuses(f"Bearer {unsigned}", f"alg {algorithm}")
        api().refuses(f"Bearer {unsigned}{signed}", f"alg {algorithm} with a signature")
    for algorithm in ("HS384", "HS512"):
        api().refuses(f"Bearer {made(claims_of(username), algorithm=algorithm)}", algorithm)
    for secret in ("", "secret", secrets.token_hex(24), SECRET.upper()):
        api().refuses(f"Bearer {made(claims_of(username), secret)}", "a token that is signed with another secret")
    api().accepts(token, username)


@test
def refuses_expired_and_foreign_tokens():
    username = api().register()[0]
    for age in (2, 90, 100_000):
        api().refuses(f"Bearer {made(claims_of(username, -age))}", f"a token that ended {age} s ago")
    api().refuses(f"Bearer {made({'sub': username})}", "a token without exp")
    api().refuses(f"Bearer {made({'sub': username, 'exp': 'tomorrow'})}", "a token whose exp is text")
    api().refuses(f"Bearer {made(claims_of(word('nobody')))}", "a token of a user who is not registered")
    api().refuses(f"Bearer {made({'exp': int(time.time()) + 60})}", "a token without sub")


def fast_hashes(password, pieces):
    """What a fast hash of the password, with any of the pieces as its salt, looks like."""
    salts = {b""}
    for piece in pieces[:20]:
        salts.add(piece.encode())
        for decode in (bytes.fromhex, base64.b64decode, base64.urlsafe_b64decode):
            try:
                salts.add(decode(piece))
            except ValueError:
                pass
    for salt in salts:
        secret = password.encode()
        inputs = [salt + secret, secret + salt, salt + b":" + secret, secret + b":" + salt, salt + b"$" + secret]
        for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "blake2s"):
            for data in inputs:
                yield hashlib.new(name, data).digest()
            yield hmac.new(salt, secret, name).digest()


def strings_of(value):
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings_of(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings_of(part)]
    return [str(value)]


def processor_ms(requests, ask):
    """The time of the processor that all programs of the solution take for so many requests."""
    def taken():
        lines = program.run("cat /proc/[0-9]*/stat 2>/dev/null").stdout.splitlines()
        return 10 * sum(int(field) for line in lines for field in line.rpartition(")")[2].split()[11:13])
    before = taken()
    for _ in range(requests):
        ask()
    return taken() - before


@test
def stores_slow_salted_hashes():
    password = word("Pw", 14)
    people = [api().register(password=password)[0] for _ in range(2)]
    # It is written before the registration is answered, so the file is complete while the server runs.
    text = program.read(api().users_file)
    try:
        kept = json.loads(text)
        hashes = [kept[username]["password_hash"] for username in people]
    except (ValueError, KeyError, TypeError) as error:
        raise AssertionError(f"the users file is not as described ({error!r}): {text[:300]}") from None
    assert all(isinstance(stored, str) and len(stored) >= 16 for stored in hashes), hashes
    assert hashes[0] != hashes[1], f"the same password has the same hash: {hashes[0]}"
    encoded = [password, password[::-1], password.encode().hex(), base64.b64encode(password.encode()).decode().rstrip("=")]
    assert not any(shape in text for shape in encoded), "the password can be read in the users file"
    for username in people:
        whole = " ".join(strings_of(kept[username]))
        pieces = whole.replace("$", " ").replace(":", " ").replace(".", " ").replace("|", " ").split()
        for digest in fast_hashes(password, pieces):
            shapes = (digest.hex(), digest.hex().upper(), base64.b64encode(digest).decode().rstrip("="), b64(digest))
            assert not any(shape in whole for shape in shapes), "the password is kept as a fast hash, which is quick to guess"
    # Whatever it is, to compare a password with it takes time.
    other = processor_ms(12, lambda: api().me(None))
    login = processor_ms(12, lambda: api().post("/login", people[0], password + "x"))
    assert login - other >= 12 * 4, f"12 logins take {login} ms of the processor, and 12 other requests {other} ms: the hash is quick to guess"


@test
def users_survive_a_restart():
    path = word("users_") + ".json"
    with Api(path) as first:
        person = first.register()
        token = first.token(*person)
    # Users are in their file, and not in a process that goes on, or in another file.
    program.renew(path)
    shared.clear()
    with Api(path) as second:
        second.accepts(token, person[0])
        assert second.post("/register", *person).status == 409, "the username can be registered again after a restart"
    with Api(path, secret=secrets.token_hex(24)) as third:
        third.refuses(f"Bearer {token}", "a token that was signed with another JWT_SECRET")
        third.accepts(third.token(*person), person[0])


@test
def without_a_secret_the_key_is_random():
    path = word("users_") + ".json"
    with Api(path, secret=None) as first:
        person = first.register()
        token = first.token(*person)
        first.accepts(token, person[0])
        for secret in ("", "secret", "None", "changeme"):
            first.refuses(f"Bearer {made(claims_of(person[0]), secret)}", f"a token that is signed with {secret!r}")
    with Api(path, secret=None) as second:
        second.refuses(f"Bearer {token}", "a token from before the restart")
        second.token(*person)


main()
