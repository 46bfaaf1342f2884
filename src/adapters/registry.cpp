// The list of adapter kinds: each has a function <name>_kind() in its file and its name in the list below.
#include <type_traits>

#include "ladle/adapters/adapter.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

#define LADLE_ADAPTER_KINDS(X) \
    X(adamix) X(houlsby) X(pfeiffer) X(adakron) X(madakron) X(lora) X(adamix_lora) X(bias) X(head)

#define LADLE_DECLARE(name) AdapterKind name##_kind();
LADLE_ADAPTER_KINDS(LADLE_DECLARE)
#undef LADLE_DECLARE

const std::vector<AdapterKind>& adapter_kinds() {
#define LADLE_LIST(name) name##_kind(),
    static const std::vector<AdapterKind> kinds = {LADLE_ADAPTER_KINDS(LADLE_LIST)};
#undef LADLE_LIST
    return kinds;
}

const AdapterKind& adapter_kind(const std::string& name) {
    std::string known;
    for (const AdapterKind& kind : adapter_kinds()) {
        if (kind.name == name) {
            return kind;
        }
        known += (known.empty() ? "" : ", ") + std::string(kind.name);
    }
    throw ConfigError("unknown adapter.kind '" + name + "'", "known kinds are " + known, "choose one of them");
}

template <class Real>
std::unique_ptr<Adapter<Real>> make_adapter(const Kernels<Real>& kernels, ParameterTable& table,
                                            const AdapterSpec& spec) {
    const AdapterKind& kind = adapter_kind(spec.options.kind);
    if constexpr (std::is_same_v<Real, float>) {
        return kind.make_float(kernels, table, spec);
    } else {
        return kind.make_double(kernels, table, spec);
    }
}

template std::unique_ptr<Adapter<float>> make_adapter<float>(const Kernels<float>&, ParameterTable&,
                                                             const AdapterSpec&);
template std::unique_ptr<Adapter<double>> make_adapter<double>(const Kernels<double>&, ParameterTable&,
                                                               const AdapterSpec&);

}  // namespace ladle
