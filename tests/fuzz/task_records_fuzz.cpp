// Records of tasks and MMLU's CSV: any bytes give items or one InputError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope/data/task_records.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isotrope;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    auto task = read_task_records(text, "input");
    for (const auto& item : task.items)
      if (task.kind == TaskKind::multiple_choice && item.gold >= item.choices.size()) __builtin_trap();
    if (task.kind == TaskKind::generation) add_worked_examples(task, 1);
  } catch (const InputError&) {}
  try {
    read_mmlu(text, "input", "a_subject", text, 1);
  } catch (const InputError&) {}
  return 0;
}
