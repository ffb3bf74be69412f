// Keepalive of clients and servers, set together: a server that expects fewer pings than its clients send cuts them off.
#pragma once

namespace pixelrec::rpc {

inline constexpr int kKeepaliveTimeMs = 20000;
inline constexpr int kKeepaliveTimeoutMs = 10000;
inline constexpr int kServerMinPingIntervalMs = 10000;

}  // namespace pixelrec::rpc
