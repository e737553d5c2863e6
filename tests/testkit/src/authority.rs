//! Certificates of a private authority, for tests of TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A private certificate authority.
#[derive(Debug)]
pub struct Authority {
    /// The certificate of the authority, PEM.
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, PEM.
#[derive(Debug)]
pub struct IssuedCertificate {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// An authority with a new key. `name`: the common name of its certificate.
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate for host names and addresses. The first one is the common name.
    pub fn issue(&self, names: &[&str]) -> IssuedCertificate {
        self.issue_until(names, 2100)
    }

    /// Like [`Self::issue`], but the certificate has expired.
    pub fn issue_expired(&self, names: &[&str]) -> IssuedCertificate {
        self.issue_until(names, 2020)
    }

    fn issue_until(&self, names: &[&str], year: i32) -> IssuedCertificate {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        IssuedCertificate {
            certificate,
            key: key.serialize_pem(),
        }
    }
}
