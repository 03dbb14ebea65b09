//! The names of the states that a crash may leave, and which of them exist at one moment.
//!
//! Everything is said in terms of the changes that no sync has covered yet, numbered in their order. What was
//! covered is in every image; that is what makes an image legal. A write that no sync has covered may leave
//! each sector it touches old, new or garbled, as far as its own bytes go; the bytes beside it are never harmed.

use std::fmt;

use crate::sim_disk::{Effect, Model, TORN_BYTES};
use crate::sim_rng::{SimRng, mix};

/// What became of the pending changes. Numbers count pending changes or 512 B sectors, each from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// The process was killed, the machine lives: everything written is seen, and still pending.
    Kill,
    /// Power cut; nothing pending survived.
    None,
    /// Power cut; everything survived.
    All,
    /// The first so many survived.
    Prefix(u32),
    /// All but this one survived.
    Drop(u32),
    /// Only this one survived.
    Keep(u32),
    /// A random half survived.
    Subset(u32),
    /// Of each write random sectors survived; the others are old, zeros where the file grew, or garbage.
    Sectors(u32),
    /// All survived, of the last write only so many sectors at its front.
    TornFront(u32),
    /// All survived, of the last write only so many sectors at its back.
    TornBack(u32),
    /// As `TornFront`, with garbage in the lost sectors.
    GarbageFront(u32),
    /// As `TornBack`, with garbage in the lost sectors.
    GarbageBack(u32),
    /// Names and lengths survived, no bytes: files are extended with zeros.
    Lengths,
    /// All survived, but of this write only the length it gave the file.
    Length(u32),
    /// Names survived, bytes and lengths did not.
    NamesOnly,
    /// Bytes and lengths survived, names did not: entries are missing, old and removed names are there.
    DataOnly,
    /// All survived, and this rename's old name too.
    BothNames(u32),
}

impl Variant {
    /// The variant's name without its number, and the number.
    fn parts(self) -> (&'static str, Option<u32>) {
        match self {
            Variant::Kill => ("kill", None),
            Variant::None => ("none", None),
            Variant::All => ("all", None),
            Variant::Prefix(n) => ("prefix", Some(n)),
            Variant::Drop(n) => ("drop", Some(n)),
            Variant::Keep(n) => ("keep", Some(n)),
            Variant::Subset(n) => ("subset", Some(n)),
            Variant::Sectors(n) => ("sectors", Some(n)),
            Variant::TornFront(n) => ("torn_front", Some(n)),
            Variant::TornBack(n) => ("torn_back", Some(n)),
            Variant::GarbageFront(n) => ("garbage_front", Some(n)),
            Variant::GarbageBack(n) => ("garbage_back", Some(n)),
            Variant::Lengths => ("lengths", None),
            Variant::Length(n) => ("length", Some(n)),
            Variant::NamesOnly => ("names_only", None),
            Variant::DataOnly => ("data_only", None),
            Variant::BothNames(n) => ("both_names", Some(n)),
        }
    }

    /// The variant's name without its number.
    #[must_use]
    pub fn kind(self) -> &'static str {
        self.parts().0
    }

    /// A number that tells variants apart, the same in every run.
    pub(super) fn salt(self) -> u64 {
        let (kind, number) = self.parts();
        let seed = u64::from(number.map_or(0, |number| number + 1));
        kind.bytes().fold(seed, |salt, byte| mix(salt, u64::from(byte)))
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (kind, Some(number)) => write!(f, "{kind}-{number}"),
            (kind, None) => f.write_str(kind),
        }
    }
}

impl Variant {
    /// What `Display` wrote; `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, number) = match text.split_once('-') {
            Some((kind, number)) => (kind, Some(number.parse().ok()?)),
            None => (text, None),
        };
        let n = number.unwrap_or(0);
        let all = [
            Variant::Kill,
            Variant::None,
            Variant::All,
            Variant::Prefix(n),
            Variant::Drop(n),
            Variant::Keep(n),
            Variant::Subset(n),
            Variant::Sectors(n),
            Variant::TornFront(n),
            Variant::TornBack(n),
            Variant::GarbageFront(n),
            Variant::GarbageBack(n),
            Variant::Lengths,
            Variant::Length(n),
            Variant::NamesOnly,
            Variant::DataOnly,
            Variant::BothNames(n),
        ];
        all.into_iter().find(|variant| variant.parts() == (kind, number))
    }
}

/// How many images a moment may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Variants of one kind at one boundary: where there are more, a sample chosen by the seed; also how many
    /// of the random kinds are made.
    pub per_kind: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_kind: 8 }
    }
}

/// The variants that exist while `pending` is what no sync has covered.
pub(super) fn plan_variants(model: &Model, pending: &[Effect], limits: Limits, seed: u64) -> Vec<Variant> {
    let mut plan = Plan { variants: vec![Variant::None], limits, rng: SimRng::new(seed) };
    let count = u32::try_from(pending.len()).unwrap_or(u32::MAX);
    if count > 0 || model.has_lied() {
        plan.variants.push(Variant::Kill);
    }
    if count == 0 {
        return plan.variants;
    }
    plan.variants.push(Variant::All);
    // Few changes have few subsets; what would come out equal is left out.
    plan.some(1..count, Variant::Prefix);
    plan.some(0..count - 1, Variant::Drop);
    plan.some(if count > 2 { 1..count } else { 0..0 }, Variant::Keep);
    plan.some(if count > 3 { 0..limits.per_kind } else { 0..0 }, Variant::Subset);
    plan_names(&mut plan, pending);
    plan_writes(&mut plan, model, pending);
    plan.variants
}

fn plan_names(plan: &mut Plan, pending: &[Effect]) {
    let names = pending.iter().filter(|effect| effect.inode().is_none()).count();
    if (1..pending.len()).contains(&names) {
        plan.variants.extend([Variant::NamesOnly, Variant::DataOnly]);
    }
    let is_rename = |index: &u32| matches!(&pending[*index as usize], Effect::Rename { .. });
    let renames: Vec<u32> = (0..pending.len() as u32).filter(is_rename).collect();
    plan.some(0..renames.len() as u32, |index| Variant::BothNames(renames[index as usize]));
}

fn plan_writes(plan: &mut Plan, model: &Model, pending: &[Effect]) {
    let grows = |index: &u32| match &pending[*index as usize] {
        Effect::Write { inode, at, bytes } => model.durable.len(*inode) < at + bytes.len() as u64,
        _ => false,
    };
    let growing: Vec<u32> = (0..pending.len() as u32).filter(grows).collect();
    if growing.len() > 1 {
        plan.variants.push(Variant::Lengths);
    }
    plan.some(0..growing.len() as u32, |index| Variant::Length(growing[index as usize]));
    let Some(sectors) = pending.iter().rev().find_map(sector_count) else { return };
    plan.some(1..sectors, Variant::TornFront);
    plan.some(1..sectors, Variant::TornBack);
    plan.some(0..sectors, Variant::GarbageFront);
    plan.some(1..sectors, Variant::GarbageBack);
    plan.some(0..plan.limits.per_kind, Variant::Sectors);
}

/// How many sectors a write touches; `None` for what isn't a write.
fn sector_count(effect: &Effect) -> Option<u32> {
    let Effect::Write { at, bytes, .. } = effect else { return None };
    let (first, end) = (at / TORN_BYTES as u64, (at + bytes.len() as u64).div_ceil(TORN_BYTES as u64));
    Some(u32::try_from(end - first).unwrap_or(u32::MAX))
}

struct Plan {
    variants: Vec<Variant>,
    limits: Limits,
    rng: SimRng,
}

impl Plan {
    /// Adds the variants of one kind, or a sample in ascending order where they are too many.
    fn some(&mut self, numbers: std::ops::Range<u32>, variant: impl Fn(u32) -> Variant) {
        let wanted = u64::from(self.limits.per_kind);
        let count = u64::from(numbers.end.saturating_sub(numbers.start));
        if count <= wanted {
            self.variants.extend(numbers.map(variant));
            return;
        }
        // One out of each of `wanted` equal strips: spread, ascending, without repetition.
        for strip in 0..wanted {
            let (from, to) = (strip * count / wanted, (strip + 1) * count / wanted);
            let number = from + self.rng.below(to - from);
            self.variants.push(variant(numbers.start + number as u32));
        }
    }
}
