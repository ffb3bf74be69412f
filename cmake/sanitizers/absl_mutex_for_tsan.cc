// Shows ThreadSanitizer the locks of Abseil. Debian's libraries are not instrumented, so that TSan can't see absl::Mutex order
// anything and reports a race for every field that one guards. This file, linked into every program of the tsan preset, stands in
// front of the shared library's functions: it tells TSan what each one does and calls the real one. gRPC's own locks go through
// it too, since they are the same functions.
//
// Not for any other preset. Debian's names: Abseil's inline namespace is `debian3`; a changed one fails at the first lock.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

// Libraries that are not instrumented hand memory from thread to thread by means that TSan can't see: gRPC its operations through
// lock-free queues, and their last owner destroys a mutex after a count of references that only the library read. So a race
// between two threads is not reported where one of them stands inside a callback of gRPC; all others are. And gRPC ends its own
// threads after main() at times, which looks like a leak of them.
extern "C" const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1"; }
extern "C" const char* __tsan_default_suppressions() {
  return "race:^grpc::\n"
         "race:grpc::internal::\n"
         "race:absl::debian3::Mutex::~Mutex\n"
         "thread:grpc_core::Thread::Thread\n";
}

namespace {

template <typename Function>
Function Real(const char* symbol) {
  void* found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) {
    std::fprintf(stderr, "absl_mutex_for_tsan: no %s in the libraries of this machine\n", symbol);
    std::abort();
  }
  return reinterpret_cast<Function>(found);
}

// The real function of a mangled name, looked up once.
#define PIXELREC_REAL(result, symbol, ...) static const auto real = Real<result (*)(__VA_ARGS__)>("_ZN4absl7debian3" symbol)

// What a thread does while it waits, conditions of other threads included, is the library's business: pre_lock to post_lock is
// not looked at. One of these functions may call another of them (with a timeout: with a deadline); only the outermost speaks.
thread_local int depth = 0;

class Acquiring {
 public:
  Acquiring(void* mutex, unsigned flags) : mutex_(mutex), flags_(flags) {
    if (depth++ == 0) __tsan_mutex_pre_lock(mutex_, flags_);
  }
  ~Acquiring() {
    if (--depth == 0) __tsan_mutex_post_lock(mutex_, flags_, 0);
  }
  void Failed() { flags_ |= __tsan_mutex_try_lock_failed; }

 private:
  void* mutex_;
  unsigned flags_;
};

// For functions that let the lock go and take it again.
void SayReleased(void* mutex) {
  if (depth > 0) return;
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

Mutex::~Mutex() {
  PIXELREC_REAL(void, "5MutexD1Ev", Mutex*);
  __tsan_mutex_destroy(this, 0);
  real(this);
}

void Mutex::Lock() {
  PIXELREC_REAL(void, "5Mutex4LockEv", Mutex*);
  Acquiring acquiring(this, 0);
  real(this);
}

bool Mutex::TryLock() {
  PIXELREC_REAL(bool, "5Mutex7TryLockEv", Mutex*);
  Acquiring acquiring(this, __tsan_mutex_try_lock);
  const bool locked = real(this);
  if (!locked) acquiring.Failed();
  return locked;
}

void Mutex::Unlock() {
  PIXELREC_REAL(void, "5Mutex6UnlockEv", Mutex*);
  __tsan_mutex_pre_unlock(this, 0);
  real(this);
  __tsan_mutex_post_unlock(this, 0);
}

void Mutex::ReaderLock() {
  PIXELREC_REAL(void, "5Mutex10ReaderLockEv", Mutex*);
  Acquiring acquiring(this, __tsan_mutex_read_lock);
  real(this);
}

void Mutex::ReaderUnlock() {
  PIXELREC_REAL(void, "5Mutex12ReaderUnlockEv", Mutex*);
  __tsan_mutex_pre_unlock(this, __tsan_mutex_read_lock);
  real(this);
  __tsan_mutex_post_unlock(this, __tsan_mutex_read_lock);
}

void Mutex::Await(const Condition& condition) {
  PIXELREC_REAL(void, "5Mutex5AwaitERKNS0_9ConditionE", Mutex*, const Condition&);
  SayReleased(this);
  Acquiring acquiring(this, 0);
  real(this, condition);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  PIXELREC_REAL(bool, "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*, const Condition&, Duration);
  SayReleased(this);
  Acquiring acquiring(this, 0);
  return real(this, condition, timeout);
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  PIXELREC_REAL(bool, "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", Mutex*, const Condition&, Time);
  SayReleased(this);
  Acquiring acquiring(this, 0);
  return real(this, condition, deadline);
}

void Mutex::LockWhen(const Condition& condition) {
  PIXELREC_REAL(void, "5Mutex8LockWhenERKNS0_9ConditionE", Mutex*, const Condition&);
  Acquiring acquiring(this, 0);
  real(this, condition);
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  PIXELREC_REAL(bool, "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*, const Condition&, Duration);
  Acquiring acquiring(this, 0);
  return real(this, condition, timeout);
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  PIXELREC_REAL(bool, "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", Mutex*, const Condition&, Time);
  Acquiring acquiring(this, 0);
  return real(this, condition, deadline);
}

void CondVar::Wait(Mutex* mutex) {
  PIXELREC_REAL(void, "7CondVar4WaitEPNS0_5MutexE", CondVar*, Mutex*);
  SayReleased(mutex);
  Acquiring acquiring(mutex, 0);
  real(this, mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  PIXELREC_REAL(bool, "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", CondVar*, Mutex*, Duration);
  SayReleased(mutex);
  Acquiring acquiring(mutex, 0);
  return real(this, mutex, timeout);
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  PIXELREC_REAL(bool, "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", CondVar*, Mutex*, Time);
  SayReleased(mutex);
  Acquiring acquiring(mutex, 0);
  return real(this, mutex, deadline);
}

void Notification::Notify() {
  PIXELREC_REAL(void, "12Notification6NotifyEv", Notification*);
  // A waiter that finds it notified never takes the lock; HasBeenNotified reads this flag in code that TSan does see.
  __tsan_release(&notified_yet_);
  real(this);
}

void Notification::WaitForNotification() const {
  static const auto real = Real<void (*)(const Notification*)>("_ZNK4absl7debian312Notification19WaitForNotificationEv");
  real(this);
  __tsan_acquire(const_cast<std::atomic<bool>*>(&notified_yet_));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static const auto real = Real<bool (*)(const Notification*, Duration)>(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
  const bool notified = real(this, timeout);
  if (notified) __tsan_acquire(const_cast<std::atomic<bool>*>(&notified_yet_));
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static const auto real =
      Real<bool (*)(const Notification*, Time)>("_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE");
  const bool notified = real(this, deadline);
  if (notified) __tsan_acquire(const_cast<std::atomic<bool>*>(&notified_yet_));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
