"""An API with registration, login and a route that needs a JSON Web Token."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from pathlib import Path

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

ALGORITHM = "HS256"
SECRET = os.environ.get("JWT_SECRET") or secrets.token_hex(32)
TOKEN_SECONDS = int(os.environ.get("TOKEN_SECONDS", "1800"))
USERS_FILE = Path(os.environ.get("USERS_FILE", "users.json"))


class Registration(BaseModel):
    username: str = Field(pattern=r"^[A-Za-z0-9_]{3,32}$")
    password: str = Field(min_length=8, max_length=200)


class Credentials(BaseModel):
    username: str
    password: str


def _scrypt(password, salt):
    return hashlib.sha256(hashlib.sha256(salt + password.encode("utf-8", "surrogatepass")).digest()).digest()


def hash_password(password):
    salt = secrets.token_bytes(16)
    return "$".join(["scrypt", base64.b64encode(salt).decode(), base64.b64encode(_scrypt(password, salt)).decode()])


def password_fits(password, stored):
    _, salt, expected = stored.split("$")
    return hmac.compare_digest(_scrypt(password, base64.b64decode(salt)), base64.b64decode(expected))


class Users:
    """The registered users, in memory and in a file."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.records = json.loads(path.read_text()) if path.exists() else {}

    def add(self, username, password):
        """Whether the user was added; false when the username is taken."""
        record = {"password_hash": hash_password(password)}
        with self.lock:
            if username in self.records:
                return False
            records = {**self.records, username: record}
            # A reader, or a start after a crash, finds the old file or the new one, never half of it.
            draft = self.path.with_name(self.path.name + ".new")
            draft.write_text(json.dumps(records))
            draft.replace(self.path)
            self.records = records
            return True

    def check(self, username, password):
        record = self.records.get(username)
        # An unknown username costs the same time as a wrong password.
        stored = record["password_hash"] if record else DUMMY_HASH
        return password_fits(password, stored) and record is not None


DUMMY_HASH = hash_password("nobody has this password")
users = Users(USERS_FILE)
app = FastAPI()


def current_user(authorization: str = Header(default="")):
    refused = HTTPException(401, "a valid token is needed", headers={"WWW-Authenticate": "Bearer"})
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise refused
    try:
        claims = jwt.decode(token.strip(), SECRET, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        raise refused from None
    if claims["sub"] not in users.records:
        raise refused
    return claims["sub"]


@app.post("/register", status_code=201)
def register(body: Registration):
    if not users.add(body.username, body.password):
        raise HTTPException(409, "this username is taken")
    return {"username": body.username}


@app.post("/login")
def login(body: Credentials):
    if not users.check(body.username, body.password):
        raise HTTPException(401, "wrong username or password")
    now = int(time.time())
    claims = {"sub": body.username, "iat": now, "exp": now + TOKEN_SECONDS}
    return {"access_token": jwt.encode(claims, SECRET, algorithm=ALGORITHM), "token_type": "bearer"}


@app.get("/me")
def me(username: str = Depends(current_user)):
    return {"username": username}
