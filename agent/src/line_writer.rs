//! A file or pipe written line by line from a thread of its own, so that a full disk or a reader that has stopped
//! reading never holds up the pipeline.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Lines that may wait. With about 500 bytes a line this bounds the memory to some megabytes.
const QUEUE: usize = 8192;
/// How long what is queued may take at the end. A reader that does not read shall not keep the agent from leaving.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sending side.
#[derive(Debug)]
pub struct LineWriter {
    lines: Option<SyncSender<Vec<u8>>>,
    lost: Arc<AtomicU64>,
    name: &'static str,
    /// Closed when the thread has ended.
    done: Receiver<()>,
}

impl LineWriter {
    /// Starts the thread. `name` stands in front of its messages.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn spawn(name: &'static str, output: impl Write + Send + 'static) -> io::Result<LineWriter> {
        let (lines, queue) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let (ended, done) = sync_channel::<()>(0);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = write_all(&queue, output) {
                tracing::error!("cannot write {name} any more, what follows is lost: {error}");
                for _ in queue {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(ended);
        })?;
        Ok(LineWriter { lines: Some(lines), lost, name, done })
    }

    /// Queues a line, which includes its newline. False when the queue is full or writing has failed: it is counted.
    pub fn send(&self, line: Vec<u8>) -> bool {
        match self.lines.as_ref().map(|lines| lines.try_send(line)) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Lines lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until what is queued is written, 2 s at most.
    pub fn finish(mut self) {
        self.lines = None;
        if self.done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("nobody takes the last lines of {}: they are lost", self.name);
        }
    }
}

fn write_all(queue: &Receiver<Vec<u8>>, mut output: impl Write) -> io::Result<()> {
    while let Ok(line) = queue.recv() {
        output.write_all(&line)?;
        for line in queue.try_iter().take(QUEUE) {
            output.write_all(&line)?;
        }
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that has stopped reading.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_not_the_end() {
        let (read, reader) = sync_channel(0);
        let writer = LineWriter::spawn("test", Stuck(reader)).unwrap();
        for _ in 0..QUEUE + 10 {
            writer.send(b"x\n".to_vec());
        }
        assert!(writer.lost() >= 9, "{} lost", writer.lost());
        writer.finish();
        drop(read);
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn finish_waits_for_every_line() {
        let shared = Shared::default();
        let writer = LineWriter::spawn("test", shared.clone()).unwrap();
        for number in 0..1000 {
            assert!(writer.send(format!("{number}\n").into_bytes()));
        }
        writer.finish();
        assert_eq!(shared.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), 1000);
    }

    #[test]
    fn a_failing_output_counts_what_is_lost() {
        let writer = LineWriter::spawn("test", Full).unwrap();
        let mut sent = 0;
        while writer.lost() == 0 {
            writer.send(b"x\n".to_vec());
            sent += 1;
            assert!(sent < 1_000_000, "the loss is never counted");
        }
        writer.finish();
    }
}
