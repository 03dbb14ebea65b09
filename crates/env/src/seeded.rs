//! Deliberate mistakes, to prove that the tests can fail.
//!
//! Only a build with `--cfg seeded_bug` can make them; in every other build [`seeded_bug`] is `false` at compile time.

/// Whether the mistake `name` is to be made now.
#[cfg(not(seeded_bug))]
#[inline(always)]
#[must_use]
pub const fn seeded_bug(_name: &str) -> bool {
    false
}

#[cfg(seeded_bug)]
static CHOSEN: std::sync::RwLock<Option<String>> = std::sync::RwLock::new(None);

/// Whether the mistake `name` is to be made now.
#[cfg(seeded_bug)]
#[must_use]
pub fn seeded_bug(name: &str) -> bool {
    CHOSEN.read().is_ok_and(|chosen| chosen.as_deref() == Some(name))
}

/// Chooses the mistake that the whole process makes from now on.
#[cfg(seeded_bug)]
pub fn choose_seeded_bug(name: Option<&str>) {
    if let Ok(mut chosen) = CHOSEN.write() {
        *chosen = name.map(str::to_string);
    }
}
