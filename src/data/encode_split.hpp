// Reads and encodes one split in memory, with all cores.
// Between prepare and the readers and tokenizers.
#pragma once

#include "labels.hpp"
#include "ladle/data/prepare.hpp"
#include "ladle/data/shard.hpp"
#include "split_source.hpp"

namespace ladle {

/// A split and what is told about it; path and digest are set when it is written.
struct EncodedSplit {
    Split split;
    SplitReport report;
};

/// Reads every row, cuts its texts into ids and numbers its label. Threads change nothing but the time.
/// Throws DataError for an unknown label (file and line are named) or if no row is usable.
EncodedSplit encode_split(const SplitSource& source, const LabelRule& rule, const PrepareOptions& options,
                          const Tokenizer& tokenizer);

}  // namespace ladle
