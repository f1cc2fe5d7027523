"""Celery and RQ on a Redis server, as jobs per second: `measure.py REDIS JOBS`.

Jobs are queued before a worker is there; the time runs from the first that leaves
the queue until none waits or is unacknowledged. Two worker processes each. One
line of JSON per setting.
"""

import json
import os
import signal
import subprocess
import sys
import time

import redis

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.dirname(sys.executable)
WORKERS = 2
# Longest time for one setting, in seconds.
PATIENCE = 600


def drained(waiting, jobs):
    """Seconds from the first job taken to the last one gone."""
    began, limit = None, time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        left, now = waiting(), time.monotonic()
        if began is None and left < jobs:
            began = now
        if left == 0:
            return now - began
        time.sleep(0.005)
    raise SystemExit(f"{waiting()} of {jobs} jobs are left after {PATIENCE} s")


def stop(workers):
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()


def run(name, url, jobs, push, command, waiting, env=None):
    client = redis.Redis.from_url(url)
    client.flushdb()
    push(client)
    found = waiting(client)
    if found < jobs:
        raise SystemExit(f"{name}: {found} of {jobs} jobs were queued")
    workers = [
        subprocess.Popen(
            command(n), cwd=HERE, env={**os.environ, "PEERS_REDIS": url, **(env or {})},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for n in range(WORKERS)
    ]
    try:
        seconds = drained(lambda: waiting(client), jobs)
    finally:
        stop(workers)
    line = {"peer": name, "jobs": jobs, "workers": WORKERS, "jobs_per_second": round(jobs / seconds, 1)}
    print(json.dumps(line), flush=True)


def celery(url, jobs, late):
    env = {"PEERS_LATE": "1" if late else "0"}
    script = (
        "import sys, tasks\n"
        "for n in range(int(sys.argv[1])): tasks.nothing.delay(n)\n"
    )

    def push(_):
        subprocess.run(
            [sys.executable, "-c", script, str(jobs)], cwd=HERE, check=True,
            env={**os.environ, "PEERS_REDIS": url, **env},
        )

    def command(n):
        return [
            os.path.join(BIN, "celery"), "-A", "tasks", "worker", "--concurrency", "1", "-n",
            f"peer{n}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat",
            "--loglevel", "ERROR",
        ]

    def waiting(client):
        return client.llen("celery") + client.hlen("unacked")

    name = "celery, acks_late, reject_on_worker_lost, results" if late else "celery"
    run(name, url, jobs, push, command, waiting, env)


def rq(url, jobs, worker_class):
    def push(client):
        import tasks
        from rq import Queue

        queue = Queue(connection=client)
        queue.enqueue_many([Queue.prepare_data(tasks.plain, (n,)) for n in range(jobs)])

    def command(n):
        return [os.path.join(BIN, "rq"), "worker", "--url", url, "--worker-class", worker_class, "--burst"]

    def waiting(client):
        return client.llen("rq:queue:default") + client.zcard("rq:wip:default")

    run(f"rq, {worker_class.rsplit('.')[-1]}", url, jobs, push, command, waiting)


def main():
    url, jobs = sys.argv[1], int(sys.argv[2])
    sys.path.insert(0, HERE)
    celery(url, jobs, late=False)
    celery(url, jobs, late=True)
    rq(url, jobs, "rq.SimpleWorker")
    rq(url, max(jobs // 20, 100), "rq.Worker")


main()
