// Streams between workers and the coordinator, as TCP makes them: nothing is lost, doubled or overtaken within one, but it may
// break, or be cut in one direction, and either end learns of it late or never.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "pixelrec/v1/worker_service.pb.h"
#include "tests/coordinator/simulator/dice.h"
#include "tests/coordinator/simulator/timeline.h"

namespace pixelrec::simulator {

class ServerEnd {
 public:
  virtual ~ServerEnd() = default;
  virtual bool listening() const = 0;
  virtual void OnRequest(uint64_t stream, v1::SessionRequest request) = 0;
  virtual void OnClientGone(uint64_t stream) = 0;
};

class ClientEnd {
 public:
  virtual ~ClientEnd() = default;
  virtual void OnResponse(uint64_t stream, v1::SessionResponse response) = 0;
  virtual void OnClosed(uint64_t stream, const absl::Status& status) = 0;
  virtual void OnRoom(uint64_t stream) = 0;  // a write may follow
};

enum class Direction { kToServer, kToClient };

class Network {
 public:
  Network(Timeline& timeline, Dice dice, microseconds latency);

  void SetServer(ServerEnd* server) { server_ = server; }
  void SetClients(std::vector<ClientEnd*> clients);

  uint64_t Dial(size_t client);
  void SendRequest(uint64_t stream, v1::SessionRequest request);
  bool CanSend(uint64_t stream) const;
  // The server may still take what was sent, or not.
  void Cancel(uint64_t stream);
  void SendResponse(uint64_t stream, v1::SessionResponse response);
  // After what was sent.
  void Close(uint64_t stream, const absl::Status& status);

  microseconds Latency();

  void Cut(size_t client, Direction direction);
  void Mend(size_t client, Direction direction);
  bool IsCut(size_t client) const { return links_[client].cut[0] || links_[client].cut[1]; }
  // Breaks what `client` has open; each end learns of it after a while, or never.
  void Break(size_t client);
  // The process at an end is gone. `silently`: its machine too, so that nobody says so to the other end.
  void ClientDied(size_t client, bool silently);
  void ServerDied(bool silently);

 private:
  template <typename Message>
  struct Parcel {
    microseconds ready;
    std::optional<Message> message;  // none: the end of the stream
    absl::Status status;
  };
  template <typename Message>
  struct Pipe {
    std::deque<Parcel<Message>> parcels;
    microseconds newest{0};
    bool armed = false;
  };
  struct Stream {
    size_t client = 0;
    bool client_open = true, server_open = true, broken = false;
    bool accepted = false;  // something of it has reached the server
    Pipe<v1::SessionRequest> to_server;
    Pipe<v1::SessionResponse> to_client;
  };
  struct Link {
    bool cut[2] = {false, false};
  };

  Stream* Find(uint64_t id);
  void ForgetIfOver(uint64_t id);
  template <typename Message>
  void Push(uint64_t id, Pipe<Message>& pipe, std::optional<Message> message, absl::Status status);
  template <typename Message>
  void Arm(uint64_t id, Pipe<Message>& pipe, microseconds not_before);
  void PumpToServer(uint64_t id);
  void PumpToClient(uint64_t id);
  void TellClient(uint64_t id, microseconds delay);
  void TellServer(uint64_t id, microseconds delay);
  void BreakStream(uint64_t id, std::optional<microseconds> client_learns, std::optional<microseconds> server_learns);

  Timeline& timeline_;
  Dice dice_;
  const microseconds latency_;
  ServerEnd* server_ = nullptr;
  std::vector<ClientEnd*> clients_;
  std::vector<Link> links_;
  std::map<uint64_t, Stream> streams_;
  uint64_t last_stream_ = 0;
};

}  // namespace pixelrec::simulator
