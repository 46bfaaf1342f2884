#!/usr/bin/env python3
"""ladle_soup on the golden files: what AdaMix, AdaKron and peft computed, from soups made of their tensors.

Usage: test_loader_golden.py [--ladle FILE] [--build DIR]; neither is used
Reads tests/fixtures/{adamix,adakron,lora} and the folders of LADLE_FIXTURES.
"""

import json
import os
import pathlib
import sys
import tempfile
import unittest.mock

import h5py
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src" / "python"))

import ladle_soup  # noqa: E402
import adamix_reference  # noqa: E402
from loader_reference import Soup, describe  # noqa: E402

# float32 on both sides; the files' READMEs find 1.5e-6 for logits.
TOLERANCE = 1e-5
FACTOR_EXPERTS = {"adakron_glue": "none", "madakron_partial": "small", "madakron_full": "both"}


def tensors_of(group):
    return {name: torch.from_numpy(group[name][()]) for name in group}


def adamix_case(file):
    """Fields of the model, description of the soup, and its tensors."""
    config = {name: value[()].item() for name, value in file["config"].items()}
    fields = {"num_experts": config["num_experts"], "share_down": bool(config["sharing_down"]),
              "share_up": bool(config["sharing_up"]), "adapter_size": config["adapter_size"]}
    return config, "roberta" if config["arch"] else "bert", "adamix", fields


def attribute_case(file):
    """The same of an AdaKron or LoRA file."""
    config = json.loads(file.attrs["config"])
    kind = config["kind"]
    fields = {"num_experts": 1 if kind == "adakron_glue" else config["num_experts"], "adapter_size": config["r"]}
    if "lora" in kind:
        fields |= {name: config[name] for name in ("share_down", "share_up", "lora_alpha", "lora_targets")}
    else:
        fields |= {"share_up": kind != "adakron_glue", "factor_size": 4,
                   "factor_order": "large_outer" if kind == "madakron_partial" else "small_outer",
                   "factor_experts": FACTOR_EXPERTS[kind]}
        kind = kind.partition("_")[0]
    names = {"hidden": "hidden_size", "layers": "num_layers", "heads": "num_heads",
             "intermediate": "intermediate_size", "vocab": "vocab_size", "max_position": "max_position_embeddings"}
    config = {"type_vocab_size": 2, "pad_token_id": 0, **config}
    return ({names.get(name, name): value for name, value in config.items()}, config.get("architecture", "bert"), kind,
            fields)


def soup_name(name, kind):
    """The GPT-2 code of AdaKron calls the 4-wide factor MoA_A, the other MoA_A1."""
    return name.replace(".MoA_A.", ".MoA_A2.") if "kron" in kind else name


def build(file, folder):
    """A classifier with the file's backbone, and the path of a soup of its adapters and head."""
    config, architecture, kind, fields = attribute_case(file) if "config" in file.attrs else adamix_case(file)
    model = adamix_reference.make_classifier(
        architecture, num_hidden_layers=config["num_layers"], num_attention_heads=config["num_heads"],
        **{name: config[name] for name in ("hidden_size", "intermediate_size", "vocab_size", "type_vocab_size",
                                           "max_position_embeddings", "pad_token_id", "layer_norm_eps", "num_labels")})
    weights = tensors_of(file["weights"])
    backbone = {name: value for name, value in weights.items() if name in model.state_dict()}
    model.load_state_dict({**model.state_dict(), **backbone})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("classifier."):
                parameter.zero_()
    soup = {soup_name(name, kind): value for name, value in weights.items()
            if (name not in backbone or name.startswith("classifier.")) and "expert_score_weight" not in name}
    labels = [f"label {i}" for i in range(config["num_labels"])] if config["num_labels"] > 1 else []
    description = describe(architecture, kind, hidden_size=config["hidden_size"], num_layers=config["num_layers"],
                           intermediate_size=config["intermediate_size"], label_names=labels, regression=not labels,
                           **fields)
    apply_scores(soup, weights, kind)
    return model, Soup(description, soup).write(folder / "soup.safetensors")


def apply_scores(soup, weights, kind):
    """ladle averages uniformly: where a file has scores, all experts become the average that the scores give."""
    for name, scores in weights.items():
        if not name.endswith(".expert_score_weight") or not scores.any():
            continue
        prefix = soup_name(name.removesuffix("expert_score_weight"), kind) + "deepspeed_experts"
        for part in ("weight", "bias"):
            names = [f"{prefix}.{k}.{part}" for k in range(len(scores))]
            average = sum(share * soup[full] for share, full in zip(scores.softmax(0), names))
            soup.update((full, average.clone()) for full in names)


def logits(model, file):
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.no_grad():
        return model(**{name: torch.from_numpy(file[f"inputs/{name}"][()]).long() for name in names}).logits


class Golden(unittest.TestCase):
    """Every golden file that is there."""

    def check(self, found, expected):
        self.assertLess((found - torch.from_numpy(expected[()])).abs().max().item(), TOLERANCE)

    def check_draws(self, file, path, model):
        """Levels 0 and 1 of AdaMix with the file's draws in place of random ones."""
        for level, routing in ((0, "token"), (1, "sample")):
            masks = torch.from_numpy(file[f"inputs/level{level}_masks"][()])
            experts = file["config/num_experts"][()]
            shared = [bool(file[f"config/sharing_{side}"][()]) or experts == 1 for side in ("down", "up")]
            draws = [masks[layer, bank] for layer in range(len(masks)) for bank in (0, 1) if not shared[bank]]
            ladle_soup.load_soup(model, path, routing=routing)
            with unittest.mock.patch("torch.randint", lambda _, shape, **__: draws.pop(0).reshape(shape)):
                self.check(logits(model, file), file[f"outputs/logits_level{level}"])
            self.assertEqual(draws, [])
            ladle_soup.unload(model)

    def test_files(self):
        folders = [ROOT / "tests" / "fixtures" / system for system in ("adamix", "adakron", "lora")]
        folders += [pathlib.Path(folder) for folder in os.environ.get("LADLE_FIXTURES", "").split(":") if folder]
        paths = sorted(path for folder in folders for path in folder.glob("*.h5"))
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(path=path.name), h5py.File(path) as file, tempfile.TemporaryDirectory() as folder:
                if "system" in file.attrs:
                    continue
                model, soup = build(file, pathlib.Path(folder))
                expected = file["outputs"].get("eval_logits", file["outputs"].get("logits_level3"))
                ladle_soup.load_soup(model, soup)
                self.check(logits(model, file), expected)
                ladle_soup.unload(model)
                if "config" in file:
                    self.check_draws(file, soup, model)
                print(path.name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    unittest.main(argv=sys.argv[:1])
