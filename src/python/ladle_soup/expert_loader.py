"""Experts on loaded decoders: attaching and removing."""

import dataclasses
import inspect
import os
from collections.abc import Iterator

import torch
from torch import nn

from .expert_file import read_experts
from .experts import MODULE, attach_experts, detach_experts, expert_shapes, kinds_in
from .soup_file import check_shapes, refuse

CLASSES = {"LlamaModel", "LlamaForCausalLM"}
ATTACHED = "ladle_attached"


@dataclasses.dataclass
class AttachedExperts:
    """What load_experts leaves in model.base_model.ladle_attached."""

    description: dict
    handles: list


def load_experts(model: nn.Module, path: str | os.PathLike, *, system: str | None = None) -> nn.Module:
    """Attaches the experts of a file to a LlamaForCausalLM or the bare LlamaModel; returns the same model.

    `path` is a file of `ladle convert ADAPTER --to safetensors`, or a directory with the published adapter.pth and
    adapter_params.json, which do not say of which system they are: `system` does, by ladle's name (soft-moa,
    sparse-moa, instance-moa, hydralora, molora, adamole, top-k-lora, unipelt, lora, parallel-adapter, prompt).
    Experts take the type and the device of the layer they stand on; they are ordinary parameters that require
    gradients, and expert_parameters lists them. Nothing else is frozen or changed. The routers of instance-moa and
    unipelt see the mean over a sample's tokens that attention_mask shows (without one over all); with a cache, the
    weights of the prompt stay in force for what is generated.
    A layer with experts must lie whole on one device; different layers may lie on different ones.
    Raises SoupError, with the model unchanged, if the files are not whole or belong to a model of another shape, or if
    such a layer is offloaded or split.
    """
    what = f"cannot load {path}"
    description, tensors = read_experts(path, system, _check_model(model, what))
    decoder = model.base_model
    if description["router"] in ("instance", "gates") and not _passes_cache(decoder):
        refuse(what, "this release of transformers does not give its layers the cache as past_key_values",
               "install transformers 4.57 or a newer one")
    if description["num_experts"] > len(tensors):
        refuse(what, f"it holds {len(tensors)} tensors for {description['num_experts']} experts", "export it again")
    check_shapes(expert_shapes(description), tensors, what)
    _check_devices(decoder, description, what)
    handles = attach_experts(decoder, description)
    with torch.no_grad():
        for name, parameter in _named(decoder):
            parameter.copy_(tensors[name])
    setattr(decoder, ATTACHED, AttachedExperts(description, handles))
    return model


def unload_experts(model: nn.Module) -> nn.Module:
    """Removes the experts; returns the same model."""
    decoder = model.base_model
    detach_experts(decoder, _attached(decoder).handles)
    delattr(decoder, ATTACHED)
    return model


def expert_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names (those of the published files, without "llama.") and parameters of the attached experts.

    The thresholds of sparse-moa and p_adapter_gate of unipelt are among them; as published they never get a gradient.
    """
    _attached(model.base_model)
    return _named(model.base_model)


def _named(decoder):
    for number, layer in enumerate(decoder.layers):
        if hasattr(layer, MODULE):
            for name, parameter in getattr(layer, MODULE).named_parameters():
                yield f"layers.{number}.{name}", parameter


def _attached(decoder):
    if not hasattr(decoder, ATTACHED):
        refuse("cannot use the experts of this model", "it has none", "call load_experts(model, path) first")
    return getattr(decoder, ATTACHED)


def _passes_cache(decoder):
    return "past_key_values" in inspect.signature(type(decoder.layers[0]).forward).parameters


def _check_devices(decoder, description, what):
    for number, layer in enumerate(decoder.layers):
        devices = sorted({str(parameter.device) for parameter in layer.parameters()})
        if kinds_in(description, number) and (len(devices) > 1 or devices == ["meta"]):
            refuse(what, f"the parameters of layer {number} are on {' and '.join(devices)}: it is "
                   f"{'offloaded or not loaded' if 'meta' in devices else 'split'}",
                   "load the model with a device_map that keeps each layer whole on one device, without offloading")


def _check_model(model, what):
    """The model's sizes by the names of descriptions."""
    if not CLASSES & {parent.__name__ for parent in type(model).__mro__}:
        refuse(what, f"a {type(model).__name__} is no LlamaForCausalLM and no LlamaModel", "load a LLaMA decoder")
    if hasattr(model.base_model, ATTACHED):
        refuse(what, "the model has experts already", "call unload_experts(model) first")
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {"dim": config.hidden_size, "heads": config.num_attention_heads, "kv_heads": config.num_key_value_heads,
            "head_dim": head_dim, "ffn": config.intermediate_size, "layers": config.num_hidden_layers}
