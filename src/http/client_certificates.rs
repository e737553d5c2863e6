//! Client certificates of the management listener (RFC 8446 section 4.3.2).
//!
//! The handshake verifies a certificate and takes none, too: the probes of an orchestrator have none. Requests without one are rejected here.

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, ResponseError};

use super::connection::socket::ClientCertificate;
use super::connection::tls::ServerTls;
use super::error::Failure;

/// Endpoints for probes: whether the server runs, and which of its checks fail.
const OPEN: [&str; 2] = ["/health", "/ready"];

/// The TLS whose client certificates requests need; `None`: they need none.
#[derive(Debug, Clone)]
pub struct ClientCertificates(pub Option<Arc<ServerTls>>);

/// The middleware that rejects requests without a certificate.
pub async fn check(
    certificates: Data<ClientCertificates>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_accepted = match &certificates.0 {
        Some(tls) => certificate(&request).is_some_and(|certificate| tls.accepts(certificate, now())),
        None => true,
    };
    if is_accepted || OPEN.contains(&request.path()) {
        Ok(next.call(request).await?.map_into_left_body())
    } else {
        let rejection = Failure::NoClientCertificate.error_response();
        Ok(request.into_response(rejection).map_into_right_body())
    }
}

/// HTTP/1.1 marks the connection, HTTP/2 each request.
fn certificate(request: &ServiceRequest) -> Option<ClientCertificate> {
    let of_connection = request.request().conn_data::<ClientCertificate>().copied();
    of_connection.or_else(|| request.extensions().get::<ClientCertificate>().copied())
}

/// Certificates expire by the clock of this machine, as in the handshake. Unix seconds.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() as i64)
}
