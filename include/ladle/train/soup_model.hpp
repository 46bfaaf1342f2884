// Between an engine's parameters and the soup files that hold them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ladle/data/shard.hpp"
#include "ladle/io/soup.hpp"
#include "ladle/tasks/task.hpp"
#include "ladle/train/engine.hpp"

namespace ladle {

/// All experts of the engine's current parameters as a soup (not merged), under their PyTorch names.
Soup make_soup(const Config& config, const Engine& engine, const Task& task, const Split& train,
               const std::string& backbone_digest);

/// The model that a soup belongs to, on this backbone: a merged soup is a mixture of one.
/// Throws DataError if the backbone has other dimensions than the one it was trained on.
ModelSpec soup_spec(const Soup& soup, const BackboneConfig& backbone, const Config& config);

/// Throws DataError if the soup says that it was trained on other weights than those of this digest; a soup that does
/// not say so passes. `directory` is for messages.
void require_backbone(const Soup& soup, const std::string& backbone_digest, const std::string& directory);

/// Name of each of a soup's tensors in the engine's table: a merged bank is expert 0 of a mixture of one.
std::map<std::string, std::string> model_parameter_names(const Soup& soup);

/// Replaces the engine's parameters by the soup's tensors; throws DataError naming a missing, surplus or misshapen one.
void load_soup(const Soup& soup, Engine& engine);

/// Says which task a soup is of, where its file does not: a GLUE task has its own labels; for any other `labels` names
/// the outputs in order (none given: they stay as they are). `path` is for messages. Throws ConfigError if GLUE labels
/// or those of a regression are given or a label is given twice, and DataError if the head has another number of
/// outputs or the soup says otherwise already.
void name_task(Soup& soup, const std::string& task, const std::vector<std::string>& labels, const std::string& path);

}  // namespace ladle
