// Soups in the formats of other programs, both ways: `ladle convert`.
#pragma once

#include <string>

#include "ladle/io/soup.hpp"

namespace ladle {

enum class SoupFormat {
    soup,         ///< ladle's own HDF5 file
    adamix,       ///< pytorch_model_expert_soup.bin of the AdaMix repository
    safetensors,  ///< one file, names as in a soup
    adapters,     ///< a directory of the Python library adapters (AdapterHub)
};

/// "soup", "adamix", "safetensors" or "adapters"; throws ConfigError listing them.
SoupFormat soup_format(const std::string& name);

/// The format of a file or directory, told by its content; throws DataError if it cannot be opened.
SoupFormat detect_soup_format(const std::string& path);

/// Where a soup goes and how.
struct SoupExport {
    SoupFormat format = SoupFormat::safetensors;
    std::string path;         ///< a file; for adapters a directory
    bool one_expert = false;  ///< adamix, merged soup: one expert instead of as many copies as there were experts
    bool per_expert = false;  ///< adapters, soup with experts: one directory e<k> per expert
};

/// Writes a soup. Beside an AdaMix file go "<path>.json" (what the file itself cannot say) and "<path>.README.txt";
/// an adapters directory gets both weight formats, the head and a README.md. Throws ConfigError naming the reason and
/// the nearest possible format if the soup does not fit the format, CheckpointError if it cannot be written.
void export_soup(const Soup& soup, const SoupExport& target);

/// Reads a soup in any of the formats (see detect_soup_format). What a foreign file does not say (task, labels,
/// digests) stays empty; labels are then LABEL_0, LABEL_1, ..., and one output is a regression. Throws DataError.
Soup import_soup(const std::string& path);

/// Reads back what export_soup wrote and compares description and tensors with the soup; throws CheckpointError.
void verify_export(const Soup& soup, const SoupExport& target);

}  // namespace ladle
