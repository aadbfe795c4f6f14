//! Rate limits of the Identity management API and of Orchestrator: fixed windows, one count for each kind of request.
//!
//! Automation Cloud counts Identity's requests for the whole organization; a stand-in has one organization, so one set
//! of counts. Orchestrator's are counted for each tenant. Whether
//! refused requests count too is not documented; here they don't, which comes to the same in a fixed window.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::Method;

use super::config::Limits;

/// The counts of the current windows.
#[derive(Debug)]
pub struct RateLimiter {
    limits: Limits,
    windows: Mutex<HashMap<Kind, Window>>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    /// All requests to a tenant.
    Tenant(i64),
    /// Searches of the directory through a tenant.
    Search(i64),
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    started: i64,
    used: u32,
}

/// A request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// When the window ends, in whole seconds from now, rounded up; `None` if the answer shall not tell.
    pub retry_after_seconds: Option<i64>,
}

impl RateLimiter {
    /// A limiter with nothing counted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, windows: Mutex::default() }
    }

    /// Counts one request to the Identity management API with `method` at `now` (milliseconds since the Unix epoch), or refuses it.
    pub fn admit(&self, method: &Method, now: i64) -> Result<(), Exceeded> {
        let (kind, limit) = match method.as_str() {
            "GET" | "HEAD" => (Kind::Get, self.limits.get),
            "POST" => (Kind::Post, self.limits.post),
            "PUT" => (Kind::Put, self.limits.put),
            "PATCH" => (Kind::Patch, self.limits.put),
            "DELETE" => (Kind::Delete, self.limits.delete),
            _ => return Ok(()),
        };
        self.count(kind, limit, now)
    }

    /// Counts one request to a tenant of Orchestrator's, or refuses it.
    pub fn admit_tenant(&self, tenant: i64, now: i64) -> Result<(), Exceeded> {
        self.count(Kind::Tenant(tenant), self.limits.tenant, now)
    }

    /// Counts one search of the directory through a tenant, or refuses it.
    pub fn admit_search(&self, tenant: i64, now: i64) -> Result<(), Exceeded> {
        self.count(Kind::Search(tenant), self.limits.directory_search, now)
    }

    fn count(&self, kind: Kind, limit: u32, now: i64) -> Result<(), Exceeded> {
        if limit == 0 {
            return Ok(());
        }
        let length = i64::from(self.limits.window_seconds) * 1000;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(kind).or_default();
        if window.used == 0 || now >= window.started + length {
            *window = Window { started: now, used: 0 };
        }
        if window.used < limit {
            window.used += 1;
            return Ok(());
        }
        let left = (window.started + length - now).max(1);
        Err(Exceeded { retry_after_seconds: self.limits.retry_after.then_some((left + 999) / 1000) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(retry_after: bool) -> RateLimiter {
        RateLimiter::new(Limits { get: 2, window_seconds: 10, retry_after, ..Limits::none() })
    }

    #[test]
    fn a_window_admits_its_limit_and_says_when_the_next_one_begins() {
        let limiter = limiter(true);
        assert_eq!(limiter.admit(&Method::GET, 1_000), Ok(()));
        assert_eq!(limiter.admit(&Method::GET, 2_000), Ok(()));
        assert_eq!(limiter.admit(&Method::GET, 2_001), Err(Exceeded { retry_after_seconds: Some(9) }));
        assert_eq!(limiter.admit(&Method::GET, 11_000), Ok(()));
    }

    #[test]
    fn kinds_of_requests_are_counted_apart_and_zero_means_no_limit() {
        let limiter = limiter(true);
        for _ in 0..3 {
            assert_eq!(limiter.admit(&Method::POST, 0), Ok(()));
        }
        assert_eq!(limiter.admit(&Method::GET, 0), Ok(()));
    }

    #[test]
    fn the_waiting_time_can_be_withheld() {
        let limiter = limiter(false);
        let _ = limiter.admit(&Method::GET, 0);
        let _ = limiter.admit(&Method::GET, 0);
        assert_eq!(limiter.admit(&Method::GET, 0), Err(Exceeded { retry_after_seconds: None }));
    }
}
