// Prompts to generate from, as files hold them.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// Reads a .jsonl file (an object with a text under "prompt" on each line; other keys are left alone), or any other
/// file as one prompt per line. Throws DataError naming file and line for an empty or malformed prompt, text that is
/// not UTF-8, a line of more than 1 MiB, and a file without prompts.
std::vector<std::string> read_prompts(const std::string& path);

}  // namespace ladle
