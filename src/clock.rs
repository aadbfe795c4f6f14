//! The one place that asks what time it is. Everything else is given a clock, so that a test can move it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// The time of this machine. Called by `main` and by nothing else but [`Clock::system`].
pub fn now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "this is the place")]
    Timestamp::now()
}

/// A way to ask for the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Self {
        Self::from_fn(now)
    }

    /// Any other clock: one that a test moves.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A name that no other process has.
#[allow(clippy::disallowed_methods, reason = "the one place for randomness")]
pub fn random_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
