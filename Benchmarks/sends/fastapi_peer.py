"""The same job as one would write it with FastAPI: check the key, read the token, build the MIME, post it to Gmail,
write the log row. PEER_CLIENT picks the outgoing HTTP client: httpx (what most would take) or aiohttp (hand-tuned, and
then with the counters of the reports in the same transaction, as our service keeps them).

Environment: DATABASE_URL, GMAIL_URL, PEER_CLIENT, BENCH_KEY.
"""

import base64
import hashlib
import hmac
import json
import os
import uuid
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from email.message import EmailMessage

import asyncpg
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, EmailStr

CLIENT = os.environ["PEER_CLIENT"]
SEND_URL = os.environ["GMAIL_URL"] + "/gmail/v1/users/me/messages/send"
KEY_HASH = hashlib.sha256(os.environ["BENCH_KEY"].encode()).digest()

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS peer;
CREATE TABLE IF NOT EXISTS peer.email_logs (
  id uuid PRIMARY KEY, user_id text NOT NULL, from_email text, to_emails jsonb, subject text, message_id text,
  provider text, status text, error_message text, sent_at timestamptz);
CREATE INDEX IF NOT EXISTS peer_logs_user ON peer.email_logs (user_id, sent_at);
CREATE TABLE IF NOT EXISTS peer.accounts (user_id text PRIMARY KEY, email_address text, access_token text);
CREATE TABLE IF NOT EXISTS peer.stats (
  user_id text, bucket timestamptz, success bigint, PRIMARY KEY (user_id, bucket));
"""


class Message(BaseModel):
    to: list[EmailStr]
    subject: str = ""
    body: str


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=16)
    if CLIENT == "httpx":
        import httpx

        app.state.http = httpx.AsyncClient(limits=httpx.Limits(max_connections=100))
    else:
        import aiohttp

        app.state.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100))
    yield
    await (app.state.http.aclose() if CLIENT == "httpx" else app.state.http.close())
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


async def post(token: str, raw: str) -> dict:
    headers = {"Authorization": f"Bearer {token}"}
    if CLIENT == "httpx":
        answer = await app.state.http.post(SEND_URL, json={"raw": raw}, headers=headers)
        answer.raise_for_status()
        return answer.json()
    async with app.state.http.post(SEND_URL, json={"raw": raw}, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.json()


@app.post("/v1/users/{user_id}/messages")
async def send(user_id: str, message: Message, authorization: str = Header()):
    presented = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).digest()
    if not hmac.compare_digest(presented, KEY_HASH):
        raise HTTPException(401)
    account = await app.state.pool.fetchrow(
        "SELECT email_address, access_token FROM peer.accounts WHERE user_id = $1", user_id)
    if account is None:
        raise HTTPException(409)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = account["email_address"], ", ".join(message.to), message.subject
    mail.set_content(message.body)
    sent = await post(account["access_token"], base64.urlsafe_b64encode(mail.as_bytes()).decode())
    now = datetime.now(timezone.utc)
    row = (uuid.uuid4(), user_id, account["email_address"], json.dumps(message.to), message.subject, sent["id"], now)
    insert = """INSERT INTO peer.email_logs
      (id, user_id, from_email, to_emails, subject, message_id, provider, status, sent_at)
      VALUES ($1, $2, $3, $4, $5, $6, 'gmail_api', 'success', $7)"""
    if CLIENT == "httpx":
        await app.state.pool.execute(insert, *row)
    else:
        async with app.state.pool.acquire() as connection, connection.transaction():
            await connection.execute(insert, *row)
            await connection.execute(
                """INSERT INTO peer.stats VALUES ($1, date_bin('15 minutes', $2, 'epoch'), 1)
                   ON CONFLICT (user_id, bucket) DO UPDATE SET success = peer.stats.success + 1""", user_id, now)
    return {"status": "success", "id": str(row[0]), "message_id": sent["id"]}
