// What a run directory says about its run, while it lasts and afterwards: `ladle inspect DIRECTORY`.
#pragma once

#include <string>

#include "ladle/io/inspect.hpp"

namespace ladle {

/// True if the directory holds the manifest of a run.
bool is_run_directory(const std::string& path);

/// State of the run (running, finished, stopped or ended without a word), best score, newest checkpoint and metrics as
/// facts; its starts, scores and files as tables. Changes nothing and disturbs no running job. Throws DataError naming
/// a file that is damaged.
FileReport inspect_run(const std::string& directory);

}  // namespace ladle
