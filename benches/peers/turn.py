"""What every peer shares: a request a line on standard input, a line of JSON with the CPU time back."""

import json
import sys
import time


def serve(turns):
    """`turns` maps a request's first word to a function of the others; its result goes into the answer."""
    for line in sys.stdin:
        name, *arguments = line.split()
        before, wall = time.thread_time_ns(), time.perf_counter_ns()
        result = turns[name](*arguments)
        answer = {
            "cpu_seconds": (time.thread_time_ns() - before) / 1e9,
            "wall_seconds": (time.perf_counter_ns() - wall) / 1e9,
        }
        # What a turn timed itself counts instead.
        answer.update(result if isinstance(result, dict) else {"result": result})
        print(json.dumps(answer), flush=True)
