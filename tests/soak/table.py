"""One table of what `measure.py` and `alma bench queue` found: JSON lines in, and out
again below it."""

import json
import sys

lines = [json.loads(line) for line in sys.stdin if line.strip()]


def name(line):
    if "peer" in line:
        return line["peer"]
    if not line.get("protocol"):
        return "alma, bare queue"
    return f"alma, whole effect protocol ({line['mode']})"


rows = [(name(line), line["jobs_per_second"]) for line in lines]
celery = dict(rows)
plain = celery.get("celery")
late = next((rate for peer, rate in rows if peer.startswith("celery,")), None)
width = max(len(peer) for peer, _ in rows)
print(f"{'':{width}}  jobs per second")
for peer, rate in rows:
    beside = {"alma, bare queue": plain}.get(peer, late if peer.startswith("alma, whole") else None)
    times = f"  {rate / beside:.2f} x {'celery' if beside == plain else 'celery with acks_late'}" if beside else ""
    print(f"{peer:{width}}  {rate:>15,.1f}{times}")
for line in lines:
    print(json.dumps(line))
