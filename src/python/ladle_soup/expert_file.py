"""Files that hold experts of a decoder: `ladle convert --to safetensors`, and the published directories of MoA."""

import json
import os
import pathlib
import sys

import torch

from . import experts
from .soup_file import NUMBER, check_fields, read_described, refuse

FORMAT = "ladle.adapter 1"
WRITTEN_BY = "give a file that `ladle convert ADAPTER --to safetensors FILE` wrote, or a directory with adapter.pth"
SIZES = ("dim", "heads", "kv_heads", "head_dim", "ffn", "layers")
FIELDS = {**{field: int for field in SIZES}, "system": str, "router": str, "rule": str, "router_expansion": int,
          "max_threshold": NUMBER, "constant_threshold": bool, "trained_threshold": bool, "own_adapter_gate": bool,
          "normed_router": bool, "num_experts": int, "top_k": int, "share_lora_a": bool,
          "share_down": bool, "lora_layers": str, "lora_targets": str, "lora_rank": int, "lora_alpha": NUMBER,
          "adapter_layers": str, "adapter_size": int, "prompt_layers": str, "prompt_length": int}
# What a published program computes: router of blocks, rule at each place, and the arguments that it must have.
SYSTEMS = {"lora": ("none", "softmax", ()), "parallel-adapter": ("none", "softmax", ()),
           "prompt": ("none", "softmax", ()), "soft-moa": ("token", "softmax", ("swi_x",)),
           "sparse-moa": ("threshold", "softmax", ("swi_x", "max_threshold", "const_threshold")),
           "instance-moa": ("instance", "softmax", ("swi_x",)), "hydralora": ("none", "softmax", ("hydra_moe",)),
           "molora": ("none", "softmax", ("hydra_moe",)), "adamole": ("none", "adaptive", ("expert_num", "adamole")),
           "top-k-lora": ("none", "top_k", ("expert_num", "top_k", "adamole")), "unipelt": ("gates", "softmax", ())}
# Published arguments, the fields that they are, and what they are where a program has no such argument.
ARGUMENTS = {"lora_layers": ("lora_layers", "0-0"), "lora_targets": ("lora_targets", ""), "lora_rank": ("lora_rank", 8),
             "lora_alpha": ("lora_alpha", 8), "expert_num": ("num_experts", 1), "top_k": ("top_k", 1),
             "swi_x": ("router_expansion", 0), "hydra_moe": ("share_lora_a", False),
             "p_adapter_layers": ("adapter_layers", "0-0"), "p_adapter_size": ("adapter_size", 16),
             "p_adapter_hydra": ("share_down", False), "prompt_layers": ("prompt_layers", "0-0"),
             "prompt_len": ("prompt_length", 10), "max_threshold": ("max_threshold", 0.5),
             "const_threshold": ("constant_threshold", False)}
# Mends that no published program knows.
MENDS = ("trained_threshold", "own_adapter_gate", "normed_router")
# Arguments without an effect on what experts compute.
OTHER_ARGUMENTS = {"w_bias", "adamole", "expert_weight", "max_seq_len", "flash_attention2", "bf16", "bool_weights",
                   "adapter_noisy", "noisy_router", "lb_loss_coeff"}
PREFIX = "llama."
LARGEST = 1 << 20  # far above any width


def read_experts(path: str | os.PathLike, system: str | None, sizes: dict) -> tuple[dict, dict[str, torch.Tensor]]:
    """Description and tensors under the names of adapter files; SoupError if the files are not whole or sound, or if
    they are of a decoder of other sizes. A published directory says neither its system nor these sizes.
    """
    what = f"cannot load {path}"
    if pathlib.Path(path).is_dir():
        description, tensors = _read_published(pathlib.Path(path), system, sizes, what)
    else:
        description, tensors = read_described(path, "ladle.adapter", WRITTEN_BY)
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            refuse(what, f"its description has another format than {FORMAT}", "use a ladle_soup of ladle's version")
        if system not in (None, description.get("system")):
            refuse(what, f"it holds {description.get('system')}, not {system}", "leave `system` out")
    check_fields(description, FIELDS, what)
    for field, found in sizes.items():
        if description[field] != found:
            refuse(what, f"it was trained on a decoder with {field} {description[field]}, this one has {found}",
                   "load the decoder it was trained on")
    problems = _problems(description)
    if problems:
        refuse(what, f"its description says {problems[0]}", "use a ladle_soup of ladle's version")
    return description, tensors


def _read_published(directory, system, sizes, what):
    if system not in SYSTEMS:
        refuse(what, f"published files do not say their system, and {system!r} is none",
               f"give system=..., one of {', '.join(SYSTEMS)}")
    try:
        arguments = json.loads((directory / "adapter_params.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        refuse(what, f"its adapter_params.json cannot be read ({error})", WRITTEN_BY)
    try:
        tensors = torch.load(directory / "adapter.pth", weights_only=True, map_location="cpu")
    except Exception as error:  # on damaged files whatever the unpickler stumbles over, struct.error among others
        refuse(what, f"its adapter.pth cannot be read ({type(error).__name__}: {error})", WRITTEN_BY)
    if not isinstance(arguments, dict) or not isinstance(tensors, dict):
        refuse(what, "its files hold no dictionaries", WRITTEN_BY)
    strange = [name for name, tensor in tensors.items()
               if not isinstance(name, str) or not name.startswith(PREFIX) or not isinstance(tensor, torch.Tensor)
               or not tensor.is_floating_point() or tensor.is_meta or tensor.layout != torch.strided]
    if strange:
        refuse(what, f"{strange[0]!r} is no tensor of experts", WRITTEN_BY)
    description = {**_described(arguments, system, what), **sizes}
    return description, {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


def _described(arguments, system, what):
    router, rule, needed = SYSTEMS[system]
    needed = ("lora_layers", "lora_targets", "lora_rank", "lora_alpha", *needed)
    if missing := [name for name in needed if name not in arguments]:
        refuse(what, f"the argument {missing[0]} of {system} is missing", "give another system")
    if unknown := [name for name in arguments if name not in ARGUMENTS and name not in OTHER_ARGUMENTS]:
        refuse(what, f"the argument {unknown[0]} is not known", "use what the published extract script wrote")
    if arguments.get("w_bias") or arguments.get("adamole", rule == "adaptive") != (rule == "adaptive"):
        refuse(what, "w_bias is set, whose norms and biases are not in it" if arguments.get("w_bias")
               else f"its argument adamole contradicts the system {system}", "use other files")
    fields = {field: arguments.get(name, default) for name, (field, default) in ARGUMENTS.items()}
    return {"system": system, "router": router, "rule": rule, **fields, **dict.fromkeys(MENDS, False)}


def _problems(d):
    """What contradicts itself or the bounds of the published programs, as "field = value"."""
    rules = [(d["router"] in experts.ROUTERS, "router"), (d["rule"] in experts.RULES, "rule")]
    rules += [(0 < d[field] <= LARGEST, field)
              for field in ("num_experts", "lora_rank", "adapter_size", "prompt_length")]
    rules += [(0 <= d["router_expansion"] <= LARGEST, "router_expansion"),
              (d["rule"] != "top_k" or 0 < d["top_k"] <= d["num_experts"], "top_k"),
              (0 < d["lora_alpha"] <= sys.float_info.max, "lora_alpha"),
              (d["router"] != "threshold" or 0 < d["max_threshold"] <= sys.float_info.max, "max_threshold"),
              (not d["trained_threshold"] or (d["router"] == "threshold" and not d["constant_threshold"]),
               "trained_threshold"),
              (not d["own_adapter_gate"] or d["router"] == "gates", "own_adapter_gate"),
              (not d["normed_router"] or d["router"] != "none", "normed_router"),
              (d["rule"] == "softmax" or d["router"] == "none", "router"),
              (d["rule"] == "softmax" or not d["share_lora_a"], "share_lora_a")]
    targets = d["lora_targets"].split(",") if d["lora_targets"] else []
    rules.append((len(set(targets)) == len(targets) and set(targets) <= set(experts.TARGETS), "lora_targets"))
    rules += [(_layers_fit(d[field], d["layers"]), field)
              for field in ("lora_layers", "adapter_layers", "prompt_layers")]
    return [f"{field} = {d[field]!r}" for holds, field in rules if not holds] or _kind_problems(d)


def _layers_fit(text, layers):
    try:
        return all(end <= layers for _, end in experts.parse_layers(text))
    except ValueError:
        return False


def _kind_problems(d):
    """Kinds of experts that do not go together; the ranges are sound."""
    kinds = [experts.kinds_in(d, layer) for layer in range(d["layers"])]
    beside_lora = any({"prompt", "adapter"} & set(of_layer) for of_layer in kinds)
    incomplete = any(len(of_layer) < 3 or not {"prompt", "adapter"} <= set(of_layer) for of_layer in kinds)
    rules = [(any(kinds), "lora_layers"), (d["rule"] == "softmax" or not beside_lora, "rule"),
             (d["router"] != "gates" or not incomplete, "router")]
    return [f"{field} = {d[field]!r}" for holds, field in rules if not holds]
