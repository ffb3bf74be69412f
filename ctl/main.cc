// pixelrecctl: submit training jobs and look at them; see `pixelrecctl --help`.
#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>

#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/local/trampoline.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

int TerminalColumns() {
  if (!isatty(STDOUT_FILENO)) return 0;
  winsize size = {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Each also from PIXELREC_..., and from config.yaml (client/connection.h).
void AddConnectionOptions(CLI::App& app, Connection& connection) {
  config::ClientSecurity& security = connection.security;
  app.add_option("--server", connection.server,
                 "Coordinator as HOST:PORT. Default: PIXELREC_SERVER, ~/.config/pixelrec/config.yaml, the running local cluster, "
                 "127.0.0.1:7070");
  app.add_option("--tls-ca", security.tls_ca, "Certificates (PEM) that sign the coordinator's; asks for TLS");
  app.add_option("--tls-cert", security.tls_cert, "Own certificate (PEM), which says who you are");
  app.add_option("--tls-key", security.tls_key, "Its private key (PEM)");
  app.add_option("--token-file", security.token_file, "File that holds the token which says who you are");
  app.add_flag("--insecure", security.insecure, "Plaintext to a coordinator on another machine");
}

int Main(int argc, char** argv) {
  Session session{.out = std::cout, .err = std::cerr, .columns = TerminalColumns(), .zone = absl::LocalTimeZone()};
  CLI::App app("PixelRec Trainer: train LLM recommenders from CSV files.", "pixelrecctl");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", PIXELREC_VERSION);
  AddConnectionOptions(app, session.connection);
  app.add_option("--timeout", session.timeout_seconds, "Seconds that one call may take")->check(CLI::Range(0.1, 3600.0));
  AddSubmit(app, session);
  AddValidate(app, session);
  AddInit(app, session);
  AddList(app, session);
  AddDescribe(app, session);
  AddWatch(app, session);
  AddEvents(app, session);
  AddMetrics(app, session);
  AddCheckpoints(app, session);
  AddExplain(app, session);
  AddLogs(app, session);
  AddAudit(app, session);
  AddCancel(app, session);
  AddPause(app, session);
  AddResume(app, session);
  AddDelete(app, session);
  AddWorkers(app, session);
  AddRecommend(app, session);
  AddExport(app, session);
  AddInspect(app, session);
  AddEncode(app, session);
  AddTokenize(app, session);
  AddDataset(app, session);
  AddLocal(app, session);
  AddAdmin(app, session);
  AddCompletion(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    session.out << app.help();
    return kExitOk;
  } catch (const CLI::CallForVersion& version) {
    session.out << "pixelrecctl " << version.what() << "\n";
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    session.err << "error: " << OneLine(error.what()) << "; see pixelrecctl --help\n";
    return kExitUsage;
  }
  return session.chosen();
}

}  // namespace
}  // namespace pixelrec::ctl

int main(int argc, char** argv) {
  if (const auto exit_code = pixelrec::ctl::RunTrampoline(argc, argv)) return *exit_code;
  return pixelrec::ctl::Main(argc, argv);
}
