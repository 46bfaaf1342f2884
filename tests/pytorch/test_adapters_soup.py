#!/usr/bin/env python3
"""Soups through the library adapters: its models give ladle's logits, and what it saves ladle reads back."""

import adapters
import torch
import transformers

import soup_support as support


def model_class(case, purpose):
    return ("Bert" if case.family == "bert" else "Roberta") + purpose


def static_model(case):
    model = support.plain_model(case, transformers)
    adapters.init(model)
    return model


def flexible_model(case):
    return getattr(adapters, model_class(case, "AdapterModel")).from_pretrained(case.backbone,
                                                                                attn_implementation="eager")


def loaded_logits(model, directory, case, **options):
    name = model.load_adapter(str(directory), **options)
    model.set_active_adapters(name)
    return support.model_logits(model, case)


def check_merged(ladle, case, folder):
    directory = folder / "merged"
    support.run(ladle, "convert", case.soup, "--to", "adapters", directory, "--verify")
    support.check_close("static head", loaded_logits(static_model(case), directory, case, with_head=True), case)
    support.check_close("static head, safetensors",
                        loaded_logits(static_model(case), directory, case, with_head=True, use_safetensors=True), case)
    support.check_close("flexible head", loaded_logits(flexible_model(case), directory, case, with_head=True), case)
    labels = static_model(case)
    labels.load_adapter(str(directory), with_head=True)
    return labels


def check_saved_by_the_library(ladle, case, folder, model):
    model.save_adapter(str(folder / "saved"), "soup", with_head=True)
    support.run(ladle, "convert", folder / "saved", "--to", "safetensors", folder / "back.safetensors")
    expected = support.load_file(folder / "back.safetensors")
    state = model.state_dict()
    for name, value in expected.items():
        name = (name.replace("ExpertSoup.MoA_A.deepspeed_experts.0", "adapters.soup.adapter_down.0")
                .replace("ExpertSoup.MoA_B.deepspeed_experts.0", "adapters.soup.adapter_up"))
        support.check(torch.equal(state[name], value), f"{name} comes back unchanged")


def check_experts(ladle, case, folder):
    """The library's average of the experts is the soup."""
    directory = folder / "experts"
    support.run(ladle, "convert", case.experts, "--to", "adapters", "--experts", directory, "--verify")
    model = static_model(case)
    names = sorted(path.name for path in directory.iterdir() if path.is_dir())
    for name in names:
        model.load_adapter(str(directory / name), with_head=name == names[0])
    model.average_adapter("soup", names)
    model.set_active_adapters("soup")
    support.check_close("average_adapter of the experts", support.model_logits(model, case), case)


def test(ladle, case, folder):
    """Checks one case."""
    model = check_merged(ladle, case, folder)
    check_saved_by_the_library(ladle, case, folder, model)
    if case.experts:
        check_experts(ladle, case, folder)


if __name__ == "__main__":
    support.main(test)
