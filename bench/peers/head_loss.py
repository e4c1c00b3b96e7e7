"""Output projection and cross-entropy, forward and backward, 4,096 tokens of width 768 over 50,257 words, against the plain operations."""
import json

from _side_by_side import BUILD, Case, Worker, compare

SHAPE = "4096 768 50257"

worker = Worker(BUILD / "bench" / "engine_kernels")


def side(who, dtype):
    return lambda: worker.ask(f"head_loss {who} {SHAPE} {dtype}")[0]


results = compare("head_loss", [Case(f"head_loss/{d}", "s", side("ours", d), side("peer", d)) for d in ("fp32", "bf16")], 7, ("torch",))
for dtype in ("fp32", "bf16"):
    measured = {}
    for who in ("ours", "peer"):
        fresh = Worker(BUILD / "bench" / "engine_kernels")  # a process that has not yet allocated anything else
        measured[who] = fresh.ask(f"memory {who} {SHAPE} {dtype}")[0]
        fresh.close()
    ratio = measured["peer"] / measured["ours"]
    results.append({"case": f"memory/head_loss/{dtype}", "ours": measured["ours"], "peer": measured["peer"], "unit": "bytes",
                    "ratio_min": ratio, "ratio_median": ratio})
    print(f"head_loss {dtype}: bytes beyond inputs and gradients: ours {measured['ours'] / 2**20:.1f} MiB, peer {measured['peer'] / 2**20:.1f} MiB")
print(json.dumps({"bench": "head_loss", "results": results}))
