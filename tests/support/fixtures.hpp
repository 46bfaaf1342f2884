// Where golden files are found: the project's own, and those named by LADLE_FIXTURES=DIR[:DIR].
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ladle/io/hdf5.hpp"

namespace ladle::test {

/// Kinds of golden files; a file of no known kind is a failure of the suite that finds it.
inline std::string fixture_kind(const std::string& path) {
    const Hdf5Reader file(path, Hdf5Origin::foreign);
    if (file.has_attribute("/", "system")) {
        return "moa";
    }
    if (file.has_attribute("/", "config")) {
        const auto config = nlohmann::json::parse(file.text("/", "config"), nullptr, false);
        const std::string kind = config.is_object() ? config.value("kind", "") : "";
        return kind.find("lora") != std::string::npos      ? "lora"
               : kind.find("adakron") != std::string::npos ? "adakron"
                                                           : "unknown";
    }
    return file.has("/config") ? "adamix" : "unknown";
}

/// The folder of the project's own; LADLE_FIXTURES_ROOT names it to tests that run elsewhere than they were built.
inline std::string fixtures_root() {
    const char* root = std::getenv("LADLE_FIXTURES_ROOT");
    return root != nullptr ? root : LADLE_TEST_FIXTURES;
}

/// What the system's own folder and the folders of LADLE_FIXTURES hold under names that are wanted, sorted.
template <class Wanted>
std::vector<std::string> find_fixtures(const std::string& system, Wanted&& wanted) {
    std::vector<std::string> folders = {fixtures_root() + "/" + system};
    if (const char* more = std::getenv("LADLE_FIXTURES")) {
        std::stringstream list(more);
        for (std::string folder; std::getline(list, folder, ':');) {
            folders.push_back(folder);
        }
    }
    std::vector<std::string> files;
    for (const std::string& folder : folders) {
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            if (wanted(entry.path().filename().string())) {
                files.push_back(entry.path().string());
            }
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

inline std::vector<std::string> fixture_files(const std::string& system, const std::string& ending) {
    return find_fixtures(system, [&](const std::string& name) { return name.ends_with(ending); });
}

/// Directories of LLaMA files as Meta publishes them.
inline std::vector<std::string> meta_directories() {
    return find_fixtures("moa", [](const std::string& name) { return name.starts_with("meta_"); });
}

}  // namespace ladle::test
