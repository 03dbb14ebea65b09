//! Runs a workload again and again, crashes it everywhere, recovers, and has the result checked.
//!
//! Deterministic per seed as long as the workload and the recovery are: what they do must depend on the seed
//! and the disk alone. A workload whose threads race is explored all the same, but may not replay.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fmt};

use duolog_env::{Clock, RealClock};
use parking_lot::Mutex;

use super::id::{CrashId, CrashPoint, ParseCrashId};
use super::images::Moment;
use super::report::{Found, Report};
use super::variant::Limits;
use crate::sim_disk::{SimDisk, Trace};
use crate::sim_rng::{SimRng, mix};

/// The environment variable that holds the crash to replay.
pub(super) const REPLAY_VARIABLE: &str = "DUOLOG_CRASH";

/// Lines of a trace that a violation shows before the crash.
const CONTEXT_OPS: usize = 12;

/// A run of a workload or of a recovery: its disk, its chance, and what it promises while it runs.
#[derive(Debug)]
pub struct Run<P> {
    disk: SimDisk,
    seed: u64,
    marks: Mutex<Marks<P>>,
}

#[derive(Debug)]
struct Marks<P> {
    /// The boundary that the disk had reached when the promise of the same index was made.
    boundaries: Vec<usize>,
    promises: Vec<P>,
}

impl<P> Run<P> {
    fn new(disk: SimDisk, seed: u64) -> Self {
        Self { disk, seed, marks: Mutex::new(Marks { boundaries: Vec::new(), promises: Vec::new() }) }
    }

    /// The disk to run on.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Where all chance of this run has to come from; a new source from the same start at each call.
    #[must_use]
    pub fn rng(&self) -> SimRng {
        SimRng::new(self.seed)
    }

    /// Notes what was promised, or begun, just now. It holds for every crash after the operations done so far.
    pub fn mark(&self, promise: P) {
        let mut marks = self.marks.lock();
        let boundary = self.disk.boundary();
        marks.boundaries.push(boundary);
        marks.promises.push(promise);
    }
}

/// What is wrong with a recovered state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that was broken, by a name that tests can ask for.
    pub name: String,
    /// How it shows here.
    pub detail: String,
}

impl Violation {
    /// The rule `name` is broken; `detail` says how.
    pub fn new(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

/// How far to explore.
#[derive(Clone, Debug)]
pub struct Explorer {
    /// Everything random comes from it. Round `r` runs with a seed of its own, made of this one and `r`.
    pub seed: u64,
    /// Stops after so many images.
    pub images: u64,
    /// Stops after so long, whatever the images.
    pub time: Option<Duration>,
    /// Images per boundary.
    pub limits: Limits,
    /// One image out of so many has its recovery crashed too; 0 for none.
    pub second_crash_one_in: u64,
    /// How many crashes such a recovery gets.
    pub second_crashes: usize,
    /// Threads that run rounds. With more than one the counts at the end differ from run to run, the images
    /// of a round do not.
    pub threads: usize,
    /// The command that a violation's reproduction line names.
    pub command: String,
    /// Makes this crash alone instead of exploring.
    pub replay: Option<CrashId>,
}

impl Explorer {
    /// 10,000 images from `seed`, one recovery in 16 crashed four times, no time limit, one thread.
    #[must_use]
    pub fn new(seed: u64, command: impl Into<String>) -> Self {
        Self {
            seed,
            images: 10_000,
            time: None,
            limits: Limits::default(),
            second_crash_one_in: 16,
            second_crashes: 4,
            threads: 1,
            command: command.into(),
            replay: None,
        }
    }

    /// The same, replaying the crash that the environment variable `DUOLOG_CRASH` names, if it is set.
    ///
    /// # Errors
    /// It is set and names no crash.
    pub fn with_replay_from_env(mut self) -> Result<Self, ParseCrashId> {
        if let Ok(text) = env::var(REPLAY_VARIABLE) {
            self.replay = Some(text.parse()?);
        }
        Ok(self)
    }

    /// Explores. `workload` runs on an empty disk and marks its promises; `check` gets a run on a crashed disk
    /// and the promises that were made before the crash, recovers, and says what is wrong. What `check` marks
    /// counts as promised when its recovery is crashed in turn. A panic in `check` is a violation.
    pub fn run<P, W, C>(&self, workload: W, check: C) -> Report
    where
        P: Clone + Send,
        W: Fn(&Run<P>) + Sync,
        C: Fn(&Run<P>, &[P]) -> Result<(), Violation> + Sync,
    {
        let job = Job {
            explorer: self,
            workload: &workload,
            check: &check,
            clock: &RealClock::new(),
            images: &AtomicU64::new(0),
            next_round: &AtomicU64::new(0),
        };
        let mut report = Report::default();
        if let Some(id) = self.replay {
            report = job.replay(id);
        } else if self.threads <= 1 {
            report = job.rounds();
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(|| job.rounds())).collect();
                for thread in threads {
                    match thread.join() {
                        Ok(part) => report.add(part),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
            });
        }
        report.elapsed = job.clock.monotonic();
        report
    }
}

struct Job<'a, W, C> {
    explorer: &'a Explorer,
    workload: &'a W,
    check: &'a C,
    clock: &'a RealClock,
    images: &'a AtomicU64,
    next_round: &'a AtomicU64,
}

/// A finished run: what it did and promised.
struct Finished<P> {
    trace: Trace,
    marks: Marks<P>,
}

impl<P> Finished<P> {
    fn of(run: Run<P>) -> Self {
        Self { trace: run.disk.trace(), marks: run.marks.into_inner() }
    }

    /// What was promised before a crash at `boundary`.
    fn promises_at(&self, boundary: usize) -> &[P] {
        let made = self.marks.boundaries.partition_point(|&made_at| made_at <= boundary);
        &self.marks.promises[..made]
    }
}

impl<W, C> Job<'_, W, C> {
    fn finished(&self) -> bool {
        self.images.load(Ordering::Relaxed) >= self.explorer.images
            || self.explorer.time.is_some_and(|limit| self.clock.monotonic() >= limit)
    }

    /// Runs rounds until the budget is used up or something was found.
    fn rounds<P>(&self) -> Report
    where
        P: Clone,
        W: Fn(&Run<P>),
        C: Fn(&Run<P>, &[P]) -> Result<(), Violation>,
    {
        let mut report = Report::default();
        while report.found.is_none() && !self.finished() {
            let round = self.next_round.fetch_add(1, Ordering::Relaxed);
            self.round(mix(self.explorer.seed, round), &mut report);
        }
        if report.found.is_some() {
            // The other threads have nothing to add.
            self.images.store(u64::MAX / 2, Ordering::Relaxed);
        }
        report
    }

    fn round<P>(&self, seed: u64, report: &mut Report)
    where
        P: Clone,
        W: Fn(&Run<P>),
        C: Fn(&Run<P>, &[P]) -> Result<(), Violation>,
    {
        let run = self.work(seed);
        report.rounds += 1;
        let mut moment = Moment::new(&run.trace);
        loop {
            report.boundaries += 1;
            for variant in moment.variants(self.explorer.limits, seed) {
                let first = CrashPoint { boundary: moment.boundary, variant };
                let id = CrashId { seed, first, second: None };
                self.crash(&moment, id, run.promises_at(moment.boundary), report);
                if report.found.is_some() || self.finished() {
                    return;
                }
            }
            if !moment.step() {
                return;
            }
        }
    }

    fn work<P>(&self, seed: u64) -> Finished<P>
    where
        W: Fn(&Run<P>),
    {
        let run = Run::new(SimDisk::new(), seed);
        (self.workload)(&run);
        Finished::of(run)
    }

    /// Recovers from one crash, checks, and for some crashes that recovery in turn.
    fn crash<P>(&self, moment: &Moment<'_>, id: CrashId, promises: &[P], report: &mut Report)
    where
        P: Clone,
        C: Fn(&Run<P>, &[P]) -> Result<(), Violation>,
    {
        let Some(recovery) = self.recover(moment, id, promises, report) else { return };
        let chance = SimRng::new(mix(id.image_seed(), 2));
        let is_chosen = chance.one_in(self.explorer.second_crash_one_in);
        if !is_chosen || recovery.trace.ops.is_empty() {
            return;
        }
        let mut second_boundaries: Vec<usize> =
            (0..self.explorer.second_crashes).map(|_| 1 + chance.index(recovery.trace.ops.len())).collect();
        second_boundaries.sort_unstable();
        let mut second = Moment::new(&recovery.trace);
        let mut promises = promises.to_vec();
        let before = promises.len();
        for boundary in second_boundaries {
            second.forward(boundary);
            let variants = second.variants(self.explorer.limits, id.image_seed());
            let variant = variants[chance.index(variants.len())];
            let id = CrashId { second: Some(CrashPoint { boundary, variant }), ..id };
            promises.truncate(before);
            promises.extend_from_slice(recovery.promises_at(boundary));
            report.double_crashes += 1;
            if self.recover(&second, id, &promises, report).is_none() || self.finished() {
                return;
            }
        }
    }

    /// Makes the image of `id`, the last crash of which is at `moment`, recovers from it and checks; `None`
    /// when something is wrong, which then stands in the report.
    fn recover<P>(
        &self,
        moment: &Moment<'_>,
        id: CrashId,
        promises: &[P],
        report: &mut Report,
    ) -> Option<Finished<P>>
    where
        C: Fn(&Run<P>, &[P]) -> Result<(), Violation>,
    {
        let variant = id.second.unwrap_or(id.first).variant;
        let seed = id.image_seed();
        let run = Run::new(SimDisk::from_image(moment.image(variant, seed)), seed);
        self.images.fetch_add(1, Ordering::Relaxed);
        report.images += 1;
        *report.kinds.entry(variant.kind()).or_default() += 1;
        let checked = catch_unwind(AssertUnwindSafe(|| (self.check)(&run, promises)));
        match checked.unwrap_or_else(|panic| Err(Violation::new("panic", panic_text(&*panic)))) {
            Ok(()) => Some(Finished::of(run)),
            Err(violation) => {
                let context = moment.context(CONTEXT_OPS);
                let command = self.explorer.command.clone();
                report.found = Some(Found { id, violation, context, command });
                None
            }
        }
    }

    fn replay<P>(&self, id: CrashId) -> Report
    where
        P: Clone,
        W: Fn(&Run<P>),
        C: Fn(&Run<P>, &[P]) -> Result<(), Violation>,
    {
        let mut report = Report { rounds: 1, ..Report::default() };
        let run = self.work(id.seed);
        let first = CrashId { second: None, ..id };
        let Some(moment) = Moment::at(&run.trace, id.first) else {
            return self.diverged(id, report);
        };
        report.boundaries = 1;
        let promises = run.promises_at(id.first.boundary);
        let recovery = self.recover(&moment, first, promises, &mut report);
        let (Some(recovery), Some(second)) = (recovery, id.second) else { return report };
        let Some(moment) = Moment::at(&recovery.trace, second) else {
            return self.diverged(id, report);
        };
        let promises = [promises, recovery.promises_at(second.boundary)].concat();
        report.double_crashes = 1;
        self.recover(&moment, id, &promises, &mut report);
        report
    }

    fn diverged(&self, id: CrashId, mut report: Report) -> Report {
        let detail = "this run has no such crash: it did other things than the run that printed it";
        let violation = Violation::new("replay-diverged", detail);
        let command = self.explorer.command.clone();
        report.found = Some(Found { id, violation, context: Vec::new(), command });
        report
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text").to_owned()
}
