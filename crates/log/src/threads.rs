//! The log's own threads: the WAL's writer, the maker of WAL files, the checkpoint.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{OpenError, Poisoned};
use crate::log::Shared;
use crate::queue::News;
use crate::wal::file::Prepared;
use crate::wal::writer::SEAL_AFTER;

/// How often the checkpoint and the disk's fullness are considered.
const TICK: Duration = Duration::from_secs(1);

/// How often the WAL looks for room where it found none.
const ROOM_RETRY: Duration = Duration::from_millis(100);

/// What a thread does until the log ends.
type Body = fn(&Shared);

/// The running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    running: Mutex<Vec<JoinHandle<()>>>,
    shared: std::sync::Weak<Shared>,
}

/// Starts the threads, if the configuration wants any.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<Threads, OpenError> {
    let mut running = Vec::new();
    if shared.config.threads {
        let bodies: [(&str, Body); 3] = [("wal", write), ("wal-files", prepare), ("checkpoint", checkpoint)];
        for (name, body) in bodies {
            let shared = shared.clone();
            let thread = std::thread::Builder::new()
                .name(name.into())
                .spawn(move || run(&shared, body))
                .map_err(|error| OpenError::io("starting a thread for", name, error))?;
            running.push(thread);
        }
    }
    Ok(Threads { running: Mutex::new(running), shared: Arc::downgrade(shared) })
}

impl Threads {
    /// Ends the threads; what is queued is written first.
    pub(crate) fn stop(&self, shared: &Shared) {
        *shared.stopping.lock() = true;
        shared.stop_or_work.notify_all();
        shared.queue.close();
        for thread in self.running.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            self.stop(&shared);
        }
    }
}

/// A thread that panics stops the log: the others would wait for it for ever, and what it held half done is unknown.
fn run(log: &Shared, body: Body) {
    let _ = stop_at_panic(log, || {
        body(log);
        Ok(())
    });
}

/// Runs `work`; if it panics, the log has stopped before any lock is released that is held outside of it.
pub(crate) fn stop_at_panic<T>(
    log: &Shared,
    work: impl FnOnce() -> Result<T, Poisoned>,
) -> Result<T, Poisoned> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let detail = text.unwrap_or_else(|| "a thread panicked".into());
        Err(log.stop(Poisoned { action: "run a thread of the log", detail }))
    })
}

/// Commits whatever queued while the last sync ran; never waits for more.
fn write(log: &Shared) {
    let mut told = None;
    loop {
        if log.queue.is_stuck() {
            // Who closes the log tries once more by itself.
            if log.queue.wait_for_room(ROOM_RETRY) || log.commit().is_err() {
                return;
            }
            continue;
        }
        let patience = told.take().or_else(|| log.hold_writer().seal_due_in(log.env.clock.monotonic()));
        let went_on = match log.queue.wait(patience) {
            News::Entries => log.commit().map(|_| ()),
            News::Quiet => {
                let mut writer = log.hold_writer();
                // Threads that append write groups as well, perhaps just now.
                match writer.seal_due_in(log.env.clock.monotonic()) {
                    Some(Duration::ZERO) => writer.seal(log),
                    _ => Ok(()),
                }
            }
            // It still holds the writer.
            News::Unsealed => {
                told = Some(SEAL_AFTER);
                Ok(())
            }
            News::Closed => return,
        };
        if went_on.is_err() {
            return;
        }
    }
}

/// Zeroes WAL files ahead of the writer and keeps a spare.
fn prepare(log: &Shared) {
    loop {
        // Here too: the checkpoint's thread may be busy for long, and this one takes room.
        log.measure_space();
        let did = log.prepare_wal().unwrap_or_else(|error| {
            tracing::warn!(%error, "a WAL file can't be prepared");
            Prepared::Nothing
        });
        let mut stopping = log.stopping.lock();
        if *stopping {
            return;
        }
        let pause = match (did, log.config.background_bytes_per_second) {
            (Prepared::InUse, _) | (Prepared::Spare, 0) => continue,
            (Prepared::Spare, rate) => Duration::from_secs_f64((1 << 20) as f64 / rate as f64),
            (Prepared::Nothing, _) => TICK,
        };
        log.stop_or_work.wait_for(&mut stopping, pause);
        if *stopping {
            return;
        }
    }
}

fn checkpoint(log: &Shared) {
    let mut last = log.env.clock.monotonic();
    loop {
        log.measure_space();
        {
            let mut stopping = log.stopping.lock();
            if !*stopping {
                log.stop_or_work.wait_for(&mut stopping, TICK);
            }
            if *stopping {
                return;
            }
        }
        let now = log.env.clock.monotonic();
        let due = log.pending_bytes() >= log.config.checkpoint_bytes
            || now.saturating_sub(last) >= log.config.checkpoint_age;
        if due {
            if log.checkpoint().is_err() {
                return;
            }
            last = log.env.clock.monotonic();
        }
    }
}
