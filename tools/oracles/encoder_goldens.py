"""Tiny random encoders as `transformers` saves them, and what it computes with them: tests/data/encoders/NAME/.

    python tools/oracles/encoder_goldens.py tests/data/encoders [NAME...]

Each folder is a whole fp32 checkpoint (config.json, safetensors) plus expected.safetensors:

    ids_{a,b,c,d} [2,7] [2,1] [2,33] [1,129]         int64; types_{a,b,c,d} the segment of each token, where the family has segments
    hidden_{a,b,c,d}, hidden64_{a,b,c,d}             last hidden states of the fp32 model; of the same weights in float64, stored as fp32
    logits_{a,b,c,d}, logits64_{a,b,c,d} [B,T,V]     of the language head, where the folder has one
    pair64_{a,b,c,d} [B,2]                           of the head for pairs of texts, likewise
    ids_p [2,9]  mask_p  positions_p  logits64_p     the first row padded on the left, the second on the right; mask_p 1 where a token counts
                                                     (hidden64_p where there is no language head)
    states_a.{0..L} [B,T,d]                          float64: input of block 0, then the output of block 0..L-1 (no final norm)
    bf16_error_c [1]                                 how far transformers' own bf16 logits (hidden states) of ids_c are from float64, in L2
    targets_c [2,33]  loss_c [1]                     every third token is to be predicted, the others are -100; mean loss over those, plus the
                                                     mean cross-entropy of the pair head against pair_targets_c [2]; without a language head
                                                     mean(hidden64_c * weights_c)
    grad.NAME, grad.inputs_embeds                    float64 gradient of loss_c, stored as fp32; NAME as in the checkpoint

Weights are drawn far larger than an initialisation, so that a mistake shows in every figure.
"""

import pathlib
import sys

import safetensors.torch
import torch
import transformers
from torch.nn import functional as F

import model_goldens as shared
from transformers_taps import Taps, hidden_states, positions_of

BERT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 31, "vocab_size": 43,
        "max_position_embeddings": 131, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
ALBERT = {**BERT, "embedding_size": 10, "hidden_act": "gelu_new"}
DISTIL = {"dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 31, "vocab_size": 43, "max_position_embeddings": 131, "pad_token_id": 0}
MODERN = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 31, "vocab_size": 43, "local_attention": 8,
          "max_position_embeddings": 131, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None, "cls_token_id": None, "sep_token_id": None}

# name: (configuration's class, model's class, what the family's configuration changes)
MODELS = {
    "bert_pretraining": ("BertConfig", "BertForPreTraining", {**BERT}),
    "bert_masked_lm": ("BertConfig", "BertForMaskedLM", {**BERT, "hidden_size": 21, "num_attention_heads": 3, "hidden_act": "relu"}),
    "bert_bare": ("BertConfig", "BertModel", {**BERT, "type_vocab_size": 3, "layer_norm_eps": 1e-5}),
    "bert_untied": ("BertConfig", "BertForMaskedLM", {**BERT, "tie_word_embeddings": False, "num_hidden_layers": 3}),
    "bert_one_head_tanh": ("BertConfig", "BertForPreTraining", {**BERT, "num_attention_heads": 1, "hidden_size": 19, "hidden_act": "gelu_new"}),
    "roberta_masked_lm": ("RobertaConfig", "RobertaForMaskedLM", {**BERT, "pad_token_id": 1}),
    "roberta_padding_3": ("RobertaConfig", "RobertaForMaskedLM", {**BERT, "pad_token_id": 3, "max_position_embeddings": 140, "vocab_size": 51}),
    "roberta_bare": ("RobertaConfig", "RobertaModel", {**BERT, "pad_token_id": 1, "type_vocab_size": 1}),
    "roberta_eps_wide": ("RobertaConfig", "RobertaForMaskedLM", {**BERT, "pad_token_id": 1, "layer_norm_eps": 1e-5, "intermediate_size": 50}),
    "roberta_three_heads": ("RobertaConfig", "RobertaForMaskedLM", {**BERT, "pad_token_id": 1, "hidden_size": 21, "num_attention_heads": 3,
                                                                    "num_hidden_layers": 3}),
    "albert_pretraining": ("AlbertConfig", "AlbertForPreTraining", {**ALBERT, "num_hidden_layers": 3}),
    "albert_masked_lm": ("AlbertConfig", "AlbertForMaskedLM", {**ALBERT, "hidden_act": "gelu", "embedding_size": 24}),
    "albert_bare": ("AlbertConfig", "AlbertModel", {**ALBERT, "num_hidden_layers": 4}),
    "albert_groups": ("AlbertConfig", "AlbertForMaskedLM", {**ALBERT, "num_hidden_layers": 5, "num_hidden_groups": 2}),
    "albert_inner_layers": ("AlbertConfig", "AlbertForPreTraining", {**ALBERT, "inner_group_num": 2, "num_attention_heads": 3, "hidden_size": 21}),
    "distilbert_masked_lm": ("DistilBertConfig", "DistilBertForMaskedLM", {**DISTIL}),
    "distilbert_bare": ("DistilBertConfig", "DistilBertModel", {**DISTIL, "n_layers": 3}),
    "distilbert_sinusoidal": ("DistilBertConfig", "DistilBertForMaskedLM", {**DISTIL, "sinusoidal_pos_embds": True}),
    "distilbert_relu": ("DistilBertConfig", "DistilBertForMaskedLM", {**DISTIL, "activation": "relu", "dim": 21, "n_heads": 3}),
    "distilbert_one_head": ("DistilBertConfig", "DistilBertForMaskedLM", {**DISTIL, "n_heads": 1, "dim": 19, "vocab_size": 51}),
    "modernbert_masked_lm": ("ModernBertConfig", "ModernBertForMaskedLM", {**MODERN}),
    "modernbert_bare": ("ModernBertConfig", "ModernBertModel", {**MODERN, "num_hidden_layers": 3, "local_attention": 6}),
    "modernbert_biases": ("ModernBertConfig", "ModernBertForMaskedLM", {**MODERN, "norm_bias": True, "attention_bias": True, "mlp_bias": True,
                                                                        "classifier_bias": True, "decoder_bias": False}),
    "modernbert_layer_types": ("ModernBertConfig", "ModernBertForMaskedLM", {
        **MODERN, "num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 5000.0},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}}),
    "modernbert_untied_silu": ("ModernBertConfig", "ModernBertForMaskedLM", {**MODERN, "tie_word_embeddings": False, "hidden_activation": "silu",
                                                                             "hidden_size": 20, "num_attention_heads": 2, "vocab_size": 51}),
}


def compute(model, ids, types=None, **how):
    """{hidden, states, logits, pair}: what there is of them."""
    base = model.base_model
    inputs = {"input_ids": ids} if ids is not None else {}
    segments = {"token_type_ids": types} if types is not None else {}
    with Taps(model) as taps:
        hidden = base(**inputs, **segments, **how)[0]
    found = {"hidden": hidden, "states": hidden_states(taps.values)}
    if model is not base:
        out = model(**inputs, **segments, **how)
        found["logits"] = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
        for name in ("seq_relationship_logits", "sop_logits"):
            if hasattr(out, name):
                found["pair"] = getattr(out, name)
    return found


def loss_of(found, targets, pair_targets, weights):
    if "logits" not in found:
        return (found["hidden"] * weights).mean()
    loss = F.cross_entropy(found["logits"].flatten(0, 1), targets.flatten(), ignore_index=-100)
    return loss + F.cross_entropy(found["pair"], pair_targets) if "pair" in found else loss


def stored_name(name, model):
    """The name of a weight in the checkpoint of the bare model or of the model with its heads."""
    return name


def write(name, position, folder):
    config, kind, changes = MODELS[name]
    torch.manual_seed(position)
    model = getattr(transformers, kind)(getattr(transformers, config)(**changes))
    shared.draw_weights(model, 5000 + position)
    model = model.eval()
    exact = shared.in_float64(model)
    generator = torch.Generator().manual_seed(position)
    vocab = model.config.vocab_size
    kinds = getattr(model.config, "type_vocab_size", 0) if "Distil" not in kind and "Modern" not in kind else 0
    first = 4  # ids that no family takes for padding
    tensors = {}
    for case, shape in {"a": (2, 7), "b": (2, 1), "c": (2, 33), "d": (1, 129)}.items():
        ids = torch.randint(first, vocab, shape, generator=generator)
        types = torch.randint(kinds, shape, generator=generator) if kinds > 1 else None
        with torch.no_grad():
            plain, wide = compute(model, ids, types), compute(exact, ids, types)
        tensors |= {f"ids_{case}": ids} | ({f"types_{case}": types} if types is not None else {})
        for key in ("hidden", "logits", "pair"):
            if key in wide:
                assert ((wide[key] - plain[key]).abs().max() / wide[key].abs().max()) < 1e-5, (name, case, key)
                tensors |= {f"{key}_{case}": plain[key], f"{key}64_{case}": wide[key].float()}
        if case == "a":
            tensors |= {f"states_a.{i}": state.float() for i, state in enumerate(wide["states"])}

    ids = torch.randint(first, vocab, (2, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, :3], mask[1, 6:] = 0, 0
    ids = ids.masked_fill(mask == 0, model.config.pad_token_id)
    positions = positions_of(model, ids, mask)
    with torch.no_grad():
        padded = compute(exact, ids, attention_mask=mask)
    key = "logits" if "logits" in padded else "hidden"
    tensors |= {"ids_p": ids, "mask_p": mask, "positions_p": positions, f"{key}64_p": padded[key].masked_fill(mask[..., None] == 0, 0).float()}

    rounded = type(model)(model.config).bfloat16().eval()
    rounded.load_state_dict(model.state_dict())
    with torch.no_grad():
        got = compute(rounded, tensors["ids_c"], tensors.get("types_c"))[key].double()
    golden = tensors[f"{key}64_c"].double()
    tensors["bf16_error_c"] = ((got - golden).norm() / golden.norm()).reshape(1)

    targets = torch.randint(vocab, (2, 33), generator=generator)
    targets[:, torch.arange(33) % 3 != 0] = -100
    pair_targets = torch.tensor([1, 0])
    weights = torch.randn(tensors["hidden64_c"].shape, generator=generator).double()
    embeddings = exact.get_input_embeddings()(tensors["ids_c"])
    embeddings.retain_grad()
    # RoBERTa finds positions from ids alone where there is padding; there is none here.
    found = compute(exact, None, tensors.get("types_c"), inputs_embeds=embeddings)
    loss = loss_of(found, targets, pair_targets, weights)
    exact.zero_grad()
    loss.backward()
    tensors |= {"targets_c": targets, "pair_targets_c": pair_targets, "loss_c": loss.detach().reshape(1), "grad.inputs_embeds": embeddings.grad.float()}
    if "logits" not in found:
        tensors["weights_c"] = weights.float()
    for key, weight in exact.named_parameters():
        tensors["grad." + key] = (weight.grad if weight.grad is not None else torch.zeros_like(weight)).float()

    shared.save_model(model, folder, {})
    stored = {key for file in folder.glob("model*.safetensors") for key in safetensors.torch.load_file(file)}
    print(name, "stored only:", sorted(stored - {k[5:] for k in tensors}), "gradients only:", sorted({k[5:] for k in tensors if k.startswith("grad.")} - stored))
    about = {"about": "tools/oracles/encoder_goldens.py, torch " + torch.__version__ + ", transformers " + transformers.__version__}
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors", metadata=about)
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name:26s} {size / 1000:6.1f} kB  loss {loss.item():.5f}  bf16 error {tensors['bf16_error_c'].item():.4f}")
    return size


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1])
    total = sum(write(name, position, target / name) for position, name in enumerate(MODELS) if not sys.argv[2:] or name in sys.argv[2:])
    print(f"total {total / 1e6:.2f} MB")
