#include "isotrope/train/run_config.h"

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/observe/archive_config.h"

namespace isotrope {

ConfigSchema RunConfig::schema() {
  ConfigSchema s;
  s.add("run.folder", &run.folder, {.meaning = "Folder of the run: config.toml, run.jsonl and checkpoints/ are written here"});

  s.add("model.config", &model.config, {.meaning = "Path to a Hugging Face config.json: the architecture to train from scratch"});
  s.add(
      "model.init_from", &model.init_from,
      {.meaning =
           "Model whose weights training starts from, in place of model.config: a folder, a file, a Hugging Face name in the local cache"});

  s.add("model.dropout", &model.dropout, {.meaning = "Let the rates of dropout in the model's config act; false: none do"});

  s.add(
      "objective.name", &objective.name,
      {.meaning =
           "What is predicted: clm = the next token; mlm = hidden tokens; mlm_nsp = hidden tokens, and whether one segment follows the "
           "other; bilm = the next token and the one before; classification = the label of a text; auto = what the model's architecture is "
           "made for",
       .choices = {"auto", "clm", "mlm", "mlm_nsp", "bilm", "classification"}});
  const KeyInfo::Condition masks{"objective.name", {"auto", "mlm", "mlm_nsp"}};
  s.add("objective.mask_rate", &objective.mask_rate,
        {.meaning = "Share of the tokens, special ones apart, that are to be predicted", .min = 0.001, .max = 1, .used_when = {masks}});
  s.add("objective.mask_share", &objective.mask_share,
        {.meaning = "Of these, the share that the mask token replaces", .min = 0, .max = 1, .used_when = {masks}});
  s.add("objective.random_share", &objective.random_share,
        {.meaning = "And the share that a random token replaces; the others stay", .min = 0, .max = 1, .used_when = {masks}});
  s.add("objective.whole_words", &objective.whole_words, {.meaning = "Hide all tokens of a word together", .used_when = {masks}});

  s.add("data.train", &data.train,
        {.meaning = "What to train on: a token file, written by `isotrope data pack`; with classification labelled records (JSONL)",
         .required = true});
  s.add("data.validation", &data.validation, {.meaning = "The same to evaluate on; empty: no evaluation"});
  s.add("data.tokenizer", &data.tokenizer,
        {.meaning = "Tokenizer (folder, tokenizer.json, Hugging Face name or \"bytes\"); empty: the one beside data.train"});
  s.add("data.document_mask", &data.document_mask,
        {.meaning = "Keep packed documents from attending to each other, and restart positions at each document"});

  s.add("train.steps", &train.steps, {.meaning = "Optimizer steps of the whole run", .unit = "steps", .min = 1});
  s.add("train.batch_size", &train.batch_size, {.meaning = "Sequences in one optimizer step", .unit = "sequences", .min = 1});
  s.add("train.micro_batch_size", &train.micro_batch_size,
        {.meaning = "Sequences in one forward and backward pass; the rest is accumulated; 0: the whole batch",
         .unit = "sequences",
         .min = 0});
  s.add("train.context", &train.context, {.meaning = "Tokens in a sequence", .unit = "tokens", .min = 1});
  s.add("train.seed", &train.seed, {.meaning = "Seed of initialisation, data order and sampling", .min = 0});
  s.add("train.threads", &train.threads, {.meaning = "Threads to compute with; 0: one a core", .min = 0, .max = 1024});
  s.add("train.precision", &train.precision,
        {.meaning = "bf16: working copy and activations in bfloat16, master weights and sums in fp32; fp32: everything in fp32",
         .choices = {"bf16", "fp32"}});
  s.add("train.device", &train.device, {.meaning = "cpu, cuda, cuda:N or mps"});
  s.add("train.clip", &train.clip,
        {.meaning = "Largest global gradient norm; larger gradients are scaled down to it; 0: no clipping", .min = 0});
  s.add("train.z_loss", &train.z_loss, {.meaning = "Weight of log²(Z), which keeps the logits' normaliser near one", .min = 0});
  s.add("train.max_skipped", &train.max_skipped,
        {.meaning = "Steps in a row with a non-finite loss or gradient that are skipped before the run is given up",
         .unit = "steps",
         .min = 0});

  s.add("train.max_minutes", &train.max_minutes,
        {.meaning = "End this session cleanly, with a checkpoint, after so many minutes of training; 0: no limit",
         .unit = "minutes",
         .min = 0});

  optimizer.declare(s);
  multipliers.declare(s);
  lora.declare(s);

  s.add("schedule.name", &schedule.name,
        {.meaning = "Learning rate over the run after warm-up: constant; cosine; wsd = constant, then decay; exponential = constant, then "
                    "exponential decay",
         .choices = {"constant", "cosine", "wsd", "exponential"}});
  s.add("schedule.warmup_steps", &schedule.warmup_steps,
        {.meaning = "Steps of linear warm-up: step t (from 0) takes (t + 1)/warmup_steps of the peak; -1: a tenth of the run, at most 100",
         .unit = "steps",
         .min = -1});
  s.add("schedule.min_lr_factor", &schedule.min_lr_factor,
        {.meaning = "Last learning rate as a fraction of the peak",
         .min = 0,
         .max = 1,
         .used_when = {{"schedule.name", {"cosine", "wsd", "exponential"}}}});
  s.add("schedule.decay_steps", &schedule.decay_steps,
        {.meaning = "Length of the final decay; 0: a fifth of the run",
         .unit = "steps",
         .min = 0,
         .used_when = {{"schedule.name", {"wsd", "exponential"}}}});
  s.add("schedule.decay_shape", &schedule.decay_shape,
        {.meaning = "Shape of wsd's decay: linear, or sqrt = 1 − √progress",
         .choices = {"linear", "sqrt"},
         .used_when = {{"schedule.name", {"wsd"}}}});

  observe.declare(s);

  s.add("eval.batch_size", &eval.batch_size, {.meaning = "Sequences evaluated together", .unit = "sequences", .min = 1});
  s.add(
      "eval.max_windows", &eval.max_windows,
      {.meaning = "Windows or records of the validation file to use, spread evenly over it (with objectives other than clm, a fixed random "
                  "choice); 0: all",
       .unit = "windows",
       .min = 0});

  s.add("sample.max_tokens", &sample.max_tokens, {.meaning = "Length of a sample", .unit = "tokens", .min = 1});
  s.add("sample.prompt", &sample.prompt, {.meaning = "Text that samples go on from; empty: the end-of-text token"});

  s.add("checkpoint.every", &checkpoint.every,
        {.meaning = "Save a checkpoint every so many steps and at the end; 0: only at the end", .unit = "steps", .min = 0});
  s.add("checkpoint.keep", &checkpoint.keep, {.meaning = "Newest checkpoints to keep; 0: all", .min = 0});
  s.add(
      "checkpoint.archive", &checkpoint.archive,
      {.meaning = "Keep weights alone besides, in archive/step-N, for looking at training later: every:N = every N steps; log:N = N times, "
                  "at equal ratios of steps; loss:a,b,c = when the training loss first reaches each; empty: none"});

  s.add("log.every", &log.every, {.meaning = "Write a step record every so many steps", .unit = "steps", .min = 1});
  compare.declare(s);
  return s;
}

void RunConfig::resolve() {
  if (schedule.warmup_steps < 0) schedule.warmup_steps = std::min<std::int64_t>(100, train.steps / 10);
}

RunConfig read_run_config(const std::filesystem::path& path, std::span<const std::string> overrides) {
  RunConfig config;
  auto schema = config.schema();
  if (!path.empty()) schema.read_file(path);
  for (const auto& assignment : overrides) schema.set(assignment);
  schema.check();
  config.resolve();
  parse_archive_schedule(config.checkpoint.archive);  // refuses what it does not understand
  if (config.model.config.empty() == config.model.init_from.empty())
    throw UsageError("config", "set one of model.config (train from scratch) and model.init_from (go on from a model)");
  const auto& m = config.multipliers;
  const LoraConfig untouched;
  if (config.lora.targets.empty() && (config.lora.rank != untouched.rank || config.lora.alpha != untouched.alpha))
    throw UsageError("config", "lora.rank and lora.alpha have no effect without lora.targets");
  if (!config.lora.targets.empty() && !(m.rows.empty() && m.columns.empty() && m.scalars.empty()))
    throw UsageError("config", "multipliers.* beside lora.targets: nothing but the low-rank factors would be trained");
  if (config.objective.mask_share + config.objective.random_share > 1)
    throw UsageError("config", "objective.mask_share + objective.random_share = {} is more than 1",
                     config.objective.mask_share + config.objective.random_share);
  if (config.schedule.name == "exponential" && config.schedule.min_lr_factor <= 0)
    throw UsageError("config", "schedule.min_lr_factor must be above 0 for an exponential decay");
  if (config.schedule.warmup_steps > config.train.steps)
    throw UsageError("config", "schedule.warmup_steps = {} is more than train.steps = {}", config.schedule.warmup_steps,
                     config.train.steps);
  if (config.schedule.warmup_steps + config.schedule.decay_steps > config.train.steps)
    throw UsageError("config", "schedule.warmup_steps + schedule.decay_steps = {} is more than train.steps = {}",
                     config.schedule.warmup_steps + config.schedule.decay_steps, config.train.steps);
  if (config.train.micro_batch_size > config.train.batch_size)
    throw UsageError("config", "train.micro_batch_size = {} is more than train.batch_size = {}", config.train.micro_batch_size,
                     config.train.batch_size);
  return config;
}

}  // namespace isotrope
