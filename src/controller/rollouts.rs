//! How many workloads are restarted at once, over all applications, and what was said of those that were left alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::ObjectRef;

use crate::api::ExternalApplication;

/// How many applications may have a workload rolling out at once: each rollout costs its cluster room and attention.
pub const AT_ONCE: usize = 4;

/// How long a rollout counts. One that takes longer than this no longer keeps others from beginning.
const COUNTS: SignedDuration = SignedDuration::from_mins(15);

type App = ObjectRef<ExternalApplication>;

#[derive(Default)]
struct State {
    /// Since when, by the application's UID.
    under_way: HashMap<String, Timestamp>,
    waiting: VecDeque<App>,
    told: HashMap<String, u64>,
}

impl State {
    fn count(&self, now: Timestamp) -> usize {
        self.under_way.values().filter(|begun| now.duration_since(**begun) < COUNTS).count()
    }
}

/// Which applications have a rollout under way.
#[derive(Default)]
pub struct Rollouts(Mutex<State>);

impl Rollouts {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an application may restart a workload now. One that may not is given back by [`Self::ended`] in its turn.
    pub fn begin(&self, uid: &str, app: &App, now: Timestamp) -> bool {
        let mut state = self.state();
        state.under_way.remove(uid);
        let free = state.count(now) < AT_ONCE;
        if free {
            state.under_way.insert(uid.to_owned(), now);
            state.waiting.retain(|waiting| waiting != app);
        } else if !state.waiting.contains(app) {
            state.waiting.push_back(app.clone());
        }
        free
    }

    /// A rollout that was begun before, perhaps by another process, is still under way.
    pub fn goes_on(&self, uid: &str, now: Timestamp) {
        self.state().under_way.entry(uid.to_owned()).or_insert(now);
    }

    /// An application has no rollout under way; who may be next, if there is room for one.
    pub fn ended(&self, uid: &str) -> Option<App> {
        let mut state = self.state();
        state.under_way.remove(uid)?;
        state.waiting.pop_front()
    }

    /// Whether this was not said of an application before.
    pub fn is_news(&self, uid: &str, said: u64) -> bool {
        self.state().told.insert(uid.to_owned(), said) != Some(said)
    }

    /// Forgets all that is kept for one application; who may be next.
    pub fn forget(&self, uid: &str, app: &App) -> Option<App> {
        let mut state = self.state();
        state.told.remove(uid);
        state.waiting.retain(|waiting| waiting != app);
        state.under_way.remove(uid)?;
        state.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::NOON;

    fn app(name: usize) -> App {
        ObjectRef::new(&format!("app-{name}")).within("ns")
    }

    fn begin(rollouts: &Rollouts, name: usize, now: Timestamp) -> bool {
        rollouts.begin(&name.to_string(), &app(name), now)
    }

    #[test]
    fn only_so_many_are_under_way_at_once_and_the_others_follow_in_their_order() {
        let rollouts = Rollouts::default();
        assert!((0..AT_ONCE).all(|name| begin(&rollouts, name, NOON)));
        assert!(begin(&rollouts, 0, NOON), "its next workload");
        assert!(!begin(&rollouts, 10, NOON) && !begin(&rollouts, 11, NOON) && !begin(&rollouts, 10, NOON));
        assert_eq!(rollouts.ended("99"), None, "it had none");
        assert_eq!(rollouts.ended("0"), Some(app(10)));
        assert!(begin(&rollouts, 10, NOON) && !begin(&rollouts, 12, NOON));
        assert_eq!(rollouts.forget("1", &app(1)), Some(app(11)));
    }

    #[test]
    fn one_that_was_begun_before_a_restart_counts_and_one_that_never_ends_does_not_for_ever() {
        let rollouts = Rollouts::default();
        (0..=AT_ONCE).for_each(|name| rollouts.goes_on(&name.to_string(), NOON));
        assert!(!begin(&rollouts, 10, NOON));
        rollouts.goes_on("0", NOON + COUNTS);
        assert!(begin(&rollouts, 10, NOON + COUNTS));
    }

    #[test]
    fn what_was_said_before_is_no_news() {
        let rollouts = Rollouts::default();
        assert!(rollouts.is_news("a", 1) && !rollouts.is_news("a", 1) && rollouts.is_news("b", 1));
        assert!(rollouts.is_news("a", 2) && rollouts.is_news("a", 1));
    }
}
