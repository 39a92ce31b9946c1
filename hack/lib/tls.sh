# shellcheck shell=bash
# Certificates for the local environment: EC keys, valid for ten years, made
# once per state folder.

# tls_ca DIR NAME: ca.pem and ca-key.pem.
tls_ca() {
  local dir=$1 name=$2
  [[ -s $dir/ca.pem ]] && return 0
  mkdir -p "$dir"
  chmod 0700 "$dir"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
    -subj "/CN=$name" -addext 'basicConstraints=critical,CA:TRUE' \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -keyout "$dir/ca-key.pem" -out "$dir/ca.pem.tmp" 2>>"$DEVENV_DIR/logs/openssl.log" ||
    die "openssl could not make the CA $name (log: $DEVENV_DIR/logs/openssl.log)"
  mv "$dir/ca.pem.tmp" "$dir/ca.pem"
}

# tls_cert DIR PREFIX SUBJECT server|client [SUBJECT_ALT_NAME]: PREFIXcert.pem
# and PREFIXkey.pem, signed by the CA in DIR.
tls_cert() {
  local dir=$1 prefix=$2 subject=$3 usage=$4 san=${5:-} ext
  [[ -s $dir/${prefix}cert.pem ]] && return 0
  ext="basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=${usage}Auth"
  [[ -n $san ]] && ext+=$'\n'"subjectAltName=$san"
  {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "$subject" \
      -keyout "$dir/${prefix}key.pem" -out "$dir/${prefix}csr.pem" &&
      openssl x509 -req -sha256 -days 3650 -in "$dir/${prefix}csr.pem" -CA "$dir/ca.pem" \
        -CAkey "$dir/ca-key.pem" -set_serial "0x$(openssl rand -hex 8)" -extfile <(printf '%s\n' "$ext") \
        -out "$dir/${prefix}cert.pem.tmp"
  } 2>>"$DEVENV_DIR/logs/openssl.log" ||
    die "openssl could not make the certificate $subject (log: $DEVENV_DIR/logs/openssl.log)"
  rm -f "$dir/${prefix}csr.pem"
  chmod 0600 "$dir/${prefix}key.pem"
  mv "$dir/${prefix}cert.pem.tmp" "$dir/${prefix}cert.pem"
}
