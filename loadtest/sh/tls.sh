# shellcheck shell=bash disable=SC2034,SC2154
# TLS of the server started for the run: a certificate of a private authority, which only k6 and curl of this run trust.

# The scheme of the server's listeners.
scheme=http

check_tls() {
    case "${TLS:-}" in
    '' | 0) return 0 ;;
    1) ;;
    *) usage_error "TLS must be 0 or 1, not $TLS" ;;
    esac
    [ -n "$own_server" ] || usage_error "TLS must not be set with BASE_URL or TOKEN_URL: their scheme says it"
    [ "$NODES" = 1 ] || usage_error "TLS=1 requires NODES=1: HAProxy in front of several servers is measured without TLS"
    command -v openssl >/dev/null || fatal "TLS=1 requires openssl on this machine"
    scheme=https
}

# Creates the authority and the certificate, and exports the settings of the server.
make_certificate() {
    local directory=$scratch/tls name
    mkdir "$directory"
    (
        cd "$directory"
        umask 077
        for name in authority server; do openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"; done
        openssl req -new -x509 -sha256 -key authority.key -days 30 -subj '/CN=load test' -out authority.crt \
            -addext 'basicConstraints=critical,CA:true' -addext 'keyUsage=critical,keyCertSign'
        openssl req -new -sha256 -key server.key -subj '/CN=127.0.0.1' -out server.csr
        printf '%s\n' 'subjectAltName=IP:127.0.0.1' 'basicConstraints=critical,CA:false' >extensions
        openssl x509 -req -sha256 -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 30 \
            -extfile extensions -out server.crt
    ) >"$scratch/tls.log" 2>&1 || fatal "the certificate could not be created: $(tail -n 1 "$scratch/tls.log")"
    for name in SERVER MANAGEMENT; do
        export "OAUTH2_${name}_TLS_CERTIFICATE_FILE=$directory/server.crt" "OAUTH2_${name}_TLS_KEY_FILE=$directory/server.key"
    done
    export CURL_CA_BUNDLE=$directory/authority.crt
}

# For k6. Not for the server, which connects to other hosts with the system's authorities.
trust_certificate() {
    if [ "$scheme" = https ]; then export SSL_CERT_FILE=$scratch/tls/authority.crt; fi
}
