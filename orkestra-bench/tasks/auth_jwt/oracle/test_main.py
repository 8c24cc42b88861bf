import time

import jwt
import pytest
from fastapi.testclient import TestClient

import main

ACCOUNT = {"username": "ada", "password": "analytical engine"}


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "users", main.Users(tmp_path / "users.json"))
    return TestClient(main.app)


def me(client, token):
    return client.get("/me", headers={"Authorization": f"Bearer {token}"})


def test_register_login_and_read_the_own_name(client):
    assert client.post("/register", json=ACCOUNT).status_code == 201
    token = client.post("/login", json=ACCOUNT).json()["access_token"]
    assert me(client, token).json() == {"username": "ada"}


def test_a_username_is_given_once(client):
    client.post("/register", json=ACCOUNT)
    assert client.post("/register", json={**ACCOUNT, "password": "another password"}).status_code == 409
    assert client.post("/login", json=ACCOUNT).status_code == 200


def test_users_are_read_from_the_file(client):
    client.post("/register", json=ACCOUNT)
    assert "analytical" not in main.users.path.read_text()
    assert main.Users(main.users.path).check("ada", "analytical engine")


@pytest.mark.parametrize(
    "claims, key",
    [
        ({"sub": "ada", "exp": time.time() - 1}, main.SECRET),
        ({"sub": "ada"}, main.SECRET),
        ({"sub": "eve", "exp": time.time() + 60}, main.SECRET),
        ({"sub": "ada", "exp": time.time() + 60}, "another key, which is long enough for HS256"),
    ],
)
def test_refuses_tokens(client, claims, key):
    client.post("/register", json=ACCOUNT)
    answer = me(client, jwt.encode(claims, key, algorithm="HS256"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
