#!/usr/bin/env python3
"""ladle_soup on the golden files of decoders: logits, gradients and greedy texts of the published MoA code.

Usage: test_experts_golden.py [--ladle FILE] [--build DIR]; neither is used
Reads tests/fixtures/moa and the folders of LADLE_FIXTURES.
"""

import pathlib
import sys
import tempfile
import unittest

import h5py
import torch

import decoder_support as support

import ladle_soup

# float32 on both sides; what the files' README suggests, and the C++ tests take.
LOGITS = 1e-4
GRADIENTS = 2e-4  # of a tensor's largest


def real_tokens(tokens):
    """Without padding, which is on the right; the real length is that of the last token that is not 0."""
    return torch.stack([torch.arange(len(row)) <= row.nonzero().max() for row in tokens])


class Golden(unittest.TestCase):
    """Every golden file that is there."""

    def each(self, check):
        """Calls check(file, model with the file's experts, folder) for each file."""
        paths = list(support.golden_files())
        self.assertGreater(len(paths), 12)
        for path in paths:
            with self.subTest(path=path.name), h5py.File(path) as file, tempfile.TemporaryDirectory() as folder:
                model = support.make_model(file)
                if experts := support.experts_of(file):
                    written = support.write_safetensors(pathlib.Path(folder, "e"), support.describe(file), experts)
                    ladle_soup.load_experts(model, written)
                check(file, model, pathlib.Path(folder))

    def check_logits(self, model, file):
        tokens = torch.from_numpy(file["inputs/tokens"][()]).long()
        logits = model(tokens).logits
        expected = torch.from_numpy(file["outputs/logits"][()])
        difference = (logits - expected).abs()[real_tokens(tokens)].max().item()
        self.assertLess(difference, LOGITS)
        return logits

    def check_both_formats(self, file, model, folder):
        with torch.no_grad():
            self.check_logits(model, file)
            if not support.experts_of(file):
                return
            ladle_soup.unload_experts(model)
            with self.assertRaises(AssertionError):
                self.check_logits(model, file)
            published = support.write_published(folder / "p", support.arguments_of(file), support.experts_of(file))
            ladle_soup.load_experts(model, published, system=support.system_of(file))
            self.check_logits(model, file)

    def check_gradients(self, file, model, _folder):
        if not support.experts_of(file) or "outputs/lb_loss_sum" in file:  # a balance loss is not in the logits
            return
        labels = torch.from_numpy(file["inputs/labels"][()]).long()[:, 1:]
        logits = self.check_logits(model, file)[:, :-1]
        torch.nn.functional.cross_entropy(logits[labels != 0], labels[labels != 0]).backward()
        for name, parameter in ladle_soup.expert_parameters(model):
            with self.subTest(name=name):
                if f"llama.{name}" not in file["grads"]:
                    self.assertIsNone(parameter.grad)
                    continue
                expected = torch.from_numpy(file["grads"][f"llama.{name}"][()])
                difference = (parameter.grad - expected).abs().max()
                self.assertLess((difference / expected.abs().max()).item(), GRADIENTS)

    def check_greedy_texts(self, file, model, _folder):
        end = int(file.attrs["eos_id"])
        prompts = [row[row >= 0] for row in torch.from_numpy(file["generate/prompts"][()]).long()]
        shortest = min(map(len, prompts))
        for prompt, expected in zip(prompts, file["generate/tokens"][()]):
            # As published, the first call sees the shortest prompt of the batch, and means are over what it sees.
            cache = None
            if len(prompt) > shortest:
                with torch.no_grad():
                    cache = model(prompt[None, :shortest]).past_key_values
            self.check_text(model, prompt, cache, end, [int(token) for token in expected if token >= 0])

    def check_text(self, model, prompt, cache, end, expected):
        found = model.generate(prompt[None], attention_mask=torch.ones_like(prompt[None]), do_sample=False,
                               max_new_tokens=12, eos_token_id=end, pad_token_id=end, past_key_values=cache)[0]
        new = [int(token) for token in found[len(prompt):]]
        self.assertEqual(new[:-1] if new[-1] == end else new, expected)

    def test_logits(self):
        self.each(self.check_both_formats)

    def test_gradients(self):
        self.each(self.check_gradients)

    def test_greedy_texts(self):
        self.each(self.check_greedy_texts)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
