#include "isotrope/optim/optimizer_config.h"

namespace isotrope {

void OptimizerConfig::declare(ConfigSchema& s) {
  s.add("optimizer.name", &name,
        {.meaning = "Update rule of the matrices; embeddings, the head, vectors and convolutions are AdamW's under every rule",
         .choices = {"adamw", "muon", "spectra"}});
  s.add("optimizer.lr", &lr, {.meaning = "Peak learning rate, of every rule", .min = 0});
  s.add("optimizer.beta1", &beta1, {.meaning = "AdamW: decay of the mean of gradients", .min = 0, .max = 0.999999});
  s.add("optimizer.beta2", &beta2, {.meaning = "AdamW: decay of the mean of squared gradients", .min = 0, .max = 0.999999});
  s.add("optimizer.eps", &eps, {.meaning = "AdamW: added to the root of the second moment", .min = 1e-30});
  s.add("optimizer.weight_decay", &weight_decay,
        {.meaning = "Decoupled decay of matrices and embeddings; vectors (norm gains, biases) are not decayed", .min = 0});
  s.add("optimizer.adamw_matrices", &adamw_matrices,
        {.meaning = "Matrices that are AdamW's under every rule, too: shell patterns of tensor names"});

  s.add("optimizer.muon.momentum", &muon.momentum, {.meaning = "Decay of the mean of gradients", .min = 0, .max = 0.999999});
  s.add("optimizer.muon.nesterov", &muon.nesterov, {.meaning = "Look ahead: mix the gradient into the mean once more"});
  s.add("optimizer.muon.iterations", &muon.iterations, {.meaning = "Iterations of Newton–Schulz, in fp32", .min = 1, .max = 100});
  s.add("optimizer.muon.scale", &muon.scale,
        {.meaning = "Of an update of m × n (out × in): moonlight = 0.2·√max(m, n), the root mean square of AdamW's updates, so that its "
                    "learning rates serve; jordan = √max(1, m/n)",
         .choices = {"moonlight", "jordan"}});

  s.add("optimizer.spectra.momentum", &spectra.momentum,
        {.meaning = "Share of the sum of gradients that a step keeps", .min = 0, .max = 0.999999});
  s.add("optimizer.spectra.rank_fraction", &spectra.rank_fraction,
        {.meaning = "Singular directions that count as spike, as a share of the shorter side; at least one, unless 0 = none",
         .min = 0,
         .max = 1});
  s.add("optimizer.spectra.iterations", &spectra.iterations,
        {.meaning = "Iterations a step that bring the kept directions nearer to the spike's; the first step takes at least 3",
         .min = 1,
         .max = 100});
  s.add("optimizer.spectra.rms", &spectra.rms,
        {.meaning = "Root mean square of an update, in units of the learning rate; 0.2 is about AdamW's, so that its learning rates serve",
         .min = 0});
  s.add("optimizer.spectra.spike_target", &spectra.spike_target,
        {.meaning =
             "What the spike's singular values become: tail_rms = the root mean square of the others; next = the largest of the others, "
             "median = theirs (a decomposition every step: slow); zero; unchanged",
         .choices = {"tail_rms", "next", "median", "zero", "unchanged"}});
}

}  // namespace isotrope
