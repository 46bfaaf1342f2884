// Fuzzing target: adapter_config.json of a PEFT directory beside the tensors of a small LoRA.
#include "ladle/core/error.hpp"
#include "ladle/io/export.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"
#include "support.hpp"

namespace {

/// BERT of one layer and width 2, LoRA of rank 1 on the query, two labels.
ladle::TensorList small_lora() {
    const std::string prefix = "base_model.model.";
    const std::string query = prefix + "bert.encoder.layer.0.attention.self.query.";
    const float values[] = {1, 2, 3, 4};
    return {{query + "lora_A.weight", ladle::Tensor::from_floats({1, 2}, values)},
            {query + "lora_B.weight", ladle::Tensor::from_floats({2, 1}, values)},
            {prefix + "classifier.weight", ladle::Tensor::from_floats({2, 2}, values)},
            {prefix + "classifier.bias", ladle::Tensor::from_floats({2}, values)}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory scratch;
    static const bool written = [] {
        ladle::write_safetensors(scratch.path("adapter_model.safetensors"), small_lora(), {});
        return true;
    }();
    ladle_fuzz::require(written, "the tensors are there");
    ladle::write_file(scratch.path("adapter_config.json"), ladle_fuzz::text_of(bytes, count));
    ladle::Soup soup;
    try {
        if (ladle::detect_soup_format(scratch.path()) != ladle::SoupFormat::peft) {
            return 0;
        }
        soup = ladle::import_soup(scratch.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle::SoupExport target;
    target.format = ladle::SoupFormat::peft;
    target.path = scratch.path("again");
    ladle::export_soup(soup, target);
    ladle::verify_export(soup, target);
    return 0;
}
