#include "tests/coordinator/simulator/network.h"

#include <type_traits>
#include <utility>

namespace pixelrec::simulator {

namespace {

// What the sockets' buffers take before a write has to wait.
constexpr size_t kBuffered = 16;

}  // namespace

Network::Network(Timeline& timeline, Dice dice, microseconds latency) : timeline_(timeline), dice_(dice), latency_(latency) {}

void Network::SetClients(std::vector<ClientEnd*> clients) {
  clients_ = std::move(clients);
  links_.resize(clients_.size());
}

microseconds Network::Latency() {
  const microseconds usual = latency_ + dice_.Between(microseconds(0), latency_);
  return dice_.Chance(0.001) ? usual + dice_.Spread(Seconds(0.01), Seconds(1)) : usual;
}

Network::Stream* Network::Find(uint64_t id) {
  auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : &it->second;
}

void Network::ForgetIfOver(uint64_t id) {
  const Stream& stream = streams_.at(id);
  if (!stream.client_open && !stream.server_open) streams_.erase(id);
}

uint64_t Network::Dial(size_t client) {
  const uint64_t id = ++last_stream_;
  streams_[id].client = client;
  return id;
}

bool Network::CanSend(uint64_t id) const {
  auto it = streams_.find(id);
  return it != streams_.end() && it->second.to_server.parcels.size() < kBuffered;
}

template <typename Message>
void Network::Push(uint64_t id, Pipe<Message>& pipe, std::optional<Message> message, absl::Status status) {
  pipe.newest = std::max(pipe.newest, timeline_.now() + Latency());
  pipe.parcels.push_back({pipe.newest, std::move(message), std::move(status)});
  Arm(id, pipe, microseconds(0));
}

template <typename Message>
void Network::Arm(uint64_t id, Pipe<Message>& pipe, microseconds not_before) {
  constexpr bool kUp = std::is_same_v<Message, v1::SessionRequest>;
  const Stream& stream = streams_.at(id);
  if (pipe.armed || pipe.parcels.empty() || stream.broken || links_[stream.client].cut[kUp ? 0 : 1]) return;
  pipe.armed = true;
  timeline_.At(std::max(pipe.parcels.front().ready, not_before), [this, id] { kUp ? PumpToServer(id) : PumpToClient(id); });
}

void Network::SendRequest(uint64_t id, v1::SessionRequest request) {
  Stream* stream = Find(id);
  if (stream == nullptr || !stream->client_open) return;
  Push<v1::SessionRequest>(id, stream->to_server, std::move(request), absl::OkStatus());
}

void Network::SendResponse(uint64_t id, v1::SessionResponse response) {
  Stream* stream = Find(id);
  if (stream == nullptr || !stream->server_open) return;
  Push<v1::SessionResponse>(id, stream->to_client, std::move(response), absl::OkStatus());
}

void Network::Close(uint64_t id, const absl::Status& status) {
  Stream* stream = Find(id);
  if (stream == nullptr || !std::exchange(stream->server_open, false)) return;
  if (stream->broken) return ForgetIfOver(id);
  Push<v1::SessionResponse>(id, stream->to_client, std::nullopt, status);
}

void Network::Cancel(uint64_t id) {
  Stream* stream = Find(id);
  if (stream == nullptr || !std::exchange(stream->client_open, false)) return;
  if (stream->broken) return ForgetIfOver(id);
  auto& parcels = stream->to_server.parcels;
  // A reset overtakes what lies in the sender's own buffer.
  if (!stream->to_server.armed && dice_.Chance(0.5)) parcels.clear();
  Push<v1::SessionRequest>(id, stream->to_server, std::nullopt, absl::OkStatus());
}

void Network::PumpToServer(uint64_t id) {
  Stream* stream = Find(id);
  if (stream == nullptr) return;
  stream->to_server.armed = false;
  if (stream->broken || stream->to_server.parcels.empty() || links_[stream->client].cut[0]) return;
  Parcel<v1::SessionRequest> parcel = std::move(stream->to_server.parcels.front());
  stream->to_server.parcels.pop_front();
  Arm(id, stream->to_server, microseconds(0));
  if (!stream->accepted && !server_->listening()) {  // refused
    stream->server_open = false;
    BreakStream(id, Latency(), std::nullopt);
    return ForgetIfOver(id);
  }
  stream->accepted = true;
  if (!parcel.message.has_value()) {
    if (std::exchange(stream->server_open, false)) server_->OnClientGone(id);
    streams_.erase(id);
    return;
  }
  const bool was_full = stream->to_server.parcels.size() + 1 == kBuffered;
  ClientEnd* client = stream->client_open ? clients_[stream->client] : nullptr;
  if (stream->server_open) server_->OnRequest(id, *std::move(parcel.message));
  if (was_full && client != nullptr) client->OnRoom(id);
}

void Network::PumpToClient(uint64_t id) {
  Stream* stream = Find(id);
  if (stream == nullptr) return;
  stream->to_client.armed = false;
  if (stream->broken || stream->to_client.parcels.empty() || links_[stream->client].cut[1]) return;
  Parcel<v1::SessionResponse> parcel = std::move(stream->to_client.parcels.front());
  stream->to_client.parcels.pop_front();
  Arm(id, stream->to_client, microseconds(0));
  ClientEnd* client = clients_[stream->client];
  if (!stream->client_open) return;
  if (parcel.message.has_value()) {
    client->OnResponse(id, *std::move(parcel.message));
    return;
  }
  streams_.erase(id);
  client->OnClosed(id, parcel.status);
}

void Network::TellClient(uint64_t id, microseconds delay) {
  timeline_.After(delay, [this, id] {
    Stream* stream = Find(id);
    if (stream == nullptr || !std::exchange(stream->client_open, false)) return;
    const size_t client = stream->client;
    ForgetIfOver(id);
    clients_[client]->OnClosed(id, absl::UnavailableError("the connection broke"));
  });
}

void Network::TellServer(uint64_t id, microseconds delay) {
  timeline_.After(delay, [this, id] {
    Stream* stream = Find(id);
    if (stream == nullptr || !std::exchange(stream->server_open, false)) return;
    ForgetIfOver(id);
    server_->OnClientGone(id);
  });
}

void Network::BreakStream(uint64_t id, std::optional<microseconds> client_learns, std::optional<microseconds> server_learns) {
  Stream& stream = streams_.at(id);
  stream.broken = true;
  stream.to_server.parcels.clear();
  stream.to_client.parcels.clear();
  if (client_learns.has_value()) TellClient(id, *client_learns);
  if (server_learns.has_value()) TellServer(id, *server_learns);
}

void Network::Cut(size_t client, Direction direction) { links_[client].cut[direction == Direction::kToServer ? 0 : 1] = true; }

void Network::Mend(size_t client, Direction direction) {
  links_[client].cut[direction == Direction::kToServer ? 0 : 1] = false;
  for (auto& [id, stream] : streams_) {
    if (stream.client != client) continue;
    // What was held back is sent again when the sender's timer says so.
    const microseconds resent = timeline_.now() + dice_.Between(microseconds(0), Seconds(1));
    direction == Direction::kToServer ? Arm(id, stream.to_server, resent) : Arm(id, stream.to_client, resent);
  }
}

void Network::Break(size_t client) {
  const auto learns = [this]() -> std::optional<microseconds> {
    if (dice_.Chance(0.25)) return std::nullopt;
    return dice_.Spread(Seconds(0.0001), Seconds(30));
  };
  for (auto& [id, stream] : streams_) {
    if (stream.client == client && !stream.broken) {
      const auto client_learns = learns();
      BreakStream(id, client_learns, learns());
    }
  }
}

void Network::ClientDied(size_t client, bool silently) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    const uint64_t id = it->first;
    Stream& stream = (it++)->second;
    if (stream.client != client || !stream.client_open) continue;
    if (!silently && !stream.broken) {
      Cancel(id);
      continue;
    }
    stream.client_open = false;
    if (!stream.broken) BreakStream(id, std::nullopt, std::nullopt);
    ForgetIfOver(id);
  }
}

void Network::ServerDied(bool silently) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    const uint64_t id = it->first;
    Stream& stream = (it++)->second;
    if (!stream.accepted) continue;
    stream.server_open = false;
    if (stream.broken) {
      ForgetIfOver(id);
      continue;
    }
    const bool heard = !silently && !links_[stream.client].cut[1];
    BreakStream(id, heard ? std::optional(Latency()) : std::nullopt, std::nullopt);
    ForgetIfOver(id);
  }
}

}  // namespace pixelrec::simulator
