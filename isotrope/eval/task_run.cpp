#include "isotrope/eval/task_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/sha256.h"
#include "isotrope/eval/task_requests.h"
#include "isotrope/infer/generate.h"
#include "isotrope/io/json.h"
#include "isotrope/kernels/batch_invariant.h"
#include "isotrope/kernels/packed_weights.h"

namespace isotrope {

using nlohmann::json;

namespace {

/// A request of an item: a choice's, then that behind the context that says nothing (multiple choice); a window of a text.
struct Pending {
  TaskJournal::Key key;
  ScoreRequest request;
  std::string place;
};

std::int64_t context_of(const Model& model, const TaskRunOptions& options) {
  return options.context > 0 ? options.context : scoring_context(model);
}

std::vector<Pending> requests_of(const RequestCoding& coding, const Task& task, std::int64_t context) {
  std::vector<Pending> all;
  for (std::size_t i = 0; i < task.items.size(); ++i) {
    const auto& item = task.items[i];
    std::int64_t number = 0;
    const auto add = [&](ScoreRequest request) {
      if (std::ssize(request.continuation) > context)
        throw InputError("eval", "a continuation of {} tokens exceeds a context of {}", request.continuation.size(), context);
      all.push_back({{task.name, task.sha256, static_cast<std::int64_t>(i), number++}, std::move(request), item.place});
    };
    try {
      if (task.kind == TaskKind::perplexity)
        for (auto& request : rolling_requests(coding, item.text, context)) add(std::move(request));
      for (const auto& choice : item.choices) add(continuation_request(coding, choice.context, choice.continuation));
      for (const auto& choice : item.choices)
        if (choice.unconditional) add(continuation_request(coding, *choice.unconditional, choice.continuation));
    } catch (const Error& error) {
      throw InputError("eval", "{}: {}", item.place, error.message());
    }
    if (number == 0) throw InputError("eval", "{}: no token in it", item.place);
  }
  return all;
}

/// Scores of the requests, by those that the journal knows and by computing the others.
std::vector<ContinuationScore> answers_of(Model& model, const std::vector<Pending>& all, const TaskRunOptions& options,
                                          TaskJournal& journal) {
  std::vector<ContinuationScore> scores(all.size());
  std::vector<ScoreRequest> missing;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (const auto* known = journal.find(all[i].key)) {
      const JsonReader fields(*known, "eval", "the answers so far");
      scores[i].log_likelihood = fields.get_number("log_likelihood"), scores[i].greedy = fields.get_bool("greedy");
      continue;
    }
    missing.push_back(all[i].request);
    places.push_back(i);
  }
  auto done = all.size() - missing.size();
  const auto finish = [&](std::size_t request, const ContinuationScore& score) {
    const auto place = places[request];
    if (!std::isfinite(score.log_likelihood))
      throw WorkError("eval", "{}: the log-likelihood is {}: the model's numbers are not finite", all[place].place, score.log_likelihood);
    scores[place] = score;
    journal.add(all[place].key,
                {{"log_likelihood", score.log_likelihood}, {"greedy", score.greedy}, {"tokens", score.log_probabilities.size()}});
    if (options.progress) options.progress(++done, all.size());
  };
  try {
    score_continuations(model, missing,
                        {.context = options.context,
                         .batch_tokens = options.batch_tokens,
                         .batch_size = options.batch_size,
                         .done = finish,
                         .batch_done = [&] { journal.flush(); },
                         .stop_requested = options.stop_requested});
  } catch (...) {
    journal.flush();
    throw;
  }
  journal.flush();
  return scores;
}

std::vector<ItemOutcome> scored(Model& model, const RequestCoding& coding, const Task& task, const TaskRunOptions& options,
                                TaskJournal& journal) {
  const auto requests = requests_of(coding, task, context_of(model, options));
  const auto scores = answers_of(model, requests, options, journal);
  std::vector<ItemOutcome> outcomes(task.items.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto place = static_cast<std::size_t>(requests[i].key.item);
    const auto& item = task.items[place];
    auto& outcome = outcomes[place];
    if (task.kind == TaskKind::perplexity) {
      if (outcome.log_likelihoods.empty()) {
        outcome.log_likelihoods.push_back(0);
        outcome.words = count_words(item.text), outcome.bytes = static_cast<std::int64_t>(item.text.size());
      }
      outcome.log_likelihoods.front() += scores[i].log_likelihood;
      outcome.tokens += static_cast<std::int64_t>(requests[i].request.continuation.size());
    } else if (outcome.log_likelihoods.size() < item.choices.size()) {
      outcome.log_likelihoods.push_back(scores[i].log_likelihood);
      outcome.greedy.push_back(scores[i].greedy);
    } else {
      outcome.unconditional.push_back(scores[i].log_likelihood);
    }
  }
  for (auto& outcome : outcomes)  // some choices of an item have one and others not
    if (outcome.unconditional.size() != outcome.log_likelihoods.size()) outcome.unconditional.clear();
  return outcomes;
}

/// The likeliest text behind the prompt, up to a stop string, the end-of-text token or max_tokens.
std::string continued(Model& model, const RequestCoding& coding, const Task& task, const TaskItem& item, const TaskRunOptions& options) {
  auto ids = tokens_of(coding, item.prompt);
  if (ids.empty()) ids.push_back(coding.prefix);
  const auto room = context_of(model, options) - options.max_tokens;
  if (room < 1) throw UsageError("eval", "max_tokens = {} leaves no room for a prompt", options.max_tokens);
  if (static_cast<std::int64_t>(ids.size()) > room) ids.erase(ids.begin(), ids.end() - room);  // the question stands at the end
  // Stop strings may be special tokens, which the answer itself does not show.
  std::string text, with_special;
  StreamDecoder decoder(coding.tokenizer, {.skip_special_tokens = true}), special_decoder(coding.tokenizer);
  const auto stop_in = [&](const std::string& where) {
    auto stop = std::string::npos;
    for (const auto& string : task.stop) stop = std::min(stop, where.find(string));
    return stop;
  };
  generate(model, ids,
           {.max_tokens = options.max_tokens,
            .sampling = {.temperature = 0},
            .stop_ids = options.eos,
            .vocab_size = static_cast<std::int64_t>(coding.tokenizer.vocab_size())},
           [&](TokenId id) {
             text += decoder.push(id), with_special += special_decoder.push(id);
             return stop_in(with_special) == std::string::npos && !(options.stop_requested && options.stop_requested());
           });
  if (options.stop_requested && options.stop_requested()) throw Interrupted("eval", "{}: while a text was generated", task.name);
  text += decoder.finish();
  return text.substr(0, stop_in(text));
}

std::vector<ItemOutcome> generated(Model& model, const RequestCoding& coding, const Task& task, const TaskRunOptions& options,
                                   TaskJournal& journal) {
  const at::NoGradGuard no_grad;
  const BatchInvariantScope scope;
  std::vector<ItemOutcome> outcomes(task.items.size());
  for (std::size_t i = 0; i < task.items.size(); ++i) {
    const TaskJournal::Key key{task.name, task.sha256, static_cast<std::int64_t>(i), 0};
    if (const auto* known = journal.find(key)) {
      outcomes[i].generated = JsonReader(*known, "eval", "the answers so far").get_string("generated");
    } else {
      outcomes[i].generated = continued(model, coding, task, task.items[i], options);
      journal.add(key, {{"generated", outcomes[i].generated}});
      journal.flush();
    }
    if (options.progress) options.progress(i + 1, task.items.size());
  }
  return outcomes;
}

}  // namespace

std::vector<ItemOutcome> run_task(Model& model, const Tokenizer& tokenizer, const Task& task, const TaskRunOptions& options,
                                  TaskJournal& journal) {
  const auto coding = request_coding(tokenizer, options.eos);
  return task.kind == TaskKind::generation ? generated(model, coding, task, options, journal)
                                           : scored(model, coding, task, options, journal);
}

std::string model_fingerprint(const Model& model) {
  Sha256 hash;
  hash.add(model.config().dump());
  for (const auto& parameter : model.parameters().all()) {
    hash.add(parameter.name);
    const auto packed = parameter.slot ? parameter.slot->packed : nullptr;
    const auto bytes = (packed ? packed->bytes : parameter.value.detach()).to(at::kCPU).contiguous();
    hash.add({static_cast<const char*>(bytes.const_data_ptr()), static_cast<std::size_t>(bytes.nbytes())});
  }
  return hash.hex();
}

}  // namespace isotrope
