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

int Main(int argc, char** argv) {
  Session session{.out = std::cout, .err = std::cerr, .columns = TerminalColumns(), .zone = absl::LocalTimeZone()};
  CLI::App app("PixelRec Trainer: train LLM recommenders from CSV files.", "pixelrecctl");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", PIXELREC_VERSION);
  app.add_option("--server", session.server,
                 "Coordinator as HOST:PORT. Default: PIXELREC_SERVER, the running local cluster, 127.0.0.1:7070");
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
