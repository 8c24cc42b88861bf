// The page of @PROJECT@: lists, adds and deletes @RESOURCE@ through the endpoints of contract.json.
"use strict";

const PATH = "/api/@RESOURCE@";
const FIELDS = @FIELDS@;

async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  const value = text === "" ? null : JSON.parse(text);
  if (!answer.ok) throw new Error(value && value.error ? value.error : `status ${answer.status}`);
  return value;
}

function row(item) {
  const line = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = FIELDS.map((name) => item[name]).filter(Boolean).join(" · ");
  const remove = document.createElement("button");
  remove.textContent = "Delete";
  remove.onclick = () => attempt(() => ask("DELETE", `${PATH}/${item.id}`));
  line.append(text, remove);
  return line;
}

async function show() {
  const items = await ask("GET", PATH);
  document.getElementById("list").replaceChildren(...items.map(row));
}

async function attempt(action) {
  const problem = document.getElementById("problem");
  try {
    await action();
    problem.textContent = "";
    await show();
  } catch (error) {
    problem.textContent = error.message;
  }
}

document.getElementById("new").onsubmit = (event) => {
  event.preventDefault();
  const form = event.target;
  const item = Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));
  attempt(async () => {
    await ask("POST", PATH, item);
    form.reset();
  });
};

attempt(show);
