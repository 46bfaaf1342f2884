// BERT: pooled first token, one trainable linear as head.
// Source: transformers 4.4.2 and AdaMix repository, src/transformers/models/bert/modeling_bert.py.
#include "ladle/models/backbone_config.hpp"

namespace ladle {

Architecture bert_architecture() {
    return {"bert", "bert.", true, false, 0.0, false, {"embeddings.position_ids", "cls.", "classifier."}};
}

}  // namespace ladle
