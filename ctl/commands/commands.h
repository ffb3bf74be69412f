// The subcommands of pixelrecctl, one file each. Each Add function declares its options and, if its command is chosen, sets
// session.chosen to the code that runs it.
#pragma once

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "ctl/session.h"

namespace pixelrec::ctl {

void AddSubmit(CLI::App& app, Session& session);
void AddValidate(CLI::App& app, Session& session);
void AddInit(CLI::App& app, Session& session);
void AddList(CLI::App& app, Session& session);
void AddDescribe(CLI::App& app, Session& session);
void AddWatch(CLI::App& app, Session& session);
void AddEvents(CLI::App& app, Session& session);
void AddCheckpoints(CLI::App& app, Session& session);
void AddMetrics(CLI::App& app, Session& session);
void AddExplain(CLI::App& app, Session& session);
void AddLogs(CLI::App& app, Session& session);
void AddAudit(CLI::App& app, Session& session);
void AddCancel(CLI::App& app, Session& session);
void AddPause(CLI::App& app, Session& session);
void AddResume(CLI::App& app, Session& session);
void AddDelete(CLI::App& app, Session& session);
void AddWorkers(CLI::App& app, Session& session);
void AddRecommend(CLI::App& app, Session& session);
void AddExport(CLI::App& app, Session& session);
void AddInspect(CLI::App& app, Session& session);
void AddEncode(CLI::App& app, Session& session);
void AddTokenize(CLI::App& app, Session& session);
void AddDataset(CLI::App& app, Session& session);
void AddCompletion(CLI::App& app, Session& session);
void AddAdmin(CLI::App& app, Session& session);
void AddLocal(CLI::App& app, Session& session);

}  // namespace pixelrec::ctl
