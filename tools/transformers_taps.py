"""Where Isotrope's taps lie inside the models of transformers: shared by tools/dump_activations.py and the oracles.

A tap is a named point of the forward pass (isotrope/nn/tap.h): `embed`, `final_norm` and, of layer N, `attn_out.N`, `ssm_out.N`, `resid_mid.N`,
`mlp_out.N`, `resid_post.N`. A new family is one more entry in FAMILIES.
"""

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Point:
    """What goes into (`input`) or comes out of a block's sub-module, times an attribute of the block."""

    module: str
    input: bool = False
    scale: str | None = None


@dataclasses.dataclass(frozen=True)
class Family:
    blocks: str                 # of the base model: the modules that are called one after another
    points: dict                # tap's name: Point in a block
    final: str | None           # the module, of the base model, whose output is `final_norm`; "": the base model itself; None: there is no such tap
    positions: str = "row"      # what padded rows count their positions by: the row's beginning, the mask, or ids that are not padding


LLAMA = Family("layers", {"attn_out": Point("self_attn"), "resid_mid": Point("post_attention_layernorm", input=True), "mlp_out": Point("mlp")}, "")
BERT = Family("encoder.layer", {"attn_out": Point("attention.output.dense"), "resid_mid": Point("attention.output"), "mlp_out": Point("output.dense")}, None)
GPT_NEOX = {"attn_out": Point("attention"), "mlp_out": Point("mlp")}
OPT = {"attn_out": Point("self_attn"), "mlp_out": Point("fc2")}


def opt(config):
    middle = Point("final_layer_norm", input=True) if config.do_layer_norm_before else Point("self_attn_layer_norm")
    return Family("decoder.layers", {**OPT, "resid_mid": middle}, "decoder", "mask")


def gpt_neox(config):
    middle = {} if config.use_parallel_residual else {"resid_mid": Point("post_attention_layernorm", input=True)}
    return Family("layers", {**GPT_NEOX, **middle}, "")


# model_type: a Family, or the function that makes it of the configuration
FAMILIES = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen3": LLAMA,
    "gpt2": Family("h", {"attn_out": Point("attn"), "resid_mid": Point("ln_2", input=True), "mlp_out": Point("mlp")}, ""),
    "opt": opt,
    "gpt_neox": gpt_neox,
    # What BLOOM's attention and MLP give back has the residual stream in it.
    "bloom": Family("h", {"attn_out": Point("self_attention.dense"), "resid_mid": Point("post_attention_layernorm", input=True),
                          "mlp_out": Point("mlp.dense_4h_to_h")}, ""),
    "mamba2": Family("layers", {"ssm_out": Point("mixer")}, ""),
    "falcon_h1": Family("layers", {"ssm_out": Point("mamba", scale="ssm_out_multiplier"), "attn_out": Point("self_attn", scale="attn_out_multiplier"),
                                   "resid_mid": Point("pre_ff_layernorm", input=True), "mlp_out": Point("feed_forward")}, ""),
    "bert": BERT,
    "roberta": dataclasses.replace(BERT, positions="ids"),
    "albert": Family("encoder.albert_layer_groups.*.albert_layers",
                     {"attn_out": Point("attention.dense"), "resid_mid": Point("attention.LayerNorm"), "mlp_out": Point("ffn_output")}, None),
    "distilbert": Family("transformer.layer", {"attn_out": Point("attention.out_lin"), "resid_mid": Point("sa_layer_norm"), "mlp_out": Point("ffn")}, None),
    "modernbert": Family("layers", {"attn_out": Point("attn"), "resid_mid": Point("mlp_norm", input=True), "mlp_out": Point("mlp")}, ""),
}


def family_of(config):
    """Raises KeyError for a model_type that is not in FAMILIES."""
    family = FAMILIES[config.model_type]
    return family(config) if callable(family) else family


def blocks_of(model):
    """The block modules of a model, with or without its heads; ALBERT calls each of them several times."""
    found = [model.base_model]
    for name in family_of(model.config).blocks.split("."):
        found = [child for module in found for child in module] if name == "*" else [getattr(module, name) for module in found]
    return [block for blocks in found for block in blocks]


def first(value):
    return value[0] if isinstance(value, tuple) else value


class Taps:
    """While it is entered, what a forward pass of the model leaves at each tap: `values`, by the tap's name, in the order of computation."""

    def __init__(self, model):
        self.model, self.family = model, family_of(model.config)
        self.values, self.layer, self.hooks = {}, -1, []

    def __enter__(self):
        for block in blocks_of(self.model):
            self.hooks.append(block.register_forward_pre_hook(self.begin_block, with_kwargs=True))
            for name, point in self.family.points.items():
                self.hook(block, name, point)
            self.hooks.append(block.register_forward_hook(lambda _, args, output: self.keep("resid_post", first(output))))
        if self.family.final is not None:
            final = self.model.base_model.get_submodule(self.family.final)
            self.hooks.append(final.register_forward_hook(lambda _, args, output: self.keep("final_norm", output[0])))
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def hook(self, block, name, point):
        module = block.get_submodule(point.module)
        scale = getattr(block, point.scale) if point.scale else 1
        if point.input:
            self.hooks.append(module.register_forward_pre_hook(lambda _, args: self.keep(name, args[0])))
        else:
            self.hooks.append(module.register_forward_hook(lambda _, args, output: self.keep(name, first(output) * scale if scale != 1 else first(output))))

    def begin_block(self, _, args, options):
        if self.layer < 0:
            self.rows = first(args) if args else options["hidden_states"]
            self.values["embed"] = self.rows
        self.layer += 1

    def keep(self, name, value):
        # OPT's MLP works on all tokens in one row.
        shaped = value.reshape(*self.rows.shape[:2], -1)
        self.values[name if name == "final_norm" else f"{name}.{self.layer}"] = shaped


def hidden_states(values):
    """The residual stream: input of block 0, then the output of every block, in order."""
    return [values["embed"]] + [value for name, value in values.items() if name.startswith("resid_post.")]


def positions_of(model, ids, mask):
    """The position that transformers gives each token of padded rows, from 0."""
    kind = family_of(model.config).positions
    if kind == "row" or mask.min() > 0:
        return torch.arange(ids.shape[1]).expand_as(ids).contiguous()
    counted = mask if kind == "mask" else ids.ne(model.config.pad_token_id).long()
    return (counted.cumsum(1) * counted - 1).clamp(min=0)
