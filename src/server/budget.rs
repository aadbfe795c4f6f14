//! How many requests an organization may still make.
//!
//! A server counts per organization, whoever asks: so one budget is shared by everybody who uses the same
//! organization. Requests that people wait for go before the operator's own checks, which may not touch the users'
//! reserve. Nothing sleeps here: who is refused learns when to come back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Lane, ServerError};
use crate::clock::Clock;

mod window;

pub use window::Limits;
use window::Window;

/// The methods that a server counts apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Class {
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The HTTP method, as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What the budget needs to know about a request.
pub trait Counted {
    fn class(&self) -> Class;
}

/// A request that may be sent: it has been counted, or is exempt. Only [`Budget`] makes one.
pub struct Budgeted<R> {
    request: R,
    counted: Option<(Arc<Budget>, Class, Lane)>,
}

impl<R> Budgeted<R> {
    /// A request that no organization is charged for: tokens and the server's metadata.
    pub(super) fn exempt(request: R) -> Self {
        Self { request, counted: None }
    }

    pub(super) fn request(&self) -> &R {
        &self.request
    }

    /// Counts one repetition of the same request; false if there is nothing left to count it against.
    pub(super) fn again(&self) -> bool {
        self.counted.as_ref().is_none_or(|(budget, class, lane)| budget.take(*class, *lane).is_ok())
    }

    /// The server refused the request as one too many: the class is closed for everybody. Returns for how long.
    pub(super) fn refused(&self, retry_after: Option<Duration>) -> Option<Duration> {
        match &self.counted {
            Some((budget, class, _)) => Some(budget.refused(*class, retry_after)),
            None => retry_after,
        }
    }

    /// The server took the request.
    pub(super) fn taken(&self) {
        if let Some((budget, class, _)) = &self.counted {
            budget.window(*class, |window, _| window.taken());
        }
    }
}

/// The budget of one organization.
pub struct Budget {
    windows: Mutex<[Window; 5]>,
    clock: Clock,
}

impl Budget {
    pub fn new(limits: Limits, clock: Clock) -> Arc<Self> {
        Arc::new(Self { windows: Mutex::new(Class::ALL.map(|class| Window::new(limits.of(class)))), clock })
    }

    /// Counts the request. `ServerError::Budget` if there is nothing left for this lane: nothing was counted then.
    pub fn admit<R: Counted>(self: &Arc<Self>, request: R, lane: Lane) -> Result<Budgeted<R>, ServerError> {
        let class = request.class();
        self.take(class, lane)?;
        Ok(Budgeted { request, counted: Some((Arc::clone(self), class, lane)) })
    }

    /// How many requests of the class may be made now, by a person's edit. `None`: there is no limit.
    pub fn remaining(&self, class: Class) -> Option<u64> {
        self.window(class, Window::remaining)
    }

    fn take(&self, class: Class, lane: Lane) -> Result<(), ServerError> {
        self.window(class, |window, now| window.take(lane, now))
            .map_err(|retry_after| ServerError::Budget { retry_after })
    }

    fn refused(&self, class: Class, retry_after: Option<Duration>) -> Duration {
        self.window(class, |window, now| window.refused(retry_after, now))
    }

    fn window<T>(&self, class: Class, act: impl FnOnce(&mut Window, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut windows[class as usize], now)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}

/// Base URL and name.
type Organization = (String, String);

/// The budgets of all organizations, by base URL and organization: two configurations that name the same
/// organization share one.
#[derive(Debug, Default)]
pub struct BudgetRegistry {
    budgets: Mutex<HashMap<Organization, (Limits, Arc<Budget>)>>,
}

impl BudgetRegistry {
    /// The budget of the organization. Other limits than before start a new count.
    pub fn of(&self, url: &url::Url, organization: &str, limits: Limits, clock: &Clock) -> Arc<Budget> {
        let key = (url.as_str().trim_end_matches('/').to_owned(), organization.to_ascii_lowercase());
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        match budgets.get(&key) {
            Some((same, budget)) if *same == limits => Arc::clone(budget),
            _ => {
                let budget = Budget::new(limits, clock.clone());
                budgets.insert(key, (limits, Arc::clone(&budget)));
                budget
            }
        }
    }
}

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use url::Url;

    use super::{Budget, BudgetRegistry, Class, Counted, Limits};
    use crate::clock::Clock;
    use crate::server::{Lane, ServerError};

    struct Get;

    impl Counted for Get {
        fn class(&self) -> Class {
            Class::Get
        }
    }

    fn noon() -> Clock {
        Clock::from_fn(|| "2026-11-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_is_refused_names_the_time_to_come_back() {
        let budget = Budget::new(Limits::per_minute(1), noon());
        assert!(budget.admit(Get, Lane::User).is_ok());
        let Err(ServerError::Budget { retry_after }) = budget.admit(Get, Lane::User) else { panic!("admitted") };
        assert!(retry_after.as_secs() >= 60);
        assert_eq!(budget.remaining(Class::Get), Some(0));
    }

    #[test]
    fn classes_are_counted_apart() {
        let budget = Budget::new(Limits::per_minute(1), noon());
        assert!(budget.admit(Get, Lane::User).is_ok());
        assert_eq!(budget.remaining(Class::Put), Some(1));
    }

    #[test]
    fn everybody_who_names_the_same_organization_shares_one_budget() {
        let registry = BudgetRegistry::default();
        let of = |url: &str, organization| {
            registry.of(&Url::parse(url).unwrap(), organization, Limits::automation_cloud(), &noon())
        };
        let one = of("https://cloud.uipath.com", "Acme");
        assert!(Arc::ptr_eq(&one, &of("https://cloud.uipath.com/", "acme")));
        assert!(!Arc::ptr_eq(&one, &of("https://cloud.uipath.com", "other")));
    }
}
