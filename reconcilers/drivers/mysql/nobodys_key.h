// An RSA public key whose private half nobody has.
#pragma once

#include <string>

namespace oms::drivers::mysql {

// The path of a file with it (PEM), which lies in memory and lasts as long as the process. Made
// once. What is encrypted by it can be read by nobody, so a client that has it for its server's key
// gives no password away. Empty: it could not be made.
const std::string& NobodysKeyFile();

}  // namespace oms::drivers::mysql
