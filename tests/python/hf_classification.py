"""Do transformers and isotrope agree on heads for labels that isotrope has trained?

    python tests/python/hf_classification.py build/release/isotrope

A BERT and a Llama learn to tell generated texts apart; transformers loads model and tokenizer without a missing or surplus key and gives every
validation record the loss that the run's log has, within a thousandth of the mean, which is small; what transformers saves again is read back with the same loss. Prints one
line a model; exit code 0 if all agree, else 1.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers

COLOURS = ["red", "green", "blue"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COLOURS, "wins", "loses"]
LABELS = {"id2label": {"0": "lost", "1": "won"}, "label2id": {"lost": 0, "won": 1}}
MODELS = {
    "bert": ({"architectures": ["BertForSequenceClassification"], "vocab_size": 10, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
              "num_attention_heads": 2, "max_position_embeddings": 48, "pad_token_id": 0, **LABELS}, "vocab.txt"),
    "llama": ({"architectures": ["LlamaForSequenceClassification"], "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48,
               "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64, **LABELS}, "bytes"),
}
TOLERANCE = 1e-3  # of the loss


def write_records(path, count, seed):
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            won = draw.random() < 0.5
            words = [draw.choice(COLOURS) for _ in range(draw.randint(1, 6))]
            words.insert(draw.randint(0, len(words)), "wins" if won else "loses")
            file.write(json.dumps({"text": " ".join(words), "label": "won" if won else "lost"}) + "\n")


def train(program, root, run, *settings):
    common = [f"run.folder={root / run}", f"data.train={root / 'train.jsonl'}", f"data.validation={root / 'validation.jsonl'}", "train.batch_size=16",
              "train.context=48", "train.precision=fp32", "schedule.warmup_steps=0", "objective.name=classification", *settings]
    with open(root / "empty.toml", "w", encoding="utf-8"):
        pass
    subprocess.run([program, "train", root / "empty.toml", "--quiet", *(word for setting in common for word in ("--set", setting))], check=True)
    records = [json.loads(line) for line in open(root / run / "run.jsonl", encoding="utf-8")]
    checkpoint = root / run / [r["path"] for r in records if r["type"] == "checkpoint"][-1]
    return [r for r in records if r["type"] == "eval"][-1], checkpoint


def loss_of(folder, records):
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    wrong = {key: value for key, value in info.items() if value}
    assert not wrong, wrong
    losses = []
    with torch.no_grad():
        for record in records:
            logits = model.eval()(**tokenizer(record["text"], return_tensors="pt")).logits.double()
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor([model.config.label2id[record["label"]]])).item())
    return model, tokenizer, sum(losses) / len(losses)


def check(program, root, name):
    config, tokenizer_path = MODELS[name]
    (root / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer_setting = f"data.tokenizer={root / tokenizer_path if tokenizer_path != 'bytes' else 'bytes'}"
    trained, checkpoint = train(program, root, name, f"model.config={root / (name + '.json')}", tokenizer_setting, "train.steps=150", "optimizer.lr=3e-3",
                                "observe.evaluation=150")
    records = [json.loads(line) for line in open(root / "validation.jsonl", encoding="utf-8")]
    model, tokenizer, loss = loss_of(checkpoint, records)
    again = root / f"{name}-saved"
    model.save_pretrained(again), tokenizer.save_pretrained(again)
    back, _ = train(program, root, name + "-back", f"model.init_from={again}", tokenizer_setting, "train.steps=1", "optimizer.lr=1e-12",
                    "observe.evaluation=1")
    fine = trained["accuracy"] >= 0.95 and max(abs(loss - trained["nll"]), abs(back["nll"] - loss)) < TOLERANCE * loss
    print(f"{'ok  ' if fine else 'FAIL'} {name}: accuracy {trained['accuracy']:.3f}, loss {trained['nll']:.7f}, in transformers {loss:.7f}, "
          f"back again {back['nll']:.7f}")
    return fine


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        write_records(root / "train.jsonl", 300, 1)
        write_records(root / "validation.jsonl", 100, 2)
        results = [check(program, root, name) for name in MODELS]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
