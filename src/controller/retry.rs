//! When to look again at an object that could not be brought into line.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::controller::Action;

use crate::domain::observed::Retry;

/// The first wait of a backoff, and its longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// How often each object has failed in a row, by UID.
#[derive(Default)]
pub struct Retries(Mutex<HashMap<String, u32>>);

impl Retries {
    /// The object is as it should be.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// When to look again, given what stands in the way.
    pub fn action(&self, uid: &str, retry: Retry) -> Action {
        self.wait(uid, retry).map_or_else(Action::await_change, Action::requeue)
    }

    /// The same, but not later than this.
    pub fn action_within(&self, uid: &str, retry: Retry, latest: Duration) -> Action {
        Action::requeue(self.wait(uid, retry).map_or(latest, |wait| wait.min(latest)))
    }

    fn wait(&self, uid: &str, retry: Retry) -> Option<Duration> {
        match retry {
            Retry::OnChange => None,
            Retry::After(after) => Some(spread(after, uid, 0)),
            Retry::Backoff => {
                let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let count = failures.entry(uid.to_owned()).or_default();
                *count = count.saturating_add(1);
                Some(delay(uid, *count))
            }
        }
    }

    /// Whether the object waits for another try.
    pub fn is_retrying(&self, uid: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(uid)
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Doubles from one second to five minutes.
fn delay(uid: &str, failures: u32) -> Duration {
    let exponential = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    spread(exponential.min(LONGEST), uid, failures)
}

/// Up to a fifth longer, by the object's identity, so that many do not come back in the same instant.
pub fn spread(wait: Duration, uid: &str, salt: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (uid, salt).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 200).unwrap_or(0);
    wait + wait.saturating_mul(share) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ_between_objects() {
        assert!(delay("a", 1) >= FIRST && delay("a", 1) < FIRST * 2);
        assert!(delay("a", 5) >= FIRST * 16);
        assert!(delay("a", 60) <= LONGEST * 6 / 5);
        assert_ne!(delay("a", 8), delay("b", 8));
        assert_eq!(delay("a", 8), delay("a", 8));
    }
}
