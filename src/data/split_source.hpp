// Where the rows of a split come from: file, format and columns.
// Between the layouts (GLUE, the user's own files) and encode_split.
#pragma once

#include <string>
#include <vector>

#include "ladle/data/prepare.hpp"
#include "ladle/io/tabular.hpp"

namespace ladle {

struct SplitSource {
    std::string split;
    std::string path;
    TableFormat format = TableFormat::tsv;
    bool is_pair = false;
    bool has_label = false;
    std::vector<std::string> columns;      ///< text A, text B of a pair, label if there is one; by name
    std::size_t headerless_columns = 0;    ///< above 0: the file has no header and so many columns,
    std::vector<std::size_t> positions{};  ///< and these are the selected ones
};

/// Files found, and files of the layout that are not there.
struct SplitSources {
    std::vector<SplitSource> found;
    std::vector<std::string> absent;
};

/// The files of a GLUE task in its official directory. Throws DataError if none is there.
SplitSources find_glue_files(const std::string& task, const std::string& directory);

/// The user's own files, named or found in a directory, with their columns looked up in their headers.
SplitSources find_own_files(const PrepareOptions& options);

/// Opens a source and selects its columns.
TableReader open_source(const SplitSource& source, bool strict);

}  // namespace ladle
