//! Ctrl-C, SIGTERM and SIGHUP. After the first signal devdb stops its work and cleans up; after the
//! second it ends at once.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, ResultExt};

/// Tells whether devdb got a signal. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    first: CancellationToken,
    second: CancellationToken,
    since: Arc<OnceLock<Instant>>,
    handed_over: Arc<AtomicBool>,
}

/// Signals within this time count as one: the terminal sends Ctrl-C to devdb, and make and npm send
/// it to devdb again.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

impl Interrupt {
    /// Begins to listen for signals.
    ///
    /// # Errors
    /// `Unexpected` when the system refuses a handler.
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
                    if first.elapsed() >= SAME_SIGNAL {
                        told.second.cancel();
                    }
                    told.first.cancel();
                }
            });
        }
        Ok(interrupt)
    }

    /// Runs `work`, and drops it at the first signal. The caller then cleans up what `work` left,
    /// without a guard.
    ///
    /// # Errors
    /// The errors of `work`, and `Interrupted`.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.first.cancelled() => Err(Error::interrupted()),
            result = work => result,
        }
    }

    /// Runs `work` that must not be dropped halfway. At the first signal it calls `stop` and waits
    /// until `work` ends.
    ///
    /// # Errors
    /// The errors of `work`, and `Interrupted`.
    pub async fn guard_with_stop<T>(
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
        // `stop` makes it fail.
        drop(work.await);
        Err(Error::interrupted())
    }

    /// Makes devdb ignore signals while another program runs. The terminal sends them to that
    /// program too (in psql, Ctrl-C ends a query), and devdb waits until it ends.
    pub fn ignore_signals(&self) {
        self.handed_over.store(true, Ordering::Relaxed);
    }

    /// Waits for the second signal.
    pub async fn second_signal(&self) {
        self.second.cancelled().await;
    }
}
