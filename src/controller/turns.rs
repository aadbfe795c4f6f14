//! Whose turn it is at one server: so many passes at once, those that a person waits for before those that the operator
//! makes on its own account, and nobody asks twice. A server that hangs holds up its own applications and no others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::channel::mpsc::UnboundedSender;
use jiff::{SignedDuration, Timestamp};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use crate::clock::Clock;

/// How long a place is kept for one that was called. An object that is gone meanwhile never comes.
const KEPT: SignedDuration = SignedDuration::from_secs(5);

/// What can be waited for: an object of a kind that this program knows.
pub trait Waiting: Resource<DynamicType = ()> {}

impl<K: Resource<DynamicType = ()>> Waiting for K {}

/// The turns of one kind at one server.
pub struct Turns<K: Waiting> {
    state: Mutex<State<K>>,
    wake: UnboundedSender<ObjectRef<K>>,
    clock: Clock,
}

/// A pass's turn. When it ends, the next ones are called.
pub struct Turn<'a, K: Waiting> {
    turns: &'a Turns<K>,
    background: bool,
}

impl<K: Waiting> Turns<K> {
    /// `most`: how many turns there are at once; half of them at the most are for what nobody waits for.
    pub fn new(most: usize, wake: UnboundedSender<ObjectRef<K>>, clock: Clock) -> Self {
        Self { state: Mutex::new(State::new(most.max(1))), wake, clock }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, if there is one; else the object is woken when there is.
    pub fn take(&self, object: &ObjectRef<K>) -> Option<Turn<'_, K>> {
        let background = self.state().take(object, self.clock.now())?;
        Some(Turn { turns: self, background })
    }

    /// Has an object looked at when nobody who waits for theirs is held up by it.
    pub fn later(&self, object: ObjectRef<K>) {
        self.state().later(object);
        self.call();
    }

    /// The object is gone: nothing is kept for it.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.state().forget(object);
        self.call();
    }

    /// Calls whoever may come, should those who were called before never have come.
    pub fn call_again(&self) {
        self.call();
    }

    /// How many wait, by queue.
    pub fn waiting(&self) -> [(&'static str, usize); 2] {
        let state = self.state();
        let background = state.queued.values().filter(|background| **background).count();
        [("people", state.queued.len() - background), ("background", background)]
    }

    fn call(&self) {
        let called = self.state().call(self.clock.now());
        for object in called {
            // A full queue cannot happen; a closed one means that the process ends.
            let _ = self.wake.unbounded_send(object);
        }
    }
}

impl<K: Waiting> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        self.turns.state().end(self.background);
        self.turns.call();
    }
}

struct State<K: Waiting> {
    most: usize,
    background_most: usize,
    running: usize,
    background_running: usize,
    /// Woken and not there yet: since when, and whether in the background.
    called: HashMap<ObjectRef<K>, (Timestamp, bool)>,
    urgent: VecDeque<ObjectRef<K>>,
    background: VecDeque<ObjectRef<K>>,
    /// Those in the queues that still wait, and whether in the background; a place in a queue without this is void.
    queued: HashMap<ObjectRef<K>, bool>,
}

impl<K: Waiting> State<K> {
    fn new(most: usize) -> Self {
        Self {
            most,
            background_most: most.div_ceil(2),
            running: 0,
            background_running: 0,
            called: HashMap::new(),
            urgent: VecDeque::new(),
            background: VecDeque::new(),
            queued: HashMap::new(),
        }
    }

    fn take(&mut self, object: &ObjectRef<K>, now: Timestamp) -> Option<bool> {
        self.expire(now);
        let called = self.called.remove(object);
        if called.is_none() && self.running + self.called.len() >= self.most {
            if self.queued.insert(object.clone(), false) != Some(false) {
                self.urgent.push_back(object.clone());
            }
            return None;
        }
        self.queued.remove(object);
        let background = called.is_some_and(|(_, background)| background);
        self.running += 1;
        self.background_running += usize::from(background);
        Some(background)
    }

    fn later(&mut self, object: ObjectRef<K>) {
        if !self.called.contains_key(&object) && !self.queued.contains_key(&object) {
            self.queued.insert(object.clone(), true);
            self.background.push_back(object);
        }
    }

    fn end(&mut self, background: bool) {
        self.running = self.running.saturating_sub(1);
        self.background_running = self.background_running.saturating_sub(usize::from(background));
    }

    fn forget(&mut self, object: &ObjectRef<K>) {
        self.queued.remove(object);
        self.called.remove(object);
    }

    /// Takes those whose turn it is out of the queues.
    fn call(&mut self, now: Timestamp) -> Vec<ObjectRef<K>> {
        self.expire(now);
        let mut next = Vec::new();
        while self.running + self.called.len() < self.most {
            let background =
                self.background_running + self.called.values().filter(|(_, background)| *background).count();
            let urgent = first(&mut self.urgent, false, &mut self.queued).map(|object| (object, false));
            let other = || {
                let room = background < self.background_most;
                room.then(|| first(&mut self.background, true, &mut self.queued)).flatten().map(|object| (object, true))
            };
            let Some((object, background)) = urgent.or_else(other) else { break };
            self.called.insert(object.clone(), (now, background));
            next.push(object);
        }
        next
    }

    fn expire(&mut self, now: Timestamp) {
        self.called.retain(|_, (since, _)| now.duration_since(*since) < KEPT);
    }
}

/// The first that still waits in this queue.
fn first<K: Waiting>(
    queue: &mut VecDeque<ObjectRef<K>>,
    background: bool,
    queued: &mut HashMap<ObjectRef<K>, bool>,
) -> Option<ObjectRef<K>> {
    while let Some(object) = queue.pop_front() {
        if queued.get(&object) == Some(&background) {
            queued.remove(&object);
            return Some(object);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::{UnboundedReceiver, unbounded};

    use super::*;
    use crate::api::ExternalApplication;
    use crate::domain::fixtures::NOON;

    type Application = ObjectRef<ExternalApplication>;

    fn app(name: &str) -> Application {
        ObjectRef::new(name).within("ns")
    }

    fn turns(most: usize) -> (Turns<ExternalApplication>, UnboundedReceiver<Application>) {
        let (wake, woken) = unbounded();
        (Turns::new(most, wake, Clock::from_fn(|| NOON)), woken)
    }

    fn names(woken: &mut UnboundedReceiver<Application>) -> Vec<String> {
        std::iter::from_fn(|| woken.try_recv().ok()).map(|application| application.name).collect()
    }

    #[test]
    fn who_finds_no_turn_is_woken_once_when_one_ends_and_finds_it_kept() {
        let (turns, mut woken) = turns(1);
        let first = turns.take(&app("a"));
        assert!(first.is_some());
        assert!(turns.take(&app("b")).is_none());
        assert!(turns.take(&app("b")).is_none(), "asking again gives no second place");
        assert!(names(&mut woken).is_empty());
        drop(first);
        assert_eq!(names(&mut woken), ["b"]);
        assert!(turns.take(&app("c")).is_none(), "the place is b's");
        drop(turns.take(&app("b")).expect("the turn that was kept"));
        assert_eq!(names(&mut woken), ["c"]);
    }

    #[test]
    fn what_nobody_waits_for_takes_half_of_the_turns_and_comes_last() {
        let (turns, mut woken) = turns(4);
        for name in ["a", "b", "c"] {
            turns.later(app(name));
            turns.later(app(name));
        }
        assert_eq!(names(&mut woken), ["a", "b"]);
        let background: Vec<_> = ["a", "b"].iter().map(|name| turns.take(&app(name)).expect("called")).collect();
        let people: Vec<_> = ["x", "y"].iter().map(|name| turns.take(&app(name)).expect("room for people")).collect();
        assert!(turns.take(&app("z")).is_none());
        drop(background);
        assert_eq!(names(&mut woken), ["z", "c"]);
        drop(people);
        assert!(names(&mut woken).is_empty());
    }

    #[test]
    fn one_that_is_gone_keeps_nobody_waiting() {
        let (turns, mut woken) = turns(1);
        turns.later(app("gone"));
        turns.later(app("next"));
        assert_eq!(names(&mut woken), ["gone"]);
        turns.forget(&app("gone"));
        assert_eq!(names(&mut woken), ["next"]);
    }

    #[test]
    fn a_place_is_not_kept_for_ever() {
        let mut state = State::new(1);
        state.later(app("a"));
        assert_eq!(state.call(NOON).len(), 1);
        assert_eq!(state.take(&app("b"), NOON), None);
        assert_eq!(state.take(&app("b"), NOON + KEPT), Some(false));
    }

    #[test]
    fn one_that_comes_by_itself_while_it_is_queued_is_not_called_again() {
        let (turns, mut woken) = turns(2);
        let first = turns.take(&app("a"));
        for name in ["b", "c"] {
            turns.later(app(name));
        }
        drop(turns.take(&app("b")));
        drop(first);
        assert_eq!(names(&mut woken), ["b", "c"]);
        drop(turns.take(&app("c")));
        assert!(names(&mut woken).is_empty());
        assert!(turns.state().queued.is_empty() && turns.state().called.is_empty());
    }
}
