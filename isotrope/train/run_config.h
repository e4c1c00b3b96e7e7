#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "isotrope/base/config.h"
#include "isotrope/nn/additions_config.h"
#include "isotrope/observe/observe_config.h"
#include "isotrope/optim/optimizer_config.h"
#include "isotrope/study/compare_config.h"

namespace isotrope {

/// Everything that decides a training run. Plain values; their names, ranges and meanings stand once, in schema(). Sections that belong to
/// a folder are declared there (NAME_config.h), without tensors: the core knows them all.
struct RunConfig {
  struct {
    std::string folder = "runs/run";
  } run;
  struct {
    std::string config;     ///< an HF config.json: the architecture to train from scratch
    std::string init_from;  ///< a model folder: go on from its weights
    bool dropout = false;
  } model;
  struct {
    std::string train, validation, tokenizer;
    bool document_mask = false;
  } data;
  struct {
    std::string name = "auto";
    double mask_rate = 0.15, mask_share = 0.8, random_share = 0.1;
    bool whole_words = false;
  } objective;
  struct {
    std::int64_t steps = 1000, batch_size = 16, micro_batch_size = 0, context = 256, seed = 0, threads = 0;
    std::string precision = "bf16", device = "cpu";
    double clip = 1.0, z_loss = 0.0, max_minutes = 0.0;
    std::int64_t max_skipped = 10;
  } train;
  OptimizerConfig optimizer;
  MultipliersConfig multipliers;
  LoraConfig lora;
  struct {
    std::string name = "cosine", decay_shape = "linear";
    std::int64_t warmup_steps = -1, decay_steps = 0;
    double min_lr_factor = 0.1;
  } schedule;
  ObserveConfig observe;
  struct {
    std::int64_t batch_size = 16, max_windows = 0;
  } eval;
  struct {
    std::int64_t max_tokens = 64;
    std::string prompt;
  } sample;
  struct {
    std::int64_t every = 500, keep = 2;
    std::string archive;
  } checkpoint;
  struct {
    std::int64_t every = 1;
  } log;
  CompareConfig compare;

  /// Puts numbers in place of defaults that depend on other keys (a warm-up of −1). Called by read_run_config() and train().
  void resolve();

  /// The table of keys, bound to this object's members; their values at this moment are the defaults.
  ConfigSchema schema();
};

/// A config file, then the overrides, then the checks between keys, then resolve(). `path` may be empty: defaults and overrides alone.
RunConfig read_run_config(const std::filesystem::path& path, std::span<const std::string> overrides);

}  // namespace isotrope
