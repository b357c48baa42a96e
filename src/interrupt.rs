//! Ctrl-C, SIGTERM and SIGHUP: the first asks the work under way to stop and clean up, the second
//! ends devdb at once.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, ResultExt};

/// Tells whether somebody asked devdb to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    first: CancellationToken,
    second: CancellationToken,
    since: Arc<OnceLock<Instant>>,
    handed_over: Arc<AtomicBool>,
}

/// Signals so close together are one wish: make and npm pass on what the terminal has sent already.
const SAME: Duration = Duration::from_millis(500);

impl Interrupt {
    /// Begins to listen for signals.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> Result<Self> {
        let interrupt = Interrupt::default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signals =
                signal(kind).or_fail(Kind::Unexpected, || "cannot listen for signals".into())?;
            let told = interrupt.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if told.handed_over.load(Ordering::Relaxed) {
                        continue;
                    }
                    let first = *told.since.get_or_init(Instant::now);
                    if first.elapsed() >= SAME {
                        told.second.cancel();
                    }
                    told.first.cancel();
                }
            });
        }
        Ok(interrupt)
    }

    /// Runs `work` until it is done or somebody asks devdb to stop; it is dropped then, and what
    /// it left half-made is the caller's to clean up, outside of any guard.
    ///
    /// # Errors
    /// Those of `work`, and `Interrupted`.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.first.cancelled() => Err(Error::interrupted()),
            result = work => result,
        }
    }

    /// Runs `work` that cannot be dropped halfway: it is asked to `stop`, and waited for.
    ///
    /// # Errors
    /// Those of `work`, and `Interrupted`.
    pub async fn guard_to_the_end<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        stop: impl FnOnce(),
    ) -> Result<T> {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            () = self.first.cancelled() => {}
            result = &mut work => return result,
        }
        stop();
        // Its failure is what was asked for.
        drop(work.await);
        Err(Error::interrupted())
    }

    /// From now on signals are another program's business: it gets them from the terminal itself,
    /// as often as a person likes (in psql Ctrl-C ends a query), and devdb waits for its end.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody asks a second time.
    pub async fn insisted(&self) {
        self.second.cancelled().await;
    }
}
