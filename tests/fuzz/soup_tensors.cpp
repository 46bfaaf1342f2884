// Fuzzing target: soups in safetensors files, with ladle's description in the metadata or with guessed ones.
#include "ladle/core/error.hpp"
#include "ladle/io/export.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    static const ladle_fuzz::MemoryDirectory scratch;
    file.set(ladle_fuzz::text_of(bytes, count));
    ladle::Soup soup;
    try {
        if (ladle::detect_soup_format(file.path()) != ladle::SoupFormat::safetensors) {
            return 0;
        }
        soup = ladle::import_soup(file.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle::SoupExport target;
    target.path = scratch.path("again.safetensors");
    ladle::export_soup(soup, target);
    ladle::verify_export(soup, target);
    return 0;
}
