//! Connects blocking code, which reads and writes files, with asynchronous code, which talks to
//! engines. Neither side runs ahead of the other by more than a few chunks.

use std::io::{self, BufWriter, Read, Write};

use futures_util::{Stream, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::bytes::Bytes;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::error::{Kind, Result, ResultExt};

/// The size of a chunk, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// How many chunks may wait to be sent.
const CHUNKS_WAITING_MAX: usize = 8;

/// A reader of a stream, for a blocking thread. Call this in the runtime that the thread belongs
/// to.
pub fn reader<E>(stream: impl Stream<Item = Result<Bytes, E>> + Unpin + Send) -> impl Read + Send
where
    E: std::error::Error + Send + Sync + 'static,
{
    SyncIoBridge::new(StreamReader::new(stream.map_err(io::Error::other)))
}

/// Runs `write` on a blocking thread and streams the bytes that it writes. If `write` fails, the
/// stream ends with an error, and the task returns the reason. If the caller drops the stream,
/// writing stops, and the task succeeds.
pub fn stream(
    write: impl FnOnce(&mut dyn Write) -> Result<()> + Send + 'static,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, JoinHandle<Result<()>>) {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let task = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK_BYTES, ChunkSender(sender.clone()));
        let written = write(&mut out)
            .and_then(|()| out.flush().or_fail(Kind::Unexpected, || "cannot send the data".into()));
        drop(out);
        if written.is_err() && sender.is_closed() {
            return Ok(());
        }
        if written.is_err() {
            drop(sender.blocking_send(Err(io::Error::other("the data is incomplete"))));
        }
        written
    });
    let chunks = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    (chunks, task)
}

struct ChunkSender(mpsc::Sender<io::Result<Bytes>>);

impl Write for ChunkSender {
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
    async fn both_sides_get_the_error() {
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
