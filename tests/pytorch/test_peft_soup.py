#!/usr/bin/env python3
"""LoRA soups through PEFT: its models give ladle's logits, what it saves ladle reads back, and known traps are shut."""

import dataclasses
import json
import shutil
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

import soup_support as support

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
ALL_TARGETS = "query,key,value,attention_output,intermediate,output"
# A scale of 7/5, which is not that of PEFT's default; three experts, whose shares in the mean are no exact numbers.
LOW_RANK = ["--adapter.size", 5, "--adapter.alpha", 7]
LORA = ["--adapter.kind", "lora", *LOW_RANK, "--adapter.targets", ALL_TARGETS]
# The end of "output.dense" is that of "attention.output.dense", too, which has no LoRA here.
MIXTURE = ["--adapter.kind", "adamix-lora", *LOW_RANK, "--adapter.num_experts", 3, "--adapter.share_up", "false",
           "--adapter.targets", "query,output"]


def cases(ladle, work):
    """Of each backbone and kind of task one LoRA, one mixture, and the mean of that mixture's outputs."""
    for family in ("bert", "roberta"):
        for regression in (False, True):
            setting = support.make_setting(ladle, work, family, regression)
            yield support.make_case(ladle, setting, "lora", *LORA)
            mixture = support.make_case(ladle, setting, "adamix-lora", *MIXTURE)
            yield mixture
            yield averaged_outputs(ladle, mixture)


def averaged_outputs(ladle, mixture):
    soup = mixture.soup.with_name("outputs.h5")
    support.run(ladle, "soup", mixture.experts, "--method", "outputs", "--output", soup)
    logits = support.ladle_logits(ladle, soup, mixture.backbone, mixture.shard)
    return dataclasses.replace(mixture, name=mixture.name + "-outputs", soup=soup, logits=logits)


def load(directory, case):
    return peft.PeftModel.from_pretrained(support.plain_model(case, transformers), directory)


def difference(model, case):
    return (support.model_logits(model, case) - case.logits).abs().max().item()


def is_another(model, case):
    return difference(model, case) > 100 * support.TOLERANCE


def check_loaded(directory, case):
    model = load(directory, case)
    support.check_close("PeftModel", support.model_logits(model, case), case)
    again = model.load_adapter(directory, "again")
    missing = [name for name in again.missing_keys if ".again." in name]
    support.check(not missing and not again.unexpected_keys, f"PEFT finds what it needs: {missing}")
    stored = {name.removesuffix(".lora_A.weight") for name in load_file(directory / WEIGHTS) if ".lora_A." in name}
    support.check(adapted_modules(model) == stored, "PEFT adapts the modules that have tensors")
    check_loaded_by_name(directory, case)
    support.check_close("merge_and_unload", support.model_logits(load(directory, case).merge_and_unload(), case), case)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.data.zero_()
    support.check(is_another(model, case), "without the LoRA the logits are others")


def adapted_modules(model):
    return {name for name, module in model.named_modules() if hasattr(module, "lora_A")}


def check_loaded_by_name(directory, case):
    """With the backbone's place in the configuration, the Auto class needs only num_labels."""
    named = edited(directory, "named", lambda config: config.update(base_model_name_or_path=str(case.backbone)))
    model = peft.AutoPeftModelForSequenceClassification.from_pretrained(named, num_labels=case.logits.shape[1])
    support.check_close("AutoPeftModel", support.model_logits(model, case), case)


def check_way_back(ladle, directory, case):
    """The directory has the soup's bits."""
    back = check_same_logits(ladle, directory, case)
    support.check(support.digest(ladle, back) == support.digest(ladle, case.soup), f"{directory} has the soup's bits")


def check_same_logits(ladle, directory, case):
    """Returns what ladle reads from the directory."""
    back = directory.with_name(f"{directory.name}.h5")
    support.run(ladle, "convert", directory, "--from", "peft", "--to", "soup", back)
    found = support.ladle_logits(ladle, back, case.backbone, case.shard)
    support.check(torch.equal(found, case.logits), f"{directory} has ladle's own logits")
    return back


def check_saved_by_peft(ladle, directory, case):
    """PEFT drops what ladle noted down, so the soup becomes a LoRA that was never merged, of the same tensors."""
    saved = directory.with_name("saved")
    load(directory, case).save_pretrained(saved)
    support.check("ladle" not in json.loads((saved / CONFIG).read_text()), "the key ladle is dropped")
    back = check_same_logits(ladle, saved, case)
    support.run(ladle, "convert", back, "--to", "peft", directory.with_name("again"), "--verify")
    expected, found = load_file(directory / WEIGHTS), load_file(directory.with_name("again") / WEIGHTS)
    support.check(found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found),
                  "ladle, PEFT and ladle again leave the bits alone")
    torch.save(load_file(saved / WEIGHTS), saved / "adapter_model.bin")
    (saved / WEIGHTS).unlink()
    check_same_logits(ladle, saved, case)


def check_made_by_peft(ladle, folder, case):
    """An adapter with which ladle had nothing to do."""
    settings = peft.LoraConfig(task_type="SEQ_CLS", r=6, lora_alpha=10, lora_dropout=0.1,
                               target_modules=["key", "value", "attention.output.dense", "intermediate.dense"])
    model = peft.get_peft_model(support.plain_model(case, transformers), settings)
    torch.manual_seed(7)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder / "made")
    support.run(ladle, "convert", folder / "made", "--to", "soup", folder / "made.h5")
    found = support.ladle_logits(ladle, folder / "made.h5", case.backbone, case.shard)
    support.check_close("made by PEFT", found, case, support.model_logits(model, case))


def edited(directory, name, edit_config=None, edit_tensors=None):
    """A copy of the directory in which a function has changed the configuration or the tensors in place."""
    copy = shutil.copytree(directory, directory.with_name(name))
    if edit_config:
        config = json.loads((copy / CONFIG).read_text())
        edit_config(config)
        (copy / CONFIG).write_text(json.dumps(config))
    if edit_tensors:
        tensors = load_file(copy / WEIGHTS)
        edit_tensors(tensors)
        save_file(tensors, copy / WEIGHTS)
    return copy


def check_traps(ladle, directory, case):
    """What PEFT would load wrongly ladle does not write, and refuses to read."""
    check_alpha(ladle, directory, case)
    check_head(ladle, directory, case)
    check_modules_to_save(ladle, directory, case)
    check_targets(ladle, directory, case)
    check_number_of_labels(directory, case)


def check_import_refused(ladle, directory, why):
    support.check_refused(why, ladle, "convert", directory, "--to", "soup", directory.with_name("refused.h5"))


def check_alpha(ladle, directory, case):
    """Without it PEFT takes 8 and says nothing."""
    copy = edited(directory, "no-alpha", lambda config: config.pop("lora_alpha"))
    model = load(copy, case)
    support.check(model.peft_config["default"].lora_alpha == 8 and is_another(model, case), "lora_alpha matters")
    check_import_refused(ladle, copy, "lora_alpha is missing")
    copy = edited(directory, "other-alpha", lambda config: config.update(lora_alpha=8))
    check_import_refused(ladle, copy, "lora_alpha is 8, its key ladle says 7.0")


def check_head(ladle, directory, case):
    """Without it PEFT ends in the middle of loading."""
    def drop(tensors):
        for name in [name for name in tensors if ".classifier." in name]:
            del tensors[name]

    copy = edited(directory, "no-head", edit_tensors=drop)
    try:
        load(copy, case)
    except KeyError:
        pass
    else:
        support.check(False, "PEFT loads a directory without its head")
    check_import_refused(ladle, copy, "tensor base_model.model.classifier.")


def check_modules_to_save(ladle, directory, case):
    """PEFT saves the head where task_type or modules_to_save names it; without either it loses it on the way."""
    config = json.loads((directory / CONFIG).read_text())
    support.check(config["modules_to_save"] == ["classifier"] and config["task_type"] == "SEQ_CLS", "the head is named")
    for key in ("modules_to_save", "task_type"):
        copy = edited(directory, f"no-{key}", lambda config, key=key: config.pop(key))
        support.check_close(f"without {key}", support.model_logits(load(copy, case), case), case)
        check_way_back(ladle, copy, case)
    copy = edited(directory, "headless", lambda config: (config.pop("modules_to_save"), config.pop("task_type")))
    load(copy, case).save_pretrained(directory.with_name("lost"))
    lost = load_file(directory.with_name("lost") / WEIGHTS)
    support.check(lost and not any(".classifier." in name for name in lost), "PEFT saves no head that is not named")
    check_import_refused(ladle, copy, "neither task_type nor modules_to_save")


def check_targets(ladle, directory, case):
    """Names that find more than has tensors, and no names, for which PEFT has its own."""
    adapted = adapted_modules(load(directory, case))
    for name, targets in (("too-many", ["query", "output.dense"]), ("no-targets", None)):
        copy = edited(directory, name, lambda config, targets=targets: config.update(target_modules=targets))
        support.check(adapted_modules(load(copy, case)) != adapted, f"{name}: PEFT adapts other modules")
        check_import_refused(ladle, copy, "target_modules " + ("names" if targets else "is missing"))


def check_number_of_labels(directory, case):
    """PEFT does not store it: the README says it, and another one is an error."""
    outputs = case.logits.shape[1]
    text = (directory / "README.md").read_text()
    support.check(f"ForSequenceClassification.from_pretrained(BACKBONE, num_labels={outputs})" in text, "README.md")
    wrong = dataclasses.replace(case, logits=torch.zeros(1, outputs + 1))
    try:
        load(directory, wrong)
    except RuntimeError as error:
        support.check("size mismatch" in str(error), f"PEFT names the sizes: {error}")
    else:
        support.check(False, "PEFT loads a head of another size")


def test(ladle, case, folder):
    """Checks one case; the traps and PEFT's own adapters once per backbone."""
    directory = folder / "exported"
    support.run(ladle, "convert", case.soup, "--to", "peft", directory, "--verify")
    check_loaded(directory, case)
    check_way_back(ladle, directory, case)
    check_saved_by_peft(ladle, directory, case)
    if case.name.endswith("-adamix-lora"):
        support.check_refused("it holds 3 experts, the directory one adapter", ladle, "convert", case.experts, "--to",
                              "peft", folder / "experts")
        check_made_by_peft(ladle, folder, case)
        check_traps(ladle, directory, case)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Unexpected keyword arguments .'ladle'")
    support.main(test, cases)
