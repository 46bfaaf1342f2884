// Readers of the reference cases: the committed ones and those named by LADLE_TOKENS.
// Shared by the token tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ladle/text/tokenizer.hpp"
#include "ladle/text/wordpiece.hpp"

namespace token_test {

namespace fs = std::filesystem;

/// The committed reference files.
inline fs::path fixture_dir() {
    return fs::path(LADLE_TEST_FIXTURES) / "tokens";
}

/// The directories of LADLE_TOKENS, separated by colons.
std::vector<fs::path> extra_dirs();

/// A vocab.txt as BERT's WordPiece.
std::unique_ptr<ladle::Tokenizer> word_piece_of(const fs::path& vocab, const ladle::WordPieceOptions& options = {});

/// A new, empty directory below the system's temporary directory.
fs::path fresh_dir(const std::string& name);

void write_file(const fs::path& path, const std::string& text);

}  // namespace token_test
