//! From a trace to the states that a crash may leave, at every boundary between two of its operations.
//!
//! An image shares all chunks with the durable state of its boundary; it costs the pending changes that it
//! applies, whatever the sizes of the files.

use duolog_env::Rng;

use super::id::{CrashId, CrashPoint};
use super::variant::{Limits, Variant, plan_variants};
use crate::sim_disk::{Effect, Image, Model, TORN_BYTES, Trace, View};
use crate::sim_rng::{SimRng, mix};

/// A state that a crash may leave, and its name.
#[derive(Clone, Debug)]
pub struct CrashImage {
    /// What to give [`CrashImages::at`] to get it again.
    pub id: CrashId,
    /// The disk.
    pub image: Image,
}

/// The legal crash images of a trace, boundary by boundary.
#[derive(Debug)]
pub struct CrashImages<'a> {
    moment: Moment<'a>,
    limits: Limits,
    seed: u64,
    left: std::vec::IntoIter<Variant>,
    at_end: bool,
}

impl<'a> CrashImages<'a> {
    /// The images of `trace`; samples and random choices come from `seed`.
    #[must_use]
    pub fn new(trace: &'a Trace, seed: u64, limits: Limits) -> Self {
        let moment = Moment::new(trace);
        let left = moment.variants(limits, seed).into_iter();
        Self { moment, limits, seed, left, at_end: false }
    }

    /// The one image of `trace` that `seed` and `point` name; `None` where the trace is shorter, or where the
    /// variant names a pending change that isn't there.
    #[must_use]
    pub fn at(trace: &Trace, seed: u64, point: CrashPoint) -> Option<Image> {
        let id = CrashId { seed, first: point, second: None };
        Moment::at(trace, point).map(|moment| moment.image(point.variant, id.image_seed()))
    }
}

impl Iterator for CrashImages<'_> {
    type Item = CrashImage;

    fn next(&mut self) -> Option<CrashImage> {
        loop {
            if let Some(variant) = self.left.next() {
                let first = CrashPoint { boundary: self.moment.boundary, variant };
                let id = CrashId { seed: self.seed, first, second: None };
                return Some(CrashImage { id, image: self.moment.image(variant, id.image_seed()) });
            }
            if self.at_end || !self.moment.step() {
                self.at_end = true;
                return None;
            }
            self.left = self.moment.variants(self.limits, self.seed).into_iter();
        }
    }
}

/// The disk at one boundary of a trace.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    trace: &'a Trace,
    pub(super) boundary: usize,
    model: Model,
    /// The pending changes that a crash can show, in order; the variants number these.
    pending: Vec<Effect>,
}

impl<'a> Moment<'a> {
    /// Before the first operation.
    pub(super) fn new(trace: &'a Trace) -> Self {
        let model = trace.initial.clone();
        let pending = model.visible_pending();
        Self { trace, boundary: 0, model, pending }
    }

    /// At the crash `point`; `None` where the trace is shorter, or where the variant names a pending change
    /// that isn't there.
    pub(super) fn at(trace: &'a Trace, point: CrashPoint) -> Option<Self> {
        if point.boundary > trace.ops.len() {
            return None;
        }
        let mut moment = Self::new(trace);
        moment.forward(point.boundary);
        moment.has(point.variant).then_some(moment)
    }

    /// The last `count` operations before here and the next one, for people.
    pub(super) fn context(&self, count: usize) -> Vec<String> {
        let ops = self.trace.ops.iter().enumerate();
        let around = ops.skip(self.boundary.saturating_sub(count)).take(count.min(self.boundary) + 1);
        let mut lines: Vec<String> = around.map(|(index, op)| format!("operation {index}: {op}")).collect();
        lines.insert(count.min(self.boundary), format!("crash with {} changes pending", self.pending.len()));
        lines
    }

    /// After one more operation; false when there is none.
    pub(super) fn step(&mut self) -> bool {
        let next = self.boundary + 1;
        next <= self.trace.ops.len() && {
            self.forward(next);
            true
        }
    }

    /// On to `boundary`, which lies not behind and not beyond the trace.
    pub(super) fn forward(&mut self, boundary: usize) {
        for op in &self.trace.ops[self.boundary..boundary] {
            self.model.apply(op);
        }
        self.boundary = boundary;
        self.pending = self.model.visible_pending();
    }

    pub(super) fn variants(&self, limits: Limits, seed: u64) -> Vec<Variant> {
        plan_variants(&self.model, &self.pending, limits, mix(seed, self.boundary as u64))
    }

    /// Whether `variant` means something here.
    fn has(&self, variant: Variant) -> bool {
        match variant {
            Variant::Prefix(n) => n as usize <= self.pending.len(),
            Variant::Drop(n) | Variant::Keep(n) | Variant::Length(n) | Variant::BothNames(n) => {
                (n as usize) < self.pending.len()
            }
            _ => true,
        }
    }

    /// The state that `variant` leaves, its random choices from `seed`.
    pub(super) fn image(&self, variant: Variant, seed: u64) -> Image {
        if variant == Variant::Kill {
            return Image { model: self.model.clone() };
        }
        let rng = SimRng::new(seed);
        let last_write = self.pending.iter().rposition(|effect| matches!(effect, Effect::Write { .. }));
        let mut view = self.model.durable.clone();
        for (index, effect) in self.pending.iter().enumerate() {
            match fate(variant, index, effect, last_write, &rng) {
                Fate::Lost => {}
                Fate::Kept => view.apply(effect),
                Fate::Length => keep_length(&mut view, effect),
                Fate::BothNames => view.apply_keeping_old_name(effect),
                Fate::Torn(torn) => keep_sectors(&mut view, effect, torn, &rng),
            }
        }
        Image { model: Model::durable_only(view, self.model.next_inode().0) }
    }
}

/// What becomes of one pending change.
enum Fate {
    Lost,
    Kept,
    Length,
    BothNames,
    Torn(Torn),
}

/// Which sectors of a write survive, and what is in the others.
#[derive(Clone, Copy)]
struct Torn {
    kept: KeptSectors,
    lost: LostSectors,
}

#[derive(Clone, Copy)]
enum KeptSectors {
    Front(u32),
    Back(u32),
    /// Each with a chance of so many in eight.
    Random(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LostSectors {
    /// What was there before.
    Old,
    /// The same, but the file has its new length.
    OldExtended,
    Garbage,
}

fn fate(variant: Variant, index: usize, effect: &Effect, last_write: Option<usize>, rng: &SimRng) -> Fate {
    let kept_if = |kept: bool| if kept { Fate::Kept } else { Fate::Lost };
    let torn_last = |kept, lost| match last_write {
        Some(last) if last == index => Fate::Torn(Torn { kept, lost }),
        _ => Fate::Kept,
    };
    let named = effect.inode().is_none();
    match variant {
        // Kill applies no pending change one by one: it keeps all of them, pending.
        Variant::All | Variant::Kill => Fate::Kept,
        Variant::None => Fate::Lost,
        Variant::Prefix(count) => kept_if(index < count as usize),
        Variant::Drop(number) => kept_if(index != number as usize),
        Variant::Keep(number) => kept_if(index == number as usize),
        Variant::Subset(_) => kept_if(rng.one_in(2)),
        Variant::Sectors(_) => random_fate(effect, rng),
        Variant::TornFront(count) => torn_last(KeptSectors::Front(count), LostSectors::Old),
        Variant::TornBack(count) => torn_last(KeptSectors::Back(count), LostSectors::Old),
        Variant::GarbageFront(count) => torn_last(KeptSectors::Front(count), LostSectors::Garbage),
        Variant::GarbageBack(count) => torn_last(KeptSectors::Back(count), LostSectors::Garbage),
        Variant::Lengths if named => Fate::Kept,
        Variant::Lengths => Fate::Length,
        Variant::Length(number) if index == number as usize => Fate::Length,
        Variant::Length(_) => Fate::Kept,
        Variant::NamesOnly => kept_if(named),
        Variant::DataOnly => kept_if(!named),
        Variant::BothNames(number) if index == number as usize => Fate::BothNames,
        Variant::BothNames(_) => Fate::Kept,
    }
}

fn random_fate(effect: &Effect, rng: &SimRng) -> Fate {
    if !matches!(effect, Effect::Write { .. }) {
        return if rng.one_in(4) { Fate::Lost } else { Fate::Kept };
    }
    let lost = match rng.below(3) {
        0 => LostSectors::Old,
        1 => LostSectors::OldExtended,
        _ => LostSectors::Garbage,
    };
    match rng.below(8) {
        0 => Fate::Lost,
        1 | 2 => Fate::Kept,
        _ => Fate::Torn(Torn { kept: KeptSectors::Random(1 + rng.below(7)), lost }),
    }
}

/// Of a change to a file nothing but the length that it gave it, and that only if the file grew.
fn keep_length(view: &mut View, effect: &Effect) {
    match effect {
        Effect::Write { inode, at, bytes } => view.extend(*inode, at + bytes.len() as u64),
        other => view.apply(other),
    }
}

/// Of a write only the sectors that `torn` keeps. Bytes outside of the write stay as they are, even those that
/// share a sector with it: a sector is written whole or not at all.
fn keep_sectors(view: &mut View, effect: &Effect, torn: Torn, rng: &SimRng) {
    let Effect::Write { inode, at, bytes } = effect else {
        view.apply(effect);
        return;
    };
    if torn.lost != LostSectors::Old {
        view.extend(*inode, at + bytes.len() as u64);
    }
    // The first sector may begin before the write.
    let lead = (at % TORN_BYTES as u64) as usize;
    let sectors = (lead + bytes.len()).div_ceil(TORN_BYTES);
    for sector in 0..sectors {
        let from = (sector * TORN_BYTES).saturating_sub(lead);
        let to = ((sector + 1) * TORN_BYTES - lead).min(bytes.len());
        let kept = match torn.kept {
            KeptSectors::Front(count) => sector < count as usize,
            KeptSectors::Back(count) => sectors - sector <= count as usize,
            KeptSectors::Random(in_eight) => rng.below(8) < in_eight,
        };
        if kept {
            view.write(*inode, &bytes[from..to], at + from as u64);
        } else if torn.lost == LostSectors::Garbage {
            let mut garbage = [0; TORN_BYTES];
            rng.fill(&mut garbage);
            view.write(*inode, &garbage[..to - from], at + from as u64);
        }
    }
}
