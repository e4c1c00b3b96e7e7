#include "app/engine.h"

#include <dlfcn.h>

#include <filesystem>
#include <string_view>

#include "isotrope/base/error.h"
#include "isotrope_version.h"

namespace isotrope::app {

namespace fs = std::filesystem;

namespace {

/// Beside the program in the build folder (lib/), or in the library folder of an installation (../lib, ../lib64, ../lib/TRIPLE).
fs::path find_module() {
  const auto program = fs::read_symlink("/proc/self/exe").parent_path();
  for (const auto& folder : {program / "lib", program / ISOTROPE_LIBRARY_FOLDER})
    if (const auto path = folder / "libisotrope_commands.so"; fs::exists(path)) return path;
  throw with_hint(WorkError("engine", "libisotrope_commands.so is not beside {}", program.string()),
                  "this build has no engine; ./dev build makes one");
}

const EngineCommands& open_engine() {
  const auto path = find_module();
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!module) throw WorkError("engine", "cannot open the engine: {}", ::dlerror());
  using Entry = const EngineCommands* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(module, engine_entry));
  if (!entry) throw WorkError("engine", "{} is not Isotrope's engine", path.string());
  const auto& commands = *entry();
  if (std::string_view(commands.version) != ISOTROPE_VERSION)
    throw WorkError("engine", "{} has version {}, this program {}", path.string(), commands.version, ISOTROPE_VERSION);
  return commands;
}

}  // namespace

const EngineCommands& engine() {
  static const EngineCommands& commands = open_engine();
  return commands;
}

}  // namespace isotrope::app
