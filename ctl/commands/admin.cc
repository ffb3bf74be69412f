// pixelrecctl admin token create|list|revoke: the coordinator's token file. Works on the file alone; the coordinator sees each
// change with the next call.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/auth/token_file.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

struct TokenOptions {
  std::string role, name, file;
  int days = 0;  // 0: for ever
};

absl::StatusOr<std::string> ReadTokens(const std::string& file) {
  absl::StatusOr<std::string> text = storage::ReadFile(file);
  if (!text.ok()) return text.status();
  if (auto parsed = rpc::ParseTokens(*text, file); !parsed.ok()) return parsed.status();
  return text;
}

// Appended, so that the file stays whose it is.
absl::Status Append(const std::string& file, const rpc::TokenEntry& entry) {
  const absl::StatusOr<std::string> before = ReadTokens(file);
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  const bool open_line = before.ok() && !before->empty() && !absl::EndsWith(*before, "\n");
  const std::string line = absl::StrCat(open_line ? "\n" : "", rpc::TokenLine(entry), "\n");
  const storage::UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd.valid()) return storage::ErrnoStatus(errno, "can't open", file);
  if (write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()) || fsync(fd.get()) != 0) {
    return storage::ErrnoStatus(errno, "can't write", file);
  }
  return absl::OkStatus();
}

int Create(const Session& session, const TokenOptions& options) {
  rpc::TokenEntry entry{.principal = {.name = options.name, .role = *rpc::ParseRole(options.role)}};
  if (absl::Status status = rpc::CheckPrincipal(entry.principal); !status.ok()) return session.Fail(status);
  if (options.days > 0) entry.expires = absl::Now() + absl::Hours(24) * options.days;
  const absl::StatusOr<std::string> token = rpc::NewToken();
  if (!token.ok()) return session.Fail(token.status());
  entry.principal.token_hash = rpc::HashToken(*token);
  if (options.file.empty()) {
    session.err << "add this line to the coordinator's token_file:\n" << rpc::TokenLine(entry) << "\n";
  } else {
    if (absl::Status status = Append(options.file, entry); !status.ok()) return session.Fail(status);
    session.err << "added to " << options.file << "\n";
  }
  session.err << "the token, for --token-file of " << options.name << "; it is shown only now:\n" << std::flush;
  session.out << *token << "\n" << std::flush;
  return kExitOk;
}

int List(const Session& session, const TokenOptions& options) {
  const absl::StatusOr<std::string> text = ReadTokens(options.file);
  if (!text.ok()) return session.Fail(text.status());
  const auto entries = rpc::ParseTokens(*text, options.file);
  Table table({{"ROLE"}, {"NAME"}, {"EXPIRES"}, {"SHA256"}});
  for (const rpc::TokenEntry& entry : *entries) {
    const bool expired = entry.expires <= absl::Now();
    const std::string expires =
        entry.expires == absl::InfiniteFuture()
            ? "never"
            : absl::FormatTime("%Y-%m-%d %H:%M", entry.expires, session.zone) + (expired ? " (expired)" : "");
    table.Add({std::string(rpc::RoleName(entry.principal.role)), entry.principal.name, expires,
               entry.principal.token_hash.substr(0, 12)});
  }
  session.out << table.Text() << std::flush;
  return kExitOk;
}

int Revoke(const Session& session, const TokenOptions& options) {
  const absl::StatusOr<std::string> text = ReadTokens(options.file);
  if (!text.ok()) return session.Fail(text.status());
  int removed = 0;
  const std::string kept = rpc::WithoutTokensOf(*text, options.name, &removed);
  if (removed == 0) return session.Fail(absl::NotFoundError(absl::StrCat(options.file, " has no token of ", options.name)));
  if (absl::Status status = storage::WriteFileAtomically(options.file, kept); !status.ok()) return session.Fail(status);
  session.out << "revoked " << removed << (removed == 1 ? " token of " : " tokens of ") << options.name << "\n" << std::flush;
  return kExitOk;
}

}  // namespace

void AddAdmin(CLI::App& app, Session& session) {
  auto options = std::make_shared<TokenOptions>();
  CLI::App* const group = app.add_subcommand("admin", "Who may do what on a coordinator");
  CLI::App* const token = group->require_subcommand(1)->add_subcommand("token", "Bearer tokens, in the coordinator's token file");
  token->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int (*run)(const Session&, const TokenOptions&)) {
    CLI::App* const command = token->add_subcommand(name, help);
    command->callback([&session, options, run] { session.chosen = [&session, options, run] { return run(session, *options); }; });
    return command;
  };
  CLI::App* const create = add("create", "Make a token; it is printed once, the file keeps its hash", Create);
  create->add_option("--role", options->role, "What it may do")
      ->required()
      ->check(CLI::IsMember({"admin", "submitter", "viewer", "worker"}));
  create->add_option("--name", options->name, "Whose it is; of a worker: its id, or the beginning of it and *")->required();
  create->add_option("--days", options->days, "Expires after so many days. Default: never")->check(CLI::Range(1, 36500));
  create->add_option("--tokens", options->file, "The coordinator's token_file, to add it to. Default: print the line");
  CLI::App* const list = add("list", "List the tokens of a file, without what is secret", List);
  CLI::App* const revoke = add("revoke", "Remove every token of a name", Revoke);
  revoke->add_option("--name", options->name, "Whose")->required();
  for (CLI::App* command : {list, revoke})
    command->add_option("--tokens", options->file, "The coordinator's token_file")->required();
}

}  // namespace pixelrec::ctl
