// What planning a sweep must know of data and models; each is looked at once. Internal to src/research.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "ladle/config/config.hpp"
#include "ladle/models/backbone_config.hpp"
#include "ladle/models/decoder_config.hpp"

namespace ladle {

class RunFacts {
public:
    /// Training samples of the run. Throws DataError and ConfigError as the run itself would where data, model and
    /// options do not fit each other; the texts of instruction files are not tokenized.
    std::size_t samples(const Config& config);
    /// Values that the run trains.
    std::uint64_t trained_values(const Config& config);

private:
    struct EncoderData {
        std::size_t samples = 0;
        int outputs = 0;
    };
    const BackboneConfig& backbone(const Config& config);
    const EncoderData& encoder_data(const Config& config);
    const DecoderConfig& decoder(const Config& config);

    std::map<std::string, EncoderData> encoder_data_;
    std::map<std::string, BackboneConfig> backbones_;
    std::map<std::string, DecoderConfig> decoders_;
    std::map<std::string, std::size_t> decoder_samples_;
    std::map<std::string, std::uint64_t> trained_values_;
};

}  // namespace ladle
