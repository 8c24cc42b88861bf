# app = FastAPI()
# /health answers with the uptime, /ready with 200 or 503, /version with APP_VERSION.
