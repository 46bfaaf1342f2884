// Kinds without an adapter: what is trained instead.
#include "ladle/adapters/adapter.hpp"

namespace ladle {

AdapterKind bias_kind() {
    return {"bias", "every bias of the backbone, no adapter", AdapterSite::none, false, true, false, {}, {}, {}, {}};
}

AdapterKind head_kind() {
    return {"head", "the classification head alone", AdapterSite::none, false, false, false, {}, {}, {}, {}};
}

}  // namespace ladle
