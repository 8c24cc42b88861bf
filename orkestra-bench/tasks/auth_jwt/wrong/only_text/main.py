# import jwt, bcrypt
# app = FastAPI()
# POST /register stores the bcrypt hash, POST /login answers with a token, GET /me needs it.
