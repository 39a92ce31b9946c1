// How many of the places where a process can die are tried: in the plain build each of them. A
// sanitizer slows a run tenfold and looks for other things: there one of sixteen is enough.
#pragma once

namespace oms::fixtures {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kEvery = 16;
#else
inline constexpr int kEvery = 1;
#endif

}  // namespace oms::fixtures
