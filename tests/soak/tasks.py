"""Jobs that do nothing, for Celery and for RQ."""

import os

from celery import Celery

LATE = os.environ.get("PEERS_LATE") == "1"
REDIS = os.environ.get("PEERS_REDIS", "redis://127.0.0.1:6379/0")

app = Celery("peers", broker=REDIS, backend=REDIS if LATE else None)
app.conf.update(
    task_acks_late=LATE,
    task_reject_on_worker_lost=LATE,
    task_ignore_result=not LATE,
    broker_connection_retry_on_startup=True,
)


@app.task(name="peers.nothing")
def nothing(n):
    return n


def plain(n):
    return n
