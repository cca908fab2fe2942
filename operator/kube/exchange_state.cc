#include "operator/kube/exchange_state.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace sandboxrun::kube {
namespace {

using BufferBase = concurrency::streams::details::streambuf_state_manager<std::uint8_t>;

/// Write only, no seeking, nothing kept.
class BodyBuffer : public BufferBase {
 public:
  explicit BodyBuffer(std::shared_ptr<ExchangeState> state)
      : BufferBase(std::ios_base::out), state_(std::move(state)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  std::size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(std::size_t, std::ios_base::openmode) override {}
  std::size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return pos_type(traits::eof()); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return pos_type(traits::eof()); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return pos_type(traits::eof());
  }
  bool acquire(std::uint8_t*& data, std::size_t& count) override {
    data = nullptr;
    count = 0;
    return false;
  }
  void release(std::uint8_t*, std::size_t) override {}

 private:
  static pplx::task<int_type> no_byte() {
    return pplx::task_from_result<int_type>(static_cast<int_type>(traits::eof()));
  }
  pplx::task<int_type> _putc(std::uint8_t) override { return no_byte(); }
  pplx::task<std::size_t> _putn(const std::uint8_t* data, std::size_t count) override {
    return state_->offer(data, count);
  }
  pplx::task<std::size_t> _putn(const std::uint8_t* data, std::size_t count, bool) override {
    return state_->offer(data, count);
  }
  pplx::task<int_type> _bumpc() override { return no_byte(); }
  int_type _sbumpc() override { return static_cast<int_type>(traits::eof()); }
  pplx::task<int_type> _getc() override { return no_byte(); }
  int_type _sgetc() override { return static_cast<int_type>(traits::eof()); }
  pplx::task<int_type> _nextc() override { return no_byte(); }
  pplx::task<int_type> _ungetc() override { return no_byte(); }
  pplx::task<std::size_t> _getn(std::uint8_t*, std::size_t) override {
    return pplx::task_from_result<std::size_t>(0);
  }
  std::size_t _scopy(std::uint8_t*, std::size_t) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  std::uint8_t* _alloc(std::size_t) override { return nullptr; }
  void _commit(std::size_t) override {}

  std::shared_ptr<ExchangeState> state_;
};

}  // namespace

concurrency::streams::streambuf<std::uint8_t> make_body_buffer(
    std::shared_ptr<ExchangeState> state) {
  return concurrency::streams::streambuf<std::uint8_t>(
      std::make_shared<BodyBuffer>(std::move(state)));
}

void ExchangeState::set_head(WireHead head) {
  const std::lock_guard lock(mutex_);
  head_ = head;
  changed_.notify_all();
}

void ExchangeState::set_failed(std::string what) {
  const std::lock_guard lock(mutex_);
  done_ = failed_ = true;
  failure_ = std::move(what);
  changed_.notify_all();
}

void ExchangeState::set_complete() {
  const std::lock_guard lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

pplx::task<std::size_t> ExchangeState::offer(const std::uint8_t* data, std::size_t size) {
  const std::lock_guard lock(mutex_);
  if (abandoned_) return pplx::task_from_result(size);
  if (size == 0) return pplx::task_from_result<std::size_t>(0);
  piece_ = {reinterpret_cast<const char*>(data), size};
  piece_taken_.emplace();
  changed_.notify_all();
  return pplx::task<std::size_t>(*piece_taken_);
}

bool ExchangeState::deliver(Lock& lock, const BodySink& sink) {
  const auto piece = piece_;
  const WireHead head = *head_;
  // The library keeps the piece alive until its task ends.
  lock.unlock();
  const bool go_on = sink(head, piece);
  lock.lock();
  if (!go_on) return false;
  const auto taken = std::move(*piece_taken_);
  piece_taken_.reset();
  piece_ = {};
  lock.unlock();
  taken.set(piece.size());
  lock.lock();
  return true;
}

void ExchangeState::abandon(Lock& lock) {
  abandoned_ = true;
  const auto taken = std::exchange(piece_taken_, std::nullopt);
  const std::size_t size = piece_.size();
  lock.unlock();
  // Not an exception: on one, the library closes the stream and waits for that on its own I/O
  // thread, and once all of these wait, nothing is left that could end it. What comes until the
  // call is cancelled is thrown away.
  if (taken) taken->set(size);
}

WireOutcome ExchangeState::wait(const WireRequest& request, const BodySink& sink,
                                std::stop_token stop) {
  Lock lock(mutex_);
  WireOutcome outcome;
  // A piece may be offered before the head is known here; it waits for it.
  changed_.wait_until(lock, stop, request.deadline, [this] { return head_ || done_; });
  outcome.head = head_;
  outcome.end = head_ || done_ ? pass_body(lock, request, sink, stop)
                               : (stop.stop_requested() ? End::Cancelled : End::Deadline);
  outcome.failure = failure_;
  abandon(lock);
  return outcome;
}

ExchangeState::End ExchangeState::pass_body(Lock& lock, const WireRequest& request,
                                            const BodySink& sink, const std::stop_token& stop) {
  using Clock = std::chrono::steady_clock;
  const bool idle_counts =
      request.idle_timeout.count() > 0 && head_ && head_->status >= 200 && head_->status < 300;
  for (;;) {
    const auto until = idle_counts ? Clock::now() + request.idle_timeout : request.deadline;
    const bool news =
        changed_.wait_until(lock, stop, until, [this] { return piece_taken_ || done_; });
    if (done_) return failed_ ? End::Broken : End::Complete;
    if (stop.stop_requested()) return End::Cancelled;
    if (!news || (!idle_counts && Clock::now() >= until)) {
      return idle_counts ? End::Idle : End::Deadline;
    }
    if (!deliver(lock, sink)) return End::Stopped;
  }
}

}  // namespace sandboxrun::kube
