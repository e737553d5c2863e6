//! Client certificates of the management listener (RFC 8446 section 4.3.2).
//!
//! The handshake verifies a certificate and takes none, too: the probes of an orchestrator have none. Requests without one are rejected here.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, ResponseError};

use super::connection::tls::ClientCertificate;
use super::error::Failure;

/// Endpoints for probes, which say nothing but whether the server runs.
const OPEN: [&str; 2] = ["/health", "/ready"];

/// Whether requests need a client certificate.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificates {
    /// The listener has authorities of client certificates.
    pub are_required: bool,
}

/// The middleware that rejects requests without a certificate.
pub async fn check(
    certificates: Data<ClientCertificates>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if !certificates.are_required || has_certificate(&request) || OPEN.contains(&request.path()) {
        Ok(next.call(request).await?.map_into_left_body())
    } else {
        let rejection = Failure::NoClientCertificate.error_response();
        Ok(request.into_response(rejection).map_into_right_body())
    }
}

/// HTTP/1.1 marks the connection, HTTP/2 each request.
fn has_certificate(request: &ServiceRequest) -> bool {
    request.request().conn_data::<ClientCertificate>().is_some() || request.extensions().contains::<ClientCertificate>()
}
