"""Many connected mailboxes in seconds: refresh tokens in the journal that the stand-in for Google reads at its start, and
the rows that connecting leaves, their grants sealed by the system's own key. No access tokens: a mailbox's first mail
fetches one with its refresh token, as in real life.
"""

import asyncio
import base64
import json
import os
import struct

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from system import System

TENANT, PROVIDER = "default", "gmail_api"
SCOPE = "https://www.googleapis.com/auth/gmail.send"


def with_mailboxes(count: int, **settings: str) -> System:
    """A system with the users bench-0 … connected."""
    tokens = [f"1//0e{base64.urlsafe_b64encode(os.urandom(48)).decode()}" for _ in range(count)]
    system = System(lambda data: write_journal(data, tokens), **settings)
    asyncio.run(fill(system, tokens))
    return system


def address(index: int) -> str:
    return f"bench-{index}@example.com"


def write_journal(data: str, tokens: list[str]) -> None:
    folder = os.path.join(data, "sandbox")
    os.mkdir(folder, 0o700)
    with open(os.path.join(folder, "journal.ndjson"), "w") as file:
        for index, token in enumerate(tokens):
            file.write(json.dumps({"refresh_token": token, "account": address(index), "scope": SCOPE}) + "\n")


async def fill(system: System, tokens: list[str]) -> None:
    """Accounts and vault as `PostgresAccounts.connect` and `SealedVault.put` would leave them."""
    with open(os.path.join(system.summary["identities"], "vault-keys")) as file:
        key_id, key = file.read().strip().split(",")[0].split(":")
    cipher = AESGCM(base64.b64decode(key))
    accounts, secrets = [], []
    for index, token in enumerate(tokens):
        user, sub = f"bench-{index}", f"1{index:020d}"
        nonce = os.urandom(12)
        secret = json.dumps({"refresh_token": token, "google_sub": sub}).encode()
        place = binding("emailmcp.vault.v1", TENANT, user, PROVIDER, "grant", key_id)
        secrets.append((TENANT, user, PROVIDER, "grant", key_id, nonce, cipher.encrypt(nonce, secret, place)))
        accounts.append((
            TENANT, user, address(index), sub, f"sealed:emailmcp/{TENANT}/{user}", "active", [SCOPE]))
    connection = await asyncpg.connect(system.superuser_url)
    await connection.copy_records_to_table("user_email_accounts", records=accounts, columns=[
        "tenant_id", "user_id", "email_address", "google_sub", "refresh_token_secret_arn", "status", "scopes"])
    await connection.copy_records_to_table("vault_secrets", records=secrets, columns=[
        "tenant_id", "user_id", "provider", "purpose", "key_id", "nonce", "ciphertext"])
    await connection.execute("VACUUM ANALYZE user_email_accounts, vault_secrets")
    await connection.close()


def binding(*parts: str) -> bytes:
    """What `ColumnSeal.binding` makes of them."""
    return b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in parts)


def settle(system: System) -> None:
    """What autovacuum and the checkpointer would have come to sooner or later, before something is measured."""
    async def run() -> None:
        connection = await asyncpg.connect(system.superuser_url, command_timeout=3600)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        await connection.close()

    asyncio.run(run())
