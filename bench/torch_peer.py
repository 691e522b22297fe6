#!/usr/bin/env python3
"""PyTorch as a peer: times inference of one of bench/networks.py's networks.

  torch_peer.py NAME THREADS SECONDS BATCH f32|bf16

One JSON line {median_ms, p10_ms, p90_ms, runs, load_ms, version}. Convolutions run channels-last, which is
PyTorch's faster layout on CPUs; bf16 is autocast.
"""
import json
import sys
import time

import torch

import networks


def main():
    name, threads, seconds, batch, precision = sys.argv[1:6]
    if name not in networks.NETWORKS:
        sys.exit(f"torch_peer: bench/networks.py has no network '{name}'")
    torch.set_num_threads(int(threads))
    start = time.perf_counter()
    network, samples = networks.build(name)
    inputs = samples(int(batch))
    if inputs[0].dim() == 4:
        network = network.to(memory_format=torch.channels_last)
        inputs = tuple(x.to(memory_format=torch.channels_last) for x in inputs)
    load = 1e3 * (time.perf_counter() - start)
    times = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(3):
            network(*inputs)
        end = time.perf_counter() + float(seconds)
        while time.perf_counter() < end or len(times) < 5:
            before = time.perf_counter()
            network(*inputs)
            times.append(1e3 * (time.perf_counter() - before))
    times.sort()
    at = lambda q: times[min(len(times) - 1, int(q * len(times)))]
    print(json.dumps({"median_ms": at(0.5), "p10_ms": at(0.1), "p90_ms": at(0.9), "runs": len(times),
                      "load_ms": load, "version": torch.__version__}))


main()
