// pixelrecctl completion: a script for the shell, made from the commands and options themselves. Job names are asked of the
// coordinator when they are wanted.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {
namespace {

std::vector<std::string> FlagsOf(const CLI::Option& option) {
  std::vector<std::string> flags;
  for (const std::string& name : option.get_lnames()) flags.push_back("--" + name);
  for (const std::string& name : option.get_snames()) flags.push_back("-" + name);
  return flags;
}

// What the option takes, where that is a list: its validator calls itself "{table,json,yaml}".
std::string ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.rfind('}');
  if (begin == std::string::npos || end == std::string::npos) return "";
  return absl::StrReplaceAll(type.substr(begin + 1, end - begin - 1), {{",", " "}});
}

bool TakesJob(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional() && option->get_name() == "job") return true;
  }
  return false;
}

// The three `case` lists of the script: which words lead to another command, what a command offers, what an option takes.
struct Cases {
  std::string commands, words, values;
};

void Collect(const CLI::App& app, const std::string& path, Cases& cases) {
  std::vector<std::string> words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); })) {
    words.push_back(command->get_name());
    absl::StrAppend(&cases.commands, "      \"", path, " ", command->get_name(), "\") chain=\"", path, " ", command->get_name(),
                    "\" ;;\n");
    Collect(*command, absl::StrCat(path, " ", command->get_name()), cases);
  }
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string> flags = FlagsOf(*option);
    words.insert(words.end(), flags.begin(), flags.end());
    if (option->get_items_expected_max() == 0 || flags.empty()) continue;
    const std::string choices = ChoicesOf(*option);
    for (const std::string& flag : flags)
      absl::StrAppend(&cases.values, "    \"", path, " ", flag, "\") words=\"", choices, "\" value=1 ;;\n");
  }
  absl::StrAppend(&cases.words, "    \"", path, "\") words=\"", absl::StrJoin(words, " "), "\"", TakesJob(app) ? " jobs=1" : "",
                  " ;;\n");
}

std::string BashScript(const CLI::App& root) {
  Cases cases;
  Collect(root, "", cases);
  return absl::StrCat(R"sh(# Completion of pixelrecctl for bash.
_pixelrecctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} chain="" words="" value="" jobs="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$chain ${COMP_WORDS[i]}" in
)sh",
                      cases.commands, R"sh(    esac
  done
  case "$chain" in
)sh",
                      cases.words, R"sh(  esac
  case "$chain $before" in
)sh",
                      cases.values, R"sh(  esac
  if [[ -z $value && -n $jobs && $cur != -* ]]; then
    words="$words $(pixelrecctl --timeout 2 list -o json 2> /dev/null | sed -n 's/^ *"job_id": "\([^"]*\)",*$/\1/p')"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _pixelrecctl pixelrecctl
)sh");
}

// zsh runs bash's script; there `path` would be the search path.
std::string ZshScript(const CLI::App& root) {
  return absl::StrCat("#compdef pixelrecctl\nautoload -Uz compinit bashcompinit && compinit && bashcompinit\n", BashScript(root));
}

}  // namespace

void AddCompletion(CLI::App& app, Session& session) {
  CLI::App* const group = app.add_subcommand("completion", "Print a completion script: source <(pixelrecctl completion bash)");
  group->require_subcommand(1);
  group->add_subcommand("bash", "For bash")->callback([&app, &session] {
    session.chosen = [&app, &session] {
      session.out << BashScript(app) << std::flush;
      return kExitOk;
    };
  });
  group->add_subcommand("zsh", "For zsh")->callback([&app, &session] {
    session.chosen = [&app, &session] {
      session.out << ZshScript(app) << std::flush;
      return kExitOk;
    };
  });
}

}  // namespace pixelrec::ctl
