// Suggestions for misspelt names.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// The known name nearest to `word` by edit distance; dotted names are also compared by their last part, so that
/// "lr" finds "optim.lr". Empty if nothing is near (more than a third of the letters differ, at least two).
std::string closest_name(const std::string& word, const std::vector<std::string>& known);

/// A fix for a misspelt name: "did you mean X?" if there is a near one, else `otherwise`.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known, const std::string& otherwise);

}  // namespace ladle
