// RoBERTa: positions count from the pad id, two trainable linears as head, consistency loss.
// Source: transformers 4.4.2 and AdaMix repository, src/transformers/models/roberta/modeling_roberta.py.
#include "ladle/models/backbone_config.hpp"

namespace ladle {

Architecture roberta_architecture() {
    return {"roberta",
            "roberta.",
            false,
            true,
            1.0,
            true,
            {"embeddings.position_ids", "lm_head.", "pooler.", "classifier."}};
}

}  // namespace ladle
