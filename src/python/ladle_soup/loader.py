"""Soups on loaded models: attaching, removing, and saving after more training."""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from . import attach
from .soup_file import check_shapes, read_soup, refuse, write_soup

BARE_CLASSES = {"BertModel", "RobertaModel"}
CLASSIFIER_CLASSES = {"BertForSequenceClassification", "RobertaForSequenceClassification"}


@dataclasses.dataclass
class AttachedSoup:
    """What load_soup leaves in model.base_model.ladle_soup."""

    description: dict
    bare: bool  # attached to the encoder, not to a classifier around it
    handles: list
    replaced: dict[str, torch.Tensor]  # earlier values of the head, and of biases for the bias kind
    labels: tuple[dict, dict] | None  # id2label and label2id before; None if they were left alone


def load_soup(model: nn.Module, path: str | os.PathLike, *, expert: int | None = None, routing: str = "soup",
              weights: Sequence[float] | None = None, generator: torch.Generator | None = None) -> nn.Module:
    """Attaches a soup file to a BERT or RoBERTa classifier, or to the bare encoder; returns the same model.

    By default the experts of each bank are averaged as they are loaded: in index order, each scaled by its weight
    first, uniformly if no `weights` are given. `expert=k` takes expert k of every bank instead; a shared bank has
    only one. routing="sample" or "token" keeps all experts and draws one per sample or token in every bank and forward
    pass, from `generator` or torch's own (inference levels 1 and 0 of AdaMix).
    The head is loaded too (a bare encoder has none), and the labels' names go into model.config. Adapters take the
    type and the device of the layer they stand on. All are ordinary parameters that require gradients;
    trainable_parameters lists them. Nothing else is frozen or changed.
    model.save_pretrained writes the soup's tensors along with the model's under the names of the soup file, but
    from_pretrained of the same class reports them as unexpected and drops them: keep a file made by save_soup, and
    load it again.
    Raises SoupError, with the model unchanged, if the file is no whole soup or belongs to another kind of model.
    """
    what = f"cannot load {path}"
    description, tensors = read_soup(path)
    outputs = 1 if description["regression"] else len(description["label_names"])
    _check_model(model, description, outputs, what)
    _check_tensors(model, description, outputs, tensors, what)
    _check_choice(description, expert, routing, weights, what)
    if routing == "sample" and model.config.chunk_size_feed_forward:
        refuse(what, "the model runs its layers in chunks of tokens, each with draws of its own",
               'set config.chunk_size_feed_forward = 0, or use routing="token"')
    if attach.bank_specs(description) and routing == "soup" and not description["merged"]:
        description, tensors = _merge(description, tensors, expert, weights)
    if _is_bare(model):
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}

    present = {name: parameter.detach().clone() for name, parameter in model.named_parameters()
               if _soup_name(model, name) in tensors}
    handles = attach.attach_adapters(model.base_model.encoder, description)
    attach.set_routing(model.base_model.encoder, routing, generator)
    _copy(model, {_model_name(model, name): tensor for name, tensor in tensors.items()})
    labels = _name_labels(model, description["label_names"])
    model.base_model.ladle_soup = AttachedSoup(description, _is_bare(model), handles, present, labels)
    return model


def unload(model: nn.Module) -> nn.Module:
    """Removes the soup and gives head, biases and label names back their earlier values; returns the same model."""
    attached = _attached(model)
    attach.detach_adapters(model.base_model.encoder, attached.description, attached.handles)
    _copy(model, attached.replaced)
    if attached.labels:
        model.config.id2label, model.config.label2id = attached.labels
    del model.base_model.ladle_soup
    return model


def save_soup(model: nn.Module, path: str | os.PathLike) -> None:
    """Writes the attached soup as it is now to a file that load_soup and `ladle convert` read, as float32.

    The description is that of the file it came from, without a score. SoupError for a bare encoder: no head to write.
    """
    attached = _attached(model)
    if _is_bare(model):
        refuse(f"cannot write {path}", "a bare encoder has no head", "attach the soup to a classifier")
    tensors = {_soup_name(model, name): parameter for name, parameter in trainable_parameters(model)}
    write_soup(path, {**attached.description, "score": None}, tensors)


def trainable_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters of the attached soup: adapters, the head, and biases for the bias kind."""
    attached = _attached(model)
    banks = set(_bank_shapes(attached.description))
    for name, parameter in model.named_parameters():
        if name in attached.replaced or _soup_name(model, name) in banks:
            yield name, parameter


def _attached(model):
    what = "cannot use the soup of this model"
    attached = getattr(model.base_model, "ladle_soup", None)
    if attached is None:
        refuse(what, "none is attached", "call load_soup first")
    if attached.bare != _is_bare(model):
        refuse(what, f"it is attached to the {'bare encoder' if attached.bare else 'classifier'}", "give that one")
    return attached


def _is_bare(model):
    return model.base_model is model


def _soup_name(model, name):
    """Soup files name encoder tensors as classifiers do; a bare encoder lacks the prefix."""
    return f"{model.base_model_prefix}.{name}" if _is_bare(model) else name


def _model_name(model, name):
    return name.removeprefix(f"{model.base_model_prefix}.") if _is_bare(model) else name


def _check_model(model, description, outputs, what):
    classes = {base.__name__ for base in type(model).__mro__}
    if not classes & (BARE_CLASSES | CLASSIFIER_CLASSES):
        refuse(what, f"a {type(model).__name__} is neither a sequence classifier nor a bare encoder of BERT or RoBERTa",
               "for another head load it into model.base_model")
    if hasattr(model.base_model, "ladle_soup"):
        refuse(what, "the model has a soup already", "call unload(model) first")
    config = model.config
    pairs = [("architecture", config.model_type), ("hidden_size", config.hidden_size),
             ("num_layers", config.num_hidden_layers), ("intermediate_size", config.intermediate_size)]
    for field, found in pairs:
        if description[field] and description[field] != found:
            refuse(what, f"it was trained on a model with {field} {description[field]}, this one has {found}",
                   "load the backbone it was trained on")
    if not _is_bare(model) and config.num_labels != outputs:
        refuse(what, f"it has {outputs} outputs, the model has num_labels {config.num_labels}",
               f"load the model with from_pretrained(..., num_labels={outputs})")


def _check_tensors(model, description, outputs, tensors, what):
    if description["num_experts"] > len(tensors) and not description["merged"] and attach.bank_specs(description):
        refuse(what, f"it holds {len(tensors)} tensors for {description['num_experts']} experts", "export it again")
    expected = {**_bank_shapes(description), **_bias_shapes(model, description), **_head_shapes(description, outputs)}
    check_shapes(expected, tensors, what)


def _bank_shapes(description):
    shapes = {}
    for layer in range(description["num_layers"]):
        for spec in attach.bank_specs(description):
            prefix = f"{description['architecture']}.encoder.layer.{layer}.{spec.owner}.{spec.name}"
            for name in _expert_names(prefix, spec):
                shapes[f"{name}.weight"] = [spec.outputs, spec.inputs]
                if spec.bias:
                    shapes[f"{name}.bias"] = [spec.outputs]
    return shapes


def _expert_names(prefix, spec):
    return [prefix] if spec.experts is None else [f"{prefix}.{k}" for k in range(spec.experts)]


def _bias_shapes(model, description):
    """The biases that the bias kind trains: all of embeddings and layers, and of BERT's pooler."""
    if description["adapter_kind"] != "bias":
        return {}
    trained = ("embeddings.", "encoder.") + (("pooler.",) if description["architecture"] == "bert" else ())
    return {f"{description['architecture']}.{name}": list(parameter.shape)
            for name, parameter in model.base_model.named_parameters()
            if name.endswith(".bias") and name.startswith(trained)}


def _head_shapes(description, outputs):
    hidden = description["hidden_size"]
    if description["architecture"] == "bert":
        return {"classifier.weight": [outputs, hidden], "classifier.bias": [outputs]}
    return {"classifier.dense.weight": [hidden, hidden], "classifier.dense.bias": [hidden],
            "classifier.out_proj.weight": [outputs, hidden], "classifier.out_proj.bias": [outputs]}


def _check_choice(description, expert, routing, weights, what):
    if routing not in attach.ROUTINGS:
        refuse(what, f"routing {routing!r} is unknown", f"use one of {', '.join(attach.ROUTINGS)}")
    chosen = [name for name, given in (("expert", expert is not None), ("weights", weights is not None),
                                       ("routing", routing != "soup")) if given]
    if len(chosen) > 1:
        refuse(what, f"{' and '.join(chosen)} exclude each other", "give one of them")
    experts = description["num_experts"]
    if chosen and (description["merged"] or description["adapter_kind"] not in attach.MIXTURE_KINDS):
        refuse(what, f"{chosen[0]} needs a mixture with all its experts, and this is a "
               f"{'merged' if description['merged'] else description['adapter_kind']} soup", "leave it out")
    if expert is not None and not 0 <= expert < experts:
        refuse(what, f"there is no expert {expert}", f"the experts are 0 to {experts - 1}")
    if weights is not None and len(weights) != experts:
        refuse(what, f"{len(weights)} weights are given for {experts} experts", "give one weight for each")


def _merge(description, tensors, expert, weights):
    """One projection instead of each bank, and the description of what that gives."""
    experts = description["num_experts"]
    if expert is not None:
        weights = [float(k == expert) for k in range(experts)]
    shares = [1 / experts] * experts if weights is None else [float(weight) for weight in weights]
    merged = {**description, "merged": True, "weights": shares, "method": "uniform" if weights is None else "weighted"}
    result = {name: tensor for name, tensor in tensors.items() if name.startswith("classifier.")}
    for layer in range(description["num_layers"]):
        for old, new in zip(attach.bank_specs(description), attach.bank_specs(merged)):
            prefix = f"{description['architecture']}.encoder.layer.{layer}.{old.owner}."
            for part in ("weight", "bias") if old.bias else ("weight",):
                of_experts = [tensors[f"{name}.{part}"] for name in _expert_names(prefix + old.name, old)]
                result[f"{prefix}{new.name}.{part}"] = (
                    attach.weighted_sum(of_experts, shares) if len(of_experts) > 1 else of_experts[0])
    return merged, result


@torch.no_grad()
def _copy(model, tensors):
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        parameters[name].copy_(tensor)


def _name_labels(model, names):
    """Returns the earlier mappings, or None if there is nothing to name."""
    if _is_bare(model) or not names:
        return None
    earlier = (model.config.id2label, model.config.label2id)
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    return earlier
