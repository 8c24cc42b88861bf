# app = FastAPI(), with the file of TODO_FILE
# POST /todos, GET /todos, GET /todos/{id}, PUT /todos/{id}, PATCH /todos/{id}, DELETE /todos/{id}
# 404: Todo not found
