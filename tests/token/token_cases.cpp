// Readers of the reference cases.
#include "token_cases.hpp"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "ladle/text/vocabulary.hpp"

namespace token_test {

std::vector<fs::path> extra_dirs() {
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

std::unique_ptr<ladle::Tokenizer> word_piece_of(const fs::path& vocab, const ladle::WordPieceOptions& options) {
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

fs::path fresh_dir(const std::string& name) {
    const fs::path dir = fs::temp_directory_path() / ("ladle_" + name + "_" + std::to_string(getpid()));
    fs::remove_all(dir);
    fs::create_directories(dir);
    return dir;
}

void write_file(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

}  // namespace token_test
