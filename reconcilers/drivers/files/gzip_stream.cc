#include "reconcilers/drivers/files/gzip_stream.h"

#include <zlib.h>

#include "crd/reasons.h"

namespace oms::drivers::files {

using base::Code;
using base::MakeError;
using base::Result;

namespace {

constexpr size_t kPiece = 128u << 10;
constexpr int kGzipOnly = 15 + 16;  // zlib's window bits, and its mark for a gzip header.

}  // namespace

struct GzipDecompressor::State {
  z_stream stream{};
  bool ready = inflateInit2(&stream, kGzipOnly) == Z_OK;
  std::string in;
  std::string out = std::string(kPiece, '\0');
  bool open = false;    // In the middle of a member.
  bool full = false;    // The last output was: there may be more, with no further input.
  bool padded = false;  // After the last member: zeros, as a tape has them.

  State() = default;
  State(const State&) = delete;
  ~State() {
    if (ready) inflateEnd(&stream);
  }
  // What follows a member is another one, or padding, which gzip passes over.
  bool BeginsNext() {
    while (!open && stream.avail_in > 0 && (padded || *stream.next_in == 0)) {
      padded = true;
      ++stream.next_in;
      --stream.avail_in;
    }
    return open || stream.avail_in > 0;
  }
};

GzipDecompressor::GzipDecompressor() : state_(std::make_unique<State>()) {}
GzipDecompressor::~GzipDecompressor() = default;

void GzipDecompressor::Take(std::string_view bytes) {
  state_->in = bytes;  // zlib asks for bytes that it may change.
  state_->stream.next_in = reinterpret_cast<Bytef*>(state_->in.data());
  state_->stream.avail_in = static_cast<uInt>(state_->in.size());
}

Result<bool> GzipDecompressor::Next(std::string& text) {
  State& state = *state_;
  if (!state.ready) return MakeError(Code::kInternal, "zlib cannot be set up");
  while (state.full || state.stream.avail_in > 0) {
    if (!state.full && !state.BeginsNext()) return false;
    state.open = true;
    state.stream.next_out = reinterpret_cast<Bytef*>(state.out.data());
    state.stream.avail_out = static_cast<uInt>(state.out.size());
    const int code = inflate(&state.stream, Z_NO_FLUSH);
    const size_t made = state.out.size() - state.stream.avail_out;
    state.full = state.stream.avail_out == 0;
    if (code == Z_STREAM_END) {
      state.open = state.full = false;
      (void)inflateReset(&state.stream);
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      const char* words = state.stream.msg;
      return MakeError(Code::kInvalid, crd::inner_reason::kGzipBroken,
                       words == nullptr ? "it is broken" : words);
    }
    if (made == 0) continue;
    text.append(state.out, 0, made);
    return true;
  }
  return false;
}

bool GzipDecompressor::Whole() const { return !state_->open; }

}  // namespace oms::drivers::files
