# app = FastAPI()
# @app.websocket("/ws/{room}") takes a WebSocket; history, joined, left, name_taken, bad_name, bad_message
# GET /rooms and GET /rooms/{room}/history
