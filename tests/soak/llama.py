"""Prefill and decode speed of llama.cpp on a GGUF file, as one line of JSON:
`llama.py MODEL.gguf PROMPT GEN THREADS`. The median of three."""

import json
import statistics
import sys
import time

from llama_cpp import Llama, llama_print_system_info

path, prompt, answer, threads = sys.argv[1], *map(int, sys.argv[2:5])
model = Llama(path, n_ctx=prompt + answer + 8, n_threads=threads, n_threads_batch=threads,
              n_batch=512, verbose=False)
tokens = [(at * 7919) % 1000 for at in range(prompt)]


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def decode():
    for at in range(answer):
        model.eval([(at * 31) % 1000])


prefills, decodes = [], []
for _ in range(3):
    model.reset()
    prefills.append(prompt / timed(lambda: model.eval(tokens)))
    decodes.append(answer / timed(decode))
print(json.dumps({
    "engine": "llama.cpp",
    "prefill_tokens_per_second": round(statistics.median(prefills), 1),
    "decode_tokens_per_second": round(statistics.median(decodes), 1),
    "system": llama_print_system_info().decode().strip(),
}))
