#!/usr/bin/env python3
"""PyTorch as a peer: times inference of one of bench/networks.py's networks, or a step of training.

  torch_peer.py NAME THREADS SECONDS BATCH f32|bf16
  torch_peer.py NAME THREADS SECONDS BATCH f32|bf16 train plain|channels_last

One JSON line {median_ms, p10_ms, p90_ms, runs, load_ms, version}. bf16 is autocast. For inference convolutions
run channels-last, which is PyTorch's faster layout on CPUs; for training it depends.
"""
import json
import sys
import time

import torch

import networks


def inference(name, batch, channels_last):
    network, samples = networks.build(name)
    inputs = samples(batch)
    if channels_last and inputs[0].dim() == 4:
        network = network.to(memory_format=torch.channels_last)
        inputs = tuple(x.to(memory_format=torch.channels_last) for x in inputs)

    def run():
        with torch.inference_mode():
            network(*inputs)

    return run


def training(name, batch, channels_last):
    torch.manual_seed(0)
    make, samples, targets, optimiser = networks.TRAINED[name]
    network, inputs, labels = make().train(), samples(batch), targets(batch)
    if channels_last and inputs[0].dim() == 4:
        network = network.to(memory_format=torch.channels_last)
        inputs = tuple(x.to(memory_format=torch.channels_last) for x in inputs)
    steps = optimiser(network.parameters())

    def run(cast):
        with cast:
            logits = network(*inputs).flatten(0, -2)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        steps.zero_grad(set_to_none=True)
        loss.backward()
        steps.step()

    return run


def main():
    name, threads, seconds, batch, precision = sys.argv[1:6]
    trains = sys.argv[6:7] == ["train"]
    if name not in (networks.TRAINED if trains else networks.NETWORKS):
        sys.exit(f"torch_peer: bench/networks.py has no network '{name}'")
    torch.set_num_threads(int(threads))
    cast = lambda: torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    start = time.perf_counter()
    if trains:
        step = training(name, int(batch), sys.argv[7] == "channels_last")
        run = lambda: step(cast())
    else:
        forward = inference(name, int(batch), True)

        def run():
            with cast():
                forward()

    load = 1e3 * (time.perf_counter() - start)
    times = []
    for _ in range(3):
        run()
    end = time.perf_counter() + float(seconds)
    while time.perf_counter() < end or len(times) < 5:
        before = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - before))
    times.sort()
    at = lambda q: times[min(len(times) - 1, int(q * len(times)))]
    print(json.dumps({"median_ms": at(0.5), "p10_ms": at(0.1), "p90_ms": at(0.9), "runs": len(times),
                      "load_ms": load, "version": torch.__version__}))


main()
