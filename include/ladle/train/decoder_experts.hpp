// Which experts a config asks for.
#pragma once

#include "ladle/adapters/moa/options.hpp"
#include "ladle/config/config.hpp"

namespace ladle {

/// The published system with what the config says otherwise, for a decoder of so many layers. Throws ConfigError for an
/// unknown system, and where options contradict each other or the number of layers.
MoaOptions decoder_experts(const MoaConfig& config, int layers);

/// The config with everything that decoder_experts decides written out, so that equal experts have equal identities.
MoaConfig settled(MoaConfig config, int layers);

/// Whether the published formulas of these experts see padding.
bool sees_padding(const MoaOptions& experts);

}  // namespace ladle
