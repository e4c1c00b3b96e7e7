// Texts that the model writes as it learns: the record `sample`.
#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/infer/generate.h"
#include "isotrope/train/observer.h"
#include "isotrope/train/session.h"

namespace isotrope {

namespace {

class Samples final : public Observer {
 public:
  explicit Samples(const Session& session) : s_(session) {}
  std::string_view name() const override { return "samples"; }
  bool wants(std::int64_t step) const override { return step % s_.config.observe.samples == 0; }

  void after_update(const StepView& view) override {
    const auto& tokenizer = *s_.tokenizer;
    auto prompt = tokenizer.encode(s_.config.sample.prompt);
    if (prompt.empty() && tokenizer.eos()) prompt.push_back(*tokenizer.eos());
    if (prompt.empty()) return warn_once("sample", "[train] no sample: sample.prompt is empty and the tokenizer has no end-of-text token");
    GenerationOptions options{
        .max_tokens = s_.config.sample.max_tokens, .sampling = {.temperature = 0.8, .top_k = 50}, .seed = s_.state.seed, .slide = true};
    options.vocab_size = static_cast<std::int64_t>(tokenizer.vocab_size());
    if (tokenizer.eos()) options.stop_ids.push_back(*tokenizer.eos());
    const auto answer = generate(view.model, prompt, options);
    view.log.append({{"type", "sample"}, {"step", view.step}, {"prompt", s_.config.sample.prompt}, {"text", tokenizer.decode(answer)}});
  }

 private:
  const Session& s_;
};

const ObserverKind samples_observer{[](const Session& session) -> std::unique_ptr<Observer> {
  return session.config.observe.samples > 0 ? std::make_unique<Samples>(session) : nullptr;
}};

}  // namespace
}  // namespace isotrope
