//! The connection to the first process of a private server's container.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Refusal;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

use crate::error::{Error, Kind, Result};

/// The script prints this line, followed by the exit code, when the server has ended.
const ENDED: &str = "devdb: the server ended with code ";

/// How often devdb tells a container on another machine that it is still there.
const BEAT: Duration = Duration::from_secs(20);

/// How many of the last lines of output explain why a server ended.
const TAIL_LINES: usize = 20;

/// A container's standard input.
pub(super) type Input = Arc<Mutex<Pin<Box<dyn AsyncWrite + Send>>>>;

/// Tells the container regularly that devdb is still there, until the connection breaks.
pub(super) async fn beat(input: Input) {
    loop {
        tokio::time::sleep(BEAT).await;
        let mut input = input.lock().await;
        if input.write_all(b"beat\n").await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

pub(super) async fn send(input: &Input, line: &str, name: &str) -> Result<()> {
    let sent = async {
        let mut input = input.lock().await;
        input.write_all(line.as_bytes()).await?;
        input.write_all(b"\n").await?;
        input.flush().await
    };
    sent.await.map_err(|error| {
        Error::new(Kind::Unexpected, format!("the connection to \"{name}\" broke")).because(error)
    })
}

/// The output of a private server. A task reads it at once, so that the server never waits for a
/// reader.
pub(super) struct Watched {
    /// None while the server runs. After that, its exit code, if the script printed one.
    end: watch::Receiver<Option<Option<i64>>>,
    lines: Arc<std::sync::Mutex<VecDeque<String>>>,
}

impl Watched {
    pub(super) fn new(
        output: Pin<Box<dyn Stream<Item = Result<LogOutput, Refusal>> + Send>>,
    ) -> Self {
        let (sender, end) = watch::channel(None);
        let lines = Arc::new(std::sync::Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut output = output;
            // The streams come in pieces of any length, so each needs a buffer for an incomplete
            // line.
            let (mut said, mut complained) = (Vec::new(), Vec::new());
            while let Some(Ok(part)) = output.next().await {
                let buffer = match &part {
                    LogOutput::StdErr { .. } => &mut complained,
                    _ => &mut said,
                };
                buffer.extend_from_slice(part.as_ref());
                for line in whole_lines(buffer) {
                    // A server that ends in the middle of a line leaves the word behind it.
                    let (said, code) = match line.split_once(ENDED) {
                        Some((said, code)) => (said.to_owned(), Some(code)),
                        None => (line.clone(), None),
                    };
                    if !said.is_empty() {
                        keep(&kept, said);
                    }
                    if let Some(code) = code {
                        // It fails when nobody waits for the end.
                        let _ = sender.send(Some(code.trim().parse().ok()));
                    }
                }
            }
            sender.send_if_modified(|end| {
                let unknown = end.is_none();
                end.get_or_insert(None);
                unknown
            });
        });
        Watched { end, lines }
    }

    /// Waits for the server's end. Returns its exit code, if the script printed one.
    pub(super) async fn ended(&self) -> Option<i64> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.flatten(),
            Err(_) => None,
        }
    }

    pub(super) fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Takes the complete lines out of the buffer.
fn whole_lines(buffer: &mut Vec<u8>) -> Vec<String> {
    let end = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines: Vec<u8> = buffer.drain(..end).collect();
    String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
}

fn keep(lines: &std::sync::Mutex<VecDeque<String>>, line: String) {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == TAIL_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}
