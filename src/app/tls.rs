//! TLS of the listeners: the certificates are read at the start, and again when their files change.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use oauth2_actors::metrics::Exporter;
use oauth2_actors::metrics::catalogue::Metric;
use oauth2_actors::metrics::catalogue::tls::{CERTIFICATE_EXPIRY, FILES_CURRENT, LISTENERS};

use crate::config::{Config, TlsFiles};
use crate::failure::Failure;
use crate::http::connection::tls::ServerTls;

pub mod files;

use files::Contents;

/// How often the files are compared with what is served. A read of some KiB each.
const CHECK: Duration = Duration::from_secs(5);

/// The certificates of both listeners.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates {
    pub(super) public: Option<Arc<Served>>,
    pub(super) management: Option<Arc<Served>>,
}

/// What a listener serves TLS with.
#[derive(Debug)]
pub(super) struct Served {
    files: TlsFiles,
    pub(super) tls: ServerTls,
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
}

impl Certificates {
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
        let served = Arc::new(Self {
            files: files.clone(),
            tls: Arc::new(ArcSwap::new(usable.config)),
            not_after: usable.not_after.into(),
            is_current: true.into(),
        });
        actix_web::rt::spawn(Arc::clone(&served).follow(contents));
        Ok(served)
    }

    /// The certificate's file, for the log.
    fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    /// Serves what the files hold, for as long as the process lives. What cannot be used is left aside: connections are still accepted
    /// with what was read before.
    async fn follow(self: Arc<Self>, mut served: Contents) {
        let mut problem = None;
        loop {
            tokio::time::sleep(CHECK).await;
            let contents = Contents::read(&self.files);
            if contents.as_ref().is_ok_and(|contents| *contents == served) {
                problem = None;
                self.is_current.store(true, Ordering::Relaxed);
                continue;
            }
            match contents.and_then(|contents| Ok((contents.check(&self.files)?, contents))) {
                Ok((usable, contents)) => {
                    self.tls.store(usable.config);
                    self.not_after.store(usable.not_after, Ordering::Relaxed);
                    self.is_current.store(true, Ordering::Relaxed);
                    (served, problem) = (contents, None);
                    tracing::info!(file = %self.certificate().display(), "a changed certificate is served");
                }
                // The files may be changed one after the other: a problem counts when it lasts.
                Err(new) if problem.as_ref() != Some(&new) => problem = Some(new),
                Err(lasting) => {
                    if self.is_current.swap(false, Ordering::Relaxed) {
                        tracing::error!(
                            problem = lasting,
                            "changed TLS files are not used; the certificate from before is served"
                        );
                    }
                }
            }
        }
    }
}
