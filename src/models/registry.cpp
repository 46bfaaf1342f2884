// The list of encoder architectures: each has a function <name>_architecture() in its file and its name below.
#include "ladle/core/error.hpp"
#include "ladle/models/backbone_config.hpp"

namespace ladle {

#define LADLE_ARCHITECTURES(X) X(bert) X(roberta)

#define LADLE_DECLARE(name) Architecture name##_architecture();
LADLE_ARCHITECTURES(LADLE_DECLARE)
#undef LADLE_DECLARE

const Architecture& find_architecture(const std::string& name) {
#define LADLE_LIST(name) name##_architecture(),
    static const std::vector<Architecture> architectures = {LADLE_ARCHITECTURES(LADLE_LIST)};
#undef LADLE_LIST
    std::string known;
    for (const Architecture& architecture : architectures) {
        if (architecture.name == name) {
            return architecture;
        }
        known += (known.empty() ? "" : ", ") + std::string(architecture.name);
    }
    throw DataError("unknown model_type '" + name + "' in config.json", "known architectures are " + known,
                    "choose a backbone of one of them");
}

}  // namespace ladle
