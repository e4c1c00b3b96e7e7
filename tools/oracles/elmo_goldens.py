"""Tiny ELMo language models, and what the published recurrences give for them in float64: tests/data/elmo/NAME/.

    python tools/oracles/elmo_goldens.py tests/data/elmo

The networks are written out here token by token and character by character, after Peters et al. 2018 (arXiv 1802.05365), Sak et al. 2014
(arXiv 1402.1128), Kim et al. 2016 (arXiv 1508.06615) and Srivastava et al. 2015 (arXiv 1505.00387). Each folder is a whole fp32 checkpoint
(docs/formats/elmo.md) plus expected.safetensors, float64 stored as fp32:

    ids_{a,b,c} [2,7] [2,1] [1,129]    int64
    states_{a,b,c}.{0..L} [B,T,2p]     token layer twice, then the output of each layer, forward beside backward
    logits_{a,b,c}, backward_logits_…  [B,T,V] of the token after, and of the token before
    loss_a [1], grad.NAME              mean -log p of ids_a's next tokens plus that of the tokens before, and its gradient
"""

import json
import pathlib
import sys

import safetensors.torch
import torch

BASE = {"architectures": ["ElmoForBiLM"], "model_type": "elmo", "vocab_size": 37, "projection_size": 7, "cell_size": 11, "num_hidden_layers": 2,
        "dropout": 0.1, "initializer_range": 0.1, "tie_word_embeddings": False, "token_encoder": "embedding"}
CHARACTERS = {"token_encoder": "char_cnn", "max_characters": 9, "character_embedding_size": 4, "num_highway_layers": 2,
              "filters": [[1, 3], [2, 5], [4, 6]]}
MODELS = {
    "embedding": {**BASE},
    "tied": {**BASE, "tie_word_embeddings": True},
    "one_layer": {**BASE, "num_hidden_layers": 1, "cell_size": 5},
    "three_layers": {**BASE, "num_hidden_layers": 3, "projection_size": 4, "cell_size": 4},
    "characters": {**BASE, **CHARACTERS},
    "characters_no_highway": {**BASE, **CHARACTERS, "num_highway_layers": 0, "filters": [[3, 4]]},
    "characters_wide_filter": {**BASE, **CHARACTERS, "num_highway_layers": 1, "filters": [[9, 4], [1, 1]], "num_hidden_layers": 1},
}
TEXTS = ["", " the", "ing", " internationalisation", "é", "\n", "a", " 東京"]


def token_characters(vocabulary, length):
    rows = []
    for token in range(vocabulary):
        text = list((TEXTS[token % len(TEXTS)] + str(token)).encode())[: length - 2]
        row = [256, *text, 257]
        rows.append(row + [258] * (length - len(row)))
    return torch.tensor(rows, dtype=torch.int32)


def weights(config, generator):
    p, cells, vocabulary = config["projection_size"], config["cell_size"], config["vocab_size"]
    shapes = {}
    if config["token_encoder"] == "embedding":
        shapes["token_embedding.weight"] = (vocabulary, p)
    else:
        e, n = config["character_embedding_size"], sum(count for _, count in config["filters"])
        shapes["char_cnn.characters"] = (259, e)
        for i, (width, count) in enumerate(config["filters"]):
            shapes[f"char_cnn.filters.{i}.weight"], shapes[f"char_cnn.filters.{i}.bias"] = (count, e * width), (count,)
        for i in range(config["num_highway_layers"]):
            for part in "transform", "gate":
                shapes[f"char_cnn.highways.{i}.{part}.weight"], shapes[f"char_cnn.highways.{i}.{part}.bias"] = (n, n), (n,)
        shapes["char_cnn.projection.weight"], shapes["char_cnn.projection.bias"] = (p, n), (p,)
    for direction in "forward", "backward":
        for i in range(config["num_hidden_layers"]):
            name = f"{direction}.{i}"
            shapes[f"{name}.weight_ih"], shapes[f"{name}.weight_hh"] = (4 * cells, p), (4 * cells, p)
            shapes[f"{name}.bias"], shapes[f"{name}.weight_hr"] = (4 * cells,), (p, cells)
    if not config["tie_word_embeddings"]:
        shapes["softmax.weight"] = (vocabulary, p)
    shapes["softmax.bias"] = (vocabulary,)
    # Large, but with loops through the recurrence that do not run into chaos, where rounding would grow from token to token.
    return {name: (0.35 if ".weight_h" in name else 0.6) * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def characters_to_embedding(config, w, characters):
    """One token's embedding from its row of the table."""
    rows = [w["char_cnn.characters"][c] for c in characters.tolist()]
    x = []
    for i, (width, count) in enumerate(config["filters"]):
        f, b = w[f"char_cnn.filters.{i}.weight"], w[f"char_cnn.filters.{i}.bias"]
        for k in range(count):
            kernel = f[k].reshape(-1, width)  # [e, width]
            sums = [sum(kernel[:, j] @ rows[t + j] for j in range(width)) + b[k] for t in range(len(rows) - width + 1)]
            x.append(torch.relu(torch.stack(sums)).max())
    x = torch.stack(x)
    for i in range(config["num_highway_layers"]):
        part = f"char_cnn.highways.{i}."
        g = torch.sigmoid(w[part + "gate.weight"] @ x + w[part + "gate.bias"])
        x = g * x + (1 - g) * torch.relu(w[part + "transform.weight"] @ x + w[part + "transform.bias"])
    return w["char_cnn.projection.weight"] @ x + w["char_cnn.projection.bias"]


def lstm(w, name, inputs):
    """inputs: list of vectors, in the order of reading."""
    matrix, recurrent, bias, project = (w[f"{name}.{part}"] for part in ("weight_ih", "weight_hh", "bias", "weight_hr"))
    cells = project.shape[1]
    h, c, out = torch.zeros(project.shape[0], dtype=bias.dtype), torch.zeros(cells, dtype=bias.dtype), []
    for x in inputs:
        z = matrix @ x + recurrent @ h + bias
        i, f, g, o = (z[k * cells : (k + 1) * cells] for k in range(4))
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        h = project @ (torch.sigmoid(o) * torch.tanh(c))
        out.append(h)
    return out


def read_row(config, w, embeddings, ids):
    """The states of one row: a list over layers of [T, 2p]."""
    x = [embeddings[token] for token in ids.tolist()]
    states = [torch.stack([torch.cat([v, v]) for v in x])]
    before, after = x, x[::-1]
    for i in range(config["num_hidden_layers"]):
        new = lstm(w, f"forward.{i}", before), lstm(w, f"backward.{i}", after)
        before, after = ([a + b if i else b for a, b in zip(old, out, strict=True)] for old, out in zip((before, after), new, strict=True))
        states.append(torch.stack([torch.cat([f, b]) for f, b in zip(before, after[::-1], strict=True)]))
    return states


def compute(config, w, table, ids):
    embeddings = {token: w["token_embedding.weight"][token] if table is None else characters_to_embedding(config, w, table[token])
                  for token in set(ids.flatten().tolist())}
    rows = [read_row(config, w, embeddings, row) for row in ids]
    states = [torch.stack(layer) for layer in zip(*rows, strict=True)]
    p = config["projection_size"]
    softmax = w["token_embedding.weight" if config["tie_word_embeddings"] else "softmax.weight"]
    return states, states[-1][..., :p] @ softmax.T + w["softmax.bias"], states[-1][..., p:] @ softmax.T + w["softmax.bias"]


def loss_of(logits, backward_logits, ids):
    def nll(scores, targets):
        return -torch.log_softmax(scores, -1).gather(-1, targets.unsqueeze(-1)).mean()
    return nll(logits[:, :-1], ids[:, 1:]) + nll(backward_logits[:, 1:], ids[:, :-1])


def write(folder, name, config, seed):
    generator = torch.Generator().manual_seed(seed)
    fp32 = weights(config, generator)
    table = token_characters(config["vocab_size"], config["max_characters"]) if config["token_encoder"] == "char_cnn" else None
    w = {key: value.double().requires_grad_() for key, value in fp32.items()}
    expected = {}
    for key, shape in {"a": (2, 7), "b": (2, 1), "c": (1, 129)}.items():
        ids = torch.randint(0, config["vocab_size"], shape, generator=generator)
        states, logits, backward_logits = compute(config, w, table, ids)
        expected[f"ids_{key}"] = ids
        expected |= {f"states_{key}.{i}": state for i, state in enumerate(states)}
        expected |= {f"logits_{key}": logits, f"backward_logits_{key}": backward_logits}
        if key == "a":
            loss = loss_of(logits, backward_logits, ids)
            loss.backward()
            expected["loss_a"] = loss.reshape(1)
    expected |= {f"grad.{key}": value.grad for key, value in w.items()}
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=1) + "\n")
    stored = fp32 if table is None else {**fp32, "token_characters": table}
    safetensors.torch.save_file(stored, folder / name / "model.safetensors", {"format": "pt"})
    narrow = {key: value.detach().float().contiguous() if value.is_floating_point() else value for key, value in expected.items()}
    safetensors.torch.save_file(narrow, folder / name / "expected.safetensors")


if __name__ == "__main__":
    for seed, (name, config) in enumerate(MODELS.items()):
        write(pathlib.Path(sys.argv[1]), name, config, seed)
