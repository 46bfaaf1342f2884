// Reference files of the tokenizers, the committed ones and those named by LADLE_TOKENS, and small files for tests.
// Shared by the tests of tokenizers and of data preparation.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "ladle/text/vocabulary.hpp"
#include "ladle/text/wordpiece.hpp"

namespace token_test {

namespace fs = std::filesystem;

/// The committed reference files.
inline fs::path fixture_dir() {
    return fs::path(LADLE_TEST_FIXTURES) / "tokens";
}

/// The directories of LADLE_TOKENS, separated by colons.
inline std::vector<fs::path> extra_dirs() {
    std::vector<fs::path> dirs;
    const char* value = std::getenv("LADLE_TOKENS");
    std::istringstream list(value != nullptr ? value : "");
    for (std::string dir; std::getline(list, dir, ':');) {
        if (!dir.empty()) {
            dirs.emplace_back(dir);
        }
    }
    return dirs;
}

/// A vocab.txt as BERT's WordPiece; its words in brackets but [unusedN] are special tokens.
inline std::unique_ptr<ladle::Tokenizer> word_piece_of(const fs::path& vocab,
                                                       const ladle::WordPieceOptions& options = {}) {
    ladle::Vocabulary vocabulary;
    vocabulary.source = vocab.string();
    vocabulary.special = ladle::default_special_names("bert");
    std::ifstream file(vocab);
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("[") && line.find("unused") == std::string::npos && line.size() > 2) {
            vocabulary.added.push_back({line, static_cast<std::int32_t>(vocabulary.tokens.size()), false, false});
        }
        vocabulary.tokens.push_back(line);
    }
    return std::make_unique<ladle::WordPiece>(vocabulary, options);
}

/// The directory of this process's temporary files, removed when it ends.
struct TemporaryRoot {
    fs::path path = fs::temp_directory_path() / ("ladle_test_" + std::to_string(getpid()));
    int made = 0;
    ~TemporaryRoot() { fs::remove_all(path); }
};

/// A new, empty temporary directory.
inline fs::path fresh_dir(const std::string& name) {
    static TemporaryRoot root;
    const fs::path dir = root.path / (name + std::to_string(root.made++));
    fs::create_directories(dir);
    return dir;
}

inline void write_text(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

}  // namespace token_test
