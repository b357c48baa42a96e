//! Requests that take as long as the data is large: a commit, and the copy of an image's directory
//! into a volume. They have no time limit. They end when the daemon no longer answers other requests.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error as Refusal;

use super::Docker;

/// The time limit of one such request: a day. bollard needs one.
const DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// How often devdb asks the daemon whether it is there.
const INTERVAL: Duration = Duration::from_secs(20);

impl Docker {
    /// Makes a request that may take long, with a client of its own.
    ///
    /// # Errors
    /// The daemon's refusal, or that of the question whether it is there.
    pub(super) async fn long<T, F>(
        &self,
        request: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let request = request(self.client.clone().with_timeout(DEADLINE));
        while_it_answers(request, INTERVAL, || self.client.ping()).await
    }
}

async fn while_it_answers<T, A, F>(
    request: impl Future<Output = Result<T, Refusal>>,
    interval: Duration,
    ask: impl Fn() -> F,
) -> Result<T, Refusal>
where
    F: Future<Output = Result<A, Refusal>>,
{
    let silence = async {
        loop {
            tokio::time::sleep(interval).await;
            if let Err(refusal) = ask().await {
                return refusal;
            }
        }
    };
    tokio::select! {
        done = request => done,
        refusal = silence => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn a_request_goes_on_while_the_daemon_answers() {
        let request = async {
            tokio::time::sleep(SOON * 10).await;
            Ok::<_, Refusal>("done")
        };
        assert_eq!(while_it_answers(request, SOON, async || Ok("OK")).await.unwrap(), "done");
        let silent = async || Err::<(), _>(Refusal::RequestTimeoutError);
        let never = std::future::pending::<Result<(), Refusal>>();
        assert!(while_it_answers(never, SOON, silent).await.is_err());
    }
}
