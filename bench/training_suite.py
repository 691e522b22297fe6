"""The training suite of bench/versus: a step (forward, backward, optimiser) of the same network at the same
batch, ours beside PyTorch in the setting of layout and precision that a first look finds fastest. Rows of mode
"sparse" are our step in the fastest precision whose backward pass is cut to a part of the network, beside PyTorch's whole
step."""
import json
import os
import statistics

# name, definition and its variables, optimiser, batches, what sparse steps train
NETWORKS = [("resnet18_32", "resnet18_cifar", [], "sgd", [8, 128], ["[{last_layers: 5}]"]),
            ("mobilenetv2_96", "mobilenetv2", ["size=96", "classes=2", "dropout=0"], "sgd", [8],
             ["[{last_layers: 13}]"]),
            ("gpt_6x384", "char_gpt",
             ["vocabulary=256", "context=256", "width=384", "layers=6", "heads=6", "hidden=1536", "tied=false"],
             "adamw", [16], ["[{last_layers: 9}]", "[{last_layers: 5}]"])]
MODES = ["f32", "auto", "sparse"]
# Debian's OpenBLAS beside PyTorch has threads of its own; this one shares OpenMP's.
OPENBLAS = "/usr/lib/x86_64-linux-gnu/openblas-openmp"


class TrainingRow:
    """One network, batch, precision, what is trained and number of threads; `measured` runs a command for its JSON."""

    def __init__(self, entry, batch, mode, only, threads, args, here, measured):
        self.name, definition, self.variables, self.optimizer, _, _ = entry
        self.only = only
        self.path = os.path.join(here, "../recipes/zoo", definition + ".yaml")
        self.batch, self.mode, self.threads, self.args, self.here = batch, mode, threads, args, here
        self.measured = measured

    def ours(self, setting, seconds):
        precision, frozen = setting
        command = [self.args.espalier, "bench", self.path, "--json", "--train", precision,
                   "--batch", str(self.batch), "--threads", str(self.threads), "--seconds", str(seconds),
                   "--optimizer", self.optimizer]
        if self.mode == "sparse":
            command += ["--only", self.only, "--frozen", frozen]
        for variable in self.variables:
            command += ["--variable", variable]
        return self.measured(command)

    def peer(self, setting, seconds):
        precision, layout = setting
        threads = str(self.threads)
        return self.measured(
            ["env", "OMP_NUM_THREADS=" + threads, "OPENBLAS_NUM_THREADS=" + threads, "OMP_PROC_BIND=true",
             "LD_LIBRARY_PATH=" + ":".join(filter(None, [OPENBLAS, os.environ.get("LD_LIBRARY_PATH")])),
             self.args.python, os.path.join(self.here, "torch_peer.py"), self.name, threads, str(seconds),
             str(self.batch), precision, "train", layout])

    def settings(self):
        layouts = ["plain"] if self.name.startswith("gpt") else ["plain", "channels_last"]
        return [(p, l) for p in (["f32"] if self.mode == "f32" else ["f32", "bf16"]) for l in layouts]

    def our_setting(self):
        """The fastest of f32 and bf16, in a sparse step with frozen layers in floats and in 8 bits, by two short
        looks at each in processes of their own, as PyTorch's settings have: what a step takes of memory is then
        not what looking at another one took."""
        if self.mode == "f32":
            return "f32", "float"
        settings = [(p, f) for p in ("f32", "bf16") for f in (("float", "int8") if self.mode == "sparse" else ("float",))]
        return min((self.ours(s, self.args.seconds / 4)["median_ms"], s) for s in 2 * settings)[1]

    def looks(self):
        """A first look at each setting that PyTorch has kernels for (none in bf16 for ReLU6's gradient)."""
        looks, refused = {}, None
        for setting in self.settings():
            try:
                looks[setting] = self.peer(setting, self.args.seconds / 4)["median_ms"]
            except RuntimeError as error:
                if "not implemented for" not in str(error):
                    raise
                refused = error
        if not looks:
            raise refused
        return looks

    def handover_ns(self):
        """Which of the host's cores a virtual machine's are changes by the minute."""
        return self.measured([self.args.espalier, "calibrate", "--handover", "--json"])["handover_ns"]

    def summary(self):
        looks = self.looks()
        best, setting = min(looks, key=looks.get), self.our_setting()
        handovers, rounds = [self.handover_ns()], []
        for _ in range(self.args.rounds):
            ours = self.ours(setting, self.args.seconds)
            handovers.append(self.handover_ns())
            rounds.append((ours, self.peer(best, self.args.seconds)))
        ratios = sorted(peer["median_ms"] / ours["median_ms"] for ours, peer in rounds)
        ours, peer = ({k: statistics.median(r[side][k] for r in rounds) for k in ("median_ms", "rss_mb")}
                      for side in (0, 1))
        return {"name": self.name, "mode": self.mode, "threads": self.threads, "batch": self.batch,
                "trained": self.only or "all",
                "ours_ms": ours["median_ms"], "peer_ms": peer["median_ms"], "ratio": statistics.median(ratios),
                "handover_ns": handovers, "ratio_min": ratios[0], "ratio_max": ratios[-1], "ours_rss_mb": ours["rss_mb"],
                "peer_rss_mb": peer["rss_mb"],
                "chosen": [r[0]["precision"] for r in rounds], "peer_setting": " ".join(best),
                "peer_looks_ms": {" ".join(s): ms for s, ms in looks.items()}}


def run(args, here, measured, save):
    """Measures and prints the suite; returns its rows and how many failed."""
    modes = args.modes.split(",") if args.modes else MODES
    known = [entry[0] for entry in NETWORKS]
    for name in args.models:
        if name not in known:
            raise SystemExit(f"versus: the training suite has no '{name}'; known: {', '.join(known)}")
    rows, failed = [], 0
    print(f"{'step of':16} {'mode':5} {'thr':>3} {'batch':>5} {'ours ms':>10} {'torch ms':>10} {'torch/ours':>10}  "
          f"{'spread':>9}   ours MB torch MB  ours, torch  handover between cores")
    for entry in NETWORKS:
        if args.models and entry[0] not in args.models:
            continue
        for batch in entry[4]:
            if args.batches and str(batch) not in args.batches.split(","):
                continue
            cuts = [(mode, only) for mode in modes for only in (entry[5] if mode == "sparse" else [None])]
            for mode, only in cuts:
                for threads in map(int, args.threads.split(",")):
                    try:
                        r = TrainingRow(entry, batch, mode, only, threads, args, here, measured).summary()
                    except RuntimeError as error:
                        print(f"{entry[0]:16} {mode:5} failed: {error}", flush=True)
                        failed += 1
                        continue
                    rows.append(r)
                    save(rows)
                    print(f"{r['name']:16} {r['mode']:5} {r['threads']:3} {r['batch']:5} {r['ours_ms']:10.2f} "
                          f"{r['peer_ms']:10.2f} {r['ratio']:10.2f}  {r['ratio_min']:.2f}–{r['ratio_max']:.2f}  "
                          f"{r['ours_rss_mb']:8.0f} {r['peer_rss_mb']:8.0f}  {statistics.mode(r['chosen'])}, "
                          f"{r['peer_setting']}  {only or ''}  {'/'.join(f'{ns:.0f}' for ns in r['handover_ns'])} ns", flush=True)
    return rows, failed
