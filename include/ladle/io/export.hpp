// Soups in the formats of other programs, both ways: `ladle convert`.
#pragma once

#include <string>

#include "ladle/io/soup.hpp"

namespace ladle {

enum class SoupFormat {
    soup,         ///< ladle's own HDF5 file
    adamix,       ///< pytorch_model_expert_soup.bin of the AdaMix repository, or of AdaKron's
    safetensors,  ///< one file, names as in a soup
    adapters,     ///< a directory of the Python library adapters (AdapterHub)
    peft,         ///< a LoRA directory of the Python library PEFT
    model,        ///< a whole Hugging Face model directory
};

/// The format of that name; throws ConfigError listing the known ones.
SoupFormat soup_format(const std::string& name);
/// The reverse.
std::string format_name(SoupFormat format);

/// A format and why it was taken.
struct FormatChoice {
    SoupFormat format = SoupFormat::safetensors;
    std::string why;
};

/// The first of adapters and peft that holds the soup exactly, else safetensors; per_expert as in SoupExport.
FormatChoice choose_format(const Soup& soup, bool per_expert);

/// The format of a file or directory, told by its content; throws DataError if it cannot be opened.
SoupFormat detect_soup_format(const std::string& path);

/// The pretrained model below a soup, for the format model.
struct ModelSource {
    std::string directory;    ///< its tokenizer files are copied
    std::string config;       ///< text of its config.json
    StoredTensorMap tensors;  ///< frozen ones, under the names that the classifier of transformers gives them
};

/// True if a model directory of this soup needs model code of its own; else LoRA is folded into the weights, biases
/// are replaced, or there is only a head.
bool has_own_code(const Soup& soup);

/// Where a soup goes and how.
struct SoupExport {
    SoupFormat format = SoupFormat::safetensors;
    std::string path;         ///< a file; for adapters, peft and model a directory
    bool one_expert = false;  ///< adamix, merged soup: one expert instead of as many copies as there were experts
    bool per_expert = false;  ///< adapters, soup with experts: one directory e<k> per expert
    const ModelSource* model = nullptr;  ///< model: what is below the soup
};

/// Writes a soup. A model directory must be new or empty; its weights are float32. Beside an AdaMix file go
/// "<path>.json" (what the file itself cannot say) and "<path>.README.txt", beside a safetensors file
/// "<path>.README.md"; an adapters directory gets both weight formats and the head, each directory a README.md. Throws
/// ConfigError naming the reason and the nearest possible format if the soup does not fit the format, CheckpointError
/// if it cannot be written.
void export_soup(const Soup& soup, const SoupExport& target);

/// Reads a soup in any of the formats (see detect_soup_format); of model directories those with code of their own,
/// which still hold their soup. What a foreign file does not say (task, labels, digests) stays empty; labels are then
/// LABEL_0, LABEL_1, ..., and one output is a regression. Throws DataError.
Soup import_soup(const std::string& path);

/// Reads back what export_soup wrote and compares description and tensors with the soup; throws CheckpointError. A
/// model directory without code of its own holds no soup any more: see train/soup_export.hpp.
void verify_export(const Soup& soup, const SoupExport& target);

}  // namespace ladle
