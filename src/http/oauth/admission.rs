//! Admits requests of clients: authenticates the client, then spends from its rate limit.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use ipnet::IpNet;
use oauth2_store::model::{Client, Endpoint};

use crate::http::client_address;
use crate::http::error::Failure;
use crate::http::extract::authorization;
use crate::http::metrics::HttpMetrics;
use crate::protocol::client_auth::Credentials;
use crate::protocol::form::Form;
use crate::service::authenticate::Authenticate;
use crate::service::limit_status::LimitStatus;
use crate::service::limits::RateControl;

/// What the OAuth endpoints ask before anything else.
#[derive(Debug)]
pub struct Admission {
    /// Authenticates clients.
    pub authenticate: Authenticate,
    /// Their rate limits.
    pub rates: RateControl,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Metrics.
    pub metrics: Arc<HttpMetrics>,
}

/// An authenticated client that is within its rate limit.
#[derive(Debug)]
pub struct Admitted {
    /// The client.
    pub client: Arc<Client>,
    /// The state of its limits, for the response.
    pub limits: Vec<LimitStatus>,
}

impl Admission {
    /// Admits a form request.
    pub async fn form(&self, request: &HttpRequest, form: &Form<'_>, endpoint: Endpoint) -> Result<Admitted, Failure> {
        let header = authorization(request)?;
        let credentials = Credentials::from_form(header.as_ref(), form)?;
        let client = self.client(request, &credentials).await?;
        let limits = self.rates.spend(&client, endpoint, 1).await?;
        Ok(Admitted { client, limits })
    }

    /// Authenticates a request whose body is not a form, by its header.
    pub async fn header(&self, request: &HttpRequest) -> Result<Arc<Client>, Failure> {
        let header = authorization(request)?;
        let credentials = Credentials::from_header(header.as_ref())?;
        self.client(request, &credentials).await
    }

    async fn client(&self, request: &HttpRequest, credentials: &Credentials<'_>) -> Result<Arc<Client>, Failure> {
        let address = || self.address(request);
        Ok(self.authenticate.client(credentials, address).await?)
    }

    /// The address that a request comes from.
    pub fn address(&self, request: &HttpRequest) -> IpAddr {
        let (address, ignored) = client_address::of(request, &self.trusted_proxies);
        if let Some(why) = ignored {
            self.metrics.ignored_proxy_headers.of(why).add(1);
            tracing::debug!(%address, ?why, "ignored a header that names the client's address");
        }
        address
    }
}
