"""A training loop in PyTorch and transformers, as a process that takes steps on command: `python _train_peer.py MODEL FORM BATCH CONTEXT`.

MODEL is a config.json; FORM one of eager-fp32, eager-autocast, eager-bf16, compile-bf16, compile-autocast. All: AdamW (fused), clipping at 1, random ids.
First answers the seconds from its own start to the end of the first step; then, to a line with a number n, the seconds of n steps and
the peak resident memory in bytes.
"""
import json
import resource
import sys
import time

begun = time.perf_counter()

import torch
import transformers

model_file, form, batch, context = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(int(sys.argv[5]) if len(sys.argv) > 5 else torch.get_num_threads())
torch.manual_seed(0)
config = transformers.AutoConfig.for_model(**json.load(open(model_file)))
model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
mode, precision = form.split("-")
model = model.to(torch.bfloat16 if precision == "bf16" else torch.float32).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
forward = torch.compile(model) if mode == "compile" else model
generator = torch.Generator().manual_seed(1)


def step():
    ids = torch.randint(0, config.vocab_size, (batch, context), generator=generator)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        loss = forward(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def answer(seconds):
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


step()
answer(time.perf_counter() - begun)
for line in sys.stdin:
    begun = time.perf_counter()
    for _ in range(int(line)):
        step()
    answer(time.perf_counter() - begun)
