//! Rate limits of the Identity management API: fixed windows, one count for each kind of request.
//!
//! Automation Cloud counts for the whole organization; a stand-in has one organization, so one set of counts. Whether
//! refused requests count too is not documented; here they don't, which comes to the same in a fixed window.

use std::sync::{Mutex, PoisonError};

use axum::http::Method;

use super::config::Limits;

/// The counts of the current windows.
#[derive(Debug)]
pub struct RateLimiter {
    limits: Limits,
    windows: Mutex<[Window; 5]>,
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

    /// Counts one request with `method` at `now` (milliseconds since the Unix epoch), or refuses it.
    pub fn admit(&self, method: &Method, now: i64) -> Result<(), Exceeded> {
        let (slot, limit) = match method.as_str() {
            "GET" | "HEAD" => (0, self.limits.get),
            "POST" => (1, self.limits.post),
            "PUT" => (2, self.limits.put),
            "PATCH" => (3, self.limits.put),
            "DELETE" => (4, self.limits.delete),
            _ => return Ok(()),
        };
        if limit == 0 {
            return Ok(());
        }
        let length = i64::from(self.limits.window_seconds) * 1000;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = &mut windows[slot];
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
