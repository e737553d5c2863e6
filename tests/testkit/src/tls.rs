//! TLS of the server under test.

use std::path::PathBuf;

use crate::Setup;
use crate::authority::{Authority, IssuedCertificate};

impl Setup {
    /// Serves TLS on both listeners, with a certificate of this authority for 127.0.0.1.
    pub fn serve_tls(&mut self, authority: &Authority) {
        self.write_certificate(&authority.issue(&["127.0.0.1", "localhost"]));
        for listener in ["SERVER", "MANAGEMENT"] {
            for (name, file) in [("CERTIFICATE", "tls.crt"), ("KEY", "tls.key")] {
                let path = self.directory().join(file);
                self.set(&format!("OAUTH2_{listener}_TLS_{name}_FILE"), path.to_string_lossy());
            }
        }
        self.client_tls.authority = Some(authority.certificate.clone());
    }

    pub(crate) fn scheme(&self, listener: &str) -> &'static str {
        match self.variable(&format!("OAUTH2_{listener}_TLS_CERTIFICATE_FILE")) {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Replaces the certificate and the key of [`Self::serve_tls`].
    pub fn write_certificate(&self, issued: &IssuedCertificate) {
        self.write("tls.crt", &issued.certificate);
        self.write("tls.key", &issued.key);
    }

    /// Writes a file that only this user can read into the working directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.directory().join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.expect("a file").write_all(text.as_bytes()).expect("written");
        path
    }
}
