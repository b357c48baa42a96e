//! Between the blocking world of files and the asynchronous one of engines. Neither side runs ahead
//! of the other by more than a few chunks.

use std::io::{self, BufWriter, Read, Write};

use futures_util::{Stream, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::bytes::Bytes;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::error::{Kind, Result, ResultExt};

/// How many bytes are handed over at once.
const CHUNK: usize = 64 << 10;

/// How many chunks may wait.
const CHUNKS: usize = 8;

/// Reads a stream from a blocking thread of the runtime that this is called in.
pub fn reader<E>(stream: impl Stream<Item = Result<Bytes, E>> + Unpin + Send) -> impl Read + Send
where
    E: std::error::Error + Send + Sync + 'static,
{
    SyncIoBridge::new(StreamReader::new(stream.map_err(io::Error::other)))
}

/// A stream of what `write` writes on a blocking thread. When that fails, the stream ends with an
/// error instead of its end, and the task says why. When the stream is dropped, writing ends, and
/// the task has nothing to say: whoever dropped it knows why.
pub fn stream(
    write: impl FnOnce(&mut dyn Write) -> Result<()> + Send + 'static,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, JoinHandle<Result<()>>) {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let task = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK, Chunks(sender.clone()));
        let written = write(&mut out)
            .and_then(|()| out.flush().or_fail(Kind::Unexpected, || "cannot send the rest".into()));
        drop(out);
        if written.is_err() && sender.is_closed() {
            return Ok(());
        }
        if written.is_err() {
            drop(sender.blocking_send(Err(io::Error::other("what was sent is not whole"))));
        }
        written
    });
    let chunks = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    (chunks, task)
}

struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::error::Error;

    fn failed(error: &io::Error) -> Error {
        Error::new(Kind::Snapshot, error.to_string())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_go_through_in_both_directions() {
        const SIZE: u64 = 50 << 20;
        let (chunks, task) = stream(|out| {
            io::copy(&mut io::repeat(7).take(SIZE), out).map(drop).map_err(|error| failed(&error))
        });
        let mut chunks = reader(Box::pin(chunks));
        let read = tokio::task::spawn_blocking(move || io::copy(&mut chunks, &mut io::sink()));
        assert_eq!(read.await.unwrap().unwrap(), SIZE);
        task.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_is_told_to_both_sides() {
        let (chunks, task) = stream(|out| {
            out.write_all(b"half").map_err(|error| failed(&error))?;
            Err(Error::new(Kind::Snapshot, "the disk is gone"))
        });
        let chunks: Vec<_> = chunks.collect().await;
        assert!(chunks.last().unwrap().is_err());
        assert_eq!(task.await.unwrap().unwrap_err().message(), "the disk is gone");

        let (chunks, task) = stream(|out| {
            io::copy(&mut io::repeat(7), out).map(drop).map_err(|error| failed(&error))
        });
        drop(chunks);
        task.await.unwrap().unwrap();

        let broken = futures_util::stream::iter([
            Ok(Bytes::from_static(b"some")),
            Err(io::Error::other("the engine is gone")),
        ]);
        let mut broken = reader(broken);
        let mut text = String::new();
        let read = tokio::task::spawn_blocking(move || broken.read_to_string(&mut text));
        assert!(read.await.unwrap().unwrap_err().to_string().contains("engine is gone"));
    }
}
