"""Soup files of ladle (`ladle convert --to safetensors`): strict reading, and writing."""

import hashlib
import json
import os
import struct
import sys

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import attach

FORMAT = "ladle.soup 1"
KEY = "ladle.soup"
WRITTEN_BY = "give a file that `ladle convert SOUP --to safetensors FILE` wrote"
KINDS = attach.BOTTLENECK_KINDS + attach.FACTOR_KINDS + attach.LORA_KINDS + ("bias", "head")
NUMBER = (int, float)
# Fields that are looked at, with their types; files of older versions lack those with a default.
FIELDS = {"architecture": str, "hidden_size": int, "num_layers": int, "adapter_kind": str, "adapter_size": int,
          "num_experts": int, "share_down": bool, "share_up": bool, "activation": str, "merged": bool,
          "weights": list, "label_names": list, "regression": bool, "intermediate_size": int, "lora_targets": list,
          "lora_alpha": NUMBER, "factor_size": int, "factor_order": str, "factor_experts": str}
DEFAULTS = {"intermediate_size": 0, "lora_targets": [], "lora_alpha": 0.0, "factor_size": 0, "factor_order": "",
            "factor_experts": ""}


class SoupError(ValueError):
    """A soup that cannot be used: says what, why and what to do."""


def refuse(what: str, why: str, fix: str) -> None:
    """Raises SoupError."""
    raise SoupError(f"{what}: {why}; {fix}")


def read_description(path: str | os.PathLike) -> dict:
    """What a soup file says about itself; SoupError if it is none of ladle's or its fields contradict each other."""
    return check_description(_read(path, KEY, WRITTEN_BY, with_tensors=False)[0], f"cannot load {path}")


def read_soup(path: str | os.PathLike) -> tuple[dict, dict[str, torch.Tensor]]:
    """Description and tensors (float32); SoupError also if they do not match their digest."""
    description, tensors = read_described(path, KEY, WRITTEN_BY)
    return check_description(description, f"cannot load {path}"), tensors


def write_soup(path: str | os.PathLike, description: dict, tensors: dict[str, torch.Tensor]) -> None:
    """Writes a file that read_soup and ladle read; a file of that name is replaced once the new one is whole."""
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": "pt", KEY: json.dumps(description), "ladle.sha256": tensor_digest(tensors)}
    save_file(tensors, f"{path}.partial", metadata)
    os.replace(f"{path}.partial", path)


def tensor_digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes and values, in the order of the names, as ladle computes it."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        for text in (name, str(list(tensors[name].shape))):
            digest.update(struct.pack("<Q", len(text.encode())) + text.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_described(path: str | os.PathLike, key: str, written_by: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """The description under that key of the metadata, unchecked, and the tensors, float32 and undamaged; SoupError.

    `written_by` is what to do where the file has no such description.
    """
    description, tensors, digest = _read(path, key, written_by, with_tensors=True)
    what = f"cannot load {path}"
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            refuse(what, f"tensor {name} is {tensor.dtype}, not torch.float32", "export it again")
    if tensor_digest(tensors) != digest:
        refuse(what, "its tensors do not match its ladle.sha256: it is damaged or was edited", "export it again")
    return description, tensors


def _read(path, key, written_by, with_tensors):
    what = f"cannot load {path}"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()} if with_tensors else {}
    except (OSError, SafetensorError) as error:
        refuse(what, f"it is no safetensors file that can be read ({error})", written_by)
    if key not in metadata:
        refuse(what, f'it has no "{key}" in its metadata', written_by)
    try:
        description = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        refuse(what, f"its description is no JSON ({error})", "export it again")
    return description, tensors, metadata.get("ladle.sha256")


def check_description(description: dict, what: str) -> dict:
    """The description with defaults filled in; SoupError beginning with `what` if a field is missing or impossible."""
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        refuse(what, f"its description has another format than {FORMAT}", "use a ladle_soup of the version of ladle")
    description = {**DEFAULTS, **description}
    check_fields(description, FIELDS, what)
    for problem in _problems(description):
        refuse(what, f"its description says {problem}", "use a ladle_soup of the version of ladle")
    return description


def check_fields(description: dict, fields: dict, what: str) -> None:
    """SoupError if a field is missing or of another type than `fields` gives it."""
    for field, kind in fields.items():
        value = description.get(field)
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits:
            refuse(what, f"its field {field} is {value!r}" if field in description else f"its field {field} is missing",
                   "export it again")


def check_shapes(expected: dict[str, list[int]], tensors: dict[str, torch.Tensor], what: str) -> None:
    """SoupError naming tensors that are missing, surplus or of another shape than expected."""
    problems = {"missing": [name for name in expected if name not in tensors],
                "surplus": [name for name in tensors if name not in expected],
                "of another shape": [f"{name} {list(tensors[name].shape)} instead of {expected[name]}"
                                     for name in expected if name in tensors
                                     and list(tensors[name].shape) != expected[name]]}
    found = [f"{problem}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
             for problem, names in problems.items() if names]
    if found:
        refuse(what, f"tensors are {'; '.join(found)}", "load the backbone it was trained on, or export it again")


def _problems(d):
    kind = d["adapter_kind"]
    rules = [
        (d["architecture"] in ("bert", "roberta"), "architecture"), (kind in KINDS, "adapter_kind"),
        (d["hidden_size"] > 0, "hidden_size"), (d["num_layers"] > 0, "num_layers"),
        (d["num_experts"] > 0, "num_experts"),
        (kind in attach.MIXTURE_KINDS or d["num_experts"] == 1, "num_experts"),
        (all(isinstance(name, str) for name in d["label_names"]), "label_names"),
        (d["regression"] != bool(d["label_names"]), "label_names")]
    if kind not in ("bias", "head"):
        rules.append((d["adapter_size"] > 0, "adapter_size"))
    if kind in attach.BOTTLENECK_KINDS + attach.FACTOR_KINDS:
        rules.append((d["activation"] == "gelu", "activation"))
    if kind in attach.FACTOR_KINDS:
        rules += [(d["factor_order"] in ("small_outer", "large_outer"), "factor_order"),
                  (d["factor_experts"] in ("none", "small", "large", "both"), "factor_experts"),
                  (d["factor_size"] > 0 and d["adapter_size"] % max(1, d["factor_size"]) == 0, "factor_size")]
    if kind in attach.LORA_KINDS:
        targets = d["lora_targets"]
        rules += [(all(isinstance(name, str) for name in targets) and 0 < len(set(targets)) == len(targets)
                   and set(targets) <= set(attach.LORA_PATHS), "lora_targets"),
                  (0 < abs(d["lora_alpha"]) <= sys.float_info.max, "lora_alpha"),
                  (d["intermediate_size"] > 0 or not set(targets) & {"intermediate", "output"}, "intermediate_size")]
    return [f"{field} = {d[field]!r}" for holds, field in rules if not holds]
