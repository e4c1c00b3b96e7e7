#include "isotrope/optim/optimizer_config.h"

namespace isotrope {

void OptimizerConfig::declare(ConfigSchema& s) {
  s.add("optimizer.name", &name,
        {.meaning = "Update rule of the matrices; embeddings, the head, vectors and convolutions are AdamW's under every rule",
         .choices = {"adamw", "muon"}});
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
}

}  // namespace isotrope
