//! Whether the broker takes requests, and if not, why not.

use std::sync::Arc;

use parking_lot::Mutex;

/// Why the broker isn't ready: a short word for programs, a sentence for people.
pub type Reason = (&'static str, String);

/// What keeps the broker from being ready; nothing, if it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Each with its own remedy.
    pub reasons: Vec<Reason>,
}

impl Readiness {
    /// Adds a reason if `holds`.
    #[must_use]
    pub fn unless(mut self, holds: bool, code: &'static str, text: impl FnOnce() -> String) -> Self {
        if !holds {
            self.reasons.push((code, text()));
        }
        self
    }

    /// The body of `/readyz`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let reasons = self.reasons.iter();
        serde_json::json!({
            "ready": self.reasons.is_empty(),
            "reasons": reasons
                .map(|(code, text)| serde_json::json!({ "code": code, "message": text }))
                .collect::<Vec<_>>(),
        })
    }
}

type Check = Box<dyn Fn() -> Readiness + Send + Sync>;

/// Where `/readyz` looks. Begins as "starting"; cheap to clone.
#[derive(Clone)]
pub struct Health {
    check: Arc<Mutex<Check>>,
}

impl Default for Health {
    fn default() -> Self {
        let starting = || {
            let text = || "the log is being recovered".to_owned();
            Readiness::default().unless(false, "starting", text)
        };
        Self { check: Arc::new(Mutex::new(Box::new(starting))) }
    }
}

impl Health {
    /// From now on `check` says whether the broker is ready. It is asked at each request, so it must be cheap.
    pub fn set(&self, check: impl Fn() -> Readiness + Send + Sync + 'static) {
        *self.check.lock() = Box::new(check);
    }

    /// What `/readyz` says now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        (self.check.lock())()
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}
