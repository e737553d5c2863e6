//! TLS of the listeners: the certificates are read at the start, and again when their files change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use oauth2_actors::metrics::Exporter;
use oauth2_actors::metrics::catalogue::Metric;
use oauth2_actors::metrics::catalogue::tls::{CERTIFICATE_EXPIRY, FILES_CURRENT, LISTENERS};

use crate::config::{Config, TlsFiles};
use crate::failure::Failure;
use crate::http::connection::tls::ServerTls;

pub mod files;

use files::{Contents, Fingerprint, Usable};

/// How often the files are compared with what is served. A read of some KiB each.
const CHECK: Duration = Duration::from_secs(5);

/// The certificates of both listeners.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates {
    pub(super) public: Option<Arc<Served>>,
    pub(super) management: Option<Arc<Served>>,
}

/// The certificate that a listener serves, and the files that it is from.
#[derive(Debug)]
pub(super) struct Served {
    files: TlsFiles,
    pub(super) tls: Arc<ServerTls>,
    not_after: AtomicI64,
    is_current: AtomicBool,
}

impl Certificates {
    /// Reads the files of the configuration, and begins to follow their changes.
    pub(super) fn start(config: &Config) -> Result<Self, Failure> {
        let start = |files: &Option<TlsFiles>| files.as_ref().map(Served::start).transpose();
        Ok(Self {
            public: start(&config.tls.public)?,
            management: start(&config.tls.management)?,
        })
    }

    /// Exports when each certificate expires, and whether the files hold what is served.
    pub(super) fn register(&self, exporter: &Exporter) {
        let meter = exporter.meter();
        let export = |row: &Metric, value: fn(&Served) -> f64| {
            let all = self.clone();
            row.observe_each(&meter, move |observe| {
                for (listener, served) in LISTENERS.iter().zip([&all.public, &all.management]) {
                    if let Some(served) = served {
                        observe(value(served), &[("listener", listener)]);
                    }
                }
            });
        };
        if self.public.is_some() || self.management.is_some() {
            export(&CERTIFICATE_EXPIRY, |served| {
                served.not_after.load(Ordering::Relaxed) as f64
            });
            export(&FILES_CURRENT, |served| {
                f64::from(u8::from(served.is_current.load(Ordering::Relaxed)))
            });
        }
    }
}

impl Served {
    fn start(files: &TlsFiles) -> Result<Arc<Self>, Failure> {
        let contents = Contents::read(files).map_err(Failure::Environment)?;
        let usable = contents.check(files).map_err(Failure::Environment)?;
        if usable.is_expired() {
            // A server that is not started cannot serve the renewed one either.
            let file = files.certificate.display();
            tracing::warn!(%file, "the certificate has expired: clients reject it until its file is renewed");
        }
        let served = Arc::new(Self {
            files: files.clone(),
            tls: Arc::new(ServerTls::new(usable.config)),
            not_after: usable.not_after.into(),
            is_current: true.into(),
        });
        actix_web::rt::spawn(Arc::clone(&served).follow(contents.fingerprint()));
        Ok(served)
    }

    /// Serves what the files hold, for as long as the process lives. Files that cannot be used are left aside: connections are still
    /// accepted with what was read before.
    async fn follow(self: Arc<Self>, mut served: Fingerprint) {
        let (mut seen, mut reported) = (Ok(served), None);
        loop {
            tokio::time::sleep(CHECK).await;
            let contents = self.read().await;
            let found = contents.as_ref().map(Contents::fingerprint).map_err(Clone::clone);
            // The files may be changed one after the other, and piece by piece: only what was found twice counts.
            if std::mem::replace(&mut seen, found.clone()) != found {
                continue;
            }
            let problem = match (&contents, found) {
                (_, Ok(fingerprint)) if fingerprint == served => None,
                (Ok(contents), Ok(fingerprint)) => match contents.check(&self.files).and_then(Usable::unexpired) {
                    Ok(usable) => {
                        self.tls
                            .replace(usable.config, fingerprint.client_ca != served.client_ca);
                        self.not_after.store(usable.not_after, Ordering::Relaxed);
                        served = fingerprint;
                        tracing::info!(file = %self.files.certificate.display(), "a changed certificate is served");
                        None
                    }
                    Err(problem) => Some(problem),
                },
                (_, Err(problem)) => Some(problem),
                (Err(problem), _) => Some(problem.clone()),
            };
            self.is_current.store(problem.is_none(), Ordering::Relaxed);
            if problem.is_some() && problem != reported {
                tracing::error!(
                    problem,
                    "changed TLS files are not used; the certificate from before is served"
                );
            }
            reported = problem;
        }
    }

    /// A file system that hangs stops this read only.
    async fn read(&self) -> Result<Contents, String> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || Contents::read(&files));
        read.await
            .unwrap_or_else(|error| Err(format!("the TLS files cannot be read: {error}")))
    }
}
