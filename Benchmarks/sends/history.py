"""A log of mails that were sent long ago, with the roll-ups that go with it."""

import asyncio
import time

import asyncpg

from accounts import TENANT
from system import System

USERS = 10_000
"""Those who have a past: the benchmark's senders are among them."""
MONTHS = 12
BURST = 10
"""Mails that a user sends in one quarter of an hour, to half as many people."""
CORRESPONDENTS = 50

# A user's bursts lie apart in the table, as they do where many users send in the same weeks; a mail's id has its time.
ROWS = f"""
SELECT '{TENANT}', 'bench-' || u, at,
  (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
    || substr(md5(n::text), 4, 15))::uuid,
  'bench-' || u || '@example.com', jsonb_build_array('person-' || (u * 7 + n / 2 % {CORRESPONDENTS}) || '@example.org'),
  'Quarterly figures', 'success', '19' || substr(md5(n::text), 1, 14), '19' || substr(md5(n::text), 1, 14), 1,
  at + interval '20 ms',
  jsonb_build_array(jsonb_build_object('at', at, 'event', 'accepted'),
    jsonb_build_object('at', at + interval '20 ms', 'event', 'success'))
FROM (
  SELECT n, n / {BURST} % {USERS} AS u,
    date_trunc('milliseconds', $2::timestamptz + (n - $1::bigint) * (($3::timestamptz - $2::timestamptz) / $4::bigint)) AS at
  FROM generate_series($1::bigint, $1::bigint + $4::bigint - 1) AS n
) AS mails
"""
COLUMNS = """tenant_id, user_id, created_at, id, from_email, to_emails, subject, status, message_id, thread_id, attempts,
  sent_at, timeline"""
STATS = """
INSERT INTO email_stats_15m (tenant_id, user_id, bucket, success)
SELECT tenant_id, user_id, date_bin('15 minutes', sent_at, 'epoch'), count(*) FROM email_logs
WHERE created_at >= $1 AND created_at < $2 GROUP BY 1, 2, 3
ON CONFLICT (tenant_id, user_id, bucket) DO UPDATE SET success = email_stats_15m.success + excluded.success
"""
RECIPIENTS = """
INSERT INTO email_recipients_day (tenant_id, user_id, day, email, success)
SELECT tenant_id, user_id, (sent_at AT TIME ZONE 'UTC')::date, to_emails ->> 0, count(*) FROM email_logs
WHERE created_at >= $1 AND created_at < $2 GROUP BY 1, 2, 3, 4
ON CONFLICT (tenant_id, user_id, day, email) DO UPDATE SET success = email_recipients_day.success + excluded.success
"""
TOTALS = """
INSERT INTO platform_totals_15m (tenant_id, bucket, success)
SELECT tenant_id, bucket, sum(success) FROM email_stats_15m GROUP BY 1, 2
ON CONFLICT (tenant_id, bucket) DO UPDATE SET success = excluded.success;
INSERT INTO platform_totals (tenant_id, success) SELECT tenant_id, sum(success) FROM email_stats_15m GROUP BY 1
ON CONFLICT (tenant_id) DO UPDATE SET success = excluded.success;
"""


def fill_log(system: System, rows: int) -> None:
    """The same number in each of the last months; the last part lies in the partition that sends write to."""
    if rows:
        asyncio.run(fill(system, rows))


async def keep_wal(connection: asyncpg.Connection, change: str) -> None:
    """Less of it while tables are filled, for the disk's sake; the default again before anything is measured."""
    await connection.execute(f"ALTER SYSTEM {change}")
    await connection.execute("SELECT pg_reload_conf()")


async def fill(system: System, rows: int) -> None:
    began = time.monotonic()
    connection = await asyncpg.connect(system.superuser_url, command_timeout=3600)
    await keep_wal(connection, "SET max_wal_size = '256MB'")
    await connection.execute("SET max_parallel_workers_per_gather = 0; SET work_mem = '256MB'; SET timezone = 'UTC'")
    bounds = [row[0] for row in await connection.fetch(
        "SELECT date_trunc('month', now()) - make_interval(months => m) FROM generate_series($1::int, 0, -1) AS m", MONTHS - 1)]
    bounds.append(await connection.fetchval("SELECT now()"))
    share = rows // MONTHS
    for month, (low, high) in enumerate(zip(bounds, bounds[1:])):
        arguments = (month * share, low, high, share)
        if month < MONTHS - 1:
            # An index that is built at the end is quicker than one that grows.
            name = f"email_logs_{low:%Y_%m}"
            await connection.execute(
                f"CREATE TABLE {name} (LIKE email_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                f"ALTER TABLE {name} OWNER TO emailmcp")
            await connection.execute(f"INSERT INTO {name} ({COLUMNS}) {ROWS}", *arguments)
            await connection.execute(
                f"ALTER TABLE email_logs ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}');"
                f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        else:
            await connection.execute(f"INSERT INTO email_logs ({COLUMNS}) {ROWS}", *arguments)
        await connection.execute(STATS, low, high)
        await connection.execute(RECIPIENTS, low, high)
    await connection.execute(TOTALS)
    await keep_wal(connection, "RESET max_wal_size")
    size, logged, stats, recipients = await connection.fetchrow(
        """SELECT pg_database_size(current_database()), (SELECT count(*) FROM email_logs),
           (SELECT count(*) FROM email_stats_15m), (SELECT count(*) FROM email_recipients_day)""")
    await connection.close()
    print(f"{logged:,} mails in the log over {MONTHS} months, {stats:,} quarters, {recipients:,} days of recipients: "
          f"{size / 2**30:.1f} GiB, filled in {time.monotonic() - began:.0f} s", flush=True)
