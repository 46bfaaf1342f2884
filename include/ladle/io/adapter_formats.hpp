// The formats that hold experts of a decoder.
#pragma once

#include <optional>
#include <string>

namespace ladle {

enum class AdapterFormat {
    adapter,      ///< ladle's own HDF5 file
    moa,          ///< the published directory of adapter.pth and adapter_params.json
    checkpoint,   ///< the published training checkpoint; it is read only
    peft,         ///< a LoRA directory of the Python library PEFT
    safetensors,  ///< one file, names as in an adapter file
};

/// The format of that name to write in; throws ConfigError listing them.
AdapterFormat adapter_format(const std::string& name);
/// Its name: adapter, moa, checkpoint, peft, safetensors.
const char* adapter_format_name(AdapterFormat format);

/// The format of a file or directory, told by its content; none for what holds something else. A torch file is taken
/// for a training checkpoint: whether it is one is seen only when it is read. Throws DataError if a file cannot be
/// opened.
std::optional<AdapterFormat> detect_adapter_format(const std::string& path);

}  // namespace ladle
