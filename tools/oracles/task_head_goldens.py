"""Tiny random models with a head for labels as `transformers` saves them, and what it computes with them: tests/data/task_heads/NAME/.

    python tools/oracles/task_head_goldens.py tests/data/task_heads [NAME...]

Each folder is a whole fp32 checkpoint (config.json, safetensors) plus expected.safetensors:

    ids [3,9]  mask [3,9]        rows padded on the right to 9, 4 and 6 tokens; mask 1 where a token counts
    types [3,9]                  the segment of each token, where the family has segments
    logits [3,L]                 of the float64 model, stored as fp32
    labels [3]  loss [1]         mean cross-entropy
    grad.NAME                    float64 gradient of the loss, stored as fp32; NAME as in the checkpoint
"""

import pathlib
import sys

import safetensors.torch
import torch
import transformers
from torch.nn import functional as F

import model_goldens as shared
from encoder_goldens import ALBERT, BERT, DISTIL, MODERN

THREE = {"id2label": {0: "no", 1: "perhaps", 2: "yes"}, "label2id": {"no": 0, "perhaps": 1, "yes": 2}}
LLAMA = {"hidden_size": 24, "intermediate_size": 31, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 43,
         "max_position_embeddings": 131, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 131, "vocab_size": 43, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}

# name: (configuration's class, model's class without ForSequenceClassification, what the family's configuration changes)
MODELS = {
    "bert": ("BertConfig", "Bert", {**BERT, **THREE}),
    "bert_two_labels": ("BertConfig", "Bert", {**BERT, "problem_type": "single_label_classification", "hidden_act": "gelu_new"}),
    "roberta": ("RobertaConfig", "Roberta", {**BERT, **THREE, "pad_token_id": 1}),
    "distilbert": ("DistilBertConfig", "DistilBert", {**DISTIL, **THREE}),
    "albert": ("AlbertConfig", "Albert", {**ALBERT, **THREE}),
    "modernbert_cls": ("ModernBertConfig", "ModernBert", {**MODERN, **THREE, "classifier_pooling": "cls"}),
    "modernbert_mean": ("ModernBertConfig", "ModernBert", {**MODERN, **THREE, "classifier_pooling": "mean", "classifier_bias": True,
                                                          "norm_bias": True, "classifier_activation": "silu"}),
    "llama": ("LlamaConfig", "Llama", {**LLAMA, **THREE}),
    "llama_tied": ("LlamaConfig", "Llama", {**LLAMA, **THREE, "tie_word_embeddings": True}),
    "mistral": ("MistralConfig", "Mistral", {**LLAMA, **THREE, "num_key_value_heads": 2, "sliding_window": 4}),
    "qwen3": ("Qwen3Config", "Qwen3", {**LLAMA, **THREE, "num_key_value_heads": 2, "head_dim": 8}),
    "gpt2": ("GPT2Config", "GPT2", {**GPT2, **THREE}),
    "opt": ("OPTConfig", "OPT", {**THREE, "hidden_size": 24, "ffn_dim": 31, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 43,
                                 "max_position_embeddings": 131, "word_embed_proj_dim": 16, "pad_token_id": 1, "bos_token_id": None,
                                 "eos_token_id": None}),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoX", {**LLAMA, **THREE, "hidden_size": 32}),
    "bloom": ("BloomConfig", "Bloom", {**THREE, "hidden_size": 24, "n_layer": 2, "n_head": 4, "vocab_size": 43, "pad_token_id": 0,
                                       "bos_token_id": None, "eos_token_id": None}),
}


def write(name, position, folder):
    config, kind, changes = MODELS[name]
    torch.manual_seed(position)
    model = getattr(transformers, kind + "ForSequenceClassification")(getattr(transformers, config)(**changes))
    shared.draw_weights(model, 7000 + position)
    model = model.eval()
    exact = shared.in_float64(model)
    generator = torch.Generator().manual_seed(position)
    ids = torch.randint(4, model.config.vocab_size, (3, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 4:], mask[2, 6:] = 0, 0
    ids = ids.masked_fill(mask == 0, model.config.pad_token_id)
    tensors = {"ids": ids, "mask": mask, "labels": torch.tensor([1, 0, model.config.num_labels - 1])}
    if kind in ("Bert", "Albert"):
        tensors["types"] = torch.randint(2, (3, 9), generator=generator) * mask
    inputs = {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": tensors["types"]} if "types" in tensors else {})
    with torch.no_grad():
        plain = model(**inputs).logits
    logits = exact(**inputs).logits
    assert (logits - plain).abs().max() / logits.abs().max() < 1e-5, name
    loss = F.cross_entropy(logits, tensors["labels"])
    loss.backward()
    tensors |= {"logits": logits.detach().float(), "loss": loss.detach().reshape(1)}
    for key, weight in exact.named_parameters():
        tensors["grad." + key] = (weight.grad if weight.grad is not None else torch.zeros_like(weight)).float()
    shared.save_model(model, folder, {})
    about = {"about": "tools/oracles/task_head_goldens.py, torch " + torch.__version__ + ", transformers " + transformers.__version__}
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors", metadata=about)
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{name:18s} loss {loss.item():.5f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1])
    for place, which in enumerate(MODELS):
        if not sys.argv[2:] or which in sys.argv[2:]:
            write(which, place, target / which)
